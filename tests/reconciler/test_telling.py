"""Telling people, through Apprise and a real server: whatever becomes of one channel, the others are told."""

import threading
from datetime import timedelta

import pytest
from sqlalchemy import text, update

from db import channels
from db.states import Mark, RunState
from db.tables import Channel, ProblemMark
from reconciler import sending
from reconciler import telling as under_test
from reconciler.alerts import Message
from reconciler.sending import Sends
from tests.reconciler.conftest import now
from tests.reconciler.office import Mailbox, Office
from tests.waiting import until_told, wait_until


def test_people_are_told_once_of_what_happened_together(office: Office, mailbox: Mailbox) -> None:
    channel = office.channel(mailbox.url.replace("http", "json"))
    for number in range(3):
        office.run(
            office.task(f"task {number}"), RunState.CRASHED, error="Worker w1 was last heard of at 12:00:00 UTC."
        )
    office.round()
    assert mailbox.got == []  # others may follow
    office.a_while_later()
    office.round()
    office.round()
    (message,) = mailbox.documents
    assert message["title"] == "3 tasks crashed"
    assert "Worker w1 was last heard of" in message["message"]
    assert office.see(channel).sent_at is not None


def test_failures_in_a_row_and_recovery(office: Office, mailbox: Mailbox) -> None:
    office.channel(mailbox.url.replace("http", "json"), after_failures=2)
    task = office.task()
    for state in (RunState.FAILED, RunState.FAILED, RunState.FAILED, RunState.COMPLETED, RunState.COMPLETED):
        office.run(task, state, error="Exited with code 1." if state is RunState.FAILED else None)
        office.a_while_later()
        office.round()
    assert [message["title"] for message in mailbox.documents] == [
        "backup failed 2 times in a row",
        "backup is well again after 3 failures",
    ]


def test_a_message_that_does_not_go_out_goes_later_with_what_happened_meanwhile(
    office: Office, mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    channel = office.channel(mailbox.url.replace("http", "json"))
    mailbox.status = 500
    office.run(office.task("one"), RunState.FAILED, error="Full.")
    office.a_while_later()
    office.round()
    assert "It was not taken" in (office.see(channel).error or "")
    tried = len(mailbox.got)
    office.round()
    assert len(mailbox.got) == tried  # not before a minute is over
    mailbox.status, later = 200, now() + timedelta(minutes=2)
    office.run(office.task("two"), RunState.FAILED, error="Full.")
    monkeypatch.setattr(under_test, "now", lambda: later)
    office.round()
    assert mailbox.documents[-1]["title"] == "2 tasks failed"
    assert office.see(channel).error is None


def test_in_quiet_hours_nothing_goes_out_and_nothing_is_lost(
    office: Office, mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    at = now()
    begin, end = ((at + timedelta(minutes=minutes)).time().replace(tzinfo=None) for minutes in (-5, 30))
    office.channel(mailbox.url.replace("http", "json"), quiet_from=begin, quiet_to=end)
    office.run(office.task(), RunState.FAILED)
    office.a_while_later()
    office.round()
    assert mailbox.got == []
    monkeypatch.setattr(under_test, "now", lambda: at + timedelta(minutes=31))
    office.round()
    assert [message["title"] for message in mailbox.documents] == ["backup failed"]


def test_what_is_muted_is_not_told(office: Office, mailbox: Mailbox) -> None:
    office.channel(mailbox.url.replace("http", "json"))
    task = office.task()
    with office.catalogue.transaction() as session:
        session.add(ProblemMark(key=f"failing:{task}", mark=Mark.MUTED, marked_at=now(), actor="ada"))
    office.run(task, RunState.FAILED)
    office.a_while_later()
    office.round()
    assert mailbox.got == []


def test_a_channel_is_tried_by_a_button(office: Office, mailbox: Mailbox) -> None:
    good, bad = office.channel(mailbox.url.replace("http", "json")), office.channel("json://127.0.0.1:9/")
    for one in (good, bad):
        with office.catalogue.transaction() as session:
            channels.ask_for_test(session, one, now=now())
    office.round()
    assert [message["title"] for message in mailbox.documents] == ["Duetime can reach you"]
    assert office.see(good).sent_at is not None
    assert office.see(bad).error is not None
    assert office.see(bad).test_asked_at is None


def test_a_way_that_never_returns_is_seen_and_holds_no_other_channel(
    office: Office, mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending, "SEND_SECONDS", 0.5)
    returns, by_apprise = threading.Event(), sending.send_by_apprise

    def send(address: str, message: Message) -> bool:
        return returns.wait(60) if address.startswith("hangs") else by_apprise(address, message)

    office.telling.send = send
    hangs, fine = office.channel("hangs://here"), office.channel(mailbox.url.replace("http", "json"))
    for title in ("first", "second"):
        office.run(office.task(title), RunState.FAILED, error=title)
        office.a_while_later()
        until_told(office.catalogue)

        def told(title: str = title) -> bool:
            office.telling.step()
            return f"{title} failed" in [each["title"] for each in mailbox.documents]

        wait_until(told, title)
    wait_until(lambda: office.telling.step() or office.see(hangs).error, "it to be seen")  # type: ignore[func-returns-value]
    assert "hangs" in (office.see(hangs).error or "")
    wait_until(lambda: list(office.telling._sends._since) == [hangs], "one thread for it, and no other")
    assert office.see(fine).error is None
    returns.set()
    office.until_out()
    assert office.see(hangs).error is None, "it has arrived after all"


def test_there_are_never_more_threads_than_allowed_however_many_ways_hang(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending, "SENDS_AT_ONCE", 3)
    returns, sends = threading.Event(), Sends()

    def hang() -> None:
        returns.wait(60)

    begun = [sends.begin(key, hang) for key in (1, 1, 2, 3, 4)]
    assert begun == [True, False, True, True, False]
    returns.set()
    wait_until(lambda: sends.begin(4, lambda: None), "room")


SPOILT = {"timezone": "Nowhere/Land", "address": b"not sealed", "about": ["nothing"], "tags": ["\t"]}


@pytest.mark.parametrize("column", SPOILT)
def test_a_channel_that_is_spoilt_keeps_no_other_one_from_being_told(
    office: Office, mailbox: Mailbox, column: str
) -> None:
    spoilt, _fine = (office.channel(mailbox.url.replace("http", "json"), quiet_from=None) for _ in range(2))
    with office.catalogue.transaction() as session:
        session.execute(update(Channel).where(Channel.id == spoilt).values({column: SPOILT[column]}))
    office.run(office.task(), RunState.FAILED)
    office.a_while_later()
    office.round()
    assert "backup failed" in [each["title"] for each in mailbox.documents]


def test_a_task_that_is_spoilt_is_told_of_all_the_same(office: Office, mailbox: Mailbox) -> None:
    office.channel(mailbox.url.replace("http", "json"))
    for number, spec in enumerate(('{"schedule": {"timezone": "Nowhere/Land"}}', '{"schedule": 7}')):
        task = office.task(f"task {number}")
        with office.catalogue.transaction() as session:
            session.execute(
                text("UPDATE tasks SET spec = spec || CAST(:b AS jsonb) WHERE id = :id"), {"b": spec, "id": task}
            )
        office.run(task, RunState.FAILED, error=f"reason {number}")
    office.a_while_later()
    office.round()
    assert {each["title"] for each in mailbox.documents} == {"task 0 failed", "task 1 failed"}


def test_one_that_loses_the_lease_tells_no_more(office: Office, mailbox: Mailbox) -> None:
    led = iter([True, True, False])
    office.telling.leads = lambda: next(led, False)
    channel = office.channel(mailbox.url.replace("http", "json"))
    for number in range(2):
        office.run(office.task(f"task {number}"), RunState.FAILED, error=f"reason {number}")
    office.a_while_later()
    office.round()
    assert len(mailbox.got) == 1
    assert office.see(channel).sent_at is None, "the one that leads now tells all of it"
