"""Posting: events go out to webhooks, beside the passes; a webhook that does not answer holds no other one."""

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from uuid import UUID

import httpx

from db import deliveries, events, loops
from db.deliveries import Parcel
from db.engine import Catalogue
from db.errors import SecretsUnavailable, Unavailable
from db.sealing import sealer
from reconciler.careful import careful_client
from reconciler.clock import counter, now
from reconciler.deadlines import within

log = logging.getLogger(__name__)

PAUSE_SECONDS = 1.0
POST_SECONDS = 10.0
"""From the name's resolution to the last line of the answer's head."""
POSTS_AT_ONCE, POSTS_OF_EACH = 16, 4
PROBES_AT_ONCE = 4
TIDY_SECONDS = 3600.0


@dataclass(slots=True)
class Posting:
    """Works as long as `leads` says so: two would post everything twice."""

    catalogue: Catalogue
    leads: Callable[[], bool]
    wake: threading.Event = field(default_factory=threading.Event)
    _client: httpx.Client = field(default_factory=careful_client)
    _under_way: dict[int, Parcel] = field(default_factory=dict)
    _probes: set[int] = field(default_factory=set)
    _stopped: threading.Event = field(default_factory=threading.Event)
    _tidied_at: float = float("-inf")

    def loop(self) -> loops.ThreadLoop:
        return loops.ThreadLoop("reconciler.webhooks", self.step, pause_seconds=PAUSE_SECONDS, wake=self.wake)

    def stop(self) -> None:
        """Nothing new goes out; what is under way has an end of its own."""
        self._stopped.set()
        self._client.close()

    def step(self) -> None:
        """Has everything go out for which there is room now; returns before it arrives."""
        if not self.leads():
            return
        self._make_deliveries()
        room = POSTS_AT_ONCE - len(self._under_way)
        self._post_all(probing=True, room=min(PROBES_AT_ONCE - len(self._probes), room))
        self._post_all(probing=False, room=POSTS_AT_ONCE - len(self._under_way))
        if counter() - self._tidied_at > TIDY_SECONDS:
            self._tidied_at = counter()
            with self.catalogue.transaction() as session:
                deliveries.give_up(session, now=now())
                deliveries.forget(session, before=now() - deliveries.KEPT)

    def _make_deliveries(self) -> None:
        with self.catalogue.transaction() as session:
            behind = deliveries.behind(session)
        for webhook_id in behind:
            try:
                with self.catalogue.transaction() as session:
                    deliveries.make(session, webhook_id, as_text=events.as_json, now=now())
            except Unavailable:
                raise
            except Exception as error:  # noqa: BLE001 - whatever is wrong with one, the others get theirs
                self._set_aside(webhook_id, error)

    def _set_aside(self, webhook_id: UUID, error: Exception) -> None:
        loops.record_of("reconciler.deliveries").failed(error)
        with self.catalogue.transaction() as session:
            deliveries.cannot_be_made(session, webhook_id, why=type(error).__name__)

    def _post_all(self, *, probing: bool, room: int) -> None:
        if room <= 0:
            return
        busy = [each.webhook_id for each in tuple(self._under_way.values())]
        with self.catalogue.transaction() as session:
            parcels = deliveries.take_due(
                session, probing=probing, of_each=POSTS_OF_EACH, busy=busy, limit=room, now=now()
            )
        for parcel in parcels:
            self._under_way[parcel.id] = parcel
            if probing:
                self._probes.add(parcel.id)
            try:
                loops.thread("reconciler.post", lambda parcel=parcel: self._post(parcel))  # type: ignore[misc]
            except BaseException:
                self._is_over(parcel)
                raise

    def _post(self, parcel: Parcel) -> None:
        try:
            if self.leads() and not self._stopped.is_set():
                self._note(parcel, *self._posted(parcel))
        finally:
            self._is_over(parcel)
            self.wake.set()

    def _is_over(self, parcel: Parcel) -> None:
        self._probes.discard(parcel.id)
        self._under_way.pop(parcel.id, None)

    def _note(self, parcel: Parcel, status: int | None, error: str) -> None:
        with self.catalogue.transaction() as session:
            if status is not None and not error:
                deliveries.arrived(session, parcel, status, now=now())
            else:
                deliveries.failed(session, parcel, status=status, error=error, now=now())

    def _posted(self, parcel: Parcel) -> tuple[int | None, str]:
        """The status, and why it did not arrive."""
        try:
            headers = _headers(parcel)
            # What is answered is not read: it may be of any size.
            with (
                within(POST_SECONDS),
                self._client.stream("POST", parcel.url, content=parcel.body.encode(), headers=headers) as answer,
            ):
                status = answer.status_code
        except SecretsUnavailable as error:
            return None, str(error)
        except Exception as error:  # noqa: BLE001 - whatever an address or an answer makes of it, it did not arrive
            return None, f"{_host(parcel.url)}: {error or type(error).__name__}"[:500]
        return status, "" if 200 <= status < 300 else f"Answered {status}."


def _headers(parcel: Parcel) -> dict[str, str]:
    key = sealer().open(parcel.signing_key)
    return {
        "Content-Type": "application/json",
        "User-Agent": "duetime",
        "Duetime-Event": parcel.type,
        "Duetime-Delivery": str(parcel.id),
        "Duetime-Signature": deliveries.signature(key, parcel.body, at=now()),
    }


def _host(url: str) -> str:
    """Without what may be secret in the rest."""
    return url.partition("://")[2].partition("/")[0].rpartition("@")[2]
