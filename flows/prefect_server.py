"""Prefect's REST API, as far as a worker needs it.

It is spoken to directly: Prefect's own client waits for up to a minute before it tries again, and a worker has to see
at once that its server is back.
"""

import asyncio
import ssl
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote
from uuid import UUID

import httpx
from prefect.settings import get_current_settings

from db import loops
from db.claims import Offer, trigger_of
from db.prefect_answers import AnswerTooLarge, PrefectRefused, PrefectUnavailable, encoded, garbage, of_kind, sorted_out

PAGE = 200
DELETED_AT_ONCE = 50
CALL_SECONDS = 15.0
"""For all of a call: what is sent and not answered for that long is sent again, over another connection."""
CONNECT_SECONDS = 3.0
IDLE_SECONDS = 5.0
"""A connection that was not used for longer is not used again: it may lead to nobody any more."""
MOST_BYTES = 128_000_000
"""More than a page of runs with the largest parameters that Prefect takes."""
CONNECTIONS = 16
JSON = {"Content-Type": "application/json"}
OVER = ("CANCELLING", "CANCELLED")


class UnreadableRun(Exception):
    """Prefect holds a run that nobody can start as it is."""


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
        offset = 0
        while page := await self._page({**query, "limit": PAGE, "offset": offset}):
            found += self.readable(page)
            offset += len(page)
            if len(page) < PAGE:
                break
        return found

    async def _page(self, query: dict[str, Any]) -> list[dict[str, Any]]:
        return of_kind(list, await self.call("POST", "/flow_runs/filter", query))

    def readable(self, runs: Iterable[Any]) -> list[Offered]:
        """These runs as offers. A run that cannot be read is left out and reported; the others are not held up."""
        found: list[Offered] = []
        for run in runs:
            try:
                found.append(self._offered(run))
            except Exception as error:  # noqa: BLE001 - what people can store in a run may be anything
                why = UnreadableRun(f"Run {run.get('id') if isinstance(run, dict) else run}: {error!r}")
                loops.record_of("worker.offers").failed(why)
        return found

    async def count_scheduled(self, run_ids: Collection[UUID]) -> int:
        """How many of these runs are still scheduled."""
        scheduled = {"id": {"any_": _texts(run_ids)}, "state": {"type": {"any_": ["SCHEDULED"]}}}
        with _answers():
            return int(await self.call("POST", "/flow_runs/count", {"flow_runs": scheduled}))

    async def scheduled_within_limits(self, *, before: datetime) -> list[Offered]:
        """The same by the call that is made for workers, which knows pauses, priorities and limits of pool and queues.

        It also shows the pool, its queues and its deployments as ready.
        """
        found = await self._call_for_workers(before=before, limit=PAGE)
        with _answers():
            return self.readable(one["flow_run"] for one in found if one["flow_run"]["deployment_id"])

    async def show_as_ready(self, *, before: datetime) -> None:
        """Makes the call that is made for workers for its effect alone."""
        await self._call_for_workers(before=before, limit=1)

    async def _call_for_workers(self, *, before: datetime, limit: int) -> Any:
        body = {"scheduled_before": before.isoformat(), "work_queue_names": self.queues, "limit": limit}
        return await self.call("POST", f"/work_pools/{quote(self.pool)}/get_scheduled_flow_runs", body)

    async def has_limits(self) -> bool:
        """Whether somebody limits or pauses the pool or one of its queues; it reads their priorities, too."""
        pool = await self.call("GET", f"/work_pools/{quote(self.pool)}")
        queues = await self.call("POST", f"/work_pools/{quote(self.pool)}/queues/filter", {"limit": PAGE})
        with _answers():
            self._priorities = {UUID(queue["id"]): queue["priority"] for queue in queues}
            return any(one["is_paused"] or one["concurrency_limit"] is not None for one in (pool, *queues))

    async def stopped_among(self, run_ids: Sequence[UUID]) -> list[UUID]:
        """Which of these runs somebody cancels or cancelled in Prefect."""
        found: list[UUID] = []
        for start in range(0, len(run_ids), PAGE):
            ids = _texts(run_ids[start : start + PAGE])
            query = {"flow_runs": {"id": {"any_": ids}, "state": {"type": {"any_": list(OVER)}}}, "limit": PAGE}
            with _answers():
                found += [UUID(run["id"]) for run in await self._page(query)]
        return found

    async def set_state(self, run_id: UUID, *, kind: str, name: str, message: str, force: bool) -> Verdict:
        """Tells the state of a run; a run that is not there any more is told all the same."""
        state = {"type": kind, "name": name, "message": message}
        try:
            answer = await self.call("POST", f"/flow_runs/{run_id}/set_state", {"state": state, "force": force})
        except PrefectRefused as error:
            if error.status == 404:
                return Verdict(accepted=True, state_type=kind, wait_seconds=0)
            raise
        with _answers():
            details = answer.get("details") or {}
            return Verdict(
                accepted=answer["status"] == "ACCEPT",
                state_type=(answer["state"] or {}).get("type") or "",
                wait_seconds=float(details.get("delay_seconds") or 0),
            )

    async def delete_waiting(self, run_ids: Sequence[UUID]) -> None:
        """Deletes those of these runs, at most a page, that are still scheduled."""
        waiting = {"id": {"any_": _texts(run_ids)}, "state": {"type": {"any_": ["SCHEDULED"]}}}
        await self.call("POST", "/flow_runs/bulk_delete", {"flow_runs": waiting, "limit": DELETED_AT_ONCE})

    async def post_logs(self, lines: Sequence[dict[str, Any]]) -> None:
        await self.call("POST", "/logs/", list(lines))

    def _offered(self, run: dict[str, Any]) -> Offered:
        """A run as Prefect's API and its table have it, as an offer."""
        queue_id, due_at, parameters = run["work_queue_id"], run["expected_start_time"], run["parameters"] or {}
        if not isinstance(parameters, dict):
            raise TypeError("its parameters are no object")
        offer = Offer(
            UUID(str(run["id"])),
            UUID(str(run["deployment_id"])),
            datetime.fromisoformat(due_at).astimezone(UTC),
            trigger_of(run["idempotency_key"] or "", auto_scheduled=bool(run["auto_scheduled"])),
        )
        return Offered(offer, parameters, self._priorities.get(UUID(str(queue_id)) if queue_id else None, 1))

    async def call(self, method: str, path: str, json: Any = None) -> Any:
        """The document that Prefect answers, None where there is none.

        Raises:
            PrefectUnavailable, PrefectRefused.
        """
        request = self._http.build_request(method, path, content=encoded(json), headers=JSON)
        try:
            async with asyncio.timeout(CALL_SECONDS):
                return sorted_out(*await self._sent(request))
        except (httpx.HTTPError, httpx.StreamError, TimeoutError, OSError) as error:
            where = self._http.base_url
            raise PrefectUnavailable(f"The Prefect server at {where} does not answer: {error!r}") from error

    async def _sent(self, request: httpx.Request) -> tuple[int, bytes]:
        answer = await self._http.send(request, stream=True)
        try:
            content = bytearray()
            async for piece in answer.aiter_bytes():
                content += piece
                if len(content) > MOST_BYTES:
                    raise AnswerTooLarge(MOST_BYTES)
            return answer.status_code, bytes(content)
        finally:
            await answer.aclose()


@contextmanager
def _answers() -> Iterator[None]:
    """What has another shape than Prefect's answers is not Prefect's."""
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise garbage(repr(error)) from error


def _client() -> httpx.AsyncClient:
    api = get_current_settings().api
    if not api.url:
        raise RuntimeError("PREFECT_API_URL is not set. Set it to http://host:4200/api.")
    user, _, password = (api.auth_string.get_secret_value() if api.auth_string else "").partition(":")
    trust = ssl.create_default_context(cafile=api.ssl_cert_file or None)
    return httpx.AsyncClient(
        base_url=api.url,
        timeout=httpx.Timeout(CALL_SECONDS, connect=CONNECT_SECONDS),
        limits=httpx.Limits(max_connections=CONNECTIONS, keepalive_expiry=IDLE_SECONDS),
        auth=(user, password) if user else None,
        headers={"Authorization": f"Bearer {api.key.get_secret_value()}"} if api.key else {},
        verify=False if api.tls_insecure_skip_verify else trust,
    )


def _texts(run_ids: Iterable[UUID]) -> list[str]:
    return [str(run_id) for run_id in run_ids]
