"""The events that Prefect has of every change of a run, for the changes that were written behind its back."""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import httpx

from flows.accelerator_facts import Fact
from flows.accelerator_runs import PrefectRun
from flows.prefect_server import PrefectAway, PrefectServer
from flows.telling import give_way

log = logging.getLogger(__name__)

MESSAGE_CHARACTERS = 100_000
TIGHT = timedelta(minutes=5)
AT_ONCE = 200
GATHER_SECONDS = 0.5
"""Prefect digests some 400 events a second, and loses what it is given faster than that for long."""
AGAIN_SECONDS = 1.0
KEPT = 20_000

Event = dict[str, Any]


def event_of(before: PrefectRun, after: PrefectRun, facts: Sequence[Fact]) -> Event:
    """Mirrors `prefect/server/models/events.py:flow_run_state_change_event`. Pure."""
    at = after.state_timestamp
    return {
        "id": str(after.state_id),
        "event": f"prefect.flow-run.{after.state_name}",
        "occurred": at.isoformat(),
        "follows": str(before.state_id) if _is_tight(at, before.state_timestamp) else None,
        "resource": {
            "prefect.resource.id": f"prefect.flow-run.{after.id}",
            "prefect.resource.name": after.name,
            "prefect.run-count": str(after.run_count),
            "prefect.state-message": _message(after),
            "prefect.state-name": after.state_name,
            "prefect.state-timestamp": at.isoformat(),
            "prefect.state-type": after.state_type,
        },
        "related": _related(after, facts),
        "payload": {
            "intended": {"from": before.state_type, "to": after.state_type},
            "initial_state": _payload(before),
            "validated_state": _payload(after),
        },
    }


def truncated(message: str | None) -> str:
    """Mirrors `prefect/utilities/text.py:truncated_to`. Pure."""
    if not message or len(message) <= MESSAGE_CHARACTERS:
        return message or ""
    half = MESSAGE_CHARACTERS // 2
    shorter = f"{message[:half]}...{len(message) - 2 * half} additional characters...{message[-half:]}"
    return shorter if len(shorter) < len(message) else message


def _is_tight(occurred: datetime, before: datetime) -> bool:
    return -TIGHT < occurred - before < TIGHT


def _payload(run: PrefectRun) -> dict[str, str]:
    payload = {"type": run.state_type, "name": run.state_name}
    return payload | ({"message": _message(run)} if run.state_message else {})


def _message(run: PrefectRun) -> str:
    """Twice: instrumentation_policies.py:InstrumentFlowRunStateTransitions shortens it before the event does."""
    return truncated(truncated(run.state_message))


def _related(run: PrefectRun, facts: Sequence[Fact]) -> list[dict[str, str]]:
    """Mirrors `models/events.py:_as_resource_data` and what becomes of it there."""
    related: list[dict[str, str]] = []
    tags = set(run.tags or ())
    for fact in facts:
        tags |= set(fact.tags)
        one = {"prefect.resource.id": f"prefect.{fact.role}.{fact.id}", "prefect.resource.role": fact.role}
        one["prefect.resource.name"] = fact.name
        related.append(one | ({"prefect.work-pool.type": fact.type} if fact.type else {}))
    related += [{"prefect.resource.id": f"prefect.tag.{tag}", "prefect.resource.role": "tag"} for tag in sorted(tags)]
    return related + _creator(run.created_by or {})


def _creator(created_by: Mapping[str, Any]) -> list[dict[str, str]]:
    noun = {"DEPLOYMENT": "deployment", "AUTOMATION": "automation"}.get(created_by.get("type") or "")
    if not noun:
        return []
    creator = {"prefect.resource.id": f"prefect.{noun}.{created_by.get('id')}", "prefect.resource.role": "creator"}
    if name := created_by.get("display_value"):
        creator["prefect.resource.name"] = name
    return [creator]


class Outbox:
    """Events on their way to Prefect: posted a moment behind the rows, in their order, kept while it is away."""

    def __init__(self, prefect: PrefectServer, *, starting: Callable[[], bool]) -> None:
        """`starting` says whether runs wait to be started, which goes first."""
        self._prefect, self._starting = prefect, starting
        self._waiting: deque[Event] = deque()
        self._posting: asyncio.Task[None] | None = None
        self._overflows = False

    def put(self, events: Iterable[Event]) -> None:
        """Returns at once."""
        self._waiting.extend(events)
        self._bound()
        if self._waiting and (self._posting is None or self._posting.done()):
            self._posting = asyncio.create_task(self._post_all())

    async def close(self) -> None:
        """Posts what is left, unless the server is away."""
        if self._posting is not None:
            self._posting.cancel()
            await asyncio.gather(self._posting, return_exceptions=True)
        while self._waiting and await self._post_next():
            pass
        if self._waiting:
            log.warning(
                "Prefect is away: %d events of runs are lost. The runs themselves are told.", len(self._waiting)
            )

    async def _post_all(self) -> None:
        while self._waiting:
            await asyncio.sleep(GATHER_SECONDS)
            await give_way(self._starting)
            if not await self._post_next():
                await asyncio.sleep(AGAIN_SECONDS)

    async def _post_next(self) -> bool:
        """False where Prefect does not take them now."""
        batch = [self._waiting.popleft() for _ in range(min(AT_ONCE, len(self._waiting)))]
        taken = False
        try:
            await self._prefect._call("POST", "/events", batch)
            taken = True
        except PrefectAway as error:
            log.debug("%d events of runs wait: %s", len(batch), error)
        except httpx.HTTPStatusError as error:
            log.warning("Prefect refuses %d events of runs: %s", len(batch), error.response.text[:500])
            taken = True
        finally:
            if not taken:
                self._waiting.extendleft(reversed(batch))
                self._bound()
        self._overflows = self._overflows and not taken
        return taken

    def _bound(self) -> None:
        overflow = len(self._waiting) - KEPT
        if overflow > 0 and not self._overflows:
            log.warning("Prefect takes no events: the oldest of more than %d are dropped until it does.", KEPT)
            self._overflows = True
        for _ in range(overflow):
            self._waiting.popleft()
