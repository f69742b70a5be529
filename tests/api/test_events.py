"""Events as a program hears them: from a real server, over a connection that stays open."""

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
import uvicorn
from sqlalchemy import text
from starlette.testclient import TestClient

from dashboard import event_feed
from dashboard.api.app import create_api
from dashboard.event_feed import Feed
from dashboard.live import Hub
from db import events
from db.engine import Catalogue
from db.events import Wanted
from tests.api.conftest import created, document
from tests.doors import let_in
from tests.system import free_port
from tests.waiting import wait_until

BEGINNING = "0-0"


@pytest.fixture
def server(catalogue: Catalogue) -> Iterator[httpx.Client]:
    """The API behind a port, with hints from the catalogue."""
    hub, port = Hub(catalogue.url), free_port()
    hub.start()
    serving = uvicorn.Server(uvicorn.Config(let_in(create_api(catalogue, hub)), port=port, log_level="warning"))
    thread = threading.Thread(target=serving.run)
    thread.start()
    wait_until(lambda: serving.started, "the server answers")
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=90) as client:
        yield client
    serving.should_exit = serving.force_exit = True
    thread.join()
    hub.stop()


class Heard(dict[str, Any]):
    """An event: `id`, and where it has any, `event` and `data`."""


def heard(answer: httpx.Response) -> Iterator[Heard]:
    """Events as a browser would understand them."""
    event = Heard()
    for line in answer.iter_lines():
        if line:
            name, _, value = line.partition(": ")
            event[name] = json.loads(value) if name == "data" else value
        elif event:
            yield event
            event = Heard()


@contextmanager
def listening(server: httpx.Client, last: str | None = None, **query: Any) -> Iterator[Iterator[Heard]]:
    headers = {"Last-Event-ID": last} if last else {}
    with server.stream("GET", "/events", headers=headers, params=query) as answer:
        assert answer.status_code == 200, answer.read()
        assert answer.headers["content-type"].startswith("text/event-stream")
        yield heard(answer)


def told(found: Iterator[Heard]) -> Iterator[Heard]:
    return (event for event in found if "data" in event)


def create(server: httpx.Client, name: str) -> str:
    return str(server.post("/tasks", json=document(name=name)).raise_for_status().json()["id"])


def test_a_change_is_told_while_it_is_made(server: httpx.Client) -> None:
    with listening(server) as found:
        task_id = create(server, "backup")
        event = next(told(found))
    assert event["event"] == "task.created"
    assert event["data"] | {"at": ""} == {
        "id": event["id"],
        "type": "task.created",
        "at": "",
        "task_id": task_id,
        "task_name": "backup",
        "task_version": 1,
    }


def test_who_comes_back_has_missed_nothing(server: httpx.Client) -> None:
    with listening(server) as found:
        create(server, "a")
        last = next(told(found))["id"]
    for name in "bcd":
        create(server, name)
    with listening(server, last) as found:
        create(server, "e")
        news = told(found)
        assert [next(news)["data"]["task_name"] for _ in range(4)] == list("bcde")


def test_who_heard_nothing_yet_knows_where_it_was(server: httpx.Client) -> None:
    with listening(server) as found:
        hello = next(found)
    assert "data" not in hello
    create(server, "a")
    with listening(server, hello["id"]) as found:
        assert next(told(found))["data"]["task_name"] == "a"


def test_one_hears_what_one_asked_for(server: httpx.Client) -> None:
    mine, other = create(server, "mine"), create(server, "other")
    for task_id in (other, mine):
        server.post(f"/tasks/{task_id}/pause", json={}).raise_for_status()
        server.delete(f"/tasks/{task_id}").raise_for_status()
    with listening(server, BEGINNING, types="task.deleted,run.*", task_id=mine) as found:
        event = next(told(found))
    assert (event["event"], event["data"]["task_id"]) == ("task.deleted", mine)


def test_the_outcome_of_a_due_time_is_told(server: httpx.Client) -> None:
    every_second = {"kind": "cron", "cron": "* * * * * *", "timezone": "UTC"}
    task_id = server.post("/tasks", json=document(schedule=every_second)).raise_for_status().json()["id"]
    with listening(server, types="due_time.*") as found:
        server.post(f"/tasks/{task_id}/pause", json={}).raise_for_status()
        wait_until(lambda: _is_skipped(server, task_id), "a due time that the pause skips", every=0.5)
        data = next(told(found))["data"]
    assert (data["type"], data["outcome"], data["task_id"]) == ("due_time.skipped", "skipped", task_id)
    assert data["due_at"].endswith("Z")


def _is_skipped(server: httpx.Client, task_id: str) -> bool:
    """After a pause was ended and begun again."""
    for change in ("resume", "pause"):
        server.post(f"/tasks/{task_id}/{change}", json={}).raise_for_status()
    skipped = server.get(f"/tasks/{task_id}/due-times", params={"outcome": "skipped"})
    return bool(skipped.raise_for_status().json()["items"])


@pytest.mark.parametrize("last", ["x", "1", "1-2-3", "-"])
def test_an_id_that_is_none_is_refused(api: TestClient, last: str) -> None:
    answer = api.get("/events", headers={"Last-Event-ID": last})
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "Last-Event-ID")


@pytest.mark.parametrize("types", ["", "run", "run.", "everything.*", "run.failed,", "run.failed;task.*"])
def test_a_type_that_is_none_is_refused(api: TestClient, types: str) -> None:
    answer = api.get("/events", params={"types": types})
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "types")


def test_what_is_not_kept_any_more_is_said(api: TestClient, catalogue: Catalogue) -> None:
    with catalogue.transaction() as session:
        session.execute(text("UPDATE forgotten_events SET xid = 7"))
    answer = api.get("/events", headers={"Last-Event-ID": "6-1"})
    assert (answer.status_code, answer.json()["type"]) == (410, "urn:duetime:problem:events-forgotten")


def test_a_slow_listener_hears_everything_at_its_own_pace(
    api: TestClient, catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    task_id = created(api)["id"]
    monkeypatch.setattr(event_feed, "WAITING_AT_MOST", 50)
    monkeypatch.setattr(event_feed, "AT_ONCE", 20)
    monkeypatch.setattr(event_feed, "LOOK_SECONDS", 0.02)
    monkeypatch.setattr(event_feed, "GATHER_SECONDS", 0.01)

    def write(first: int) -> None:
        with catalogue.transaction() as session:
            session.execute(
                text(
                    "INSERT INTO events (type, task_id, version)"
                    " SELECT 'task.updated', :task_id, n FROM generate_series(:first, :first + 99) n"
                ),
                {"task_id": task_id, "first": first},
            )

    async def hear() -> list[int]:
        feed = Feed(catalogue, Hub(catalogue.url), events.as_json)
        chunks = feed.listen(await feed.start_of(None), Wanted())
        await anext(chunks)
        heard: list[int] = []
        for first in range(1000, 1500, 100):
            await asyncio.to_thread(write, first)
            await asyncio.sleep(0.1)  # it hears nothing meanwhile
        while len(heard) < 500:
            chunk = (await anext(chunks)).decode()
            heard += [json.loads(line[6:])["task_version"] for line in chunk.splitlines() if line.startswith("data: ")]
        await chunks.aclose()  # type: ignore[attr-defined]
        return heard

    assert asyncio.run(asyncio.wait_for(hear(), 60)) == list(range(1000, 1500))
