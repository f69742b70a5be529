"""Due times served: each has its run in Prefect before it comes, and a decision after it passed."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from time import monotonic
from uuid import UUID

from db import due_times
from db.claims import trigger_of
from db.due_times import Expected
from db.engine import Catalogue
from db.errors import Unavailable
from db.notifications import Topic, notify
from db.policies import ON_TIME, Refusal
from db.schedules import Once
from db.states import LEDGER_TRIGGERS
from db.sync import Desired
from reconciler.aside import Aside
from reconciler.deadlines import TookTooLong
from reconciler.decisions import Decision, Settle, Start, decide, is_made_now, of_one_schedule, once_key, run_key
from reconciler.lease import LeaseLost
from reconciler.prefect import FlowRun, Prefect, PrefectRefused

SETTLED_AT_ONCE = 500
AT_ONCE_OF_A_SCHEDULE = 100
CLEARED_AT_ONCE = 500
WRITING_AHEAD_SECONDS = 0.5
LOOK_AHEAD = timedelta(seconds=15)
"""Prefect's scheduler is further ahead of what is due every second, though under load by less than half a minute."""
FINAL_TYPES = frozenset({"COMPLETED", "FAILED", "CANCELLED", "CRASHED"})


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


def _decided(
    expected: Sequence[Expected], scheduled: Sequence[FlowRun], aside: Aside, *, now: datetime
) -> list[Decision]:
    try:
        return decide(expected, scheduled, now=now)
    except Exception:  # noqa: BLE001 - one of the tasks cannot be evaluated: each is decided alone
        decisions: list[Decision] = []
        for task_id, those in _by_task(expected).items():
            with aside.alone(task_id, task_id=task_id):
                decisions += decide(those, scheduled, now=now)
        return decisions


def write_ahead(catalogue: Catalogue, aside: Aside | None = None, *, now: datetime) -> int:
    """Extends the ledgers that end soon, and returns how many that were; a long outage takes several passes."""
    aside = aside or Aside("tasks")
    extended, count, until = 0, 1, monotonic() + WRITING_AHEAD_SECONDS
    while count and monotonic() < until:
        count = _extend_some(catalogue, aside, now=now)
        extended += count
    return extended


def _extend_some(catalogue: Catalogue, aside: Aside, *, now: datetime) -> int:
    with catalogue.transaction() as session:
        soon = due_times.ending_soon(session, now=now, besides=aside.waiting_ids())
    try:
        return _extend(catalogue, soon, aside, now=now)
    except Unavailable:
        raise
    except Exception:  # noqa: BLE001 - one of them is not taken: each is written alone
        extended = 0
        for task_id in aside.ready(soon, lambda one: one):
            with aside.alone(task_id, task_id=task_id):
                extended += _extend(catalogue, [task_id], aside, now=now)
        return extended


def _extend(catalogue: Catalogue, task_ids: Sequence[UUID], aside: Aside, *, now: datetime) -> int:
    broken: dict[UUID, Exception] = {}
    with catalogue.transaction() as session:
        extended = due_times.extend(session, only=task_ids, now=now, broken=broken)
    for task_id, error in broken.items():
        aside.note(task_id, error, task_id=task_id)
    return extended


def serve(
    catalogue: Catalogue, prefect: Prefect, scheduled: Sequence[FlowRun], aside: Aside | None = None, *, now: datetime
) -> int:
    """Makes the runs that are missing and decides what passed; returns how many due times that were."""
    aside, began, broken = aside or Aside("due times"), monotonic(), dict[UUID, Exception]()
    with catalogue.transaction() as session:
        expected = due_times.pending_until(session, until=now + LOOK_AHEAD, now=now, broken=broken)
    for task_id, error in broken.items():
        aside.note(task_id, error, task_id=task_id)
    decisions = _decided(expected, scheduled, aside, now=now)
    wanted = [one for one in decisions if isinstance(one, Start) and not aside.waits(one.expected.task_id)]
    rest = _schedule_together(prefect, wanted, aside)
    for one in sorted(rest, key=lambda one: (one.late, one.expected.due_at)):
        if is_made_now(one, now=now, seconds=monotonic() - began) and not aside.waits(one.expected.task_id):
            with aside.alone(one.expected.task_id, task_id=one.expected.task_id):
                _start(catalogue, prefect, one.expected, now=now)
    if wanted:
        with catalogue.transaction() as session:
            notify(session, [Topic.READY])
    _settle(catalogue, [decision for decision in decisions if isinstance(decision, Settle)], aside, now=now)
    return len(decisions)


def _schedule_together(prefect: Prefect, wanted: Sequence[Start], aside: Aside) -> list[Start]:
    """Has Prefect schedule what it can at once, a call for each deployment, and returns what is left."""
    together, rest = of_one_schedule(wanted)
    for deployment_id, several in together.items():
        first, last, task_id = several[0].expected.due_at, several[-1].expected.due_at, several[0].expected.task_id
        with aside.alone(task_id, task_id=task_id):
            keys = [run_key(one.expected) for one in several]
            prefect.schedule_runs(deployment_id, first=first, last=last, at_most=AT_ONCE_OF_A_SCHEDULE)
            if prefect.count_flow_runs({"idempotency_key": {"any_": keys}}) < len(keys):
                rest += several
    return rest


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


def _settle(catalogue: Catalogue, settled: Sequence[Settle], aside: Aside, *, now: datetime) -> None:
    alike: dict[Refusal, list[Expected]] = {}
    for one in settled:
        alike.setdefault(one.refusal, []).append(one.expected)
    for refused, expected in alike.items():
        for start in range(0, len(expected), SETTLED_AT_ONCE):
            _settle_some(catalogue, refused, expected[start : start + SETTLED_AT_ONCE], aside, now=now)


def _settle_some(
    catalogue: Catalogue, refused: Refusal, some: Sequence[Expected], aside: Aside, *, now: datetime
) -> None:
    def settle(those: Sequence[Expected]) -> None:
        with catalogue.transaction() as session:
            due_times.settle_many(session, those, outcome=refused.outcome, reason=refused.reason, now=now)

    try:
        settle([one for one in some if not aside.waits(one.task_id)])
    except (LeaseLost, TookTooLong):
        raise
    except Exception:  # noqa: BLE001 - one of them is not taken, or is locked: those of each task are decided alone
        for task_id, those in _by_task(some).items():
            if not aside.waits(task_id):
                with aside.alone(task_id, task_id=task_id):
                    settle(those)


def _by_task(some: Sequence[Expected]) -> dict[UUID, list[Expected]]:
    found: dict[UUID, list[Expected]] = {}
    for one in some:
        found.setdefault(one.task_id, []).append(one)
    return found


def _start(catalogue: Catalogue, prefect: Prefect, one: Expected, *, now: datetime) -> None:
    assert one.deployment_id is not None
    try:
        run = prefect.create_flow_run(one.deployment_id, at=one.due_at, key=run_key(one))
    except PrefectRefused as error:
        if error.status != 404:
            raise
        return  # its deployment is gone, or is made anew
    if run.state_type in FINAL_TYPES and one.due_at <= now:
        # The key had its run already, and somebody cancelled it before it was claimed.
        with catalogue.transaction() as session:
            due_times.cancel_pending(session, one.task_id, one.due_at, now=now)
