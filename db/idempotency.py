"""Requests that may be repeated: the first answer is kept, and given again."""

import hashlib
import json
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import delete, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from db.errors import IdempotencyKeyReused
from db.tables import IdempotencyKey

KEPT_FOR = timedelta(days=1)


def first_answer(session: Session, *, scope: str, key: str, request: Any, now: datetime) -> dict[str, Any] | None:
    """The answer that the same request got before; None where this is the first, which must then `remember`.

    A repeat that arrives while the first is still at work waits for it: the row is locked until its transaction ends.

    Raises:
        IdempotencyKeyReused: the key came with another request.
    """
    digest = hashlib.sha256(json.dumps(request, sort_keys=True, default=str).encode()).hexdigest()
    session.execute(
        insert(IdempotencyKey)
        .values(scope=scope, key=key, request_hash=digest, created_at=now)
        .on_conflict_do_nothing()
    )
    found = session.get(IdempotencyKey, (scope, key), with_for_update=True)
    if found is None or found.request_hash != digest:
        raise IdempotencyKeyReused(key)
    return found.answer


def remember(session: Session, *, scope: str, key: str, answer: dict[str, Any]) -> None:
    """Keeps the answer for repeats, for a day."""
    session.execute(
        update(IdempotencyKey).where(IdempotencyKey.scope == scope, IdempotencyKey.key == key).values(answer=answer)
    )


def forget_old(session: Session, *, now: datetime) -> int:
    """Removes the answers that nobody will ask for again, and returns how many."""
    removed = session.execute(
        delete(IdempotencyKey).where(IdempotencyKey.created_at < now - KEPT_FOR).returning(IdempotencyKey.key)
    )
    return len(removed.all())
