"""Prefect's answers, whatever they are: each is sorted, and none takes longer, or more memory, than it may."""

import socket
import threading
import time
from collections.abc import Callable
from contextlib import closing

import httpx
import pytest

from reconciler import answers
from reconciler.answers import AnswerTooLarge, PrefectRefused, PrefectUnavailable, sorted_out
from reconciler.deadlines import TookTooLong, within
from reconciler.prefect import Prefect
from reconciler.transport import with_deadlines
from tests.reconciler.conftest import Serve

OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


def saying(data: bytes) -> Callable[[socket.socket], None]:
    return lambda client: client.sendall(data)


def document(body: bytes) -> bytes:
    return OK + b"Content-Length: %d\r\n\r\n%s" % (len(body), body)


def asked(url: str) -> object:
    with with_deadlines(httpx.Client(base_url=url)) as http:
        return answers.call(http, "POST", "/flows/", {"name": "x"})


@pytest.mark.parametrize("status", [500, 502, 503, 504, 599, 408, 425, 429, 401, 403, 301, 307])
def test_what_may_be_otherwise_later_is_away(status: int) -> None:
    with pytest.raises(PrefectUnavailable):
        sorted_out(status, b'{"detail": "why"}')


@pytest.mark.parametrize("status", [400, 404, 405, 409, 413, 422])
def test_what_is_about_the_one_thing_is_refused_with_the_reason(status: int) -> None:
    with pytest.raises(PrefectRefused, match="why") as refused:
        sorted_out(status, b'{"detail": "why"}')
    assert refused.value.status == status


@pytest.mark.parametrize("body", [b"<html>", b"{", b"\xff", b"[" * 100_000], ids=["html", "half", "binary", "deep"])
def test_garbage_is_away_and_may_be_about_one_thing_alone(body: bytes) -> None:
    with pytest.raises(PrefectUnavailable) as away:
        sorted_out(200, body)
    assert away.value.answered


@pytest.mark.parametrize("value", [float("nan"), {1, 2}, "\udcff"], ids=["nan", "set", "surrogate"])
def test_what_cannot_be_sent_is_refused(value: object) -> None:
    with httpx.Client() as http, pytest.raises(PrefectRefused):
        answers.call(http, "POST", "http://127.0.0.1:9/", {"it": value})


def drip(client: socket.socket) -> None:
    while True:
        client.sendall(b"X-Drop: 1\r\n")
        time.sleep(0.05)


@pytest.mark.parametrize(
    "first", [b"HTTP/1.1 200 OK\r\n", OK + b"Content-Length: 100000\r\n\r\n"], ids=["head", "body"]
)
def test_an_answer_that_drips_ends_when_its_time_is_over(
    serve: Serve, first: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answers, "CALL_SECONDS", 0.5)

    def slowly(client: socket.socket) -> None:
        client.sendall(first)
        drip(client)

    began = time.monotonic()
    with pytest.raises(PrefectUnavailable):
        asked(serve(slowly))
    assert time.monotonic() - began < 15


def test_a_call_has_no_longer_than_the_work_that_makes_it(serve: Serve) -> None:
    began = time.monotonic()
    with pytest.raises(TookTooLong, match="Pass x takes longer"), within(0.3, "Pass x"):
        asked(serve(drip))
    assert time.monotonic() - began < 15


def test_a_name_that_is_never_resolved_ends_too(monkeypatch: pytest.MonkeyPatch) -> None:
    never = threading.Event()
    monkeypatch.setattr("reconciler.transport.socket.getaddrinfo", lambda *_, **__: never.wait(20) and [])
    monkeypatch.setattr(answers, "CALL_SECONDS", 0.2)
    with pytest.raises(PrefectUnavailable, match="not resolved in time"):
        asked("http://prefect.example/api")
    never.set()


def test_an_answer_that_is_too_large_is_not_kept(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "LARGEST_ANSWER", 100_000)
    with pytest.raises(AnswerTooLarge):
        asked(serve(saying(document(b'"' + b"x" * 200_000 + b'"'))))


def test_one_thing_that_is_too_large_does_not_hide_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    everything = [{"id": number} for number in range(450)]
    prefect = Prefect("http://127.0.0.1:9/api")
    prefect.close()

    def call(_method: str, _path: str, query: dict[str, int]) -> object:
        page = everything[query["offset"] : query["offset"] + query["limit"]]
        if {"id": 77} in page:
            raise AnswerTooLarge(answers.LARGEST_ANSWER)
        return page

    monkeypatch.setattr(prefect, "_call", call)
    listed = [one["id"] for one in prefect.deployments()]
    assert listed == [number for number in range(450) if number != 77]


def test_a_document_that_is_not_made_as_expected_is_garbage(serve: Serve) -> None:
    for body in (b"[]", b"{}", b'{"id": 7}', b'"x"', b"null"):
        with closing(Prefect(serve(saying(document(body))))) as prefect, pytest.raises(PrefectUnavailable) as away:
            prefect.flow_id("x")
        assert away.value.answered


def test_since_when_it_is_silent_is_known_and_ends_with_any_answer(serve: Serve) -> None:
    with closing(Prefect("http://127.0.0.1:9/api")) as nowhere:
        for _ in range(2):
            with pytest.raises(PrefectUnavailable):
                nowhere.flow_id("x")
        since = nowhere.silent_since
    assert since is not None
    with closing(Prefect(serve(saying(b"HTTP/1.1 409 Conflict\r\nContent-Length: 2\r\n\r\n{}")))) as there:
        there.silent_since = since
        with pytest.raises(PrefectRefused):
            there.flow_id("x")
        assert there.silent_since is None
