"""Prefect's REST API, as far as a worker needs it.

It is spoken to directly: Prefect's own client waits for up to a minute before it tries again, and a worker has to see
at once that its server is back.
"""

import ssl
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import quote
from uuid import UUID

import httpx
from prefect.settings import get_current_settings

from db.claims import Offer, trigger_of

PAGE = 200
DELETED_AT_ONCE = 50
TIMEOUT_SECONDS = 20.0
CONNECTIONS = 16
OVER = ("CANCELLING", "CANCELLED")


class PrefectAway(Exception):
    """The Prefect server does not answer, or answers that it cannot."""


@dataclass(frozen=True, slots=True)
class Offered:
    """A run that Prefect holds, and the parameters that it was made with."""

    offer: Offer
    parameters: dict[str, Any]
    priority: int = 1
    """Of its work queue: 1 goes before 2."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What Prefect made of a state that it was told."""

    accepted: bool
    state_type: str
    """The type of the state that the run has now."""
    wait_seconds: float
    """Not 0 where Prefect's clock says that it is too early."""


class PrefectServer:
    """The server of this process's Prefect settings, and one work pool of it."""

    def __init__(self, *, pool: str, queues: Sequence[str]) -> None:
        self.pool, self.queues = pool, list(queues)
        self._http = _client()
        self._priorities: dict[UUID | None, int] = {}

    async def close(self) -> None:
        await self._http.aclose()

    async def scheduled(self, *, before: datetime, besides: Collection[UUID] = ()) -> list[Offered]:
        """The runs of the pool that are scheduled up to an instant, the earliest first, without those of some ids.

        They are read as any list of runs is: the call that is made for workers rewrites every deployment of the pool.
        """
        query: dict[str, Any] = {
            "flow_runs": {
                "state": {"type": {"any_": ["SCHEDULED"]}},
                "next_scheduled_start_time": {"before_": before.isoformat()},
                "deployment_id": {"is_null_": False},
            },
            "work_pools": {"name": {"any_": [self.pool]}},
            "sort": "NEXT_SCHEDULED_START_TIME_ASC",
        }
        if besides:
            query["flow_runs"]["id"] = {"not_any_": _texts(besides)}
        if self.queues:
            query["work_pool_queues"] = {"name": {"any_": self.queues}}
        found: list[Offered] = []
        while True:
            page = await self._call("POST", "/flow_runs/filter", {**query, "limit": PAGE, "offset": len(found)})
            found += [self._offered(document) for document in page]
            if len(page) < PAGE:
                return found

    async def count_scheduled(self, run_ids: Collection[UUID]) -> int:
        """How many of these runs are still scheduled."""
        scheduled = {"id": {"any_": _texts(run_ids)}, "state": {"type": {"any_": ["SCHEDULED"]}}}
        count: int = await self._call("POST", "/flow_runs/count", {"flow_runs": scheduled})
        return count

    async def scheduled_within_limits(self, *, before: datetime) -> list[Offered]:
        """The same by the call that is made for workers, which knows pauses, priorities and limits of pool and queues.

        It also shows the pool, its queues and its deployments as ready.
        """
        found = await self._call_for_workers(before=before, limit=PAGE)
        return [self._offered(one["flow_run"]) for one in found if one["flow_run"]["deployment_id"]]

    async def show_as_ready(self, *, before: datetime) -> None:
        """Makes the call that is made for workers for its effect alone."""
        await self._call_for_workers(before=before, limit=1)

    async def _call_for_workers(self, *, before: datetime, limit: int) -> Any:
        body = {"scheduled_before": before.isoformat(), "work_queue_names": self.queues, "limit": limit}
        return await self._call("POST", f"/work_pools/{quote(self.pool)}/get_scheduled_flow_runs", body)

    async def has_limits(self) -> bool:
        """Whether somebody limits or pauses the pool or one of its queues; it reads their priorities, too."""
        pool = await self._call("GET", f"/work_pools/{quote(self.pool)}")
        queues = await self._call("POST", f"/work_pools/{quote(self.pool)}/queues/filter", {"limit": PAGE})
        self._priorities = {UUID(queue["id"]): queue["priority"] for queue in queues}
        return any(one["is_paused"] or one["concurrency_limit"] is not None for one in (pool, *queues))

    async def stopped_among(self, run_ids: Sequence[UUID]) -> list[UUID]:
        """Which of these runs somebody cancels or cancelled in Prefect."""
        found: list[UUID] = []
        for start in range(0, len(run_ids), PAGE):
            ids = _texts(run_ids[start : start + PAGE])
            query = {"flow_runs": {"id": {"any_": ids}, "state": {"type": {"any_": list(OVER)}}}, "limit": PAGE}
            found += [UUID(run["id"]) for run in await self._call("POST", "/flow_runs/filter", query)]
        return found

    async def set_state(self, run_id: UUID, *, kind: str, name: str, message: str, force: bool) -> Verdict:
        """Tells the state of a run; a run that is not there any more is told all the same."""
        state = {"type": kind, "name": name, "message": message}
        try:
            answer = await self._call("POST", f"/flow_runs/{run_id}/set_state", {"state": state, "force": force})
        except httpx.HTTPStatusError as error:
            if error.response.status_code == 404:
                return Verdict(accepted=True, state_type=kind, wait_seconds=0)
            raise
        details = answer.get("details") or {}
        return Verdict(
            accepted=answer["status"] == "ACCEPT",
            state_type=(answer["state"] or {}).get("type") or "",
            wait_seconds=float(details.get("delay_seconds") or 0),
        )

    async def delete_waiting(self, run_ids: Sequence[UUID]) -> None:
        """Deletes those of these runs, at most a page, that are still scheduled."""
        waiting = {"id": {"any_": _texts(run_ids)}, "state": {"type": {"any_": ["SCHEDULED"]}}}
        await self._call("POST", "/flow_runs/bulk_delete", {"flow_runs": waiting, "limit": DELETED_AT_ONCE})

    async def post_logs(self, lines: Sequence[dict[str, Any]]) -> None:
        await self._call("POST", "/logs/", list(lines))

    def _offered(self, run: dict[str, Any]) -> Offered:
        queue_id = run["work_queue_id"]
        return self.offered(
            id=UUID(run["id"]),
            deployment_id=UUID(run["deployment_id"]),
            due_at=datetime.fromisoformat(run["expected_start_time"]),
            key=run["idempotency_key"],
            auto_scheduled=run["auto_scheduled"],
            parameters=run["parameters"],
            queue_id=UUID(queue_id) if queue_id else None,
        )

    def offered(
        self, *, id: UUID, deployment_id: UUID, due_at: datetime, key: str | None, auto_scheduled: bool | None,
        parameters: dict[str, Any] | None, queue_id: UUID | None,
    ) -> Offered:  # fmt: skip
        """A run as Prefect has it, as an offer."""
        trigger = trigger_of(key or "", auto_scheduled=bool(auto_scheduled))
        priority = self._priorities.get(queue_id, 1)
        return Offered(Offer(id, deployment_id, due_at, trigger), parameters or {}, priority)

    async def _call(self, method: str, path: str, json: Any = None) -> Any:
        try:
            answer = await self._http.request(method, path, json=json)
        except httpx.TransportError as error:
            raise PrefectAway(f"The Prefect server at {self._http.base_url} does not answer: {error!r}") from error
        if answer.status_code == 429 or answer.status_code >= 500:
            raise PrefectAway(f"The Prefect server answers {answer.status_code}: {answer.text[:200]}")
        answer.raise_for_status()
        return answer.json() if answer.content else None


def _client() -> httpx.AsyncClient:
    api = get_current_settings().api
    if not api.url:
        raise RuntimeError("PREFECT_API_URL is not set. Set it to http://host:4200/api.")
    user, _, password = (api.auth_string.get_secret_value() if api.auth_string else "").partition(":")
    trust = ssl.create_default_context(cafile=api.ssl_cert_file or None)
    return httpx.AsyncClient(
        base_url=api.url,
        timeout=TIMEOUT_SECONDS,
        limits=httpx.Limits(max_connections=CONNECTIONS, keepalive_expiry=120),
        auth=(user, password) if user else None,
        headers={"Authorization": f"Bearer {api.key.get_secret_value()}"} if api.key else {},
        verify=False if api.tls_insecure_skip_verify else trust,
    )


def _texts(run_ids: Iterable[UUID]) -> list[str]:
    return [str(run_id) for run_id in run_ids]
