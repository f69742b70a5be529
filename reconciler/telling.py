"""Telling people of what goes wrong, beside the passes and apart from webhooks; no channel holds another one."""

import logging
import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from uuid import UUID

from sqlalchemy.orm import Session

from db import channels, events, happenings, loops
from db.channels import About
from db.engine import Catalogue
from db.errors import SecretsUnavailable, Unavailable
from db.events import Position
from db.sealing import sealer
from db.tables import Channel
from reconciler.alerts import Alert, Message, alerts, messages
from reconciler.clock import now
from reconciler.lease import LeaseLost
from reconciler.sending import SEND_SECONDS, Send, Sends, send_by_apprise

log = logging.getLogger(__name__)

PAUSE_SECONDS = 1.0
EVENTS_AT_ONCE, PAGES_AT_ONCE = 1000, 5
GATHERED = timedelta(seconds=10)
"""What happens within so long of the first one goes out together: one lost worker is one message."""
RETRY_AFTER = timedelta(minutes=1)
NAMED_RUNS = 20
"""Of so many the last lines are read."""
PUBLIC_URL = "DUETIME_PUBLIC_URL"
NOT_TAKEN = "It was not taken. Look at its address, and whether this machine reaches it."
NEVER_RETURNED = f"It was not taken within {SEND_SECONDS:g} s, and may be never: the way to it hangs."
TEST = Message("Duetime can reach you", "This is what a message looks like. Nothing is wrong.")


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


@dataclass(slots=True)
class Telling:
    """Works as long as `leads` says so: two would tell everything twice."""

    catalogue: Catalogue
    leads: Callable[[], bool]
    base_url: str = field(default_factory=lambda: os.environ.get(PUBLIC_URL, "").rstrip("/"))
    send: Send = send_by_apprise
    wake: threading.Event = field(default_factory=threading.Event)
    _sends: Sends = field(default_factory=Sends)
    _stopped: threading.Event = field(default_factory=threading.Event)

    def loop(self) -> loops.ThreadLoop:
        return loops.ThreadLoop("reconciler.people", self.step, pause_seconds=PAUSE_SECONDS, wake=self.wake)

    def stop(self) -> None:
        """Nothing new goes out."""
        self._stopped.set()

    def step(self) -> None:
        """Has everything go out that people are to be told now; returns before it is taken."""
        if not self.leads():
            return
        with self.catalogue.transaction() as session:
            due = channels.due(session, now=now())
        for channel in due:
            if not self._sends.goes_on(channel.id):
                self._tell(channel)
        for channel_id in self._sends.give_up():
            assert isinstance(channel_id, UUID)
            self._note_failure(channel_id, NEVER_RETURNED)

    def _tell(self, channel: Channel) -> None:
        try:
            # Nothing goes out within a transaction: as long as one is under way, nobody hears of what comes after it.
            with self.catalogue.transaction() as session:
                letter = self._letter(session, channel)
        except Unavailable:
            raise
        except Exception as error:  # noqa: BLE001 - whatever is wrong with one channel, the others are told
            loops.record_of("reconciler.letters").failed(error)
            self._note_failure(channel.id, f"What it is to be told cannot be put into words ({type(error).__name__}).")
            return
        if letter.messages:
            self._sends.begin(channel.id, lambda: self._send(letter))
        elif letter.end != letter.start:
            with self.catalogue.transaction() as session:
                channels.told(session, letter.channel_id, letter.end)

    def _letter(self, session: Session, channel: Channel) -> Letter:
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
        """What it is to be told of next, and up to where that goes: what is left is told the next time."""
        end, found = start, []
        for _ in range(PAGES_AT_ONCE):
            happened = events.read(session, end, limit=EVENTS_AT_ONCE)
            if happened:
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

    def _send(self, letter: Letter) -> None:
        why = self._not_sent(letter)
        if why is not None:
            self._note_failure(letter.channel_id, why)
        else:
            with self.catalogue.transaction() as session:
                channels.told(session, letter.channel_id, letter.end)
                channels.sent(session, letter.channel_id, now=now())
        self.wake.set()

    def _not_sent(self, letter: Letter) -> str | None:
        """Why not all of it is out; None where it is.

        Raises:
            LeaseLost: another process tells it.
        """
        try:
            address = sealer().open(letter.address)
            for message in letter.messages:
                if self._stopped.is_set() or not self.leads():
                    raise LeaseLost
                if not self.send(address, message):
                    return NOT_TAKEN
        except LeaseLost:
            raise
        except SecretsUnavailable as error:
            return str(error)
        except Exception as error:  # noqa: BLE001 - whatever a plugin raises, its message did not go out
            log.warning("Channel %s failed: %s", letter.name, type(error).__name__)
            return NOT_TAKEN
        return None

    def _note_failure(self, channel_id: UUID, why: str) -> None:
        with self.catalogue.transaction() as session:
            channels.not_sent(session, channel_id, why, retry_after=RETRY_AFTER, now=now())
