"""The reconciler's passes, made one at a time against a real Prefect server and a real catalogue."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import httpx
import pytest

from db import task_views, tasks
from db.engine import Catalogue
from db.sealing import KEYS
from db.specs import parse_task
from db.task_views import TaskView
from reconciler.comparison import reconcile_everything
from reconciler.posting import Posting
from reconciler.prefect import Prefect
from reconciler.tasks import deploy_changes
from reconciler.telling import Telling
from tests.prefect_server import PrefectServer
from tests.reconciler.office import KEY, Mailbox, Office, receiving

Serve = Callable[[Callable[[socket.socket], None]], str]


def now() -> datetime:
    return datetime.now(UTC)


@dataclass
class World:
    """A catalogue and a Prefect server, both empty at first, and a person at each of them."""

    catalogue: Catalogue
    prefect: Prefect
    http: httpx.Client

    def create(self, name: str = "backup", **changes: Any) -> UUID:
        document: dict[str, Any] = {
            "name": name,
            "kind": "shell",
            "action": {"command": "true"},
            "schedule": {"kind": "cron", "cron": "0 2 * * *", "timezone": "Europe/Berlin"},
        }
        with self.catalogue.transaction() as session:
            return tasks.create_task(session, parse_task(document | changes), actor="test", now=now())

    def deployed(self, name: str = "backup", **changes: Any) -> TaskView:
        """A new task that Prefect has."""
        task_id = self.create(name, **changes)
        deploy_changes(self.catalogue, self.prefect)
        return self.task(task_id)

    def task(self, task_id: UUID) -> TaskView:
        with self.catalogue.transaction() as session:
            return task_views.get_task(session, task_id, now=now())

    def edit(self, task_id: UUID, **changes: Any) -> None:
        before = self.task(task_id)
        spec = parse_task({**before.spec.model_dump(mode="json", by_alias=True), **changes})
        with self.catalogue.transaction() as session:
            tasks.replace_task(session, task_id, spec, seen_version=before.version, actor="test", now=now())

    def agree(self) -> int:
        """One comparison of everything."""
        return reconcile_everything(self.catalogue, self.prefect)

    def deployment(self, task: TaskView) -> Any:
        return self.call("GET", f"/deployments/{task.deployment_id}")

    def calls(self) -> list[str]:
        """What is asked of Prefect from now on, as "METHOD /path"."""
        asked: list[str] = []
        call = self.prefect._call

        def counted(method: str, path: str, json: Any = None) -> Any:
            asked.append(f"{method} {path}")
            return call(method, path, json)

        self.prefect._call = counted  # type: ignore[method-assign]
        return asked

    def call(self, method: str, path: str, json: Any = None) -> Any:
        """What a person does in Prefect."""
        answer = self.http.request(method, path, json=json).raise_for_status()
        return answer.json() if answer.content else None


@pytest.fixture
def world(catalogue: Catalogue, prefect_server: PrefectServer) -> Iterator[World]:
    prefect = Prefect(prefect_server.url)
    with httpx.Client(base_url=prefect_server.url, timeout=20) as http:
        world = World(catalogue, prefect, http)
        world.agree()  # the server gets its marker
        yield world
    prefect.close()


@pytest.fixture
def serve() -> Iterator[Serve]:
    """A server on a port of its own that answers each connection as it is told."""
    listening: list[socket.socket] = []

    def at(answer: Callable[[socket.socket], None]) -> str:
        server = socket.create_server(("127.0.0.1", 0))
        listening.append(server)

        def accept() -> None:
            with suppress(OSError):
                while True:
                    threading.Thread(target=one, args=(server.accept()[0],), daemon=True).start()

        def one(client: socket.socket) -> None:
            with client, suppress(OSError):
                client.recv(65536)
                answer(client)

        threading.Thread(target=accept, daemon=True).start()
        return f"http://127.0.0.1:{server.getsockname()[1]}/api"

    yield at
    for each in listening:
        each.close()


@pytest.fixture
def mailbox() -> Iterator[Mailbox]:
    with receiving() as box:
        yield box


@pytest.fixture
def office(catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch) -> Iterator[Office]:
    monkeypatch.setenv(KEYS, KEY)
    posting, telling = Posting(catalogue, lambda: True), Telling(catalogue, lambda: True, base_url="http://here:3000")
    yield Office(catalogue, posting, telling)
    posting.stop()
    telling.stop()
