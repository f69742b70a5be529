"""What the witness concludes of one task: what does not agree between its versions, its ledger and its runs. Pure."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from db.neglect import ON_TIME, SETTLED_AFTER, WAITING_FOR, undecided, unheld
from db.schedule_words import in_words
from db.schedules import closing
from db.specs import AnyTask
from db.states import FINAL_STATES, Misfire, OnCrash, Outcome, Overlap, Reason, RunState, Trigger
from db.testimony import (
    SAME_MOMENT,
    Evidence,
    LedgerRow,
    Rerun,
    SeenRun,
    Version,
    due_instants,
    in_force,
    is_busy,
    is_due_within,
    utc,
)

EXECUTING = frozenset({Trigger.SCHEDULE, Trigger.CATCH_UP, Trigger.RERUN})


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that does not agree about a due time."""

    due_at: datetime
    was_due: bool
    what: str


@dataclass(frozen=True, slots=True)
class Judgement:
    """How many due times there were, how many of them still wait, and what does not agree."""

    due_times: int
    waiting: int
    faults: tuple[Fault, ...]


@dataclass(frozen=True, slots=True)
class _Case:
    """One due time with all that is known of it."""

    evidence: Evidence
    row: LedgerRow
    run: SeenRun | None
    reruns: Mapping[UUID, Rerun]
    now: datetime

    @property
    def decided_at(self) -> datetime:
        return self.row.decided_at or self.now

    @property
    def policies(self) -> list[Version]:
        """The versions that may have been in force when it was decided."""
        return in_force(self.evidence.history, self.decided_at, give_or_take=SAME_MOMENT)

    @property
    def late(self) -> timedelta:
        return self.decided_at - self.row.due_at


def judge(evidence: Evidence, *, from_at: datetime, to_at: datetime, now: datetime) -> Judgement:
    """What is to be said of the due times from an instant up to before another one, which has passed."""
    due = due_instants(evidence.history, from_at=from_at, to_at=to_at)
    rows = {row.due_at: row for row in evidence.rows}
    runs: dict[datetime, list[SeenRun]] = defaultdict(list)
    for run in evidence.runs:
        runs[run.due_at].append(run)
    by_id = {run.id: run for run in evidence.runs}
    reruns = {rerun.rerun_of: rerun for rerun in evidence.reruns}
    waiting, faults = 0, list[Fault]()
    for at in sorted({*due, *rows, *(at for at in runs if from_at <= at < to_at)}):
        row = rows.get(at)
        found = _faults_of_runs(runs.get(at, ()), row, reruns, evidence.history)
        if (at in due) != (row is not None):
            found += _faults_of_existence(evidence.history, at, due.get(at), row)
        elif row is not None and now - at >= SETTLED_AFTER:
            case = _Case(evidence, row, by_id.get(row.run_id) if row.run_id else None, reruns, now)
            waits = row.outcome == Outcome.PENDING and _may_wait(case)
            found += [] if waits else _faults_of_outcome(case)
            waiting += waits and not found
        faults += [Fault(at, at in due, what) for what in found]
    return Judgement(len(due), waiting, tuple(faults))


def _faults_of_existence(
    history: Sequence[Version], at: datetime, by: Version | None, row: LedgerRow | None
) -> list[str]:
    if by is not None:
        schedule = in_words(by.spec.schedule.value())
        return [f"There is no row, but it was due by version {by.number} of {utc(by.at)} ({schedule})."]
    assert row is not None
    there = f"There is a row ({row.outcome}, of version {row.task_version})"
    for version in in_force(history, at):
        words = "the task was deleted" if version.is_deleted else in_words(version.spec.schedule.value())
        return [f"{there}, but it was not due: version {version.number} of {utc(version.at)} was in force ({words})."]
    return [f"{there}, but there was no task yet."]


def _faults_of_runs(
    runs: Sequence[SeenRun], row: LedgerRow | None, reruns: Mapping[UUID, Rerun], history: Sequence[Version]
) -> list[str]:
    """Whether what was due once was executed once, and the ledger knows by which run."""
    by_id = {run.id: run for run in runs}
    started = [run for run in runs if run.started_at and _is_of_the_ledger(run, by_id)]
    twice = [
        *_faults_of_beginnings(started),
        *(what for run in started if run.rerun_of for what in _faults_of_rerun(run, started, by_id, reruns, history)),
    ]
    if twice:
        return twice
    named = row.run_id if row else None
    known = {run.id for run in _and_those_before(by_id.get(named) if named else None, by_id)}
    says = "no row" if row is None else f"run {named}" if named else f"no run ({row.outcome})"
    return [
        f"The ledger has {says}, but {_words(run)} ({run.trigger}) executed it."
        for run in started
        if run.id not in known and not (row and row.run_id == run.id)
    ]


def _faults_of_beginnings(started: Sequence[SeenRun]) -> list[str]:
    firsts = [run for run in started if run.rerun_of is None]
    return [f"Executed twice: {', and '.join(map(_words, firsts))}."] if len(firsts) > 1 else []


def _faults_of_rerun(
    run: SeenRun,
    started: Sequence[SeenRun],
    by_id: Mapping[UUID, SeenRun],
    reruns: Mapping[UUID, Rerun],
    history: Sequence[Version],
) -> list[str]:
    assert run.rerun_of is not None
    lost, asked = by_id.get(run.rerun_of), reruns.get(run.rerun_of)
    twice = f"Executed twice: {_words(run)} goes on with run {run.rerun_of}, but"
    if lost is None:
        return [f"{twice} there is no such run of this due time."]
    if lost.state != RunState.CRASHED:
        return [f"{twice} that one did not crash: it is {lost.state}."]
    if asked is None:
        return [f"{twice} nothing asked for that."]
    if asked.attempt != lost.attempt and not _may_begin_again(lost, history):
        return [f"{twice} on_crash is fail, and that one died in attempt {lost.attempt}, not while it waited for it."]
    other = next((one for one in started if one.rerun_of == run.rerun_of and one.id < run.id), None)
    return [f"{twice} so does {_words(other)}."] if other else []


def _may_begin_again(lost: SeenRun, history: Sequence[Version]) -> bool:
    assert lost.ended_at is not None
    versions = in_force(history, lost.ended_at, give_or_take=SAME_MOMENT)
    return any(version.spec.on_crash is OnCrash.RERUN for version in versions)


def _is_of_the_ledger(run: SeenRun, by_id: Mapping[UUID, SeenRun]) -> bool:
    """Whether it executes a due time, and not what somebody asked for."""
    *_, first = _and_those_before(run, by_id)
    return first.trigger in EXECUTING


def _and_those_before(run: SeenRun | None, by_id: Mapping[UUID, SeenRun]) -> Iterator[SeenRun]:
    """The run, the one that it goes on with, and so on."""
    seen: set[UUID] = set()
    while run is not None and run.id not in seen:
        yield run
        seen.add(run.id)
        run = by_id.get(run.rerun_of) if run.rerun_of else None


def _may_wait(case: _Case) -> bool:
    """Whether there is a reason why a due time that has passed is still pending."""
    if undecided(case.evidence, case.row, now=case.now) is not None:
        return False
    if case.row.reason in WAITING_FOR or not case.evidence.attended:
        return True
    policies = in_force(case.evidence.history, case.now, give_or_take=SAME_MOMENT)
    if any(version.spec.misfire is Misfire.ALL for version in policies):
        return True
    oldest = case.evidence.oldest_open_at
    has_older = oldest is not None and oldest < case.row.due_at
    return any(version.spec.overlap is Overlap.QUEUE for version in policies) and (
        has_older or is_busy(case.evidence, case.now)
    )


def _faults_of_outcome(case: _Case) -> list[str]:
    row = case.row
    check = CHECKS.get((row.outcome, row.reason)) or CHECKS.get((row.outcome, None))
    if check is None:
        return [f"{row.outcome.capitalize()} at {utc(case.decided_at)} because of {row.reason}, which no rule gives."]
    fault = check(case)
    return [fault] if fault else []


def _pending(case: _Case) -> str:
    still = f"Still pending {(case.now - case.row.due_at).total_seconds():.0f} s after it was due"
    why = undecided(case.evidence, case.row, now=case.now)
    if why is not None:
        return f"{still}, and nobody decided it: {why}."
    return f"{still}: nobody claimed it, and it waits for nothing."


def _running(case: _Case) -> str | None:
    run = case.run
    if run is None or not _is_its_own(case, run):
        return _wrong_run(case)
    if run.state not in FINAL_STATES:
        why = unheld(run, watched=case.evidence.watched, now=case.now)
        return f"Running, but {why}." if why is not None else None
    asked = case.reruns.get(run.id)
    if run.state == RunState.CRASHED and asked is not None and not asked.is_refused:
        return None
    return f"Running, but its run {run.id} is {run.state}{_since(run)}, and nothing goes on with it."


def _ran(case: _Case) -> str | None:
    run = case.run
    if run is None or not _is_its_own(case, run):
        return _wrong_run(case)
    if run.ended_at is None:
        return f"Ran, but its run {run.id} is still {run.state}."
    return f"Ran, but its run {run.id} crashed{_since(run)}." if run.state == RunState.CRASHED else None


def _unknown(case: _Case) -> str | None:
    run = case.run
    if run is None or not _is_its_own(case, run):
        return _wrong_run(case)
    # Where the machine of a run died and the one that was to go on with it was cancelled before it started.
    never_went_on = run.ended_at is not None and run.started_at is None and run.rerun_of is not None
    if run.state == RunState.CRASHED or never_went_on:
        return None
    return f"Unknown, but its run {run.id} did not crash: it is {run.state}{_since(run)}."


def _is_its_own(case: _Case, run: SeenRun) -> bool:
    return (run.task_id, run.due_at) == (case.evidence.task_id, case.row.due_at)


def _wrong_run(case: _Case) -> str:
    row, run = case.row, case.run
    if run is None:
        return f"{row.outcome.capitalize()}, but there is no run {row.run_id}."
    return f"{row.outcome.capitalize()}, but run {run.id} is of task {run.task_id}, due at {utc(run.due_at)}."


def _skipped_paused(case: _Case) -> str | None:
    due_at, history = case.row.due_at, case.evidence.history
    if any(version.pauses(due_at) for version in [*in_force(history, due_at), *case.policies]):
        return None
    return f"Skipped as paused at {utc(case.decided_at)}, but there was no pause then, nor when it was due."


def _skipped_closed(case: _Case) -> str | None:
    due_at = case.row.due_at
    versions = [*in_force(case.evidence.history, due_at), *case.policies]
    if any(closing(version.spec.schedule.value(), due_at) is not None for version in versions):
        return None
    return f"Skipped as closed at {utc(case.decided_at)}, but no calendar of the task was closed when it was due."


def _skipped_overlap(case: _Case) -> str | None:
    skipped = f"Skipped for overlap at {utc(case.decided_at)}, but"
    if not any(version.spec.overlap is Overlap.SKIP for version in case.policies):
        return f"{skipped} {_policy(case, 'overlap')}."
    return None if is_busy(case.evidence, case.decided_at) else f"{skipped} no run of the task was going on then."


def _skipped_superseded(case: _Case) -> str | None:
    skipped = f"Skipped as superseded at {utc(case.decided_at)}, but"
    if not any(version.spec.misfire is Misfire.LATEST for version in case.policies):
        return f"{skipped} {_policy(case, 'misfire')}."
    if is_due_within(case.evidence.history, after=case.row.due_at, until=case.decided_at):
        return None
    return f"{skipped} no newer due time had passed by then."


def _missed_late(case: _Case) -> str | None:
    if any(_too_late(version.spec, case.late) for version in case.policies):
        return None
    missed = f"Missed as late at {utc(case.decided_at)}, {case.late.total_seconds():.0f} s after it was due, but"
    return f"{missed} {_policy(case, 'misfire')}, {_policy(case, 'max_lateness_seconds')}."


def _too_late(spec: AnyTask, late: timedelta) -> bool:
    most = spec.max_lateness_seconds
    return (most is not None and late > timedelta(seconds=most)) or (spec.misfire is Misfire.SKIP and late > ON_TIME)


def _cancelled_deleted(case: _Case) -> str | None:
    if any(version.is_deleted for version in case.policies):
        return None
    return f"Cancelled as deleted at {utc(case.decided_at)}, but the task was not deleted then."


def _cancelled_by_somebody(_case: _Case) -> None:
    """A person or Prefect: there is nothing to compare it with."""


CHECKS: dict[tuple[str, str | None], Callable[[_Case], str | None]] = {
    (Outcome.PENDING, None): _pending,
    (Outcome.RUNNING, None): _running,
    (Outcome.RAN, None): _ran,
    (Outcome.UNKNOWN, None): _unknown,
    (Outcome.SKIPPED, Reason.PAUSED): _skipped_paused,
    (Outcome.SKIPPED, Reason.CLOSED): _skipped_closed,
    (Outcome.SKIPPED, Reason.OVERLAP): _skipped_overlap,
    (Outcome.SKIPPED, Reason.SUPERSEDED): _skipped_superseded,
    (Outcome.MISSED, Reason.LATE): _missed_late,
    (Outcome.CANCELLED, Reason.DELETED): _cancelled_deleted,
    (Outcome.CANCELLED, Reason.CANCELLED): _cancelled_by_somebody,
}


def _policy(case: _Case, field_name: str) -> str:
    """What the version in force said, in words."""
    for version in case.policies:
        return f"version {version.number} says {field_name} {getattr(version.spec, field_name)}"
    return "there was no task yet"


def _words(run: SeenRun) -> str:
    return f"run {run.id} started at {utc(run.started_at)}" if run.started_at else f"run {run.id}"


def _since(run: SeenRun) -> str:
    return f" since {utc(run.ended_at)}" if run.ended_at else ""
