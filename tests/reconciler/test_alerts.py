"""What people are told, in which words, and how often."""

from datetime import UTC, datetime, time, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from db.channels import About, is_quiet
from db.events import Event, Position
from db.happenings import Happening
from db.states import RunState, Trigger
from db.tables import Channel, Run
from reconciler.alerts import Message, alerts, messages

NOW = datetime(2026, 11, 25, 2, 3, 10, tzinfo=UTC)
DUE = datetime(2026, 11, 25, 1, 0, tzinfo=UTC)


def channel(**changes: Any) -> Channel:
    given: dict[str, Any] = {
        "about": list(About),
        "after_failures": 1,
        "late_seconds": 60,
        "tags": None,
        "quiet_from": None,
        "quiet_to": None,
        "timezone": "Europe/Berlin",
    }
    return Channel(**(given | changes))


def happening(
    type_: str, *, name: str = "backup", before: int = 0, tags: tuple[str, ...] = (), **run: Any
) -> Happening:
    kind, _, word = type_.partition(".")
    run_id = uuid4() if kind == "run" else None
    event = Event(Position(1, 1), NOW, type_, uuid4(), name, 1, run_id, DUE)
    of_it = None
    if run_id is not None:
        given: dict[str, Any] = {"id": run_id, "state": word, "attempt": 1, "trigger": Trigger.SCHEDULE, "worker": "w1"}
        started_at = DUE + timedelta(seconds=run.pop("late", 0.01))
        given |= {"started_at": started_at, "ended_at": NOW, "error": None, "due_at": DUE}
        of_it = Run(**(given | run))
    return Happening(event, name, tags, "Europe/Berlin", False, of_it, before)


def told(
    found: list[Happening], of: Channel | None = None, lines: dict[UUID, list[str]] | None = None
) -> list[Message]:
    listed = alerts(of or channel(), found)
    return messages(listed, lines=lines or {}, base_url="http://here:3000", timezone="UTC")


def test_a_failure_is_told_with_all_that_one_wants_to_know_at_night() -> None:
    failed = happening("run.failed", error="Exited with code 3.\nmore", attempt=2)
    assert failed.run is not None
    (message,) = told([failed], lines={failed.run.id: ["copying", "disk full"]})
    assert message.title == "backup failed"
    assert message.body == (
        "Attempt: 2, on w1\n"
        "When: due Wed 25 Nov 02:00:00, ended Wed 25 Nov 03:03:10, Europe/Berlin\n"
        "Why: Exited with code 3.\n\n"
        "Last lines:\ncopying\ndisk full\n\n"
        f"http://here:3000/run?id={failed.run.id}"
    )


def test_one_lost_worker_is_one_message_whatever_it_ran() -> None:
    error = "Worker w1 was last heard of at 02:03:00 UTC, while it ran this."
    crashed = [happening("run.crashed", name=f"task {number}", error=error) for number in range(40)]
    (message,) = told(crashed)
    assert message.title == "40 tasks crashed"
    assert error in message.body
    assert message.body.count("- task") == 10
    assert "and 30 more" in message.body
    assert message.body.endswith("http://here:3000/problems")


def test_many_causes_are_one_message() -> None:
    failed = [happening("run.failed", name=f"task {number}", error=f"Reason {number}.") for number in range(6)]
    (message,) = told(failed)
    assert message.title == "6 things need you, for 6 reasons"
    assert "- task 5 failed: Reason 5." in message.body
    assert len(told(failed[:5])) == 5


@pytest.mark.parametrize(
    ("after", "before", "is_told"), [(1, 0, True), (1, 1, False), (3, 1, False), (3, 2, True), (3, 3, False)]
)
def test_a_failure_is_told_when_it_is_the_so_manieth_and_once(after: int, before: int, is_told: bool) -> None:
    found = told([happening("run.failed", before=before)], channel(after_failures=after))
    assert bool(found) == is_told
    if is_told and after > 1:
        assert found[0].title == "backup failed 3 times in a row"


@pytest.mark.parametrize(("after", "before", "is_told"), [(1, 0, False), (1, 1, True), (3, 2, False), (3, 5, True)])
def test_recovery_is_told_after_a_failure_that_was(after: int, before: int, is_told: bool) -> None:
    found = told([happening("run.completed", before=before)], channel(after_failures=after))
    assert [message.title for message in found] == (
        [f"backup is well again after {before} failure{'s' if before > 1 else ''}"] if is_told else []
    )


def test_lateness_and_what_was_missed_are_told() -> None:
    late = happening("run.running", late=75.2)
    assert told([late])[0].title == "backup started 75 s late"
    assert told([happening("run.running", late=59)]) == []
    assert told([happening("run.running", late=75.2, attempt=2)]) == []
    missed = told([happening("due_time.missed"), happening("due_time.missed", name="report")])
    assert [message.title for message in missed] == ["2 tasks were missed"]
    assert told([happening("due_time.unknown")])[0].title == "backup may have run or not"


def test_nobody_is_told_what_they_do_not_want_to_hear() -> None:
    failed = happening("run.failed", tags=("shop",))
    assert told([failed], channel(tags=["ops"])) == []
    assert len(told([failed], channel(tags=["ops", "shop"]))) == 1
    assert told([failed], channel(about=[About.MISSED])) == []
    assert told([happening("run.failed", trigger=Trigger.TEST)]) == []
    muted = Happening(failed.event, "backup", (), None, True, failed.run, 0)
    assert told([muted]) == []
    assert told([happening(f"run.{state}") for state in (RunState.PENDING, RunState.RUNNING)]) == []


@pytest.mark.parametrize(
    ("begin", "end", "quiet_hours"),
    [(22, 7, {22, 23, 0, 6}), (9, 17, {9, 12, 16}), (8, 8, set())],
)
def test_quiet_hours_may_go_over_midnight(begin: int, end: int, quiet_hours: set[int]) -> None:
    found = channel(quiet_from=time(begin), quiet_to=time(end), timezone="UTC")
    midnight = NOW.replace(hour=0, minute=0, second=0)
    looked_at = (0, 6, 7, 8, 9, 12, 16, 17, 21, 22, 23)
    assert {hour for hour in looked_at if is_quiet(found, midnight + timedelta(hours=hour))} == quiet_hours
    assert not is_quiet(channel(), NOW)
