"""Requests that may be repeated. What happens at once is in test_edits_at_once."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy.orm import Session

from db import idempotency
from db.errors import IdempotencyKeyReused
from tests.db.conftest import NOW, seconds


def first_answer(session: Session, request: Any = None, *, scope: str = "s", now: Any = NOW) -> Any:
    return idempotency.first_answer(session, scope=scope, key="k", request=request, now=now)


def test_a_repeat_gets_the_first_answer(session: Session) -> None:
    assert first_answer(session, {"b": 1, "a": [2]}) is None
    idempotency.remember(session, scope="s", key="k", answer={"id": "x", "n": None})
    assert first_answer(session, {"a": [2], "b": 1}) == {"id": "x", "n": None}


def test_a_key_belongs_to_one_request_in_one_scope(session: Session) -> None:
    assert first_answer(session, {"a": 1}) is None
    with pytest.raises(IdempotencyKeyReused, match="'k'"):
        first_answer(session, {"a": 2})
    assert first_answer(session, {"a": 2}, scope="other") is None


def test_answers_are_kept_for_a_day(session: Session) -> None:
    first_answer(session)
    idempotency.remember(session, scope="s", key="k", answer={})
    assert idempotency.forget_old(session, now=NOW + timedelta(days=1)) == 0
    assert first_answer(session) == {}
    assert idempotency.forget_old(session, now=NOW + timedelta(days=1) + seconds(1)) == 1
    session.expire_all()
    assert first_answer(session) is None
