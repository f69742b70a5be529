"""Whatever is sent, the API answers as its own description says: calls, and chains of calls, made by schemathesis."""

from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.specs.openapi import checks
from starlette.applications import Starlette
from starlette.routing import Mount

from dashboard.api.app import create_api
from dashboard.live import Hub
from db.engine import Catalogue
from db.sealing import KEYS, new_key
from tests.conftest import FreshDatabase
from tests.doors import let_in

WITHOUT_END = "/events"
"""A listener is kept; `test_events.py` listens."""


def breaks_nothing(_context: Any, response: Any, _case: Any) -> None:
    """503 says that a part is away, and is described; every other status from 500 on says that something broke."""
    assert response.status_code < 500 or response.status_code == 503, response.text


EXPECTED = [
    breaks_nothing,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
]
QUIET = settings(max_examples=6, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))


@pytest.fixture(scope="module")
def described(fresh_database: FreshDatabase, migrated: str) -> Iterator[Any]:
    with pytest.MonkeyPatch.context() as patch, fresh_database(template=migrated) as url:
        patch.setenv(KEYS, new_key())
        catalogue = Catalogue(url, application_name="duetime-test")
        app = let_in(Starlette(routes=[Mount("/api", create_api(catalogue, Hub(url)))]))
        yield schemathesis.openapi.from_asgi("/api/openapi.json", app).exclude(path=WITHOUT_END)
        catalogue.close()


schema = schemathesis.pytest.from_fixture("described")


@schema.parametrize()
@QUIET
def test_every_answer_is_one_that_is_described(case: "schemathesis.Case[Any]") -> None:
    case.call_and_validate(checks=EXPECTED)


def test_what_one_call_answers_is_good_for_the_next(described: Any) -> None:
    class Chained(described.as_state_machine()):  # type: ignore[misc]
        def validate_response(self, response: Any, case: Any, **_: Any) -> None:
            case.validate_response(response, checks=EXPECTED)

    Chained.run(settings=settings(QUIET, max_examples=8, stateful_step_count=8))
