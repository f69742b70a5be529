"""The months of due times, runs and logs: made ahead, dropped when they are old; and how long everything is kept."""

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import TextClause, select, text
from sqlalchemy.orm import Session

from db import logs, retention, revisions, run_requests, runs, tasks, workers
from db.engine import Catalogue
from db.errors import MonthsInUse, RunNotFound, TaskNotFound
from db.logs import Line
from db.partitions import (
    MONTHS_AHEAD,
    MONTHS_BACK,
    PARTITIONED,
    PATIENCE_SECONDS,
    drop_partitions,
    ensure_partitions,
    first_of_month,
    newest_instant,
    oldest_instant,
)
from db.retention import Kept
from db.states import Level, RunState, Stream, Trigger
from db.tables import Worker
from tests.db.conftest import NOW, a_run, a_worker, create, run_of, seconds, view


def partitions(session: Session) -> set[str]:
    query = "SELECT inhrelid::regclass::text FROM pg_inherits JOIN pg_class c ON c.oid = inhrelid WHERE c.relkind = 'r'"
    return set(session.scalars(text(query)))


@given(st.datetimes(timezones=st.timezones()).filter(lambda at: 1900 < at.year < 9000), st.integers(-600, 600))
def test_months_are_counted_over_the_turns_of_years(at: datetime, months: int) -> None:
    start = first_of_month(at, months_later=months)
    assert (start.day, start.hour, start.minute, start.microsecond, start.utcoffset()) == (1, 0, 0, 0, timedelta(0))
    assert first_of_month(start, months_later=-months) == first_of_month(at)
    assert first_of_month(at) <= at < first_of_month(at, months_later=1)


def test_every_month_around_now_has_its_partitions(session: Session) -> None:
    months = [first_of_month(NOW, months_later=later) for later in range(-MONTHS_BACK, MONTHS_AHEAD)]
    assert partitions(session) == {f"{table}_{month:%Y_%m}" for table in PARTITIONED for month in months}


def test_the_next_months_are_made_as_time_passes_and_twice_makes_no_difference(session: Session) -> None:
    before = partitions(session)
    later = NOW + timedelta(days=70)
    ensure_partitions(session, now=later)
    made = partitions(session) - before
    assert len(made) == 3 * len(PARTITIONED) - 3 * (first_of_month(later) == first_of_month(NOW, months_later=2))
    ensure_partitions(session, now=later)
    assert partitions(session) - before == made


def test_the_oldest_and_the_newest_instant_have_their_place(session: Session) -> None:
    task_id = create(session)
    for at in (oldest_instant(NOW), newest_instant(NOW) - timedelta(microseconds=1)):
        assert run_of(session, a_run(session, task_id, at)).due_at == at


def test_months_that_ended_before_an_instant_are_dropped_with_what_is_in_them(session: Session) -> None:
    task_id, month = create(session), first_of_month(NOW)
    last, this = a_run(session, task_id, month - seconds(1)), a_run(session, task_id, month)
    before = partitions(session)
    assert drop_partitions(session, before=month - seconds(1), tables=("runs",)) == sorted(
        name for name in before if name.startswith("runs_") and name < f"runs_{month - seconds(1):%Y_%m}"
    )
    assert run_of(session, last)
    assert drop_partitions(session, before=month, tables=("runs",)) == [f"runs_{month - seconds(1):%Y_%m}"]
    with pytest.raises(RunNotFound):
        run_of(session, last)
    assert run_of(session, this)
    assert {name for name in before if not name.startswith("runs_")} <= partitions(session)


def test_a_table_that_only_looks_like_a_month_is_left_alone(session: Session) -> None:
    session.execute(text("CREATE TABLE runs_1999_01 (id int)"))
    drop_partitions(session, before=datetime(2001, 1, 1, tzinfo=UTC))
    assert session.scalar(text("SELECT to_regclass('runs_1999_01')")) is not None


def test_a_month_that_is_in_use_is_dropped_when_it_is_free_and_nobody_waits_for_that_meanwhile(
    catalogue: Catalogue,
) -> None:
    reads = text("SELECT count(*) FROM runs")
    with ThreadPoolExecutor() as threads:
        with catalogue.transaction() as reader:
            reader.execute(reads)
            dropping = threads.submit(drop_old_runs, catalogue)
            waited = [asked_in(catalogue, reads) for _ in range(40)]
            assert not dropping.done()
        assert len(dropping.result()) == MONTHS_BACK
    assert max(waited) < PATIENCE_SECONDS / 10


def drop_old_runs(catalogue: Catalogue) -> list[str]:
    with catalogue.transaction() as session:
        return drop_partitions(session, before=first_of_month(datetime.now(UTC)), tables=("runs",))


def asked_in(catalogue: Catalogue, question: TextClause) -> float:
    """Seconds."""
    began = time.monotonic()
    with catalogue.transaction() as session:
        session.execute(question)
    return time.monotonic() - began


def test_months_that_are_in_use_for_long_are_left_and_nothing_is_removed(
    catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("db.partitions.PATIENCE_SECONDS", 0.5)
    with catalogue.transaction() as session:
        a_worker(session, now=NOW - 2 * KEPT.runs)
        workers.stop(session, session.scalars(select(Worker.id)).one(), now=NOW - 2 * KEPT.runs)
    with catalogue.transaction() as reader:
        reader.execute(text("SELECT count(*) FROM due_times"))
        with pytest.raises(MonthsInUse), catalogue.transaction() as session:
            retention.apply(session, replace(KEPT, due_times=40 * DAY), now=NOW)
    with catalogue.transaction() as session:
        assert session.scalars(select(Worker.id)).one()
        assert f"due_times_{first_of_month(NOW, months_later=-3):%Y_%m}" in partitions(session)
        assert retention.apply(session, KEPT, now=NOW)["workers"] == 1


def test_a_month_is_made_while_others_read_and_write_and_guards_its_keys(catalogue: Catalogue) -> None:
    later = datetime.now(UTC) + timedelta(days=100)
    with catalogue.transaction() as busy:
        task_id = create(busy)
        a_run(busy, task_id, NOW)
        with catalogue.transaction() as session:
            session.execute(text("SET LOCAL lock_timeout = '1s'"))
            before = partitions(session)
            ensure_partitions(session, now=later)
            assert partitions(session) > before
            key = a_run(session, task_id, later)
            again = {"task_name": "x", "task_version": 1, "trigger": Trigger.PREFECT, "state": RunState.SCHEDULED}
            assert not runs.insert_run(session, key, task_id=task_id, **again)


DAY = timedelta(days=1)
KEPT = Kept(runs=40 * DAY, logs=10 * DAY, due_times=1000 * DAY, trash=7 * DAY)


def test_each_kind_of_thing_is_kept_for_its_own_time(session: Session) -> None:
    removed = retention.apply(session, KEPT, now=NOW)
    assert (removed["months of runs"], removed["months of logs"], removed["months of due times"]) == (2, 3, 0)


def test_the_trash_is_emptied_with_everything_that_belongs_to_its_tasks(session: Session) -> None:
    long_ago = NOW - 2 * KEPT.trash
    old, new, live = (create(session, name=name, now=long_ago) for name in ("old", "new", "live"))
    tasks.delete_task(session, old, actor="anna", now=NOW - KEPT.trash - seconds(1))
    tasks.delete_task(session, new, actor="anna", now=NOW - KEPT.trash)
    run_requests.request_run(session, live, actor="anna", now=NOW)
    assert retention.apply(session, KEPT, now=NOW)["tasks in the trash"] == 1
    session.expire_all()
    with pytest.raises(TaskNotFound):
        view(session, old)
    assert revisions.list_revisions(session, old) == []
    assert {view(session, task_id).spec.name for task_id in (new, live)} == {"new", "live"}
    assert len(run_requests.open_requests(session, now=NOW)) == 1


def test_workers_that_stopped_long_ago_and_old_requests_are_forgotten(session: Session) -> None:
    task_id, long_ago = create(session), NOW - KEPT.runs - seconds(1)
    for stopped_at in (long_ago, NOW):
        workers.stop(session, a_worker(session).id, now=stopped_at)
        run_requests.request_run(session, task_id, actor="anna", now=stopped_at)
    a_worker(session, now=long_ago)
    session.flush()
    removed = retention.apply(session, KEPT, now=NOW)
    assert (removed["workers"], removed["run requests"]) == (1, 1)


def test_a_run_whose_log_was_dropped_is_still_there(session: Session) -> None:
    key = a_run(session, create(session), NOW, state=RunState.COMPLETED, ended_at=NOW)
    logs.append(
        session,
        [Line(key.id, NOW, Level.INFO, Stream.STDOUT, "hello"), Line(uuid4(), NOW, Level.INFO, Stream.STDOUT, "x")],
    )
    drop_partitions(session, before=first_of_month(NOW, months_later=1), tables=("run_logs",))
    assert logs.list_lines(session, key.id) == []
    assert runs.get_run(session, key.id).state == RunState.COMPLETED


FLOW = {"entrypoint": "flows.housekeeping.housekeeping", "parameters": {"keep_logs_days": 10}}
AS_SAID = {"runs": 365, "logs": 10, "due_times": 365, "trash": 30}


def test_what_a_task_says_is_removed_when_a_worker_asks_for_it(session: Session) -> None:
    create(session, name="housekeeping", kind="flow", action=FLOW)
    asked = retention.request(session, AS_SAID, now=NOW)
    assert retention.answer(session, asked) is None
    assert retention.fulfil(session, now=NOW)
    done = retention.answer(session, asked)
    assert done is not None
    assert done.removed is not None
    assert done.removed["months of logs"] == 3
    assert not retention.fulfil(session, now=NOW)


@pytest.mark.parametrize("days", [AS_SAID | {"runs": 0}, AS_SAID | {"logs": 9}, {}, {"logs": 10}])
def test_what_no_task_says_is_not_removed_whoever_asks(session: Session, days: dict[str, int]) -> None:
    create(session, name="housekeeping", kind="flow", action=FLOW)
    asked, before = retention.request(session, days, now=NOW), partitions(session)
    retention.fulfil(session, now=NOW)
    refused = retention.answer(session, asked)
    assert refused is not None
    assert (refused.removed, refused.refused) == (None, retention.NOT_SAID)
    assert partitions(session) == before


def test_what_is_in_use_is_said_and_left(catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("db.partitions.PATIENCE_SECONDS", 0.5)
    with catalogue.transaction() as session:
        create(session, name="housekeeping", kind="flow", action=FLOW)
        asked = retention.request(session, AS_SAID, now=NOW)
    with catalogue.transaction() as reader:
        reader.execute(text("SELECT count(*) FROM run_logs"))
        with catalogue.transaction() as session:
            assert retention.fulfil(session, now=NOW)
    with catalogue.transaction() as session:
        refused = retention.answer(session, asked)
        assert refused is not None
        assert "something reads the tables all the time" in (refused.refused or "")
