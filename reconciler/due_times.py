"""Due times served: each has its run in Prefect before it comes, and a decision after it passed."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

from db import due_times
from db.claims import ON_TIME, Refusal, Situation, refusal
from db.due_times import Expected
from db.engine import Catalogue
from db.notifications import Topic, notify
from db.schedules import Cron
from reconciler.prefect import FlowRun, Prefect, PrefectRefused

log = logging.getLogger(__name__)

LOOK_AHEAD = timedelta(seconds=70)
AT_MOST_CAUGHT_UP = 20
"""Runs made for times that passed, per pass: what is due now comes first."""
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
    """What is to be done about these due times, given the runs that Prefect has for them. Pure."""
    have = {(run.deployment_id, run.expected_start_time) for run in scheduled}
    newest: dict[UUID, datetime] = {}
    for one in expected:
        if one.due_at <= now:
            newest[one.task_id] = max(one.due_at, newest.get(one.task_id, one.due_at))
    decisions: list[Decision] = []
    caught_up = 0
    for one in expected:
        late = now - one.due_at > ON_TIME
        refused = _refused(one, newest.get(one.task_id), now=now) if one.due_at <= now else None
        if refused is not None:
            decisions.append(Settle(one, refused))
        elif one.deployment_id is not None and (one.deployment_id, one.due_at) not in have:
            caught_up += late
            if not late or caught_up <= AT_MOST_CAUGHT_UP:
                decisions.append(Start(one, late))
    return decisions


def _refused(one: Expected, newest: datetime | None, *, now: datetime) -> Refusal | None:
    # Whether the last run is still going is for the claim to see: it alone has the task locked.
    situation = Situation(due_at=one.due_at, now=now, paused=one.task.paused, running=False, newest_due_at=newest)
    return refusal(one.task, situation)


def run_key(one: Expected) -> str:
    """The key that Prefect's own scheduler gives to this run, so that only one of us makes it."""
    schedule = one.task.schedule.value()
    if not isinstance(schedule, Cron) or one.schedule_id is None:
        return f"scheduled {one.task_id} {one.due_at.astimezone(UTC)}"
    local = one.due_at.astimezone(ZoneInfo(schedule.timezone))
    return f"scheduled {one.deployment_id} {one.schedule_id} {local}"


def write_ahead(catalogue: Catalogue, *, now: datetime) -> int:
    """Extends the ledger of the tasks whose rows end soon; returns how many tasks that were."""
    with catalogue.transaction() as session:
        return due_times.extend(session, now=now)


def serve(catalogue: Catalogue, prefect: Prefect, scheduled: Sequence[FlowRun], *, now: datetime) -> int:
    """Makes the runs that are missing and decides what passed; returns how many due times that were."""
    with catalogue.transaction() as session:
        expected = due_times.pending_until(session, until=now + LOOK_AHEAD)
    decisions = decide(expected, scheduled, now=now)
    for decision in decisions:
        match decision:
            case Settle(one, refused):
                with catalogue.transaction() as session:
                    due_times.settle(
                        session, one.task_id, one.due_at, outcome=refused.outcome, reason=refused.reason, now=now
                    )
            case Start(one, _):
                _start(catalogue, prefect, one, now=now)
    if any(isinstance(decision, Start) for decision in decisions):
        with catalogue.transaction() as session:
            notify(session, [Topic.READY])
    return len(decisions)


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
