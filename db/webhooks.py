"""Webhooks: events on their way to programs elsewhere, each posted until it has arrived or was given up.

Deliveries are made of events in the transaction that notes how far it came, so that each event becomes one delivery,
whoever dies in between. It may arrive twice, where the answer to it was lost; it has the same id then.
"""

import hmac
import json
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import delete, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from db import audit, events
from db.errors import EventsForgotten, NameTaken, WebhookNotFound
from db.events import Event, Position, Wanted
from db.notifications import Topic, notify
from db.sealing import Sealer
from db.tables import Delivery, Webhook

EVENTS_AT_ONCE = 1000
RETRIED_AFTER = tuple(timedelta(seconds=each) for each in (10, 60, 300, 1800, 7200, 21_600, 43_200))
"""Between the attempts; after the last of them it is given up, some 24 hours later."""
KEPT = timedelta(days=7)
PING = "ping"
TAKEN_FOR = timedelta(seconds=60)
"""So long whoever has taken a delivery may try it: then somebody else may."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What a webhook is to be."""

    name: str
    url: str
    types: Sequence[str] = ()
    task_id: UUID | None = None
    enabled: bool = True


def add(session: Session, wish: Wish, *, sealer: Sealer, actor: str, now: datetime) -> tuple[Webhook, str]:
    """The webhook, and the key by which its posts are signed, which is shown this once.

    Raises:
        NameTaken.
    """
    key, start = f"whsec_{secrets.token_urlsafe(32)}", events.end(session)
    webhook = Webhook(
        id=uuid4(),
        signing_key=sealer.seal(key),
        created_at=now,
        xid=start.xid,
        number=start.number,
        **_columns(wish),
    )
    _write(session, wish.name, lambda: session.add(webhook))
    audit.record(session, at=now, actor=actor, change="webhook.added", details=_details(webhook))
    return webhook, key


def change(session: Session, webhook_id: UUID, wish: Wish, *, actor: str, now: datetime) -> Webhook:
    """Raises:
    WebhookNotFound, NameTaken.
    """
    webhook = get(session, webhook_id)
    if wish.enabled and not webhook.enabled:  # nobody wants what happened meanwhile
        start = events.end(session)
        webhook.xid, webhook.number = start.xid, start.number

    def set_it() -> None:
        for name, value in _columns(wish).items():
            setattr(webhook, name, value)

    _write(session, wish.name, set_it)
    audit.record(session, at=now, actor=actor, change="webhook.changed", details=_details(webhook))
    return webhook


def remove(session: Session, webhook_id: UUID, *, actor: str, now: datetime) -> None:
    """Raises:
    WebhookNotFound.
    """
    webhook = get(session, webhook_id)
    audit.record(session, at=now, actor=actor, change="webhook.removed", details=_details(webhook))
    session.delete(webhook)


def get(session: Session, webhook_id: UUID) -> Webhook:
    """Raises:
    WebhookNotFound.
    """
    webhook = session.get(Webhook, webhook_id, with_for_update=True)
    if webhook is None:
        raise WebhookNotFound
    return webhook


def list_webhooks(session: Session) -> Sequence[Webhook]:
    """In order of name."""
    return session.scalars(select(Webhook).order_by(Webhook.name)).all()


def list_deliveries(session: Session, webhook_id: UUID, *, limit: int) -> Sequence[Delivery]:
    """Newest first."""
    mine = select(Delivery).where(Delivery.webhook_id == webhook_id)
    return session.scalars(mine.order_by(Delivery.id.desc()).limit(limit)).all()


def ping(session: Session, webhook_id: UUID, *, now: datetime) -> Delivery:
    """Sends it something to see whether it arrives.

    Raises:
        WebhookNotFound.
    """
    webhook = get(session, webhook_id)
    body = {"type": PING, "at": _instant(now), "webhook": webhook.name}
    delivery = Delivery(
        webhook_id=webhook.id, event_id=PING, type=PING, body=json.dumps(body), created_at=now, next_at=now, attempts=0
    )
    session.add(delivery)
    session.flush()
    notify(session, [Topic.MESSAGES])
    return delivery


def send_again(session: Session, webhook_id: UUID, delivery_id: int, *, now: datetime) -> None:
    """Raises:
    WebhookNotFound.
    """
    again = update(Delivery).where(Delivery.id == delivery_id, Delivery.webhook_id == webhook_id)
    if session.execute(again.values(next_at=now, attempts=0).returning(Delivery.id)).first() is None:
        raise WebhookNotFound
    notify(session, [Topic.MESSAGES])


def make_deliveries(session: Session, *, as_text: Callable[[Event], str], now: datetime) -> int:
    """Of what happened since the last time, for each webhook that wants it; how many events were looked at."""
    seen = 0
    for webhook in session.scalars(select(Webhook).where(Webhook.enabled).with_for_update(skip_locked=True)):
        position, wanted = Position(webhook.xid, webhook.number), Wanted(frozenset(webhook.types), webhook.task_id)
        try:
            events.check(session, position)
        except EventsForgotten:
            position = events.end(session)  # it was away for longer than events are kept
        found = events.read(session, position, limit=EVENTS_AT_ONCE)
        rows = [_delivery(webhook, event, as_text(event), now=now) for event in found if wanted.has(event)]
        if rows:
            session.execute(insert(Delivery), rows)
        last = found[-1].position if found else position
        webhook.xid, webhook.number = last.xid, last.number
        seen += len(found)
    return seen


@dataclass(frozen=True, slots=True)
class Parcel:
    """A delivery with all that it takes to post it."""

    id: int
    url: str
    type: str
    body: str
    attempts: int
    signing_key: bytes


def take_due(session: Session, *, limit: int, now: datetime) -> Sequence[Parcel]:
    """Deliveries that are to be tried now; nobody else takes them for a minute."""
    due = (
        select(Delivery, Webhook)
        .join(Webhook, Webhook.id == Delivery.webhook_id)
        .where(Delivery.next_at <= now, Webhook.enabled)
        .order_by(Delivery.next_at)
        .limit(limit)
        .with_for_update(of=Delivery, skip_locked=True)
    )
    found = []
    for row in session.execute(due):
        row.Delivery.next_at, row.Delivery.attempts = now + TAKEN_FOR, row.Delivery.attempts + 1
        delivery, webhook = row.Delivery, row.Webhook
        found.append(
            Parcel(delivery.id, webhook.url, delivery.type, delivery.body, delivery.attempts, webhook.signing_key)
        )
    return found


def arrived(session: Session, parcel: Parcel, status: int, *, now: datetime) -> None:
    """It was answered well."""
    done = {"next_at": None, "delivered_at": now, "status": status, "error": None}
    session.execute(update(Delivery).where(Delivery.id == parcel.id).values(**done))


def failed(session: Session, parcel: Parcel, *, status: int | None, error: str, now: datetime) -> None:
    """It is tried again later, or given up."""
    tried = parcel.attempts - 1
    next_at = now + RETRIED_AFTER[tried] if tried < len(RETRIED_AFTER) else None
    noted = {"next_at": next_at, "status": status, "error": error}
    session.execute(update(Delivery).where(Delivery.id == parcel.id).values(**noted))


def forget(session: Session, *, before: datetime) -> None:
    """Removes deliveries that are older and not on their way any more."""
    session.execute(delete(Delivery).where(Delivery.created_at < before, Delivery.next_at.is_(None)))


def signature(key: str, body: str, *, at: datetime) -> str:
    """What the header `Duetime-Signature` has: HMAC-SHA256 of instant and body, as `t=1700000000,v1=<hex>`. Pure."""
    second = int(at.timestamp())
    return f"t={second},v1={hmac.digest(key.encode(), f'{second}.{body}'.encode(), 'sha256').hex()}"


def _delivery(webhook: Webhook, event: Event, body: str, *, now: datetime) -> dict[str, Any]:
    named = {"webhook_id": webhook.id, "event_id": str(event.position), "type": event.type}
    return {**named, "body": body, "created_at": now, "next_at": now, "attempts": 0}


def _columns(wish: Wish) -> dict[str, Any]:
    return {
        "name": wish.name,
        "url": wish.url,
        "types": sorted(wish.types),
        "task_id": wish.task_id,
        "enabled": wish.enabled,
    }


def _write(session: Session, name: str, do: Callable[[], None]) -> None:
    try:
        with session.begin_nested():
            do()
    except IntegrityError:
        raise NameTaken(name) from None


def _details(webhook: Webhook) -> dict[str, Any]:
    return {"webhook": webhook.name, "url": webhook.url, "types": list(webhook.types), "enabled": webhook.enabled}


def _instant(at: datetime) -> str:
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")
