"""Channels: ways to tell people of what goes wrong, each with what it is about, when it is quiet, how far it came."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from db import audit, events
from db.errors import ChannelNotFound, NameTaken
from db.events import Position
from db.notifications import Topic, notify
from db.sealing import Sealer
from db.tables import Channel
from db.zones import zone_or_utc


class About(StrEnum):
    """What people may want to be told of."""

    FAILED = "failed"
    """A run failed, crashed or took too long, for the so-manieth time in a row."""
    RECOVERED = "recovered"
    """A run is well again after such a failure was told."""
    LATE = "late"
    """A run started later than people want it to."""
    MISSED = "missed"
    """A due time was not run, or nobody knows whether it was."""


FAR = timedelta(days=1)
UNLESS_CHOSEN = (About.FAILED, About.RECOVERED, About.MISSED)


@dataclass(frozen=True, slots=True)
class Wish:
    """What a channel is to be. `address` is a URL of Apprise; None keeps the one that it has."""

    name: str
    address: str | None
    about: Sequence[About] = UNLESS_CHOSEN
    after_failures: int = 1
    late_seconds: int = 60
    tags: Sequence[str] | None = None
    quiet_from: time | None = None
    quiet_to: time | None = None
    timezone: str = "UTC"
    enabled: bool = True


def add(session: Session, wish: Wish, *, sealer: Sealer, actor: str, now: datetime) -> Channel:
    """Raises:
    NameTaken.
    """
    start = events.end(session)
    channel = Channel(id=uuid4(), created_at=now, xid=start.xid, number=start.number)
    _set(channel, wish, sealer)
    try:
        with session.begin_nested():
            session.add(channel)
    except IntegrityError:
        raise NameTaken(wish.name) from None
    audit.record(session, at=now, actor=actor, change="channel.added", details=_details(channel))
    return channel


def change(session: Session, channel_id: UUID, wish: Wish, *, sealer: Sealer, actor: str, now: datetime) -> Channel:
    """Raises:
    ChannelNotFound, NameTaken.
    """
    channel = get(session, channel_id)
    if wish.enabled and not channel.enabled:  # nobody wants what happened meanwhile
        start = events.end(session)
        channel.xid, channel.number = start.xid, start.number
    try:
        with session.begin_nested():
            _set(channel, wish, sealer)
    except IntegrityError:
        raise NameTaken(wish.name) from None
    audit.record(session, at=now, actor=actor, change="channel.changed", details=_details(channel))
    return channel


def remove(session: Session, channel_id: UUID, *, actor: str, now: datetime) -> None:
    """Raises:
    ChannelNotFound.
    """
    channel = get(session, channel_id)
    audit.record(session, at=now, actor=actor, change="channel.removed", details=_details(channel))
    session.delete(channel)


def get(session: Session, channel_id: UUID) -> Channel:
    """Raises:
    ChannelNotFound.
    """
    channel = session.get(Channel, channel_id, with_for_update=True)
    if channel is None:
        raise ChannelNotFound
    return channel


def list_channels(session: Session) -> Sequence[Channel]:
    """In order of name."""
    return session.scalars(select(Channel).order_by(Channel.name)).all()


def ask_for_test(session: Session, channel_id: UUID, *, now: datetime) -> None:
    """A message goes out soon, to see whether it arrives; what became of it is in `sent_at` and `error`.

    Raises:
        ChannelNotFound.
    """
    channel = get(session, channel_id)
    channel.test_asked_at, channel.error = now, None
    notify(session, [Topic.MESSAGES])


def due(session: Session, *, now: datetime) -> Sequence[Channel]:
    """The channels that may speak now."""
    found = session.scalars(select(Channel).where(Channel.enabled).order_by(Channel.name)).all()
    return [each for each in found if each.test_asked_at is not None or _may_speak(each, now)]


def _may_speak(channel: Channel, now: datetime) -> bool:
    # What is put off for long was noted when the clock was ahead.
    waits = channel.retry_at is not None and now < channel.retry_at < now + FAR
    return not waits and not is_quiet(channel, now)


def is_quiet(channel: Channel, now: datetime) -> bool:
    """Whether it is in its quiet hours, which may go over midnight. Pure."""
    if channel.quiet_from is None or channel.quiet_to is None:
        return False
    present = now.astimezone(zone_or_utc(channel.timezone)).time().replace(tzinfo=None)
    if channel.quiet_from <= channel.quiet_to:
        return channel.quiet_from <= present < channel.quiet_to
    return present >= channel.quiet_from or present < channel.quiet_to


def position(session: Session, channel: Channel) -> Position:
    """Up to where it was told; where that was longer ago than events are kept, up to the oldest of these."""
    return events.kept_from(session, Position(channel.xid, channel.number))


def told(session: Session, channel_id: UUID, to: Position) -> None:
    """It was told of everything up to there, or there was nothing to be told of."""
    _note(session, channel_id, xid=to.xid, number=to.number)


def sent(session: Session, channel_id: UUID, *, now: datetime) -> None:
    """Its message is out."""
    _note(session, channel_id, sent_at=now, error=None, retry_at=None, test_asked_at=None)


def not_sent(session: Session, channel_id: UUID, why: str, *, retry_after: timedelta, now: datetime) -> None:
    """Its message is tried again later, with what happens meanwhile. A test is not tried again."""
    _note(session, channel_id, error=why, retry_at=now + retry_after, test_asked_at=None)


def _note(session: Session, channel_id: UUID, **values: Any) -> None:
    session.execute(update(Channel).where(Channel.id == channel_id).values(**values))


def _set(channel: Channel, wish: Wish, sealer: Sealer) -> None:
    if wish.address is not None:
        channel.address = sealer.seal(wish.address)
    channel.name, channel.enabled = wish.name, wish.enabled
    channel.about = [about.value for about in wish.about]
    channel.after_failures, channel.late_seconds = wish.after_failures, wish.late_seconds
    channel.tags = None if wish.tags is None else sorted(wish.tags)
    channel.quiet_from, channel.quiet_to, channel.timezone = wish.quiet_from, wish.quiet_to, wish.timezone


def _details(channel: Channel) -> dict[str, Any]:
    return {"channel": channel.name, "about": list(channel.about), "enabled": channel.enabled}
