"""The accelerator against a real Prefect: what it writes is what the API writes, and the rest it leaves to the API."""

import asyncio
import json
import logging
import socket
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar
from uuid import UUID

import httpx
import psycopg
import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings
from psycopg.rows import DictRow, dict_row

from db.runs import RunKey
from db.states import FINAL_STATES, IN_PREFECT, RunState
from flows import accelerator_events, accelerator_proof
from flows.accelerator import Accelerator, accelerator_of
from flows.prefect_server import PrefectServer as Client
from flows.telling import Report
from tests.prefect_server import PrefectServer
from tests.waiting import wait_until

pytestmark = pytest.mark.xdist_group("prefect")

T = TypeVar("T")
Life = Sequence[tuple[RunState, str]]
Reports = dict[UUID, list[Report]]

LIVES: Mapping[str, Life] = {
    "completed": [(RunState.RUNNING, ""), (RunState.COMPLETED, "")],
    "failed": [(RunState.RUNNING, ""), (RunState.FAILED, "Exited with code 7.")],
    "failed at length": [(RunState.RUNNING, ""), (RunState.FAILED, "Zürich " * 30_000)],
    "timed out": [(RunState.RUNNING, ""), (RunState.TIMED_OUT, "It took longer than 5 s.")],
    "crashed": [(RunState.RUNNING, ""), (RunState.CRASHED, "The worker was lost.")],
    "cancelled": [(RunState.RUNNING, ""), (RunState.CANCELLED, "Cancelled.")],
    "retried": [
        (RunState.RUNNING, ""),
        (RunState.RETRYING, "Exited with code 7. Attempt 2 of 3 follows in 1.0 s."),
        (RunState.RUNNING, ""),
        (RunState.RETRYING, ""),
        (RunState.RUNNING, ""),
        (RunState.COMPLETED, ""),
    ],
    "stood down": [(RunState.CANCELLED, "Another run of the task goes on.")],
    "failed before it began": [(RunState.FAILED, "The task cannot have this run's parameters.")],
    "goes on": [(RunState.RUNNING, "")],
}


def now() -> datetime:
    return datetime.now(UTC)


@dataclass
class Place:
    """A Prefect server with one deployment, and its database."""

    server: PrefectServer
    http: httpx.Client
    database: "psycopg.Connection[DictRow]"
    flow_id: str
    deployment_id: str

    def call(self, method: str, path: str, json: Any = None) -> Any:
        answer = self.http.request(method, path, json=json).raise_for_status()
        return answer.json() if answer.content else None

    def run(self, *, due: datetime | None = None, deployment_id: str | None = None, **more: Any) -> UUID:
        """A new run that is scheduled."""
        state = {"type": "SCHEDULED", "state_details": {"scheduled_time": (due or now()).isoformat()}}
        document = {"state": state, "name": "twin", "tags": ["of run"], **more}
        return UUID(
            self.call("POST", f"/deployments/{deployment_id or self.deployment_id}/create_flow_run", document)["id"]
        )

    def set_state(self, run_id: UUID, kind: str, name: str | None = None, **more: Any) -> None:
        document = {"state": {"type": kind, "name": name or kind.capitalize()}, "force": True}
        document["state"] |= more  # type: ignore[operator]
        assert self.call("POST", f"/flow_runs/{run_id}/set_state", document)["status"] == "ACCEPT"

    def rows(self, query: str, *parameters: object) -> list[DictRow]:
        return self.database.execute(query, parameters).fetchall()

    def states(self, run_id: UUID) -> list[DictRow]:
        return self.rows("SELECT * FROM flow_run_state WHERE flow_run_id = %s ORDER BY timestamp", run_id)

    def row(self, run_id: UUID) -> DictRow:
        [row] = self.rows("SELECT * FROM flow_run WHERE id = %s", run_id)
        return row

    def names(self, run_id: UUID) -> list[str]:
        return [state["name"] for state in self.states(run_id)]

    def events(self, run_id: UUID) -> list[DictRow]:
        """Of what was reported."""
        return self.rows(
            """SELECT * FROM events WHERE resource_id = %s
               AND event NOT IN ('prefect.flow-run.Scheduled', 'prefect.flow-run.Late') ORDER BY occurred""",
            f"prefect.flow-run.{run_id}",
        )

    def wait_for_events(self, run_id: UUID, count: int) -> None:
        wait_until(lambda: len(self.events(run_id)) >= count, f"{count} events of the run")
        assert len(self.events(run_id)) == count

    def with_accelerator(
        self, work: Callable[[Accelerator], Awaitable[T]], database_url: str | None = None, queues: Sequence[str] = ()
    ) -> T:
        """What the work answers that is done with the accelerator of this server, which has posted everything then."""

        async def do() -> T:
            prefect = self.client(*queues)
            accelerator = await accelerator_of(database_url or self.server.database_url, prefect)
            assert accelerator is not None
            try:
                return await work(accelerator)
            finally:
                await accelerator.close()
                await prefect.close()

        return asyncio.run(do())

    def tell(self, *batches: Reports) -> list[set[UUID]]:
        """What the accelerator says to each batch."""

        async def tell_all(accelerator: Accelerator) -> list[set[UUID]]:
            return [await accelerator.tell(batch) for batch in batches]

        return self.with_accelerator(tell_all)

    def has_accelerator(self, database_url: str | None) -> bool:
        async def look() -> bool:
            prefect = self.client()
            accelerator = await accelerator_of(database_url, prefect)
            if accelerator is not None:
                await accelerator.close()
            await prefect.close()
            return accelerator is not None

        return asyncio.run(look())

    def client(self, *queues: str) -> Client:
        with temporary_settings({PREFECT_API_URL: self.server.url}):
            return Client(pool="workshop", queues=queues)


@pytest.fixture
def place(prefect_server: PrefectServer) -> Iterator[Place]:
    with (
        httpx.Client(base_url=prefect_server.url, timeout=20) as http,
        psycopg.connect(prefect_server.database_url, autocommit=True, row_factory=dict_row) as database,
    ):
        place = Place(prefect_server, http, database, "", "")
        place.call("POST", "/work_pools/", {"name": "workshop", "type": "warm"})
        place.flow_id = place.call("POST", "/flows/", {"name": "duetime", "tags": ["of flow", "of both"]})["id"]
        place.deployment_id = place.call("POST", "/deployments/", deployment(place.flow_id, "backup"))["id"]
        yield place


def deployment(flow_id: str, name: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "flow_id": flow_id, "work_pool_name": "workshop", "tags": ["of task", "of both"], **more}


def reports(run_id: UUID, life: Life, times: Sequence[datetime]) -> list[Report]:
    key = RunKey(run_id, times[0])
    return [Report(key, state, message, at) for (state, message), at in zip(life, times, strict=True)]


def lived(run_id: UUID, *states: RunState, message: str = "") -> Reports:
    """Reports of these states, the first one now, each a millisecond after the one before."""
    present = now()
    times = [present + timedelta(milliseconds=number) for number in range(len(states))]
    return {run_id: reports(run_id, [(state, message) for state in states], times)}


async def until(look: Callable[[], bool], push: Callable[[], Awaitable[object]], *, seconds: float = 15) -> None:
    """Pushes until it is so."""
    end = time.monotonic() + seconds
    while not look():
        assert time.monotonic() < end
        await push()
        await asyncio.sleep(0.02)


# What is written is what the API writes.


def test_rows_and_events_are_those_that_the_api_writes(place: Place) -> None:
    """The reports have the times at which the API's twin was told, so that every time has to be the same, too."""
    triplets = {
        name: triplets_of(place, life, late=number % 2 == 1) for number, (name, life) in enumerate(LIVES.items())
    }
    for name, life in LIVES.items():
        for run_id in triplets[name]:
            place.wait_for_events(run_id, len(life))
        by_api, one_by_one, together = (as_compared(place, run_id) for run_id in triplets[name])
        assert one_by_one == by_api, name
        assert together == by_api, name


def triplets_of(place: Place, life: Life, *, late: bool) -> list[UUID]:
    """Three runs that have lived the same: told over the API, report by report, and all at once."""
    due = now()
    by_api, one_by_one, together = triplets = [place.run(due=due) for _ in range(3)]
    if late:
        creator = {"id": place.deployment_id, "type": "DEPLOYMENT", "display_value": "backup"}
        place.database.execute(
            "UPDATE flow_run SET created_by = %s WHERE id = ANY(%s)", (json.dumps(creator), triplets)
        )
        for run_id in triplets:
            place.set_state(run_id, "SCHEDULED", "Late", state_details={"scheduled_time": due.isoformat()})
        place.database.execute(
            "UPDATE flow_run_state SET timestamp = timestamp - interval '1 hour' WHERE flow_run_id = ANY(%s)",
            (triplets,),
        )
    tell_over_api(place, by_api, life)
    times = [state["timestamp"] for state in place.states(by_api)][-len(life) :]
    singly = [{one_by_one: [report]} for report in reports(one_by_one, life, times)]
    whole = {together: reports(together, life, times)}
    assert place.tell(*singly, whole) == [*([{one_by_one}] * len(life)), {together}]
    return triplets


def tell_over_api(place: Place, run_id: UUID, life: Life) -> None:
    """As flows/telling.py does."""

    async def tell() -> None:
        prefect = place.client()
        for state, message in life:
            kind, name = IN_PREFECT[state]
            verdict = await prefect.set_state(
                run_id, kind=kind, name=name, message=message, force=state in FINAL_STATES
            )
            assert verdict.accepted
        await prefect.close()

    asyncio.run(tell())


def as_compared(place: Place, run_id: UUID) -> Any:
    """Everything that Prefect has of a run, but ids and the times at which rows were written or scheduled."""
    states = place.states(run_id)
    found: dict[str, Any] = {"run": place.row(run_id), "states": states, "events": place.events(run_id)}
    names = {str(run_id): "the run"} | {str(state["id"]): f"state {number}" for number, state in enumerate(states)}
    for row in (found["run"], *states, *found["events"]):
        for column in ("created", "updated", "received", "recorded"):
            row.pop(column, None)
        if row.get("type") == "SCHEDULED" or row.get("event") in (
            "prefect.flow-run.Scheduled",
            "prefect.flow-run.Late",
        ):
            for column in ("timestamp", "occurred", "resource"):
                row.pop(column, None)
    text = json.dumps(found, default=str, sort_keys=True)
    for id, name in names.items():
        text = text.replace(id, name)
    return json.loads(text)


def test_reports_have_their_order_and_their_true_times(place: Place) -> None:
    run_id = place.run()
    began = now() - timedelta(seconds=90)
    times = [began, began + timedelta(seconds=30), began + timedelta(seconds=30), began + timedelta(seconds=30)]
    life = [(RunState.RUNNING, ""), (RunState.RETRYING, ""), (RunState.RUNNING, ""), (RunState.COMPLETED, "")]
    assert place.tell({run_id: reports(run_id, life, times)}) == [{run_id}]
    told = [state for state in place.states(run_id) if state["type"] != "SCHEDULED"]
    assert [state["name"] for state in told] == ["Running", "AwaitingRetry", "Running", "Completed"]
    microsecond = timedelta(microseconds=1)
    assert [state["timestamp"] for state in told] == [
        times[0], times[1], times[1] + microsecond, times[1] + 2 * microsecond,
    ]  # fmt: skip
    row = place.row(run_id)
    assert (row["start_time"], row["end_time"]) == (times[0], times[1] + 2 * microsecond)
    assert row["total_run_time"] == row["end_time"] - row["start_time"]


def test_an_end_is_not_dated_before_a_beginning_that_the_api_has_dated_late(place: Place) -> None:
    run_id = place.run()
    place.set_state(run_id, "RUNNING")
    ended = now() - timedelta(seconds=20)
    assert place.tell({run_id: reports(run_id, [(RunState.COMPLETED, "")], [ended])}) == [{run_id}]
    assert place.row(run_id)["total_run_time"] == timedelta(microseconds=1)
    assert place.names(run_id) == ["Scheduled", "Running", "Completed"]


def test_what_is_told_twice_changes_nothing(place: Place) -> None:
    run_id = place.run()
    whole = lived(run_id, RunState.RUNNING, RunState.FAILED, message="no")
    beginning = {run_id: whole[run_id][:1]}
    assert place.tell(beginning, beginning, whole, whole, beginning) == [{run_id}] * 5
    place.wait_for_events(run_id, 2)
    before = place.states(run_id), place.row(run_id)
    assert place.tell(whole) == [{run_id}]
    assert (place.states(run_id), place.row(run_id)) == before
    assert place.names(run_id) == ["Scheduled", "Running", "Failed"]
    assert len(place.events(run_id)) == 2


# What is left to the API.


def test_whatever_is_not_plain_is_left_to_the_api(place: Place) -> None:
    limited = place.call("POST", "/deployments/", deployment(place.flow_id, "limited", concurrency_limit=1))["id"]
    ours = place.run()
    others = {
        "cancelling": place.run(),
        "cancelled": place.run(),
        "paused": place.run(),
        "completed": place.run(),
        "pending": place.run(),
        "running": place.run(),
        "limited": place.run(deployment_id=limited),
        "later": place.run(due=now() + timedelta(hours=1)),
        "resuming": place.run(empirical_policy={"resuming": True}),
        "leased": place.run(),
        "subflow": place.run(),
        "deleted": place.run(),
    }
    place.set_state(others["cancelling"], "RUNNING")
    for name in ("cancelling", "cancelled", "paused", "completed", "pending", "running"):
        place.set_state(others[name], name.upper())
    place.call("DELETE", f"/flow_runs/{others['deleted']}")
    task_run = place.call("POST", "/task_runs/", {"flow_run_id": str(ours), "task_key": "child", "dynamic_key": "0"})
    place.database.execute(
        "UPDATE flow_run SET parent_task_run_id = %s WHERE id = %s", (task_run["id"], others["subflow"])
    )
    place.database.execute(
        """UPDATE flow_run_state SET state_details = state_details || '{"deployment_concurrency_lease_id":
           "0197f0a1-0000-7000-8000-000000000000"}' WHERE flow_run_id = %s""",
        (others["leased"],),
    )
    before = {name: place.names(run_id) for name, run_id in others.items()}
    batch = lived(ours, RunState.RUNNING)
    for run_id in others.values():
        batch |= lived(run_id, RunState.RUNNING)
    assert place.tell(batch) == [{ours}]
    assert {name: place.names(run_id) for name, run_id in others.items()} == before


def test_an_end_by_somebody_elses_hand_stays(place: Place) -> None:
    cancelled, free = place.run(), place.run()
    place.tell(lived(cancelled, RunState.RUNNING) | lived(free, RunState.RUNNING))
    place.set_state(cancelled, "CANCELLING")
    assert place.tell(lived(cancelled, RunState.COMPLETED) | lived(free, RunState.COMPLETED)) == [{free}]
    assert place.names(cancelled) == ["Scheduled", "Running", "Cancelling"]


def test_a_locked_row_is_left_to_the_api_at_once(place: Place) -> None:
    locked, free = place.run(), place.run()
    with place.database.transaction():
        place.database.execute("SELECT FROM flow_run WHERE id = %s FOR UPDATE", (locked,))
        began = time.monotonic()
        assert place.tell(lived(locked, RunState.RUNNING) | lived(free, RunState.RUNNING)) == [{free}]
        assert time.monotonic() - began < 20
    assert place.names(locked) == ["Scheduled"]


def test_a_row_that_is_locked_for_a_moment_is_waited_for(place: Place) -> None:
    """As by Prefect when it marks runs as late; what it made of the run meanwhile is seen."""
    run_id = place.run()

    async def tell(accelerator: Accelerator) -> set[UUID]:
        with place.database.transaction():
            place.database.execute("UPDATE flow_run SET run_count = 7 WHERE id = %s", (run_id,))
            telling = asyncio.create_task(accelerator.tell(lived(run_id, RunState.RUNNING)))
            await asyncio.sleep(0.05)
            assert not telling.done()
        return await telling

    assert place.with_accelerator(tell) == {run_id}
    assert place.row(run_id)["run_count"] == 8


def test_what_is_told_stays_told_when_the_rest_fails(place: Place) -> None:
    locked, free = place.run(), place.run()

    async def tell(accelerator: Accelerator) -> set[UUID]:
        with place.database.transaction():
            place.database.execute("SELECT FROM flow_run WHERE id = %s FOR UPDATE", (locked,))
            telling = asyncio.create_task(
                accelerator.tell(lived(locked, RunState.RUNNING) | lived(free, RunState.RUNNING))
            )
            await until(lambda: "Running" in place.names(free), lambda: asyncio.sleep(0))
            place.database.execute("LOCK TABLE flow_run_state")
            return await telling

    assert place.with_accelerator(tell) == {free}


def test_a_message_that_no_text_can_hold_is_left_to_the_api(place: Place) -> None:
    bad, worse, good = place.run(), place.run(), place.run()
    batch = lived(bad, RunState.FAILED, message="a\0b") | lived(worse, RunState.FAILED, message="\ud800")
    assert place.tell(batch | lived(good, RunState.FAILED, message="ok")) == [{good}]


def test_a_table_that_somebody_locks_sends_the_batch_to_the_api(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    run_id = place.run()

    async def tell(accelerator: Accelerator) -> None:
        with place.database.transaction():
            place.database.execute("LOCK TABLE flow_run_state")
            assert await accelerator.tell(lived(run_id, RunState.RUNNING)) == set()
        assert "takes no reports" in caplog.text
        await asyncio.sleep(1.1)  # it lets the database be for a second
        assert await accelerator.tell(lived(run_id, RunState.RUNNING)) == {run_id}

    place.with_accelerator(tell)


def test_a_broken_connection_is_made_again(place: Place) -> None:
    run_id = place.run()

    async def tell(accelerator: Accelerator) -> None:
        assert await accelerator.tell(lived(run_id, RunState.RUNNING)) == {run_id}
        killed = place.rows(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = %s",
            "duetime-accelerator",
        )
        assert len(killed) == 1
        assert await accelerator.tell(lived(run_id, RunState.COMPLETED)) == {run_id}

    place.with_accelerator(tell)
    assert place.names(run_id) == ["Scheduled", "Running", "Completed"]


def test_nothing_is_told_while_the_database_is_away(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    run_id = place.run()
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        away = f"postgresql://postgres@127.0.0.1:{nobody.getsockname()[1]}/prefect"

        async def tell(accelerator: Accelerator) -> None:
            for _ in range(3):
                assert await accelerator.tell(lived(run_id, RunState.RUNNING)) == set()

        place.with_accelerator(tell, away)
    [record] = [record for record in caplog.records if record.name == "flows.accelerator"]
    assert "takes no reports" in record.message
    assert place.names(run_id) == ["Scheduled"]


# Where it is used at all.


def test_it_can_be_switched_off(
    place: Place, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "flows.accelerator")
    monkeypatch.setenv("DUETIME_ACCELERATOR", "off")
    assert not place.has_accelerator(place.server.database_url)
    assert "DUETIME_ACCELERATOR is off" in caplog.text
    monkeypatch.delenv("DUETIME_ACCELERATOR")
    assert place.has_accelerator(place.server.database_url)


@pytest.mark.parametrize(
    ("address", "why"),
    [
        (None, "DUETIME_PREFECT_DATABASE_URL is not set"),
        ("sqlite+aiosqlite:////tmp/prefect.db", "is not an address of PostgreSQL"),
        ("postgresql://postgres@127.0.0.1/prefect?ssl=require", "invalid URI query parameter"),
    ],
)
def test_it_needs_an_address(place: Place, address: str | None, why: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "flows.accelerator")
    assert not place.has_accelerator(address)
    [record] = [record for record in caplog.records if record.name.startswith("flows.")]
    assert why in record.message


def test_the_address_of_prefects_own_driver_will_do(place: Place) -> None:
    assert place.has_accelerator(place.server.database_url.replace("postgresql://", "postgresql+asyncpg://"))


def test_another_version_of_prefect_is_told_over_the_api(
    place: Place, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Also where it changes while the accelerator is there."""
    run_id = place.run()
    monkeypatch.setattr(accelerator_proof, "SURE_SECONDS", 0)

    async def tell(accelerator: Accelerator) -> None:
        assert await accelerator.tell(lived(run_id, RunState.RUNNING)) == {run_id}
        monkeypatch.setattr(accelerator_proof, "PROVEN", {"3.8.7": "d4a7e1c93f52"})
        monkeypatch.setattr(accelerator_proof.Proof, "_sure_until", 0.0, raising=False)
        await until(lambda: "Prefect's version is 3.8.8" in caplog.text, lambda: accelerator.tell({run_id: []}))
        assert await accelerator.tell(lived(run_id, RunState.COMPLETED)) == set()

    place.with_accelerator(tell)
    caplog.clear()
    assert not place.has_accelerator(place.server.database_url)
    [record] = caplog.records
    assert "Prefect's version is 3.8.8, and it was proven on 3.8.7" in record.message


def test_a_database_that_is_not_prefects_is_let_be(
    place: Place, database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert not place.has_accelerator(database_url)
    assert "a database that is not Prefect's" in caplog.text


def test_another_revision_of_the_database_is_told_over_the_api(
    place: Place, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Also where it changes while the accelerator is there."""
    run_id = place.run()
    [row] = place.rows("SELECT version_num FROM alembic_version")

    async def tell(accelerator: Accelerator) -> None:
        assert await accelerator.tell(lived(run_id, RunState.RUNNING)) == {run_id}
        place.database.execute("UPDATE alembic_version SET version_num = 'another'")
        monkeypatch.setattr(accelerator_proof, "SURE_SECONDS", 0)
        for _ in range(3):
            assert await accelerator.tell(lived(run_id, RunState.COMPLETED)) == set()
            await asyncio.sleep(0.2)
        assert not await asyncio.to_thread(place.has_accelerator, place.server.database_url)

    try:
        place.with_accelerator(tell)
    finally:
        place.database.execute("UPDATE alembic_version SET version_num = %s", (row["version_num"],))
    assert place.names(run_id) == ["Scheduled", "Running"]
    refusals = [record.message for record in caplog.records if "revision another" in record.message]
    assert len(refusals) == 2, "one while it is there, one for the one that could not be made"


OTHER_DATABASE = """
CREATE DOMAIN state_type AS text;
CREATE TABLE alembic_version (version_num text);
CREATE TABLE flow (id uuid, name text, tags jsonb);
CREATE TABLE deployment (id uuid, name text, tags jsonb, concurrency_limit_id uuid);
CREATE TABLE work_pool (id uuid, name text, type text);
CREATE TABLE work_queue (id uuid, name text, work_pool_id uuid);
CREATE TABLE flow_run_state (
    id uuid, flow_run_id uuid, type state_type, name text, message text, timestamp timestamptz, state_details jsonb
);
CREATE TABLE flow_run (
    id uuid, name text, flow_id uuid, deployment_id uuid, work_queue_id uuid, tags jsonb, created_by jsonb,
    parent_task_run_id uuid, empirical_policy jsonb, run_count int, start_time timestamptz, end_time timestamptz,
    total_run_time interval, state_id uuid, state_type state_type, state_name text, state_timestamp timestamptz,
    next_scheduled_start_time timestamptz, updated timestamptz
);
INSERT INTO alembic_version VALUES ('d4a7e1c93f52');
"""


def test_a_copy_of_prefects_database_is_found_out(
    place: Place, database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It has the same runs, but the server does not show what is written into it."""
    runs = [place.run() for _ in range(2)]
    with psycopg.connect(database_url, autocommit=True) as copy:
        copy.execute(OTHER_DATABASE)
        for run_id in runs:
            [state] = place.states(run_id)
            copy.execute(
                "INSERT INTO flow_run_state VALUES (%s, %s, 'SCHEDULED', 'Scheduled', NULL, %s, '{}')",
                (state["id"], run_id, state["timestamp"]),
            )
            copy.execute(
                """INSERT INTO flow_run (id, name, flow_id, run_count, total_run_time, state_id, state_type)
                   VALUES (%s, 'twin', %s, 0, '0', %s, 'SCHEDULED')""",
                (run_id, place.flow_id, state["id"]),
            )

    async def tell(accelerator: Accelerator) -> list[set[UUID]]:
        return [await accelerator.tell(lived(run_id, RunState.RUNNING)) for run_id in runs]

    assert place.with_accelerator(tell, database_url) == [set(), set()]
    assert "names another database than the Prefect server has" in caplog.text


# Events.


def test_events_wait_for_the_server(
    place: Place, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The rows do not. Of more events than are kept the oldest are dropped."""
    monkeypatch.setattr(accelerator_events, "KEPT", 5)
    runs = [place.run() for _ in range(4)]

    async def tell(accelerator: Accelerator) -> None:
        place.server.stop()
        try:
            for run_id in runs:
                assert await accelerator.tell(lived(run_id, RunState.RUNNING, RunState.COMPLETED)) == {run_id}
        finally:
            await asyncio.to_thread(place.server.start)

    place.with_accelerator(tell)
    assert [place.names(run_id)[1:] for run_id in runs] == [["Running", "Completed"]] * 4

    def posted() -> list[list[str]]:
        arrived = [sorted(place.events(run_id), key=lambda event: event["received"]) for run_id in runs]
        return [[event["event"].rpartition(".")[2] for event in events] for events in arrived]

    expected = [[], ["Completed"], ["Running", "Completed"], ["Running", "Completed"]]
    wait_until(lambda: posted() == expected, "the events that were kept")
    assert len([record for record in caplog.records if "oldest" in record.message]) == 1


def test_while_the_server_is_away_nobody_knows_its_version(place: Place) -> None:
    run_id = place.run()

    async def tell() -> None:
        prefect, away = place.client(), place.client()
        away._http.base_url = "http://127.0.0.1:1/api"
        accelerator = await accelerator_of(place.server.database_url, away)
        assert accelerator is not None
        assert await accelerator.tell(lived(run_id, RunState.RUNNING)) == set()
        away._http.base_url = prefect._http.base_url
        await until(
            lambda: place.names(run_id) == ["Scheduled", "Running"],
            lambda: accelerator.tell(lived(run_id, RunState.RUNNING)),
        )
        for one in (accelerator, prefect, away):
            await one.close()

    asyncio.run(tell())


def test_an_automation_sees_what_is_written_behind_the_api(place: Place) -> None:
    spare = place.call("POST", "/deployments/", deployment(place.flow_id, "spare"))["id"]
    automation = place.call(
        "POST",
        "/automations/",
        {
            "name": "When a backup fails",
            "trigger": {
                "type": "event",
                "posture": "Reactive",
                "expect": ["prefect.flow-run.Failed"],
                "match_related": {"prefect.resource.id": f"prefect.deployment.{place.deployment_id}"},
                "threshold": 1,
                "within": 0,
            },
            "actions": [{"type": "run-deployment", "source": "selected", "deployment_id": spare}],
        },
    )
    try:
        well, ill = place.run(), place.run()
        place.tell(
            lived(well, RunState.RUNNING, RunState.COMPLETED)
            | lived(ill, RunState.RUNNING, RunState.FAILED, message="no")
        )
        made = wait_until(
            lambda: place.rows("SELECT created_by FROM flow_run WHERE deployment_id = %s", spare),
            "the automation's run",
        )
        assert [row["created_by"]["id"] for row in made] == [automation["id"]]
    finally:
        place.call("DELETE", f"/automations/{automation['id']}")


# What is read is what the API answers.


@pytest.mark.parametrize("queues", [(), ("urgent",), ("default", "urgent")])
def test_what_waits_is_read_as_the_api_lists_it(place: Place, queues: tuple[str, ...]) -> None:
    waiting = runs_of_all_kinds(place)
    horizon = now() + timedelta(seconds=60)

    async def read(accelerator: Accelerator) -> None:
        prefect = accelerator._prefect
        await prefect.has_limits()
        assert await accelerator.scheduled(before=horizon) is None, "whose database it is was not seen yet"
        assert await accelerator.count_scheduled(waiting) is None
        told = lived(place.run(), RunState.RUNNING)
        assert await accelerator.tell(told) == set(told)
        for besides in (set[UUID](), {waiting[0]}, set(waiting)):
            ours = await accelerator.scheduled(before=horizon, besides=besides)
            assert ours == await prefect.scheduled(before=horizon, besides=besides)
            assert ours or besides
        asked = [*waiting, *told]
        assert await accelerator.count_scheduled(asked) == await prefect.count_scheduled(asked) == len(waiting) - 1

    place.with_accelerator(read, queues=queues)


def runs_of_all_kinds(place: Place) -> list[UUID]:
    """Runs that wait, in several queues, late and not, for now and for later; the last one is over."""
    place.call("POST", "/work_pools/workshop/queues", {"name": "urgent", "priority": 1})
    place.call("POST", "/work_pools/", {"name": "elsewhere", "type": "warm"})
    urgent, other = (
        place.call("POST", "/deployments/", deployment(place.flow_id, name) | more)["id"]
        for name, more in (("urgent", {"work_queue_name": "urgent"}), ("other", {"work_pool_name": "elsewhere"}))
    )
    present = now()
    keys = ("scheduled a b", "catch_up 1", "manual 2", "rerun 3", "somebody's")
    found = [
        place.run(
            due=present + timedelta(seconds=number), idempotency_key=key, parameters={"command": f"echo {number}"}
        )
        for number, key in enumerate(keys)
    ]
    found += [place.run(deployment_id=urgent), place.run(deployment_id=other)]
    found += [place.run(due=present + timedelta(seconds=59)), place.run(due=present + timedelta(seconds=300))]
    place.set_state(found[0], "SCHEDULED", "Late", state_details={"scheduled_time": present.isoformat()})
    found.append(place.run())
    place.set_state(found[-1], "CANCELLED")
    return found


def test_what_waits_is_read_over_the_api_while_the_database_does_not_answer(place: Place) -> None:
    async def read(accelerator: Accelerator) -> None:
        told = lived(place.run(), RunState.RUNNING)
        await accelerator.tell(told)
        assert await accelerator.scheduled(before=now()) == []
        place.database.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = %s",
            ["duetime-accelerator"],
        )
        assert await accelerator.scheduled(before=now()) is None
        assert await accelerator.scheduled(before=now()) == [], "it has a new connection"

    place.with_accelerator(read)
