"""The messenger: posts events to webhooks and tells people of what goes wrong, in a thread beside the passes."""

import logging
import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta
from time import monotonic
from typing import Protocol
from urllib.parse import urlsplit
from uuid import UUID

import httpx
from sqlalchemy.orm import Session

from db import channels, events, happenings, webhooks
from db.channels import About
from db.engine import Catalogue
from db.errors import CatalogueUnavailable, SecretsUnavailable
from db.events import Position
from db.notifications import Listener, Topic
from db.sealing import sealer
from db.tables import Channel
from db.webhooks import Parcel
from reconciler.alerts import Alert, Message, alerts, messages
from reconciler.careful import careful_client
from reconciler.clock import now

log = logging.getLogger(__name__)

PAUSE_SECONDS = 1.0
POSTS_AT_ONCE = 8
TIMEOUT_SECONDS = 10.0
EVENTS_AT_ONCE = 1000
GATHERED = timedelta(seconds=10)
"""What happens within so long of the first one goes out together: one lost worker is one message."""
RETRY_AFTER = timedelta(minutes=1)
TIDY_SECONDS = 3600.0
NAMED_RUNS = 20
"""Of so many the last lines are read."""
PUBLIC_URL = "DUETIME_PUBLIC_URL"
NOT_TAKEN = "It was not taken. Look at its address, and whether this machine reaches it."
TEST = Message("Duetime can reach you", "This is what a message looks like. Nothing is wrong.")


class Send(Protocol):
    """How a message goes out."""

    def __call__(self, address: str, message: Message) -> bool:
        """Whether it did."""


def send_by_apprise(address: str, message: Message) -> bool:
    """With Apprise, which knows a hundred ways."""
    import apprise  # it takes a tenth of a second and some memory, which most installations never need

    sender = apprise.Apprise()
    if not sender.add(address):
        return False
    return bool(sender.notify(title=message.title, body=message.body, body_format=apprise.NotifyFormat.TEXT))


@dataclass(slots=True)
class Messenger:
    """Works as long as `leads` says so: two would tell everything twice."""

    catalogue: Catalogue
    leads: Callable[[], bool]
    base_url: str = field(default_factory=lambda: os.environ.get(PUBLIC_URL, "").rstrip("/"))
    send: Send = send_by_apprise
    _stopped: threading.Event = field(default_factory=threading.Event)
    _wake: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None
    _tidied_at: float = 0.0

    def start(self) -> "Messenger":
        self._thread = threading.Thread(target=self._run, name="messenger", daemon=True)
        self._thread.start()
        return self

    def stop(self) -> None:
        """After the posts that are under way."""
        self._stopped.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join(TIMEOUT_SECONDS + 5)

    def _run(self) -> None:
        listener = Listener(self.catalogue.url, self._hear).start()
        with ThreadPoolExecutor(POSTS_AT_ONCE, thread_name_prefix="post") as posts, careful_client() as client:
            while not self._stopped.is_set():
                try:
                    if self.leads():
                        self.one_round(client, posts)
                except (CatalogueUnavailable, SecretsUnavailable) as error:
                    log.warning("Messages wait: %s", error)
                    self._stopped.wait(5)
                except Exception:
                    log.exception("A round of messages failed; the next one tries again")
                self._wake.wait(PAUSE_SECONDS)
                self._wake.clear()
        listener.stop()

    def _hear(self, topics: frozenset[str]) -> None:
        if topics & {Topic.MESSAGES, Topic.RUNS, Topic.TASKS}:
            self._wake.set()

    def one_round(self, client: httpx.Client, posts: ThreadPoolExecutor) -> None:
        """Everything that is to go out now."""
        with self.catalogue.transaction() as session:
            webhooks.make_deliveries(session, as_text=events.as_json, now=now())
        while parcels := self._due():
            list(posts.map(lambda parcel: self._post(client, parcel), parcels))
        self._tell_people()
        if monotonic() - self._tidied_at > TIDY_SECONDS:
            self._tidied_at = monotonic()
            with self.catalogue.transaction() as session:
                webhooks.forget(session, before=now() - webhooks.KEPT)

    # Webhooks.

    def _due(self) -> Sequence[Parcel]:
        with self.catalogue.transaction() as session:
            return webhooks.take_due(session, limit=POSTS_AT_ONCE, now=now())

    def _post(self, client: httpx.Client, parcel: Parcel) -> None:
        status, error = self._posted(client, parcel)
        with self.catalogue.transaction() as session:
            if status is not None and not error:
                webhooks.arrived(session, parcel, status, now=now())
            else:
                webhooks.failed(session, parcel, status=status, error=error, now=now())

    def _posted(self, client: httpx.Client, parcel: Parcel) -> tuple[int | None, str]:
        """The status, and why it did not arrive."""
        key = sealer().open(parcel.signing_key)
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "duetime",
            "Duetime-Event": parcel.type,
            "Duetime-Delivery": str(parcel.id),
            "Duetime-Signature": webhooks.signature(key, parcel.body, at=now()),
        }
        try:
            # What is answered is not read: it may be of any size.
            with client.stream("POST", parcel.url, content=parcel.body.encode(), headers=headers) as answer:
                status = answer.status_code
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            return None, f"{urlsplit(parcel.url).netloc}: {error or type(error).__name__}"
        return status, "" if 200 <= status < 300 else f"Answered {status}."

    # People.

    def _tell_people(self) -> None:
        # Nothing goes out within a transaction: as long as one is under way, nobody hears of what comes after it.
        with self.catalogue.transaction() as session:
            letters = [self._letter(session, channel) for channel in channels.due(session, now=now())]
        for letter in letters:
            self._tell(letter)

    def _letter(self, session: Session, channel: Channel) -> "Letter":
        """What the channel is to be told now."""
        start = channels.position(session, channel)
        if channel.test_asked_at is not None:
            return Letter(channel.id, channel.name, channel.address, (TEST,), start, start)
        found, end = self._read(session, channel, start)
        if found and now() - found[0].happening.event.at < GATHERED:
            found, end = [], start  # others of the same cause may follow
        told = self._messages(session, channel, found) if found else ()
        return Letter(channel.id, channel.name, channel.address, tuple(told), start, end)

    def _read(self, session: Session, channel: Channel, start: Position) -> tuple[list[Alert], Position]:
        """All that it is to be told of, and up to where that goes."""
        end, found = start, []
        while happened := events.read(session, end, limit=EVENTS_AT_ONCE):
            end = happened[-1].position
            found += alerts(channel, happenings.circumstances(session, happened, now=now()))
            if len(happened) < EVENTS_AT_ONCE:
                break
        return found, end

    def _messages(self, session: Session, channel: Channel, found: Sequence[Alert]) -> list[Message]:
        failed = [alert.happening.run for alert in found if alert.about is About.FAILED]
        lines: dict[UUID, Sequence[str]] = {
            run.id: happenings.last_lines(session, run) for run in failed[:NAMED_RUNS] if run is not None
        }
        return messages(found, lines=lines, base_url=self.base_url, timezone=channel.timezone)

    def _tell(self, letter: "Letter") -> None:
        is_out = not letter.messages or self._send_all(letter)
        if not letter.messages and letter.end == letter.start:
            return
        with self.catalogue.transaction() as session:
            if is_out:
                channels.told(session, letter.channel_id, letter.end)
            if is_out and letter.messages:
                channels.sent(session, letter.channel_id, now=now())
            if not is_out:
                channels.not_sent(session, letter.channel_id, NOT_TAKEN, retry_after=RETRY_AFTER, now=now())

    def _send_all(self, letter: "Letter") -> bool:
        """Whether all of it is out."""
        address = sealer().open(letter.address)
        try:
            return all(self.send(address, message) for message in letter.messages)
        except Exception as error:  # noqa: BLE001 - whatever a plugin raises, its message did not go out
            log.warning("Channel %s failed: %s", letter.name, type(error).__name__)
            return False


@dataclass(frozen=True, slots=True)
class Letter:
    """What a channel is told at once, and how far it came with that."""

    channel_id: UUID
    name: str
    address: bytes
    """Sealed."""
    messages: tuple[Message, ...]
    start: Position
    end: Position
