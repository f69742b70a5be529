"""The runs in Prefect as one pass after another sees them: what is known already is not read again."""

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from time import monotonic
from uuid import UUID

from db import runs
from db.engine import Catalogue
from reconciler.due_times import LOOK_AHEAD
from reconciler.prefect import FlowRun, Prefect

REMEMBERED_SECONDS = 120.0
IN_FULL_SECONDS = 10.0
IN_FULL_AT_MOST = 0.05
"""Reading everything again takes at most this part of the time."""
UNSURE = timedelta(seconds=2)
"""What is due within so long may be claimed, and told, while it is asked about."""
EXCLUDED_AT_MOST = 20_000
"""Ids in one question: PostgreSQL takes 32,767 values."""


@dataclass(slots=True)
class Sight:
    """What was seen of Prefect's runs. A run that our workers hold is their affair: it is left out."""

    catalogue: Catalogue
    prefect: Prefect
    _scheduled: dict[UUID, FlowRun] = field(default_factory=dict)
    _seen_at: dict[UUID, float] = field(default_factory=dict)
    _in_full_at: float = 0.0

    def upcoming(self, *, now: datetime) -> list[FlowRun]:
        """The runs that Prefect holds as scheduled: late, due, and due within the next half minute."""
        if monotonic() >= self._in_full_at or len(self._seen_at) > EXCLUDED_AT_MOST:
            return self._in_full(now=now)
        held = self._held()
        waiting = self._scheduled.keys() - held
        sure = {run_id for run_id in waiting if abs(self._scheduled[run_id].expected_start_time - now) > UNSURE}
        if sure and self.prefect.count_flow_runs(_upcoming(now) | {"id": {"any_": _texts(sure)}}) != len(sure):
            return self._in_full(now=now)
        self._remember(self.prefect.flow_runs(_upcoming(now) | _none_of(waiting | held)))
        return [run for run_id, run in self._scheduled.items() if run_id not in held]

    def recent(self, *, since: datetime) -> list[FlowRun]:
        """The runs that go on in Prefect, and those that ended since an instant."""
        besides = _none_of(self._held())
        active = {"state": {"type": {"any_": ["PENDING", "RUNNING", "PAUSED", "CANCELLING"]}}}
        ended = {"end_time": {"after_": since.isoformat()}}
        found = self.prefect.flow_runs(active | besides)
        found += self.prefect.flow_runs(ended | besides, sort="END_TIME_DESC")
        self._seen_at |= dict.fromkeys((run.id for run in found), monotonic())
        return found

    def _in_full(self, *, now: datetime) -> list[FlowRun]:
        started = monotonic()
        found = self.prefect.flow_runs(_upcoming(now))
        self._scheduled = {}
        self._remember(found)
        ended = monotonic()
        self._in_full_at = ended + max(IN_FULL_SECONDS, (ended - started) / IN_FULL_AT_MOST)
        return found

    def _remember(self, found: Collection[FlowRun]) -> None:
        self._scheduled |= {run.id: run for run in found}
        self._seen_at |= dict.fromkeys((run.id for run in found), monotonic())

    def _held(self) -> set[UUID]:
        """Of those seen before, the ones that a worker of ours has claimed; what was seen long ago is forgotten."""
        forgotten = monotonic() - REMEMBERED_SECONDS
        self._seen_at = {
            run_id: at for run_id, at in self._seen_at.items() if at > forgotten or run_id in self._scheduled
        }
        with self.catalogue.transaction() as session:
            held = runs.held_by_workers(session, list(self._seen_at))
        for run_id in held:
            self._scheduled.pop(run_id, None)
        return held


def _upcoming(now: datetime) -> dict[str, object]:
    soon = now + LOOK_AHEAD + timedelta(seconds=5)
    return {
        "state": {"type": {"any_": ["SCHEDULED"]}},
        "next_scheduled_start_time": {"before_": soon.isoformat()},
        "deployment_id": {"is_null_": False},
    }


def _none_of(ids: Collection[UUID]) -> dict[str, object]:
    return {"id": {"not_any_": _texts(ids)}} if ids else {}


def _texts(ids: Collection[UUID]) -> list[str]:
    return [str(one) for one in ids]
