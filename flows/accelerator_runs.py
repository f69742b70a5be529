"""A run as Prefect's tables have it, and what a report makes of it: Prefect's own rules, as far as reports need them.

Every function is pure. Each rule names what it mirrors, in `prefect/server/orchestration` of Prefect 3.8.8.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any
from uuid import UUID

from db.states import FINAL_STATES, IN_PREFECT, RunState
from flows.telling import Report

MICROSECOND = timedelta(microseconds=1)
RETRYING = IN_PREFECT[RunState.RETRYING]
RUNNING = IN_PREFECT[RunState.RUNNING]


@dataclass(frozen=True, slots=True)
class PrefectRun:
    """A row of `flow_run`, as far as reports change it and events tell of it, and its state."""

    id: UUID
    name: str
    flow_id: UUID
    deployment_id: UUID | None
    work_queue_id: UUID | None
    tags: Sequence[str] | None
    created_by: dict[str, Any] | None
    is_plain: bool
    """Whether nothing hangs on its states but its own row: no parent, no limit, no lease, no pause."""
    is_early: bool
    """Whether it is scheduled for later."""
    run_count: int
    start_time: datetime | None
    end_time: datetime | None
    total_run_time: timedelta
    state_id: UUID
    state_type: str
    state_name: str
    state_message: str | None
    state_timestamp: datetime
    state_ids: Sequence[UUID]
    """Of every state that it ever had."""
    state_timestamps: Sequence[datetime]


def after_each(run: PrefectRun, reports: Sequence[Report]) -> list[PrefectRun] | None:
    """The run after each report that is new to it; None where Prefect's API has to decide."""
    lived: list[PrefectRun] = []
    for report in reports:
        if state_id_of(report) in run.state_ids:
            continue
        if not may_follow(run, report):
            return None
        run = after(run, report)
        lived.append(run)
    return lived


def may_follow(run: PrefectRun, report: Report) -> bool:
    """Whether Prefect would take the report as it is, and nothing but the run's own rows would change."""
    if not run.is_plain or not _is_storable(report.message):
        return False
    if run.state_type == "SCHEDULED":
        # core_policy.WaitForScheduledTime; an end is forced, so it does not wait.
        return report.state in FINAL_STATES or (report.state is RunState.RUNNING and not run.is_early)
    if run.state_type == "RUNNING":
        begins_again = report.state is RunState.RUNNING
        return report.state in FINAL_STATES or begins_again == ((run.state_type, run.state_name) == RETRYING)
    return False


def after(run: PrefectRun, report: Report) -> PrefectRun:
    """The run in the state that was reported, as `global_policy.GlobalFlowPolicy` keeps its books."""
    kind, name = IN_PREFECT[report.state]
    was_running, is_running, is_over = run.state_type == "RUNNING", kind == "RUNNING", report.state in FINAL_STATES
    at = _timestamp(run, report.at)
    return replace(
        run,
        state_id=state_id_of(report),
        state_type=kind,
        state_name=name,
        state_message=report.message,
        state_timestamp=at,
        run_count=run.run_count + is_running,  # IncrementFlowRunCount
        start_time=run.start_time or at,  # SetStartTime, and SetEndTime where it never began
        end_time=(run.end_time or at) if is_over else run.end_time,  # SetEndTime
        total_run_time=run.total_run_time + (at - run.state_timestamp if was_running else timedelta(0)),
        state_ids=(*run.state_ids, state_id_of(report)),
        state_timestamps=(*run.state_timestamps, at),
    )


def state_id_of(report: Report) -> UUID:
    """The same for the same report, whoever tells it and how often; a UUID of version 7, as Prefect's own are."""
    microseconds = round(report.at.timestamp() * 1_000_000)
    luck = int.from_bytes(sha256(f"{report.key.id} {report.state} {microseconds}".encode()).digest()[:10])
    low = luck & ((1 << 62) - 1)
    return UUID(int=(microseconds // 1000) << 80 | 7 << 76 | (luck >> 68) << 64 | 2 << 62 | low)


def _timestamp(run: PrefectRun, at: datetime) -> datetime:
    """The true time, unless a state has it (EnsureFlowRunStateTimestampIsUnique), or Prefect was told of the one
    before over its API, which dates a state when it is told."""
    if run.state_type == "RUNNING":
        at = max(at, run.state_timestamp)
    while at in run.state_timestamps:
        at += MICROSECOND
    return at


def _is_storable(message: str) -> bool:
    """What PostgreSQL's text cannot hold would spoil the whole batch."""
    try:
        return b"\0" not in message.encode()
    except UnicodeEncodeError:
        return False
