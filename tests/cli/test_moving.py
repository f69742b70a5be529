"""All tasks out of one catalogue and into another, by the commands that people type."""

import os
import subprocess
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from db import audit, calendars, task_views, tasks
from db.closures import Dates
from db.engine import Catalogue
from db.specs import as_document, parse_task
from tests.conftest import FreshDatabase
from tests.dashboard.task_documents import example
from tests.system import DUETIME

EVE = Dates(first=date(2030, 12, 24), name="Christmas Eve")


@pytest.fixture
def other(fresh_database: FreshDatabase, migrated: str) -> Iterator[Catalogue]:
    """A second catalogue, empty."""
    with fresh_database(template=migrated) as url:
        catalogue = Catalogue(url, application_name="duetime-test")
        yield catalogue
        catalogue.close()


def called(*words: str, catalogue: Catalogue | None = None, text: str = "") -> "subprocess.CompletedProcess[str]":
    plain = {name: value for name, value in os.environ.items() if not name.startswith("DUETIME_")}
    where = {"DUETIME_DATABASE_URL": catalogue.url} if catalogue else {}
    command = [str(DUETIME), *words]
    return subprocess.run(
        command, env=plain | where, input=text, capture_output=True, text=True, timeout=60, check=False
    )


def make(catalogue: Catalogue, *documents: dict[str, Any]) -> None:
    with catalogue.transaction() as session:
        for document in documents:
            tasks.create_task(session, parse_task(document), actor="anna", now=datetime.now(UTC))


def found(catalogue: Catalogue) -> list[dict[str, Any]]:
    with catalogue.transaction() as session:
        return [as_document(view.spec) for view in task_views.list_tasks(session, now=datetime.now(UTC)).items]


def some_tasks() -> list[dict[str, Any]]:
    return [
        example("flow", name="a flow", retries=2, tags=["x"]),
        example("http", name="a/b: %", overlap="queue", on_crash="rerun"),
        example("python", name="monthly", schedule={"kind": "manual"}, paused=True),
        example(name="later", schedule={"kind": "once", "at": (datetime.now(UTC) + timedelta(days=9)).isoformat()}),
        example(name="nightly", description="Two\nlines, “quoted”", starts_at="2026-01-01T00:00:00Z"),
    ]


def test_an_export_makes_the_same_tasks_elsewhere(catalogue: Catalogue, other: Catalogue) -> None:
    make(catalogue, *some_tasks())
    text = called("export", catalogue=catalogue).stdout
    answer = called("import", "-", catalogue=other, text=text)
    assert (answer.returncode, answer.stderr) == (0, "")
    assert answer.stdout.splitlines()[-1] == "5 made"
    assert found(other) == found(catalogue)
    again = called("import", "-", catalogue=other, text=text)
    assert (again.returncode, again.stdout) == (0, "5 as it was\n")


def test_chains_come_along(catalogue: Catalogue, other: Catalogue) -> None:
    make(catalogue, example(name="z first"))
    with catalogue.transaction() as session:
        first = tasks.task_by_name(session, "z first")
    make(catalogue, example(name="next", after=[{"task_id": str(first), "on": "finished"}]))
    text = called("export", catalogue=catalogue).stdout
    assert "2 made" in called("import", "-", catalogue=other, text=text).stdout
    assert called("export", catalogue=other).stdout == text
    assert "2 as it was" in called("import", "-", catalogue=other, text=text).stdout
    wrong = called("import", "-", catalogue=other, text=text.replace("task: z first", "task: nobody"))
    assert (wrong.returncode, "There is no task 'nobody'" in wrong.stderr) == (1, True)


def test_calendars_come_along(catalogue: Catalogue, other: Catalogue) -> None:
    with catalogue.transaction() as session:
        calendars.add(session, "holidays", (EVE,), actor="anna", now=datetime.now(UTC))
    nightly = {"kind": "cron", "cron": "0 2 * * *", "timezone": "UTC", "calendars": ["holidays"], "on_closed": "next"}
    make(catalogue, example(schedule=nightly))
    text = called("export", catalogue=catalogue).stdout
    done = called("import", "-", catalogue=other, text=text)
    assert (done.returncode, done.stdout.splitlines()[0]) == (0, "made: calendar holidays"), done.stderr
    assert found(other) == found(catalogue)
    assert called("export", catalogue=other).stdout == text
    later = text.replace("2030-12-24", "2030-12-23")
    assert "changed: calendar holidays" in called("import", "-", catalogue=other, text=later).stdout
    assert called("export", catalogue=other).stdout == later
    wrong = called("import", "-", catalogue=other, text=text.replace("2030-12-24", "2030-02-30"))
    assert (wrong.returncode, "a calendar cannot be taken" in wrong.stderr) == (1, True)


def test_a_name_that_looks_like_a_path_is_a_name(catalogue: Catalogue, other: Catalogue, tmp_path: Path) -> None:
    names = ["../../escape", "/etc/cron.d/escape", "..\\escape", "escape.yaml"]
    make(catalogue, *(example(name=name) for name in names))
    file = tmp_path / "in" / "tasks.yaml"
    file.parent.mkdir()
    file.write_text(called("export", catalogue=catalogue).stdout)
    assert called("check", str(file)).returncode == 0
    assert called("import", str(file), catalogue=other).returncode == 0
    assert [each["name"] for each in found(other)] == sorted(names)
    assert list(tmp_path.rglob("*")) == [file.parent, file]
    assert not Path("/etc/cron.d/escape").exists()


def test_a_task_of_the_same_name_becomes_what_the_file_says(catalogue: Catalogue, tmp_path: Path) -> None:
    make(catalogue, example(name="nightly"), example(name="untouched"))
    file = tmp_path / "tasks.yaml"
    file.write_text(called("export", catalogue=catalogue).stdout.replace("pg_dump shop", "pg_dump all", 1))
    dry = called("import", str(file), "--dry-run", catalogue=catalogue)
    assert dry.stdout.splitlines() == [
        "changed: nightly: action",
        "1 changed, 1 as it was",
        "nothing was done: --dry-run",
    ]
    assert found(catalogue)[0]["action"]["command"] == "pg_dump shop"
    assert called("import", str(file), catalogue=catalogue).returncode == 0
    assert [each["action"]["command"] for each in found(catalogue)] == ["pg_dump all", "pg_dump shop"]
    with catalogue.transaction() as session:
        assert audit.entries(session).items[0].actor == "import"


def test_what_is_over_is_left_out(catalogue: Catalogue, other: Catalogue) -> None:
    past = {"kind": "once", "at": (datetime.now(UTC) - timedelta(days=1)).isoformat(), "run_if_past": True}
    make(catalogue, example(name="done", schedule=past))
    answer = called("import", "-", catalogue=other, text=called("export", catalogue=catalogue).stdout)
    assert answer.stdout.splitlines()[0] == "left out, its time has passed: done"
    assert found(other) == []


def test_of_a_file_with_a_mistake_nothing_is_taken(catalogue: Catalogue) -> None:
    make(catalogue, *some_tasks())
    text = called("export", catalogue=catalogue).stdout.replace("0 2 * * *", "61 2 * * *", 1)
    for task in found(catalogue):
        with catalogue.transaction() as session:
            task_id = tasks.task_by_name(session, task["name"])
            assert task_id is not None
            tasks.delete_task(session, task_id, actor="anna", now=datetime.now(UTC))
    answer = called("import", "-", catalogue=catalogue, text=text)
    assert answer.returncode == 1
    assert "schedule.cron" in answer.stderr
    assert answer.stderr.endswith("nothing is imported\n")
    assert found(catalogue) == []


def test_a_file_is_checked_without_a_catalogue(tmp_path: Path) -> None:
    good, bad = tmp_path / "good.yaml", tmp_path / "bad.yaml"
    good.write_text((Path(__file__).parents[2] / "prefect.yaml").read_text())
    bad.write_text(good.read_text().replace("30 8 * * 1-5", "30 25 * * 1-5"))
    assert called("check", str(good)).stdout == f"{good}: 3 tasks, 0 wrong\n"
    answer = called("check", str(bad))
    assert (answer.returncode, answer.stdout) == (1, f"{bad}: 2 tasks, 1 wrong\n")
    assert answer.stderr.startswith(f"{bad}: python-greeting: schedule.cron: ")


def test_what_cannot_be_read_is_refused_with_the_cure(tmp_path: Path) -> None:
    assert "cannot be read: No such file" in called("check", str(tmp_path / "none")).stderr
    assert "has no list named deployments" in called("check", "-", text="a: b").stderr
    assert "no `duetime up`" in called("export", "--data-dir", str(tmp_path)).stderr
