"""One row of many is spoilt, in each table and column that a person, Prefect or a run can write: the rest go on.

Columns are found in the tables themselves, so that a new one is tried, too.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Column, DateTime, LargeBinary, Table, Text, select, update
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.exc import DBAPIError
from starlette.testclient import TestClient

from dashboard.api.app import create_api
from dashboard.live import Hub
from db import calendars, channels, problems, retention, run_requests, runs, webhooks, workers
from db.runs import RunKey
from db.sealing import KEYS, Sealer
from db.specs import parse_entries
from db.states import Mark, RunState, Trigger
from db.tables import Base
from reconciler.aside import Aside
from reconciler.loop import Reconciler
from reconciler.prefect import PrefectUnavailable
from reconciler.tasks import deploy_changes
from tests.doors import let_in
from tests.reconciler.conftest import World, now
from tests.reconciler.office import KEY

pytestmark = pytest.mark.xdist_group("prefect")

OURS_ALONE = {
    *("accounts", "sign_ins", "api_keys", "secrets", "invitations", "audit", "idempotency_keys"),  # doors read one row
    *("heartbeats", "chain_position", "forgotten_events", "loop_failures", "set_aside", "task_tags", "trials"),
}
"""Tables that nobody writes but this system itself, a row at a time."""
HOSTILE: dict[type, tuple[Any, ...]] = {
    JSONB: (7, [None], {"\u0001": []}),
    Text: ("\n\u202e", "x" * 70_000),
    DateTime: (now() + timedelta(days=4000), now() - timedelta(days=4000)),
    LargeBinary: (b"not sealed",),
    ARRAY: (["\n"], []),
}
LISTS = ("/tasks", "/tasks?state=deleted", "/runs", "/webhooks", "/channels", "/calendars", "/readyz")


def spoilable() -> Iterator[tuple[Table, Column[Any], Any]]:
    """Each column that may hold anything, with each hostile value for it."""
    for table in Base.metadata.sorted_tables:
        for column in table.columns if table.name not in OURS_ALONE else ():
            if column.primary_key or column.computed is not None or column.foreign_keys:
                continue
            for kind, values in HOSTILE.items():
                if isinstance(column.type, kind):
                    yield from ((table, column, value) for value in values)


def populate(world: World) -> UUID:
    """A row of the victim's in each table."""
    given: Any = {"sealer": Sealer([KEY]), "actor": "ada", "now": now()}
    with world.catalogue.transaction() as session:
        calendars.add(session, "days off", parse_entries([]), actor="ada", now=now())
    schedule = {"kind": "cron", "cron": "* * * * *", "timezone": "Europe/Berlin", "calendars": ["days off"]}
    victim = world.deployed("victim", schedule=schedule).id
    with world.catalogue.transaction() as session:
        webhooks.add(session, webhooks.Wish("hook", "http://127.0.0.1:9/", (), victim), **given)
        channels.add(session, channels.Wish("channel", "json://127.0.0.1:9/"), **given)
        problems.mark(session, [f"failing:{victim}"], Mark.MUTED, actor="ada", now=now())
        run_requests.request_run(session, victim, action={"command": "false"}, actor="ada", now=now())
        retention.request(session, retention.DAYS, now=now())
        worker = uuid4()
        workers.register(session, worker_id=worker, name="w", work_pool="default", host="h", pid=1, now=now())
        key, named = RunKey(uuid4(), now()), {"task_id": victim, "task_name": "victim", "task_version": 1}
        runs.insert_run(
            session, key, **named, trigger=Trigger.MANUAL, state=RunState.RUNNING, started_at=now(), worker_id=worker,
            worker="w",
        )  # fmt: skip
    return victim


@contextmanager
def spoilt(world: World, table: Table, column: Column[Any], value: Any, victim: UUID) -> Iterator[bool]:
    """Whether the database took it; what was there is put back afterwards."""
    key = list(table.primary_key.columns)
    whose = table.c.get("task_id", table.c.id if table.name == "tasks" else None)
    mine = select(*key, column).order_by(*key)
    if whose is not None and table.name != "webhooks":
        mine = mine.where(whose == victim)
    with world.catalogue.transaction() as session:
        row = session.execute(mine).first()
    if row is None:
        yield False
        return
    here = [part == held for part, held in zip(key, row[:-1], strict=True)]
    hostile = {**row[-1], **value} if isinstance(value, dict) and isinstance(row[-1], dict) else value
    if isinstance(row[-1], dict) and not isinstance(value, dict):
        hostile = {**row[-1], **dict.fromkeys([k for k in row[-1] if k not in ("name", "kind", "paused")], value)}
    try:
        with world.catalogue.transaction() as session:
            session.execute(update(table).where(*here).values({column.name: hostile}))
    except DBAPIError:
        yield False  # the database guards it
        return
    yield True
    with world.catalogue.transaction() as session:
        session.execute(update(table).where(*here).values({column.name: row[-1]}))


def raised_by_passes(reconciler: Reconciler) -> dict[str, str]:
    """Every pass, once; what those raised that came to no end."""
    found = {}
    steps = [(each.name, each.action) for each in reconciler.passes]
    steps += [("people", reconciler._people.step), ("webhooks", reconciler._webhooks.step)]
    for name, step in steps:
        reconciler.lease.renew()
        try:
            step()
        except Exception as error:  # noqa: BLE001 - whatever a pass makes of it
            found[name] = f"{type(error).__name__}: {error}"[:200]
    return found


@pytest.mark.long
def test_whatever_is_spoilt_the_passes_come_to_their_end_and_lists_answer(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(KEYS, KEY)
    victim = populate(world)
    fine = world.deployed("fine").id
    reconciler = Reconciler(world.catalogue, world.prefect)
    reconciler.lease.renew()
    assert raised_by_passes(reconciler) == {}
    tried, failed = set(), {}
    with TestClient(
        let_in(create_api(world.catalogue, Hub(world.catalogue.url))), raise_server_exceptions=False
    ) as api:
        for table, column, value in spoilable():
            with spoilt(world, table, column, value, victim) as was_taken:
                if not was_taken:
                    continue
                what = f"{table.name}.{column.name} = {json.dumps(value, default=str)[:40]}"
                tried.add(f"{table.name}.{column.name}")
                with world.catalogue.transaction() as session:
                    asked = run_requests.request_run(session, fine, actor="ada", now=now())
                raised = raised_by_passes(reconciler)
                with world.catalogue.transaction() as session:
                    made = run_requests.run_of(session, asked)
                answers = {path: api.get(path).status_code for path in LISTS}
                bad = {path: status for path, status in answers.items() if status not in (200, 503)}
                if raised or made is None or bad:
                    failed[what] = (raised, made is not None, bad)
    reconciler.close()
    assert failed == {}
    assert len(tried) > 30, tried
    assert {"tasks.spec", "calendars.entries", "run_requests.action", "task_status.applied"} <= tried


def test_numbers_at_the_edge_of_what_is_accepted_are_taken_by_prefect(world: World) -> None:
    for number, value in enumerate((2**64 - 1, -(2**63), 1.7e308)):
        action = {"callable": "m:f", "kwargs": {"i": value, "deep": [[[value]]]}}
        task_id, aside = world.create(f"edge {number}", kind="python", action=action), Aside("tasks in Prefect")
        deploy_changes(world.catalogue, world.prefect, aside)
        task = world.task(task_id)
        assert task.deployed, aside.items()
        assert type(value)(world.deployment(task)["parameters"]["kwargs"]["i"]) == value


def test_one_that_prefect_answers_by_an_error_of_its_own_waits_alone(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    create = world.prefect.create_deployment

    def refusing(document: dict[str, Any]) -> dict[str, Any]:
        if document["name"] == "poison":
            raise PrefectUnavailable("The Prefect server answers 500: it failed", answered=True)
        return create(document)

    monkeypatch.setattr(world.prefect, "create_deployment", refusing)
    poison = world.create("poison")
    fine = [world.create(f"fine {number}") for number in range(4)]
    aside = Aside("tasks in Prefect")
    for _ in range(3):
        deploy_changes(world.catalogue, world.prefect, aside)
    assert all(world.task(one).deployed for one in fine)
    (item,) = aside.items()
    assert (item.task_id, item.reason) == (poison, "The Prefect server answers 500: it failed")
    monkeypatch.setattr(world.prefect, "create_deployment", create)
    monkeypatch.setattr(aside, "_kept", {})
    deploy_changes(world.catalogue, world.prefect, aside)
    assert world.task(poison).deployed
