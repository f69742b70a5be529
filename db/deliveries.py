"""Deliveries: events on their way to webhooks, each posted until it has arrived or was given up.

They are made of events in the transaction that notes how far it came, so that each event becomes one delivery, whoever
dies in between. It may arrive twice, where the answer to it was lost; it has the same id then.

A webhook that does not answer is left alone but for a probe now and then, so that the others do not wait for it. What
is meant for it waits: first as deliveries, then as the events that they will be made of, for a day.
"""

import hmac
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, delete, func, insert, or_, select, text, update
from sqlalchemy.orm import Session

from db import audit, events
from db.events import Event, Position, Wanted
from db.tables import Delivery, Webhook

EVENTS_AT_ONCE = 1000
WAITING_AT_MOST = 1000
"""Deliveries of a webhook; more are made when these are gone."""
RETRIED_AFTER = tuple(timedelta(seconds=each) for each in (10, 60, 300, 1800, 7200, 21_600, 43_200))
"""Between the attempts; after the last of them it is given up, some 24 hours later."""
GIVEN_UP_AFTER = timedelta(hours=24)
GIVEN_UP = "Given up: it has not answered for a day."
KEPT = timedelta(days=7)
TAKEN_FOR = timedelta(seconds=60)
"""So long whoever has taken a delivery may try it: then somebody else may."""
PROBED_AFTER, PROBED_AFTER_AT_MOST = timedelta(seconds=10), timedelta(minutes=10)
ERRORS_IN_A_ROW = 3
"""A webhook that answers with errors is taken for one that does not answer after so many."""
COMES_AGAIN = frozenset({408, 425, 429})
"""Answers, besides those of 500 and more, that are not about the one delivery."""
REFUSED_COUNT_AS_ONE = 10
"""What a webhook refuses is tried again for hours: meanwhile it is to get what it does take."""
FAR = timedelta(days=1)
"""Nothing is put off for longer: what seems to be was noted when the clock was ahead."""

_BEHIND = text(
    f"""
SELECT id FROM webhooks
 WHERE enabled AND (xid > {events.NEXT} OR EXISTS (
       SELECT FROM events WHERE (events.xid, events.number) > (webhooks.xid, webhooks.number)
          AND events.xid < {events.SETTLED}))
 ORDER BY id
"""  # noqa: S608 - the names are our own
)
_TAKE = text(
    """
WITH open AS (
    SELECT webhooks.id, url, signing_key,
           CASE WHEN :probing THEN 1 ELSE :of_each END - coalesce(busy.count, 0) AS free
      FROM webhooks LEFT JOIN unnest(CAST(:busy AS uuid[]), CAST(:counts AS integer[])) AS busy (id, count)
        ON busy.id = webhooks.id
     WHERE enabled AND (probe_at IS NOT NULL) = :probing
       AND (probe_at IS NULL OR probe_at <= :now OR probe_at > :far)
), due AS (
    SELECT first.id, open.id AS webhook_id, open.url, open.signing_key FROM open, LATERAL (
        SELECT deliveries.id, next_at FROM deliveries
         WHERE webhook_id = open.id AND (next_at <= :now OR next_at > :far)
         ORDER BY next_at, deliveries.id LIMIT greatest(open.free, 0) FOR UPDATE SKIP LOCKED) AS first
     ORDER BY first.next_at, first.id LIMIT :limit
)
UPDATE deliveries SET next_at = :taken_until, attempts = attempts + 1 FROM due WHERE deliveries.id = due.id
RETURNING deliveries.id, due.webhook_id, due.url, deliveries.type, deliveries.body, deliveries.attempts, due.signing_key
"""
)


def behind(session: Session) -> Sequence[UUID]:
    """The webhooks after whose position something happened."""
    return session.scalars(_BEHIND).all()


def make(session: Session, webhook_id: UUID, *, as_text: Callable[[Event], str], now: datetime) -> int:
    """Of what happened since the last time; how many events were looked at."""
    webhook = session.scalar(select(Webhook).where(Webhook.id == webhook_id).with_for_update())
    if webhook is None or _waiting(session, webhook_id) >= WAITING_AT_MOST:
        return 0
    before, wanted = Position(webhook.xid, webhook.number), Wanted(frozenset(webhook.types), webhook.task_id)
    position = events.kept_from(session, before)
    if position != before:  # it was away for longer than events are kept
        details = {"webhook": webhook.name}
        audit.record(session, at=now, actor=audit.SYSTEM, change="webhook.events_dropped", details=details)
    found = events.read(session, position, limit=EVENTS_AT_ONCE)
    rows = [_delivery(webhook, event, as_text(event), now=now) for event in found if wanted.has(event)]
    if rows:
        session.execute(insert(Delivery), rows)
    last = found[-1].position if found else position
    webhook.xid, webhook.number = last.xid, last.number
    return len(found)


def cannot_be_made(session: Session, webhook_id: UUID, *, why: str) -> None:
    """What is wrong with the webhook, or with what happened: it is tried again."""
    said = f"Its deliveries cannot be made ({why})."
    session.execute(update(Webhook).where(Webhook.id == webhook_id).values(error=said))


def _waiting(session: Session, webhook_id: UUID) -> int:
    """How many of its deliveries wait, as far as it is counted; of those that it refused, a tenth."""
    some = select(Delivery.status).where(Delivery.webhook_id == webhook_id, Delivery.next_at.is_not(None))
    each = some.limit(WAITING_AT_MOST * REFUSED_COUNT_AS_ONE).subquery()
    refused = func.count().filter(each.c.status < 500, each.c.status.not_in(COMES_AGAIN))
    found = session.execute(select(func.count().label("all"), refused.label("refused")).select_from(each)).one()
    return int(found.all - found.refused + found.refused // REFUSED_COUNT_AS_ONE)


def _delivery(webhook: Webhook, event: Event, body: str, *, now: datetime) -> dict[str, Any]:
    named = {"webhook_id": webhook.id, "event_id": str(event.position), "type": event.type}
    return {**named, "body": body, "created_at": now, "next_at": now, "attempts": 0}


@dataclass(frozen=True, slots=True)
class Parcel:
    """A delivery with all that it takes to post it."""

    id: int
    webhook_id: UUID
    url: str
    type: str
    body: str
    attempts: int
    signing_key: bytes


def take_due(
    session: Session,
    *,
    probing: bool = False,
    of_each: int = 4,
    busy: Collection[UUID] = (),
    limit: int,
    now: datetime,
) -> Sequence[Parcel]:
    """Deliveries that are to be tried now; nobody else takes them for a minute.

    `probing` takes one for each webhook that did not answer, where it is time; otherwise it is those of all others.
    `busy` names a webhook once for each post to it that is under way: with these, there are at most `of_each`.
    """
    counts = Counter(busy)
    chosen = {"probing": probing, "of_each": of_each, "busy": list(counts), "counts": list(counts.values())}
    until = {"now": now, "far": now + FAR, "taken_until": now + TAKEN_FOR}
    return [Parcel(*row) for row in session.execute(_TAKE, {**chosen, **until, "limit": limit})]


def arrived(session: Session, parcel: Parcel, status: int, *, now: datetime) -> None:
    """It was answered well."""
    done = {"next_at": None, "delivered_at": now, "status": status, "error": None}
    session.execute(update(Delivery).where(Delivery.id == parcel.id).values(**done))
    _answers(session, parcel.webhook_id)


def failed(session: Session, parcel: Parcel, *, status: int | None, error: str, now: datetime) -> None:
    """It is tried again later, or given up; where the webhook does not answer, so is everything that it is to get."""
    tried = parcel.attempts - 1
    next_at = now + RETRIED_AFTER[tried] if tried < len(RETRIED_AFTER) else None
    noted = {"next_at": next_at, "status": status, "error": error}
    session.execute(update(Delivery).where(Delivery.id == parcel.id).values(**noted))
    if status is not None and status < 500 and status not in COMES_AGAIN:
        _answers(session, parcel.webhook_id)
    else:
        _does_not_answer(session, parcel.webhook_id, at_all=status is not None, error=error, now=now)


def _answers(session: Session, webhook_id: UUID) -> None:
    well = {"failures": 0, "failing_since": None, "probe_at": None, "error": None}
    session.execute(update(Webhook).where(Webhook.id == webhook_id, Webhook.failures > 0).values(**well))


def _does_not_answer(session: Session, webhook_id: UUID, *, at_all: bool, error: str, now: datetime) -> None:
    webhook = session.get(Webhook, webhook_id, with_for_update=True, populate_existing=True)
    if webhook is None:
        return
    webhook.failures += 1
    webhook.failing_since, webhook.error = webhook.failing_since or now, error
    if not at_all or webhook.failures >= ERRORS_IN_A_ROW:
        webhook.probe_at = now + probed_after(webhook.failures)


def probed_after(failures: int) -> timedelta:
    """How long a webhook that did not answer so many times is left alone. Pure."""
    return min(PROBED_AFTER * (1 << min(failures - 1, 20)), PROBED_AFTER_AT_MOST)


def give_up(session: Session, *, now: datetime) -> None:
    """What was meant for webhooks that have not answered for a day, or that are off, is not tried any more."""
    waits_in_vain = select(Webhook.id).where(or_(Webhook.probe_at.is_not(None), ~Webhook.enabled))
    session.execute(
        update(Delivery)
        .where(_is_old(now - GIVEN_UP_AFTER), Delivery.next_at.is_not(None), Delivery.webhook_id.in_(waits_in_vain))
        .values(next_at=None, error=GIVEN_UP)
    )


def forget(session: Session, *, before: datetime) -> None:
    """Removes deliveries that are older and not on their way any more."""
    session.execute(delete(Delivery).where(_is_old(before), Delivery.next_at.is_(None)))


def _is_old(before: datetime) -> ColumnElement[bool]:
    return Delivery.created_at < before


def signature(key: str, body: str, *, at: datetime) -> str:
    """What the header `Duetime-Signature` has: HMAC-SHA256 of instant and body, as `t=1700000000,v1=<hex>`. Pure."""
    second = int(at.timestamp())
    return f"t={second},v1={hmac.digest(key.encode(), f'{second}.{body}'.encode(), 'sha256').hex()}"
