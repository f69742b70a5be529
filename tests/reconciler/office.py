"""Who gets posts and messages in tests, and what there is to be told of: real servers, a real catalogue."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import update

from db import channels, runs, tasks, webhooks
from db.engine import Catalogue
from db.runs import Ending, RunKey
from db.sealing import Sealer, new_key
from db.specs import parse_task
from db.states import RunState, Trigger
from db.tables import Channel, Event, Webhook
from reconciler.clock import now
from reconciler.posting import Posting
from reconciler.telling import Telling
from tests.db.conftest import document
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


@contextmanager
def receiving() -> Iterator[Mailbox]:
    """A server that is there for the block."""

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
    """Who posts and who tells, and what happens around them."""

    catalogue: Catalogue
    posting: Posting
    telling: Telling

    def round(self) -> None:
        """Everything that is to go out now, until it has."""
        until_told(self.catalogue)
        self.posting.step()
        self.telling.step()
        self.until_out()

    def until_out(self) -> None:
        wait_until(lambda: not self.posting._under_way and not self.telling._sends._since, "all to be out", every=0.02)

    def see_webhook(self) -> Webhook:
        """The only one."""
        with self.catalogue.transaction() as session:
            return session.query(Webhook).one()

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
