"""Why a due time was late, skipped, missed, cancelled or unknown, or still waits: one sentence with the evidence. Pure.

`db.evidence` reads the evidence. Where some is missing, because it was removed with time, the sentence says less.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from db import audit
from db.specs import DEFAULT_WORK_POOL
from db.states import Misfire, Outcome, Overlap, Reason, RunState, Trigger
from db.tables import DueTime, Run

LATE_FROM = timedelta(seconds=1)
"""What starts within it is on time; what waits for less is only just due."""
WORTH_TELLING = timedelta(milliseconds=50)
LONGEST_QUOTE = 200
MINUTE, HOUR, DAY = 60, 3600, 86400


@dataclass(frozen=True, slots=True)
class Policies:
    """What the task said of itself at a moment."""

    overlap: Overlap = Overlap.SKIP
    misfire: Misfire = Misfire.LATEST
    max_lateness_seconds: int | None = None
    work_pool: str = DEFAULT_WORK_POOL


@dataclass(frozen=True, slots=True)
class Act:
    """Who did something, and when."""

    actor: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Pause:
    """A pause, from who began it to who ended it."""

    began: Act
    reason: str | None = None
    until: datetime | None = None
    ended: Act | None = None


@dataclass(frozen=True, slots=True)
class Absence:
    """A time in which the work pool had no worker; open where it has none still, or had none before."""

    since: datetime | None
    until: datetime | None


@dataclass(frozen=True, slots=True)
class Loss:
    """A worker that fell silent."""

    worker: str
    last_heard_at: datetime


@dataclass(frozen=True, slots=True)
class Closing:
    """What was closed, and where the due time went."""

    name: str = ""
    moved_to: datetime | None = None


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the catalogue knows about a due time besides its row."""

    policies: Policies = Policies()
    """Those in force when it was decided or started, or now."""
    runs: Sequence[Run] = ()
    """The runs that executed it, first to last: more than one where machines died."""
    before: Run | None = None
    """The run of the task that it came upon, or had to wait for."""
    pause: Pause | None = None
    closing: Closing | None = None
    deletion: Act | None = None
    setting: Act | None = None
    """Who asked for a moment that had passed already."""
    newer_due_at: datetime | None = None
    """The newest due time that had come when this one was decided."""
    absence: Absence | None = None
    """The longest one between the due time and its decision or start."""
    loss: Loss | None = None
    has_older: bool = False
    """Whether due times of the task before it are pending, too."""
    deployed: bool = True
    """Whether Prefect has the task."""
    sync_error: str | None = None
    not_taken: str | None = None
    """Why nothing takes runs of its pool now."""


@dataclass(frozen=True, slots=True)
class Clock:
    """Tells instants in a zone: with the day where it is another one than the due time's."""

    zone: ZoneInfo
    due_at: datetime

    def at(self, instant: datetime, *, seconds_matter: bool = True) -> str:
        """`14:05 UTC`, `14:05:31 UTC`, `02 Dec 14:05 UTC`."""
        local, due = instant.astimezone(self.zone), self.due_at.astimezone(self.zone)
        day = "" if local.date() == due.date() else f"{local:%d %b} "
        year = "" if local.year == due.year else f"{local:%Y} "
        whole = not seconds_matter or (local.second == 0 and local.microsecond == 0)
        return f"{day}{year}{local:%H:%M} {local:%Z}" if whole else f"{day}{year}{local:%H:%M:%S} {local:%Z}"

    def between(self, since: datetime, until: datetime) -> str:
        """`from 14:05 to 14:06:12 UTC`: the zone is told once, unless its clock was changed between them."""
        first, last = self.at(since), self.at(until)
        zone = last.rpartition(" ")[2]
        return f"from {first.removesuffix(f' {zone}')} to {last}"


def is_plain(row: DueTime, *, now: datetime) -> bool:
    """Whether there is nothing to say: it ran on time, or its time is still to come."""
    if row.outcome == Outcome.PENDING:
        return now - row.due_at < LATE_FROM
    started = row.started_at is not None and row.outcome != Outcome.UNKNOWN
    return started and row.started_at - row.due_at < LATE_FROM  # type: ignore[operator]


def why(row: DueTime, known: Evidence, *, now: datetime, zone: str = "UTC") -> str | None:
    """The sentence, its instants told in the zone; None where there is nothing to say."""
    if is_plain(row, now=now):
        return None
    return _SENTENCES[Outcome(row.outcome)](row, known, Clock(ZoneInfo(zone), row.due_at))


def _skipped(row: DueTime, known: Evidence, clock: Clock) -> str:
    match row.reason:
        case Reason.OVERLAP:
            return f"Skipped: {_overlapped(row, known, clock)}"
        case Reason.SUPERSEDED:
            came = f"the due time at {clock.at(known.newer_due_at)}" if known.newer_due_at else "a newer due time"
            tail = f"and only the newest is run (misfire: latest).{_absence_sentence(known, clock)}"
            return f"Skipped: {came} came while nobody could run this one, {tail}"
        case Reason.CLOSED:
            return f"Skipped: {_closed(known, clock)}."
        case Reason.PAUSED:
            return f"Skipped: {_paused(known.pause, clock)}."
        case _:
            return f"Skipped: {row.reason}."


def _closed(known: Evidence, clock: Clock) -> str:
    if known.closing is None:
        return "a calendar of the task was closed"
    why = f"closed for {_quoted(known.closing.name)}" if known.closing.name else "a calendar of the task was closed"
    moved = known.closing.moved_to
    return f"{why}, and moved to {clock.at(moved, seconds_matter=False)}" if moved else why


def _overlapped(row: DueTime, known: Evidence, clock: Clock) -> str:
    run = known.before
    if run is None:
        return "another run of the task was still going on (overlap: skip)."
    if run.ended_at is None:
        return f"{the_run(run, clock)} was still going on (it still is)."
    if row.decided_at is not None and run.ended_at < row.decided_at:
        if run.state == RunState.CRASHED:
            return f"{the_run(run, clock)} had lost its worker and was to go on elsewhere."
        return f"{the_run(run, clock)} had not been reported as ended (it ended at {clock.at(run.ended_at)})."
    return f"{the_run(run, clock)} was still going on (it ended at {clock.at(run.ended_at)})."


def _paused(pause: Pause | None, clock: Clock) -> str:
    if pause is None:
        return "the task was paused"
    until = f" until {clock.at(pause.until, seconds_matter=False)}" if pause.until else ""
    reason = f" (“{_quoted(pause.reason)}”)" if pause.reason else ""
    return f"paused {_by(pause.began)} since {clock.at(pause.began.at, seconds_matter=False)}{until}{reason}"


def _missed(row: DueTime, known: Evidence, clock: Clock) -> str:
    late = (row.decided_at or row.due_at) - row.due_at
    allowed = known.policies.max_lateness_seconds
    if allowed is not None and late > timedelta(seconds=allowed):
        limit = f"; at most {allowed} s are allowed (max_lateness_seconds)."
    elif known.policies.misfire is Misfire.SKIP:
        limit = ", and what was missed is not run later (misfire: skip)."
    else:
        limit = ", which was too late."
    return f"Missed: it could only have started {length(late)} late{limit}{_hindrance(known, clock)}"


def _hindrance(known: Evidence, clock: Clock) -> str:
    run = known.before
    if run is None:
        return _absence_sentence(known, clock)
    end = f", which ended at {clock.at(run.ended_at)}" if run.ended_at else ", which still goes on"
    return f" It waited for {the_run(run, clock)}{end}."


def _unknown(_row: DueTime, known: Evidence, clock: Clock) -> str:
    lost = next((run for run in reversed(known.runs) if run.started_at is not None), None)
    times = f" It had been begun {len(known.runs)} times." if len(known.runs) > 1 else ""
    if known.loss is not None:
        heard = f"worker {_quoted(known.loss.worker)} was last heard of at {clock.at(known.loss.last_heard_at)}"
        return f"Unknown: {heard} while it ran this; what became of it nobody knows.{times}"
    if lost is not None and lost.error:
        return f"Unknown: {sentence(lost.error)}{times}"
    return f"Unknown: its worker was lost while it ran this; what became of it nobody knows.{times}"


def _cancelled(row: DueTime, known: Evidence, clock: Clock) -> str:
    if row.reason == Reason.DELETED:
        who = f" {_by(known.deletion)} at {clock.at(known.deletion.at)}" if known.deletion else ""
        return f"Cancelled: the task was deleted{who}, before anybody had run this."
    asked_at = next((run.cancel_requested_at for run in known.runs if run.cancel_requested_at), None)
    if asked_at is not None:
        return f"Cancelled: somebody cancelled its run at {clock.at(asked_at)}, before it began."
    noticed = f" (noticed at {clock.at(row.decided_at)})" if row.decided_at else ""
    return f"Cancelled: its run was cancelled in Prefect before it began{noticed}."


def _late(row: DueTime, known: Evidence, clock: Clock) -> str:
    started_at = row.started_at or row.due_at
    late = f"Late by {length(started_at - row.due_at)}"
    if known.pause is not None:
        return f"{late}: it came in a pause ({_paused(known.pause, clock)}), and was run when that was over."
    if known.setting is not None:
        asked = f"{_by(known.setting)} at {clock.at(known.setting.at)}"
        return f"{late}: the moment had passed already when it was asked for {asked} (run_if_past)."
    parts = _parts(row.due_at, started_at, known, clock)
    return f"{late}: {', '.join(parts)}." if parts else f"{late}.{_absence_sentence(known, clock)}"


def _parts(due_at: datetime, started_at: datetime, known: Evidence, clock: Clock) -> list[str]:
    """The lateness taken apart: waiting for a worker, waiting for the run before, starting."""
    held_at = known.runs[0].held_at if known.runs else None
    if held_at is None:
        return []
    in_hand = min(max(due_at, held_at), started_at)
    free = in_hand
    if known.before is not None and known.before.ended_at is not None:
        free = min(max(in_hand, known.before.ended_at), started_at)
    absence = _absence_words(known, clock)
    waits = [
        (in_hand - due_at, f"until a worker had it{f' ({absence})' if absence else ''}"),
        (free - in_hand, f"until {the_run(known.before, clock)} had ended" if known.before else ""),
        (started_at - free, "to start"),
    ]
    return [f"{length(span)} {words}" for span, words in waits if span >= WORTH_TELLING]


def _waits(row: DueTime, known: Evidence, clock: Clock) -> str:
    if row.reason == Reason.RESUMED:
        return f"Waits: {_resumed(known.pause, clock)}"
    if known.before is not None and (row.reason == Reason.QUEUED or known.has_older):
        return f"Waits: {the_run(known.before, clock)} has to end first."
    if row.reason == Reason.QUEUED or (known.has_older and known.policies.misfire is Misfire.ALL):
        return "Waits: its turn comes when the task's due times before it have been run."
    if known.sync_error:
        return f"Waits: Prefect does not have the task: {sentence(known.sync_error)}"
    if not known.deployed:
        return "Waits: Prefect has not been told of the task yet."
    absence = _absence_words(known, clock)
    if absence:
        return f"Waits: {absence}."
    if known.not_taken:
        return f"Waits: {known.not_taken[0].lower()}{known.not_taken[1:]}"
    return "Waits: no worker has it yet."


def _resumed(pause: Pause | None, clock: Clock) -> str:
    if pause is None or pause.ended is None:
        return "it came in a pause, and is still to be run."
    ended = f"ended {_by(pause.ended)} at {clock.at(pause.ended.at)}"
    return f"it came in a pause that was {ended}, and is to be caught up with."


_SENTENCES: Mapping[Outcome, Callable[[DueTime, Evidence, Clock], str]] = {
    Outcome.PENDING: _waits,
    Outcome.RUNNING: _late,
    Outcome.RAN: _late,
    Outcome.SKIPPED: _skipped,
    Outcome.MISSED: _missed,
    Outcome.CANCELLED: _cancelled,
    Outcome.UNKNOWN: _unknown,
}


def the_run(run: Run, clock: Clock) -> str:
    """`the run that was due at 14:05 UTC`, or what else it was."""
    if run.trigger == Trigger.MANUAL:
        return f"a run that was started by hand at {clock.at(run.due_at)}"
    if run.trigger == Trigger.TEST:
        return f"a test run that was started at {clock.at(run.due_at)}"
    if run.trigger == Trigger.CHAIN:
        return f"a run that followed another one at {clock.at(run.due_at)}"
    if run.trigger == Trigger.PREFECT:
        return f"a run that was started in Prefect at {clock.at(run.due_at)}"
    return f"the run that was due at {clock.at(run.due_at)}"


def _absence_words(known: Evidence, clock: Clock) -> str:
    absence = known.absence
    if absence is None:
        return ""
    pool = known.policies.work_pool
    nobody = "no worker" if pool == DEFAULT_WORK_POOL else f"no worker of pool {_quoted(pool)}"
    if absence.since is None:
        return f"{nobody} was there until {clock.at(absence.until)}" if absence.until else f"{nobody} was ever there"
    if absence.until is None:
        return f"{nobody} has been there since {clock.at(absence.since)}"
    return f"{nobody} was there {clock.between(absence.since, absence.until)}"


def _absence_sentence(known: Evidence, clock: Clock) -> str:
    words = _absence_words(known, clock)
    return f" {words[0].upper()}{words[1:]}." if words else ""


def _by(act: Act) -> str:
    door, _, name = act.actor.partition(":")
    if door == "api":
        return f"by {_quoted(name)} over the API" if name else "over the API"
    known = {"dashboard": "on the dashboard", audit.PREFECT: "in Prefect", audit.SYSTEM: "by Duetime itself"}
    return known.get(act.actor) or f"by {_quoted(act.actor)}"


def _quoted(words: str) -> str:
    one_line = " ".join(words.split())
    return one_line if len(one_line) <= LONGEST_QUOTE else f"{one_line[: LONGEST_QUOTE - 1]}…"


def sentence(words: str) -> str:
    """In one line, with an end."""
    one_line = _quoted(words)
    return one_line if one_line.endswith((".", "!", "?", "…")) else f"{one_line}."


def length(span: timedelta) -> str:
    """`0.2 s`, `42.3 s`, `12 min`, `12 min 5 s`, `2 h 5 min`, `3 d 4 h`."""
    seconds = span.total_seconds()
    if round(seconds, 1) < MINUTE:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    for size, unit, part, part_unit in ((DAY, "d", HOUR, "h"), (HOUR, "h", MINUTE, "min"), (MINUTE, "min", 1, "s")):
        if whole >= size:
            rest = whole % size // part
            return f"{whole // size} {unit} {rest} {part_unit}" if rest else f"{whole // size} {unit}"
    raise AssertionError("a minute is at least a minute")
