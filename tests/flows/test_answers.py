"""What Prefect answers, sorted: it is away, it refuses this one thing, or it is read."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings
from psycopg import errors

from db import loops
from db.errors import CatalogueUnavailable
from db.prefect_answers import PrefectRefused, PrefectUnavailable, sorted_out
from db.sqlstates import Meaning
from flows import prefect_server
from flows.meanings import meaning_of
from flows.prefect_server import PrefectServer

NOON = datetime(2026, 11, 30, 12, tzinfo=UTC)
AWAY = [(status, b'{"detail": "no"}') for status in (401, 403, 408, 429, 500, 502, 503, 504, 507, 599)]
GARBAGE = [(200, b"<html>"), (404, b"<html>"), (200, b'{"a": '), (200, b"\xff\xfe"), (302, b""), (200, b"[" * 100_000)]


@pytest.mark.parametrize(("status", "content"), AWAY + GARBAGE)
def test_what_cannot_be_done_now_or_is_not_prefects_is_away(status: int, content: bytes) -> None:
    with pytest.raises(PrefectUnavailable) as failure:
        sorted_out(status, content)
    assert meaning_of(failure.value) is Meaning.AWAY
    assert len(str(failure.value)) < 500


@pytest.mark.parametrize("status", [400, 404, 405, 409, 422])
def test_a_refusal_is_about_what_was_asked(status: int) -> None:
    with pytest.raises(PrefectRefused, match="no such") as failure:
        sorted_out(status, b'{"detail": "no such thing"}')
    assert (meaning_of(failure.value), failure.value.status) == (Meaning.REFUSED, status)


def test_what_is_answered_well_is_read() -> None:
    assert sorted_out(200, b'{"a": 1}') == {"a": 1}
    assert sorted_out(204, b"") is None


def test_errors_of_the_catalogue_are_sorted_beside_those_of_prefect() -> None:
    assert meaning_of(CatalogueUnavailable()) is Meaning.AWAY
    assert meaning_of(errors.NumericValueOutOfRange("no")) is Meaning.REFUSED
    assert meaning_of(KeyError("no")) is Meaning.MISTAKE


def asking(answer: Callable[[httpx.Request], Any], ask: Callable[[PrefectServer], Any]) -> Any:
    """What comes of a question to a server that answers so."""

    async def story() -> Any:
        with temporary_settings({PREFECT_API_URL: "http://prefect/api"}):
            server = PrefectServer(pool="default", queues=())
        await server.close()
        server._http = httpx.AsyncClient(transport=httpx.MockTransport(answer), base_url="http://prefect/api")
        try:
            return await ask(server)
        finally:
            await server.close()

    return asyncio.run(story())


QUESTIONS: dict[str, Callable[[PrefectServer], Any]] = {
    "scheduled": lambda server: server.scheduled(before=NOON),
    "within limits": lambda server: server.scheduled_within_limits(before=NOON),
    "count": lambda server: server.count_scheduled([uuid4()]),
    "limits": lambda server: server.has_limits(),
    "stopped": lambda server: server.stopped_among([uuid4()]),
    "state": lambda server: server.set_state(uuid4(), kind="RUNNING", name="Running", message="", force=False),
}


@pytest.mark.parametrize("document", ["null", "3", '"x"', "[3]", '{"a": 1}', "[[]]", '{"status": 3, "state": 4}'])
@pytest.mark.parametrize("question", QUESTIONS)
def test_an_answer_of_another_shape_breaks_nothing(question: str, document: str) -> None:
    """It is read as nothing, or as an answer of somebody else."""
    with suppress(PrefectUnavailable):
        asking(lambda _: httpx.Response(200, text=document), QUESTIONS[question])


def run_document(**changes: Any) -> dict[str, Any]:
    return {
        "id": str(uuid4()), "deployment_id": str(uuid4()), "expected_start_time": "2026-11-30T12:00:00Z",
        "idempotency_key": None, "auto_scheduled": False, "parameters": {}, "work_queue_id": None,
    } | changes  # fmt: skip


POISONED: list[Any] = [
    run_document(expected_start_time=None),
    run_document(expected_start_time="yesterday"),
    run_document(parameters=[1]),
    run_document(id="x"),
    run_document(deployment_id=None),
    run_document(idempotency_key=7),
    {},
    None,
]


def test_a_run_that_cannot_be_read_is_left_out_and_seen_and_its_neighbours_are_offered() -> None:
    before = loops.failures().get("worker.offers", 0)
    good = [run_document() for _ in POISONED]
    page = [run for pair in zip(POISONED, good, strict=True) for run in pair]
    offered = asking(lambda _: httpx.Response(200, json=page), QUESTIONS["scheduled"])
    assert [one.offer.run_id for one in offered] == [UUID(run["id"]) for run in good]
    assert loops.failures()["worker.offers"] == before + len(POISONED)


def test_an_answer_without_end_and_one_that_never_comes_are_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prefect_server, "MOST_BYTES", 1000)
    monkeypatch.setattr(prefect_server, "CALL_SECONDS", 0.2)
    with pytest.raises(PrefectUnavailable, match="more than"):
        asking(lambda _: httpx.Response(200, content=b"x" * 2000), QUESTIONS["count"])

    async def never(_: httpx.Request) -> httpx.Response:
        await asyncio.Event().wait()
        raise AssertionError

    with pytest.raises(PrefectUnavailable, match="does not answer"):
        asking(never, QUESTIONS["count"])


@pytest.mark.parametrize("message", ["\ud800", float("nan"), object()], ids=["surrogate", "NaN", "object"])
def test_what_is_no_json_is_refused_before_it_is_sent(message: object) -> None:
    with pytest.raises(PrefectRefused):
        asking(lambda _: httpx.Response(200), lambda server: server.call("POST", "/x", {"message": message}))
