"""Texts: whatever they hold, PostgreSQL and JSON take them afterwards."""

import json

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from sqlalchemy import func, literal, select
from sqlalchemy.orm import Session

from db.texts import CUT, MOST, fit

ANYTHING = st.text(st.characters(), max_size=60)
"""Also NUL, control characters and lone surrogates, of which a file name that is no UTF-8 consists."""


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ANYTHING)
@example("a\0b")
@example("caf\udce9.csv")
@example("\ud83d")
def test_whatever_is_in_a_text_postgresql_and_json_take_it_as_it_is_then(session: Session, text: str) -> None:
    fitted = fit(text)
    assert session.scalar(select(func.concat(literal(fitted), ""))) == fitted
    assert json.loads(json.dumps(fitted, ensure_ascii=False).encode()) == fitted
    assert len(fitted) == len(text)
    assert fit(fitted) == fitted


def test_a_text_of_any_length_is_cut_and_says_so() -> None:
    for character in ("x", "\0", "ä", "\udcff"):
        fitted = fit(character * 10_000_000)
        assert len(fitted) == MOST + len(CUT)
        assert fitted.endswith(CUT)
