"""Webhooks: programs elsewhere that want to be told of events; their posts are db.deliveries."""

import json
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from db import audit, events
from db.errors import NameTaken, WebhookNotFound
from db.notifications import Topic, notify
from db.sealing import Sealer
from db.tables import Delivery, Webhook

PING = "ping"


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
        failures=0,
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
    webhook.probe_at = None  # whoever saves it wants to see whether it answers now

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
    webhook.probe_at = None  # whoever asks wants to see whether it answers now
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
    get(session, webhook_id).probe_at = None
    session.flush()
    notify(session, [Topic.MESSAGES])


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
