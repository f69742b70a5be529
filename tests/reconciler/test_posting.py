"""Posting to webhooks, to real servers: whatever one does, the others get theirs, and people hear all the same."""

import hmac
import json
import socket
import threading
import time
from collections.abc import Callable
from datetime import timedelta

import pytest
from sqlalchemy import select, update

from db import deliveries
from db.engine import Catalogue
from db.sealing import KEYS
from db.states import RunState
from db.tables import Delivery, Webhook
from reconciler import posting as under_test
from reconciler.posting import Posting
from reconciler.telling import Telling
from tests.reconciler.conftest import Serve, now
from tests.reconciler.office import KEY, Mailbox, Office
from tests.waiting import wait_until


def test_an_event_is_posted_signed(office: Office, mailbox: Mailbox) -> None:
    key = office.webhook(mailbox.url, "task.created")
    office.task()
    office.round()
    office.round()
    ((headers, body),) = mailbox.got
    assert json.loads(body)["type"] == "task.created"
    assert headers["duetime-event"] == "task.created"
    second, digest = (part.partition("=")[2] for part in headers["duetime-signature"].split(","))
    assert digest == hmac.new(key.encode(), f"{second}.{body}".encode(), "sha256").hexdigest()


def test_what_is_not_taken_is_kept_with_why(office: Office, mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deliveries, "RETRIED_AFTER", (timedelta(hours=1),) * len(deliveries.RETRIED_AFTER))
    mailbox.status = 500
    office.webhook(mailbox.url)
    office.webhook("http://127.0.0.1:9/")
    office.webhook("http://169.254.169.254/latest")
    office.task()
    office.round()
    with office.catalogue.transaction() as session:
        found = session.scalars(select(Delivery).order_by(Delivery.id)).all()
    assert {one.status for one in found} == {500, None}
    said = " ".join(one.error or "" for one in found)
    for words in ("Answered 500.", "127.0.0.1:9", "where a machine tells its credentials"):
        assert words in said
    assert all(one.next_at is not None and one.attempts == 1 for one in found)
    office.round()
    assert len(mailbox.got) == 1


def test_it_posts_soon_and_only_while_it_leads(
    catalogue: Catalogue, mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(KEYS, KEY)
    leads = [False]
    office = Office(catalogue, Posting(catalogue, lambda: leads[0]), Telling(catalogue, lambda: False))
    loop = office.posting.loop().start()
    try:
        office.webhook(mailbox.url, "task.created")
        office.task()
        leads[0] = True
        wait_until(lambda: mailbox.got, "the post")
    finally:
        loop.stop()
        office.posting.stop()
    assert len(mailbox.got) == 1


def silent(client: socket.socket) -> None:
    client.recv(1)  # until the other side hangs up


def dripping(client: socket.socket) -> None:
    while True:
        client.sendall(b"X-Drop: 1\r\n")
        time.sleep(0.02)


def redirecting(client: socket.socket) -> None:
    client.sendall(b"HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\n\r\n")


def garbling(client: socket.socket) -> None:
    client.sendall(b"\0" * 1000)


def hanging_up(client: socket.socket) -> None:
    client.close()


STRANGE = (silent, dripping, redirecting, garbling, hanging_up)


@pytest.mark.parametrize("strange", STRANGE, ids=[each.__name__ for each in STRANGE])
def test_a_strange_webhook_holds_neither_people_nor_another_webhook(
    office: Office,
    mailbox: Mailbox,
    serve: Serve,
    strange: Callable[[socket.socket], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(under_test, "POST_SECONDS", 0.3)
    office.webhook(serve(strange), "task.*")
    office.webhook(mailbox.url, "task.created")
    office.channel(mailbox.url.replace("http", "json"))
    for number in range(20):
        office.task(f"task {number}")
    office.run(office.task("failing"), RunState.FAILED)
    office.a_while_later()
    began = time.monotonic()
    office.telling.step()
    wait_until(lambda: any("title" in each for each in mailbox.documents), "people to be told")
    while sum("task_name" in each for each in mailbox.documents) < 21:
        office.round()
        assert time.monotonic() - began < 120
    with office.catalogue.transaction() as session:
        tried = session.scalars(select(Delivery).where(Delivery.error.is_not(None))).all()
    assert tried
    if strange is not redirecting:
        assert len(tried) <= under_test.POSTS_OF_EACH + 5, "the rest waits"


def test_one_that_is_silent_is_tried_by_one_probe_at_growing_intervals_and_gets_all_when_it_answers(
    office: Office, mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    office.webhook("http://127.0.0.1:9/", "task.created")
    for number in range(10):
        office.task(f"task {number}")
    office.round()
    failing = office.see_webhook()
    assert failing.failing_since is not None
    assert "127.0.0.1:9" in (failing.error or "")
    assert attempts(office) == under_test.POSTS_OF_EACH
    later, intervals = now(), []
    monkeypatch.setattr(under_test, "now", lambda: later)
    for _ in range(8):
        office.round()
        tried = attempts(office)
        probe_at = office.see_webhook().probe_at
        assert probe_at is not None
        intervals.append(probe_at - later)
        later = probe_at
        office.round()
        assert attempts(office) == tried + 1
    assert intervals == sorted(intervals)
    assert intervals[-1] == deliveries.PROBED_AFTER_AT_MOST
    with office.catalogue.transaction() as session:
        session.execute(update(Webhook).values(url=mailbox.url))
    later += timedelta(days=1)
    for _ in range(5):
        office.round()
    assert len(mailbox.got) == 10
    well = office.see_webhook()
    assert (well.failures, well.failing_since, well.probe_at, well.error) == (0, None, None, None)


def attempts(office: Office) -> int:
    with office.catalogue.transaction() as session:
        return sum(session.scalars(select(Delivery.attempts)))


def test_what_is_meant_for_one_that_never_answers_is_bounded_and_given_up_with_a_reason(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deliveries, "WAITING_AT_MOST", 5)
    monkeypatch.setattr(deliveries, "EVENTS_AT_ONCE", 3)
    office.webhook("http://127.0.0.1:9/", "task.created")
    for number in range(20):
        office.task(f"task {number}")
    for _ in range(10):
        office.round()
    with office.catalogue.transaction() as session:
        assert len(session.scalars(select(Delivery)).all()) == 6, "the rest waits as events"
        session.execute(update(Delivery).values(created_at=now() - timedelta(hours=25)))
        deliveries.give_up(session, now=now())
    with office.catalogue.transaction() as session:
        assert set(session.scalars(select(Delivery.error).where(Delivery.next_at.is_(None)))) == {deliveries.GIVEN_UP}


def test_an_error_about_one_delivery_is_not_taken_for_silence(office: Office, mailbox: Mailbox) -> None:
    office.webhook(mailbox.url, "task.created")
    mailbox.status = 422
    for number in range(10):
        office.task(f"task {number}")
    for _ in range(4):
        office.round()
    assert len(mailbox.got) == 10
    assert office.see_webhook().failing_since is None


def test_a_key_that_cannot_be_opened_keeps_no_other_webhook(office: Office, mailbox: Mailbox) -> None:
    office.webhook("http://127.0.0.1:9/", "task.created")
    with office.catalogue.transaction() as session:
        session.execute(update(Webhook).values(signing_key=b"not sealed"))
    office.webhook(mailbox.url, "task.created")
    office.task()
    office.round()
    assert len(mailbox.got) == 1
    with office.catalogue.transaction() as session:
        assert session.scalars(select(Webhook.error).where(Webhook.error.is_not(None))).one()


def test_the_number_of_threads_is_bounded_whatever_many_webhooks_are_silent(
    office: Office, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(under_test, "POST_SECONDS", 3.0)
    url = serve(silent)
    for _ in range(30):
        office.webhook(url, "task.created")
    for number in range(5):
        office.task(f"task {number}")
    most = 0
    for _ in range(5):
        office.posting.step()
        most = max(most, sum(each.name == "reconciler.post" for each in threading.enumerate()))
    assert most <= under_test.POSTS_AT_ONCE
    office.until_out()
