"""Commands that may be repeated: with an `Idempotency-Key`, the first answer is given again."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from db import idempotency


def once(
    session: Session, *, scope: str, key: str | None, request: Any, now: datetime, do: Callable[[], dict[str, Any]]
) -> dict[str, Any]:
    """What `do` answers, or what it answered when the same request came first.

    A key belongs to one address: the same key for another task is another key. A command that fails leaves no trace
    of its key, so that it may be mended and sent again.

    Raises:
        IdempotencyKeyReused: the key came with another request.
    """
    if key is None:
        return do()
    first = idempotency.first_answer(session, scope=scope, key=key, request=request, now=now)
    if first is not None:
        return first
    answer = do()
    idempotency.remember(session, scope=scope, key=key, answer=answer)
    return answer
