"""A part that cannot begin says why, once, with the cure, and not in a traceback."""

import logging

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from db import loops
from db.engine import Catalogue
from db.loops import records
from db.prefect_answers import PrefectUnavailable, sorted_out
from tests.system import free_port


@pytest.fixture(autouse=True)
def nothing_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "_RECORDS", {})
    monkeypatch.setattr(records, "_AWAY", {})


def failing(url: str, *, times: int = 3) -> None:
    """As two loops of one part that cannot reach its catalogue."""
    for _ in range(times):
        for name in ("one", "other"):
            catalogue = Catalogue(url, pool_size=1)
            try:
                with catalogue.transaction() as session:
                    session.execute(text("SELECT * FROM heartbeats"))
            except Exception as error:  # noqa: BLE001 - as a loop does
                loops.record_of(name).failed(error)
            finally:
                catalogue.close()


@pytest.mark.parametrize("why", ["password", "host", "port", "database", "tables"])
def test_the_reason_is_said_once_for_the_whole_part(
    database_url: str, caplog: pytest.LogCaptureFixture, why: str
) -> None:
    head, _, place = database_url.rpartition("@")
    server = place.partition("/")[0]
    url, said = {
        "password": (f"{head.rpartition(':')[0]}:wrong@{place}", "does not let this user in"),
        "host": ("postgresql://u:p@no.such.host.invalid/x", "name of PostgreSQL's machine is not known"),
        "port": (f"postgresql://u:p@127.0.0.1:{free_port()}/x", "PostgreSQL does not answer"),
        "database": (f"{head}@{server}/nowhere", "There is no such database"),
        "tables": (database_url, "Apply the migrations: duetime migrate"),
    }[why]
    failing(url)
    [told] = [record for record in caplog.records if record.name == "db.loops.records"]
    assert (told.levelno, told.exc_info) == (logging.WARNING, None)
    assert said in told.getMessage()
    assert loops.failures() == {"one": 3, "other": 3}


def test_another_mistake_of_ours_is_still_shown_with_its_traceback(
    database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    catalogue = Catalogue(database_url, pool_size=1)
    with pytest.raises(DBAPIError) as failure, catalogue.transaction() as session:
        session.execute(text("SELECT FROM WHERE"))
    loops.record_of("x").failed(failure.value)
    catalogue.close()
    [told] = [record for record in caplog.records if record.name == "db.loops.records"]
    assert told.exc_info is not None


@pytest.mark.parametrize(
    ("status", "body", "cure"),
    [
        (401, b'{"exception_message": "Unauthorized"}', "PREFECT_API_AUTH_STRING"),
        (403, b"", "PREFECT_API_AUTH_STRING"),
        (407, b"<html>", "NO_PROXY"),
        (404, b"<html>not here</html>", "PREFECT_API_URL"),
        (200, b"<html>another server</html>", "PREFECT_API_URL"),
        (302, b"", "PREFECT_API_URL"),
    ],
)
def test_a_wrong_address_or_credential_of_prefect_is_said_with_what_to_set(status: int, body: bytes, cure: str) -> None:
    with pytest.raises(PrefectUnavailable, match=cure):
        sorted_out(status, body)
