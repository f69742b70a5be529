"""Due times served: each has its run in Prefect before it comes, and a decision after it passed."""

import logging
from collections import Counter
from collections.abc import Container, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from time import monotonic
from uuid import UUID
from zoneinfo import ZoneInfo

from db import due_times
from db.claims import trigger_of
from db.due_times import Expected
from db.engine import Catalogue
from db.notifications import Topic, notify
from db.policies import ON_TIME, Refusal, Situation, refusal
from db.schedules import Cron, Once
from db.states import LEDGER_TRIGGERS, Overlap, Reason, Trigger
from db.sync import Desired
from reconciler.prefect import FlowRun, Prefect, PrefectRefused

log = logging.getLogger(__name__)

SETTLED_AT_ONCE = 500
AHEAD_OF_A_TASK = 5
MAKING_SECONDS = 1.0
"""For so long runs are made in one pass: everything else waits behind it ..."""
URGENT = timedelta(seconds=5)
"""... but what is due within so long does not wait for the next pass. Prefect makes most runs itself."""
AT_ONCE_OF_A_SCHEDULE = 100
CLEARED_AT_ONCE = 500
WRITING_AHEAD_SECONDS = 0.5
LOOK_AHEAD = timedelta(seconds=15)
"""Prefect's scheduler is further ahead of what is due every second, though under load by less than half a minute."""
AT_MOST_CAUGHT_UP = 20
"""Late runs of a work pool that wait in Prefect at any moment: what is due now comes first."""
FINAL_TYPES = frozenset({"COMPLETED", "FAILED", "CANCELLED", "CRASHED"})


@dataclass(frozen=True, slots=True)
class Settle:
    """This due time is not going to be run."""

    expected: Expected
    refusal: Refusal


@dataclass(frozen=True, slots=True)
class Start:
    """This due time needs a run in Prefect."""

    expected: Expected
    late: bool


Decision = Settle | Start


def decide(expected: Sequence[Expected], scheduled: Sequence[FlowRun], *, now: datetime) -> list[Decision]:
    """What is to be done about these due times, given the runs that Prefect has for them. Pure.

    They come oldest first for each task. A task that catches up has few runs made ahead, because one waits for another.
    """
    have = {(run.deployment_id, run.expected_start_time) for run in scheduled}
    catching_up: Counter[UUID] = Counter()
    decisions: list[Decision] = []
    waiting = Counter(one.task.work_pool for one in expected if _waits_in_prefect(one, have, now=now))
    for one in expected:
        late = _is_late(one, now)
        refused = _refused(one, now=now) if one.due_at <= now else None
        if refused is not None:
            decisions.append(Settle(one, refused))
        elif not _needs_a_run(one, behind=late and catching_up[one.task_id] >= AHEAD_OF_A_TASK):
            continue
        elif (one.deployment_id, one.due_at) not in have:
            if not late or waiting[one.task.work_pool] < AT_MOST_CAUGHT_UP:
                decisions.append(Start(one, late))
            waiting[one.task.work_pool] += late
        if refused is None and late and one.task.overlap is not Overlap.ALLOW:
            catching_up[one.task_id] += 1
    return decisions


def _needs_a_run(one: Expected, *, behind: bool) -> bool:
    return one.deployment_id is not None and one.waits_for is not Reason.CLOSED and not behind


def _is_late(one: Expected, now: datetime) -> bool:
    return one.waits_for is Reason.RESUMED or now - one.due_at > ON_TIME


def _waits_in_prefect(one: Expected, have: Container[tuple[UUID | None, datetime]], *, now: datetime) -> bool:
    """Whether it is a late run that some worker could start: not one that waits for its own task."""
    in_prefect = (one.deployment_id, one.due_at) in have
    return in_prefect and _is_late(one, now) and one.waits_for is not Reason.QUEUED


def _refused(one: Expected, *, now: datetime) -> Refusal | None:
    # Whether the last run is still going is for the claim to see: it alone has the task locked.
    situation = Situation(
        due_at=one.due_at,
        now=now,
        paused=one.task.paused,
        running=False,
        oldest_due_at=None,
        newest_due_at=one.newest_due_at,
        waits_for=one.waits_for,
    )
    return refusal(one.task, situation)


def run_key(one: Expected) -> str:
    """The key that Prefect's own scheduler gives to this run, so that only one of us makes it."""
    if one.waits_for is Reason.RESUMED:
        # The run that it had was cancelled when it was skipped.
        return f"{Trigger.CATCH_UP} {one.task_id} {one.due_at.astimezone(UTC)} {one.version}"
    schedule = one.task.schedule.value()
    if not isinstance(schedule, Cron) or one.schedule_id is None:
        return once_key(one.task_id, one.due_at)
    local = one.due_at.astimezone(ZoneInfo(schedule.timezone))
    return f"scheduled {one.deployment_id} {one.schedule_id} {local}"


def once_key(task_id: UUID, due_at: datetime) -> str:
    """The key of a run that Prefect's scheduler knows nothing of."""
    return f"scheduled {task_id} {due_at.astimezone(UTC)}"


def prepare_once(prefect: Prefect, desired: Desired, deployment_id: UUID, *, now: datetime) -> None:
    """Has the run of a one-shot wait in Prefect from the start, so that it needs nobody until its time comes.

    The one that waited for another instant, before an edit, is taken back.
    """
    schedule = desired.task.schedule.value()
    at = schedule.at if isinstance(schedule, Once) else None
    before = (desired.applied or {}).get("once_at")
    if before is not None and datetime.fromisoformat(before) != at:
        prefect.delete_waiting_run(once_key(desired.task_id, datetime.fromisoformat(before)))
    if at is not None and at > now:
        prefect.create_flow_run(deployment_id, at=at, key=once_key(desired.task_id, at))


def write_ahead(catalogue: Catalogue, *, now: datetime) -> int:
    """Extends the ledgers that end soon, and returns how many that were; a long outage takes several passes."""
    extended, count, until = 0, 1, monotonic() + WRITING_AHEAD_SECONDS
    while count and monotonic() < until:
        with catalogue.transaction() as session:
            count = due_times.extend(session, now=now)
        extended += count
    return extended


def serve(catalogue: Catalogue, prefect: Prefect, scheduled: Sequence[FlowRun], *, now: datetime) -> int:
    """Makes the runs that are missing and decides what passed; returns how many due times that were."""
    began = monotonic()
    with catalogue.transaction() as session:
        expected = due_times.pending_until(session, until=now + LOOK_AHEAD, now=now)
    decisions = decide(expected, scheduled, now=now)
    wanted = [decision for decision in decisions if isinstance(decision, Start)]
    rest = _schedule_together(prefect, wanted)
    for one in sorted(rest, key=lambda one: (one.late, one.expected.due_at)):
        if is_made_now(one, now=now, seconds=monotonic() - began):
            _start(catalogue, prefect, one.expected, now=now)
    if wanted:
        with catalogue.transaction() as session:
            notify(session, [Topic.READY])
    _settle(catalogue, [decision for decision in decisions if isinstance(decision, Settle)], now=now)
    return len(decisions)


def is_made_now(one: Start, *, now: datetime, seconds: float) -> bool:
    """Whether a run is still made in this pass, which began at `now` and goes on for so many seconds. Pure."""
    if seconds < MAKING_SECONDS:
        return True
    present = now + timedelta(seconds=seconds)
    return not one.late and present - ON_TIME < one.expected.due_at < present + URGENT


def _schedule_together(prefect: Prefect, wanted: Sequence[Start]) -> list[Start]:
    """Has Prefect schedule what it can at once, a call for each deployment, and returns what is left."""
    together, rest = of_one_schedule(wanted)
    for deployment_id, several in together.items():
        keys = [run_key(one.expected) for one in several]
        first, last = several[0].expected.due_at, several[-1].expected.due_at
        prefect.schedule_runs(deployment_id, first=first, last=last, at_most=AT_ONCE_OF_A_SCHEDULE)
        if prefect.count_flow_runs({"idempotency_key": {"any_": keys}}) < len(keys):
            rest += several
    return rest


def of_one_schedule(wanted: Sequence[Start]) -> tuple[dict[UUID, list[Start]], list[Start]]:
    """What a deployment's own schedule gives, where that is more than one run, and all the others. Pure."""
    of_schedules: dict[UUID, list[Start]] = {}
    rest: list[Start] = []
    for one in wanted:
        expected = one.expected
        follows = isinstance(expected.task.schedule.value(), Cron) and expected.schedule_id is not None
        if follows and not one.late and expected.deployment_id is not None:
            of_schedules.setdefault(expected.deployment_id, []).append(one)
        else:
            rest.append(one)
    rest += [one for alone in of_schedules.values() if len(alone) == 1 for one in alone]
    return {key: several for key, several in of_schedules.items() if len(several) > 1}, rest


def clear(catalogue: Catalogue, prefect: Prefect, scheduled: Sequence[FlowRun], *, now: datetime) -> int:
    """Takes out of Prefect the late runs that are not going to be run, as it does itself when a schedule changes."""
    late = [
        run
        for run in scheduled
        if now - run.expected_start_time > ON_TIME
        and trigger_of(run.idempotency_key, auto_scheduled=run.auto_scheduled) in LEDGER_TRIGGERS
    ][:CLEARED_AT_ONCE]
    keys = [(run.deployment_id, run.expected_start_time) for run in late if run.deployment_id is not None]
    if not keys:
        return 0
    with catalogue.transaction() as session:
        unwanted = due_times.not_to_run(session, keys, now=now)
    stale = [run.id for run in late if (run.deployment_id, run.expected_start_time) in unwanted]
    prefect.delete_waiting_runs(stale)
    return len(stale)


def _settle(catalogue: Catalogue, settled: Sequence[Settle], *, now: datetime) -> None:
    alike: dict[Refusal, list[Expected]] = {}
    for one in settled:
        alike.setdefault(one.refusal, []).append(one.expected)
    for refused, expected in alike.items():
        for start in range(0, len(expected), SETTLED_AT_ONCE):
            with catalogue.transaction() as session:
                due_times.settle_many(
                    session,
                    expected[start : start + SETTLED_AT_ONCE],
                    outcome=refused.outcome,
                    reason=refused.reason,
                    now=now,
                )


def _start(catalogue: Catalogue, prefect: Prefect, one: Expected, *, now: datetime) -> None:
    assert one.deployment_id is not None
    try:
        run = prefect.create_flow_run(one.deployment_id, at=one.due_at, key=run_key(one))
    except PrefectRefused as error:
        if error.status != 404:
            log.warning("Prefect would not take a run of %s due at %s: %s", one.task.name, one.due_at, error)
        return
    if run.state_type in FINAL_TYPES and one.due_at <= now:
        # The key had its run already, and somebody cancelled it before it was claimed.
        with catalogue.transaction() as session:
            due_times.cancel_pending(session, one.task_id, one.due_at, now=now)
