"""States as people see them."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from dashboard.badges import RUN_BADGES, run_badge, task_badges
from db.specs import parse_task
from db.states import RunState
from db.tables import Run
from db.task_views import TaskView

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


def task(*, last: RunState | None = None, schedule: dict[str, Any] | None = None, **changes: Any) -> TaskView:
    spec = parse_task(
        {
            "name": "backup",
            "kind": "shell",
            "action": {"command": "true"},
            "schedule": schedule or {"kind": "cron", "cron": "0 2 * * *"},
            "paused": changes.pop("paused", False),
        }
    )
    shown = TaskView(
        id=uuid4(),
        version=2,
        spec=spec,
        pause_reason=None,
        paused_until=None,
        created_at=NOW,
        updated_at=NOW,
        deleted_at=None,
        synced_version=2,
        sync_error=None,
        deployment_id=uuid4(),
        next_due_at=NOW + timedelta(hours=1),
        last_run=Run(id=uuid4(), due_at=NOW, state=last.value) if last else None,
    )
    return replace(shown, **changes)


def words(shown: TaskView) -> list[str]:
    return [badge.word for badge in task_badges(shown, zone="UTC")]


def test_every_state_of_a_run_has_a_colour_an_icon_and_a_word() -> None:
    assert set(RUN_BADGES) == set(RunState)
    assert all(badge.tone and badge.icon and badge.word for badge in RUN_BADGES.values())


def test_a_run_whose_end_was_asked_for_is_cancelling() -> None:
    assert run_badge("running", cancelling=True).word == "Cancelling"


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (task(), "Scheduled"),
        (task(last=RunState.FAILED), "Failed"),
        (task(last=RunState.FAILED, paused=True), "Paused"),
        (task(last=RunState.FAILED, paused=True, deleted_at=NOW), "Deleted"),
        (task(schedule={"kind": "manual"}, next_due_at=None), "On demand"),
        (task(next_due_at=None), "Not due again"),
    ],
)
def test_a_task_is_shown_by_what_matters_most_about_it(shown: TaskView, expected: str) -> None:
    assert words(shown) == [expected]


def test_what_prefect_does_not_have_is_said_beside_the_state() -> None:
    assert words(task(synced_version=1)) == ["Scheduled", "Deploying"]
    assert words(task(synced_version=1, sync_error="no such pool")) == ["Scheduled", "Not deployed"]
    assert words(task(synced_version=1, deleted_at=NOW)) == ["Deleted"]


def test_a_pause_says_why_and_until_when() -> None:
    paused = task(paused=True, pause_reason="moving house", paused_until=NOW)
    assert task_badges(paused, zone="UTC")[0].title == "moving house, until Tue 24 Nov 2026, 12:00:00 UTC"
