"""The events that Prefect has of every change of a run, for the changes that were written behind its back."""

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from db import loops
from flows.accelerator_facts import Fact
from flows.accelerator_runs import PrefectRun
from flows.prefect_server import PrefectServer
from flows.queues import BatchQueue
from flows.telling import give_way

log = logging.getLogger(__name__)

MESSAGE_CHARACTERS = 100_000
TIGHT = timedelta(minutes=5)
AT_ONCE = 200
GATHER_SECONDS = 0.5
"""Prefect digests some 400 events a second, and loses what it is given faster than that for long."""
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
        self._waiting = BatchQueue[Event]("worker.events", self._post, at_most=AT_ONCE, set_aside=_left_out)
        self._posting: asyncio.Task[None] | None = None
        self._overflows = False

    def put(self, events: Iterable[Event]) -> None:
        """Returns at once."""
        for event in events:
            self._waiting.append(event)
        self._bound()
        if self._waiting and (self._posting is None or self._posting.done()):
            self._posting = loops.beside("worker.events", self._post_all())

    async def close(self) -> None:
        """Posts what is left, unless the server is away."""
        if self._posting is not None:
            self._posting.cancel()
            await asyncio.gather(self._posting, return_exceptions=True)
        try:
            await self._waiting.empty()
        except Exception as error:  # noqa: BLE001 - at the end nobody is left to try again
            log.warning("%d events of runs are lost: %s The runs themselves are told.", len(self._waiting), error)

    async def _post_all(self) -> None:
        while self._waiting:
            await asyncio.sleep(GATHER_SECONDS)
            await give_way(self._starting)
            await loops.insist("worker.events", self._waiting.empty)

    async def _post(self, events: Sequence[Event]) -> None:
        await self._prefect.call("POST", "/events", list(events))
        self._overflows = False

    def _bound(self) -> None:
        dropped = self._waiting.shorten(most=KEPT)
        if dropped and not self._overflows:
            log.warning("Prefect takes no events: the oldest of more than %d are dropped until it does.", KEPT)
            self._overflows = True


def _left_out(event: Event, error: Exception) -> None:
    log.warning("Prefect refuses the event %s of a run: %s", event["id"], error)
