"""`duetime migrate` brings both databases up to date, and says what is wrong when it can't."""

import os
import subprocess
import sys
from collections.abc import Iterator

import psycopg
import pytest

from cli.console import Refused
from cli.migrations import migrate_everything
from cli.settings import for_prefect, prefect_database
from db.migrate import current, head
from tests.system import DUETIME, free_port


def migrate(**environ: str) -> "subprocess.CompletedProcess[str]":
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("DUETIME_", "PREFECT_"))}
    return subprocess.run(
        [DUETIME, "migrate"], env=plain | environ, capture_output=True, text=True, timeout=120, check=False
    )


def has_deployments(prefect_url: str) -> bool:
    with psycopg.connect(prefect_url) as connection:
        return connection.execute("SELECT to_regclass('deployment')").fetchone() != (None,)


@pytest.fixture
def server_of(database_url: str) -> Iterator[str]:
    """The catalogue's address; the database beside it goes when the test is over."""
    yield database_url
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(f'DROP DATABASE IF EXISTS "{prefect_database(database_url).rpartition("/")[2]}"')


def test_prefects_database_is_made_and_both_are_brought_up_to_date_any_number_of_times(server_of: str) -> None:
    for _ in range(2):
        done = migrate(DUETIME_DATABASE_URL=server_of)
        assert done.returncode == 0, done.stdout + done.stderr
    assert current(server_of) == head()
    assert has_deployments(prefect_database(server_of))


def test_prefects_database_may_be_named_in_the_words_of_prefects_driver(server_of: str) -> None:
    prefect = prefect_database(server_of)
    done = migrate(DUETIME_DATABASE_URL=server_of, DUETIME_PREFECT_DATABASE_URL=for_prefect(prefect))
    assert done.returncode == 0, done.stdout + done.stderr
    assert has_deployments(prefect)


def test_without_an_address_it_says_which_variable_is_missing() -> None:
    done = migrate()
    assert (done.returncode, done.stdout) == (1, "")
    assert "DUETIME_DATABASE_URL is not set" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_server_that_does_not_answer_is_waited_for_only_so_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cli.migrations.WAIT_SECONDS", 1.0)
    with pytest.raises(Refused, match=r"did not answer within 1 s.*[Rr]efused"):
        migrate_everything({"DUETIME_DATABASE_URL": f"postgresql://u@127.0.0.1:{free_port()}/d"})


def test_a_database_that_is_not_there_is_not_waited_for(postgres_url: str) -> None:
    with pytest.raises(Refused, match="does not exist"):
        migrate_everything({"DUETIME_DATABASE_URL": f"{postgres_url.rpartition('/')[0]}/no_such_database"})


def test_the_supervisor_loads_no_part_that_would_stay_in_memory() -> None:
    heavy = ("prefect", "streamlit", "sqlalchemy", "alembic", "fastapi", "httpx")
    code = f"import sys, cli.main, cli.up; print(*[name for name in {heavy!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.split() == []
