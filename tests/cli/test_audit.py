"""`duetime audit` as its user calls it: what it prints, and with which code it ends."""

import os
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest
from sqlalchemy import delete, update

from cli.audit import summary
from cli.postgres import EmbeddedPostgres, ensure_database
from cli.settings import CATALOGUE
from db import tasks
from db.engine import Catalogue
from db.migrate import migrate
from db.partitions import oldest_instant
from db.specs import parse_task
from db.tables import DueTime
from db.witness import Verdict
from tests.system import DUETIME, free_port

NOW = datetime.now(UTC)
CREATED_AT = NOW.replace(second=0, microsecond=0) - timedelta(minutes=10)
MINUTE = timedelta(minutes=1)


def ask(*words: str, **environ: str) -> "subprocess.CompletedProcess[str]":
    plain = {name: value for name, value in os.environ.items() if not name.startswith("DUETIME_")}
    return subprocess.run(
        [DUETIME, "audit", *words], env=plain | environ, capture_output=True, text=True, timeout=60, check=False
    )


def verdict_on(catalogue: Catalogue, *words: str) -> "subprocess.CompletedProcess[str]":
    return ask(*words, DUETIME_DATABASE_URL=catalogue.url)


def z(at: datetime) -> str:
    return at.isoformat().replace("+00:00", "Z")


@pytest.fixture
def task_id(catalogue: Catalogue) -> UUID:
    """A task that was due each minute for five minutes, all of it cancelled by somebody."""
    spec = parse_task(
        {
            "name": "backup",
            "kind": "shell",
            "action": {"command": "true"},
            "schedule": {"kind": "cron", "cron": "* * * * *"},
            "ends_at": z(CREATED_AT + 5 * MINUTE),
        }
    )
    with catalogue.transaction() as session:
        task_id = tasks.create_task(session, spec, actor="anna", now=CREATED_AT)
        session.execute(update(DueTime).values(outcome="cancelled", reason="cancelled", decided_at=NOW))
    return task_id


@pytest.mark.usefixtures("task_id")
def test_when_everything_agrees_it_says_so_in_one_line(catalogue: Catalogue) -> None:
    answer = verdict_on(catalogue)
    assert (answer.returncode, answer.stdout, answer.stderr) == (0, "5 due times, 5 accounted for\n", "")


def test_what_still_waits_is_counted(catalogue: Catalogue, task_id: UUID) -> None:
    waiting = {"outcome": "pending", "reason": "resumed", "decided_at": None}
    with catalogue.transaction() as session:
        session.execute(
            update(DueTime)
            .where(DueTime.task_id == task_id, DueTime.due_at > CREATED_AT + 3 * MINUTE)
            .values(**waiting)
        )
    answer = verdict_on(catalogue)
    assert (answer.returncode, answer.stdout) == (0, "5 due times, 5 accounted for, 2 of them still waiting\n")


def test_each_discrepancy_has_its_line_with_the_evidence(catalogue: Catalogue, task_id: UUID) -> None:
    first, second = CREATED_AT + MINUTE, CREATED_AT + 2 * MINUTE
    with catalogue.transaction() as session:
        session.execute(delete(DueTime).where(DueTime.due_at == second))
        session.execute(update(DueTime).where(DueTime.due_at == first).values(reason="deleted"))
    answer = verdict_on(catalogue)
    assert answer.returncode == 1
    assert answer.stdout.splitlines() == [
        f"{z(first)} backup ({task_id}): Cancelled as deleted at {z(NOW)}, but the task was not deleted then.",
        f"{z(second)} backup ({task_id}): There is no row, but it was due by version 1 of {z(CREATED_AT)} "
        "(Every minute, UTC).",
        "5 due times, 3 accounted for, 2 discrepancies",
    ]


@pytest.mark.usefixtures("task_id")
def test_from_and_to_say_what_is_looked_at(catalogue: Catalogue) -> None:
    berlin = (CREATED_AT + 2 * MINUTE).astimezone().isoformat()
    answer = verdict_on(catalogue, "--from", berlin, "--to", z(CREATED_AT + 4 * MINUTE))
    assert (answer.returncode, answer.stdout) == (0, "2 due times, 2 accounted for\n")
    assert verdict_on(catalogue, "--to", z(NOW - timedelta(days=2))).stdout == "0 due times, 0 accounted for\n"


def test_it_says_so_when_the_ledger_is_not_kept_for_so_long(catalogue: Catalogue) -> None:
    answer = verdict_on(catalogue, "--from", "2001-01-01T00:00:00Z")
    assert answer.returncode == 0
    assert f"from {z(oldest_instant(NOW))} on" in answer.stderr


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--from", "2026-11-24T18:00:00"], "has no time zone: add Z for UTC, or an offset such as +01:00"),
        (["--to", "2026-11-24"], "has no time zone"),
        (["--from", "yesterday"], "expected an instant such as 2026-11-24T18:00:00Z, not 'yesterday'"),
        (["--from", "0001-01-01T00:00:00+14:00"], "expected a year from 1971 to 9000"),
        (["--from", "2026-11-24T18:00:00Z", "--to", "2026-11-24T19:00:00+01:00"], "--from has to be earlier than --to"),
        (["--database-url", "nowhere"], "expected postgresql://user:password@host/database"),
    ],
)
def test_arguments_that_are_not_understood_end_with_2(words: list[str], says: str) -> None:
    answer = ask(*words)
    assert (answer.returncode, answer.stdout) == (2, "")
    assert says in answer.stderr


def test_without_postgresql_there_is_no_verdict_and_nothing_on_stdout() -> None:
    answer = ask(DUETIME_DATABASE_URL=f"postgresql://duetime@127.0.0.1:{free_port()}/duetime")
    assert (answer.returncode, answer.stdout) == (1, "")
    assert answer.stderr.startswith("duetime: No verdict: PostgreSQL does not answer.")
    assert "Connection refused" in answer.stderr


def test_a_database_that_is_no_catalogue_is_said_so(database_url: str) -> None:
    answer = ask("--database-url", database_url)
    assert (answer.returncode, answer.stdout) == (1, "")
    assert "duetime migrate" in answer.stderr
    assert "Traceback" not in answer.stderr


def test_without_a_system_in_the_folder_it_says_what_to_do(tmp_path: Path) -> None:
    answer = ask("--data-dir", str(tmp_path))
    assert (answer.returncode, answer.stdout) == (1, "")
    assert f"no `duetime up` with its own PostgreSQL runs in {tmp_path}" in answer.stderr
    assert not list(tmp_path.iterdir())


def test_it_finds_the_embedded_postgresql_of_the_folder(running: EmbeddedPostgres) -> None:
    ensure_database(running.url(), CATALOGUE)
    migrate(running.url(CATALOGUE))
    for answer in (ask("--data-dir", str(running.home.parent)), ask(DUETIME_DATA_DIR=str(running.home.parent))):
        assert (answer.returncode, answer.stdout, answer.stderr) == (0, "0 due times, 0 accounted for\n", "")


def test_the_summary_tells_all_counts() -> None:
    assert summary(Verdict(NOW, NOW, 7, 6, 2, ())) == "7 due times, 6 accounted for, 2 of them still waiting"
