"""The messenger at work: posts to a real server, messages through Apprise to a real server, on a real catalogue."""

import hmac
import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import select, update

from db import channels, runs, tasks, webhooks
from db.engine import Catalogue
from db.runs import Ending, RunKey
from db.sealing import KEYS, Sealer, new_key
from db.specs import parse_task
from db.states import Mark, RunState, Trigger
from db.tables import Channel, Delivery, Event, ProblemMark
from reconciler import messenger as under_test
from reconciler.careful import careful_client
from reconciler.messenger import Messenger
from tests.db.conftest import document
from tests.reconciler.conftest import now
from tests.waiting import until_told, wait_until

KEY = new_key()


@dataclass
class Mailbox:
    """A server that is posted to."""

    url: str
    status: int = 200
    got: list[tuple[dict[str, str], str]] = field(default_factory=list)

    @property
    def documents(self) -> list[dict[str, Any]]:
        return [json.loads(body) for _, body in self.got]


@pytest.fixture
def mailbox() -> Iterator[Mailbox]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            box.got.append(({name.lower(): text for name, text in self.headers.items()}, body))
            self.send_response(box.status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    box = Mailbox(f"http://127.0.0.1:{server.server_port}/hook")
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield box
    server.shutdown()
    server.server_close()
    thread.join(5)


@dataclass
class Office:
    """The messenger, and what happens around it."""

    catalogue: Catalogue
    messenger: Messenger

    def round(self) -> None:
        until_told(self.catalogue)
        with careful_client() as client, ThreadPoolExecutor(2) as posts:
            self.messenger.one_round(client, posts)

    def webhook(self, url: str, *types: str) -> str:
        with self.catalogue.transaction() as session:
            wish = webhooks.Wish(f"hook {uuid4()}", url, types)
            return webhooks.add(session, wish, sealer=Sealer([KEY]), actor="ada", now=now())[1]

    def channel(self, address: str, **wish: Any) -> UUID:
        with self.catalogue.transaction() as session:
            asked = channels.Wish(f"channel {uuid4()}", address, **wish)
            return channels.add(session, asked, sealer=Sealer([KEY]), actor="ada", now=now()).id

    def see(self, channel_id: UUID) -> Channel:
        with self.catalogue.transaction() as session:
            return channels.get(session, channel_id)

    def task(self, name: str = "backup", **changes: Any) -> UUID:
        spec = parse_task(document(name=name, schedule={"kind": "manual"}, **changes))
        with self.catalogue.transaction() as session:
            return tasks.create_task(session, spec, actor="ada", now=now())

    def run(self, task_id: UUID, state: RunState, *, error: str | None = None) -> None:
        """A run that ended so."""
        key, at = RunKey(uuid4(), now()), now()
        with self.catalogue.transaction() as session:
            given = {"task_id": task_id, "task_name": "backup", "task_version": 1, "trigger": Trigger.MANUAL.value}
            runs.insert_run(session, key, **given, state="pending", attempt=1, reported=True)
        with self.catalogue.transaction() as session:
            runs.end_unclaimed(session, key, Ending(state, at, error=error))

    def a_while_later(self) -> None:
        """What happened so far happened a while ago."""
        with self.catalogue.transaction() as session:
            session.execute(update(Event).values(at=Event.at - timedelta(minutes=1)))


@pytest.fixture
def office(catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch) -> Office:
    monkeypatch.setenv(KEYS, KEY)
    return Office(catalogue, Messenger(catalogue, leads=lambda: True, base_url="http://here:3000"))


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
    monkeypatch.setattr(webhooks, "RETRIED_AFTER", (timedelta(hours=1),) * len(webhooks.RETRIED_AFTER))
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


def test_the_thread_posts_soon_and_only_while_it_leads(
    catalogue: Catalogue, mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(KEYS, KEY)
    leads = [False]
    office = Office(catalogue, Messenger(catalogue, leads=lambda: leads[0]).start())
    try:
        office.webhook(mailbox.url, "task.created")
        office.task()
        leads[0] = True
        wait_until(lambda: mailbox.got, "the post")
    finally:
        office.messenger.stop()
    assert len(mailbox.got) == 1
