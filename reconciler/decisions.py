"""What is to be done about due times: which are decided, and which need a run in Prefect, under which key. Pure."""

from collections import Counter
from collections.abc import Container, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

from db.due_times import Expected
from db.policies import ON_TIME, Refusal, Situation, refusal
from db.schedules import Cron
from db.states import Overlap, Reason, Trigger
from reconciler.prefect import FlowRun

AHEAD_OF_A_TASK = 5
MAKING_SECONDS = 1.0
"""For so long runs are made in one pass: everything else waits behind it ..."""
URGENT = timedelta(seconds=5)
"""... but what is due within so long does not wait for the next pass. Prefect makes most runs itself."""
AT_MOST_CAUGHT_UP = 20
"""Late runs of a work pool that wait in Prefect at any moment: what is due now comes first."""


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


def is_made_now(one: Start, *, now: datetime, seconds: float) -> bool:
    """Whether a run is still made in this pass, which began at `now` and goes on for so many seconds. Pure."""
    if seconds < MAKING_SECONDS:
        return True
    present = now + timedelta(seconds=seconds)
    return not one.late and present - ON_TIME < one.expected.due_at < present + URGENT


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
