"""The end of a pause, and the question that it asks."""

from datetime import timedelta
from uuid import UUID

import pytest
from playwright.sync_api import Page, expect
from sqlalchemy.orm import Session

from db import due_times, tasks
from db.specs import parse_task
from db.states import Outcome, Reason
from tests.browser.conftest import artefact
from tests.browser.reading import open_page
from tests.browser.world import World, now

pytestmark = pytest.mark.xdist_group("browser")


@pytest.fixture
def paused(world: World) -> UUID:
    """A task whose pause held back three due times; its next one is most of an hour away."""
    began = now().replace(second=30, microsecond=0) - timedelta(minutes=3)
    minutes = ",".join(str((began + timedelta(minutes=minute)).minute) for minute in (1, 2, 3))
    spec = {
        "name": "backup",
        "kind": "shell",
        "action": {"command": "true"},
        "schedule": {"kind": "cron", "cron": f"{minutes} * * * *", "timezone": "UTC"},
    }

    def pass_by(session: Session) -> UUID:
        task_id = tasks.create_task(session, parse_task(spec), actor="anna", now=began)
        tasks.pause_task(session, task_id, actor="anna", now=began)
        skipped, paused = Outcome.SKIPPED, Reason.PAUSED
        for minute in (1, 2, 3):
            due_at = began + timedelta(minutes=minute, seconds=-30)
            assert due_times.settle(session, task_id, due_at, outcome=skipped, reason=paused, now=now())
        return task_id

    return world.do(pass_by)


def reopened(world: World, task_id: UUID) -> int:
    page = world.do(lambda s: due_times.list_due_times(s, task_id, outcome=Outcome.PENDING))
    return sum(row.reason == Reason.RESUMED for row in page.items)


@pytest.mark.parametrize(
    ("choice", "count"), [("Leave them", 0), ("Run the last one", 1), ("Run each, one after the other", 3)]
)
def test_who_ends_a_pause_says_what_becomes_of_what_passed(
    page: Page, world: World, paused: UUID, choice: str, count: int
) -> None:
    open_page(page, f"/task?id={paused}", "backup")
    page.get_by_role("button", name="Resume").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_text("3 due times passed during the pause of")).to_be_visible()
    dialog.get_by_text(choice).click()
    page.screenshot(path=artefact("resume.png"))
    dialog.get_by_role("button", name="Resume").click()
    expect(page.get_by_role("button", name="Pause", exact=True)).to_be_visible()
    assert not world.see(paused).spec.paused
    assert reopened(world, paused) == count
