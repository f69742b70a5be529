"""The schedules of all tasks, each read once."""

from datetime import timedelta

from sqlalchemy.orm import Session

from db import load, tasks
from db.load import Shared
from db.states import RunState
from tests.db.conftest import DAILY, NOW, a_run, create, once, seconds

DAY = timedelta(days=1)


def test_tasks_of_a_schedule_are_counted_with_how_long_their_last_runs_took(session: Session) -> None:
    first, second = (create(session, name=name, schedule=DAILY) for name in "ab")
    create(session, name="minutely")
    tasks.pause_task(session, create(session, name="paused", schedule=DAILY), actor="anna", now=NOW)
    for task, took in ((first, 10), (second, 20)):
        a_run(session, task, NOW, state=RunState.COMPLETED, started_at=NOW, ended_at=NOW + seconds(took))
    found = {each.cron: each for each in load.shared(session)}
    assert found == {
        "0 13 * * *": Shared("0 13 * * *", "UTC", 2, 15.0),
        "* * * * *": Shared("* * * * *", "UTC", 1, None),
    }


def test_one_shots_and_bounded_tasks_are_read_one_by_one(session: Session) -> None:
    create(session, name="soon", schedule=once(NOW + DAY))
    create(session, name="later", schedule=once(NOW + 9 * DAY))
    create(session, name="bounded", schedule=DAILY, ends_at=(NOW + DAY).isoformat())
    create(session, name="shared", schedule=DAILY)
    found = load.alone(session, begin=NOW, end=NOW + 7 * DAY)
    assert {each.spec["name"] for each in found} == {"soon", "bounded"}
    assert [each.tasks for each in load.shared(session)] == [1]


def test_who_shares_a_schedule_is_listed_by_name(session: Session) -> None:
    for name in ("b", "a"):
        create(session, name=name, schedule=DAILY)
    create(session, name="c", schedule=DAILY | {"timezone": "Europe/Berlin"})
    found = load.sharers(session, [("0 13 * * *", "UTC")])
    assert [(each.name, each.version, each.cron) for each in found] == [("a", 1, "0 13 * * *"), ("b", 1, "0 13 * * *")]
    assert load.sharers(session, []) == []
