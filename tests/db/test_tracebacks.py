"""Tracebacks are logged without the values of variables, and of a bounded size, in every kind of process."""

import json
import logging
import os
import subprocess
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from db import journal, tracebacks

ROOT = Path(__file__).parents[2]
SECRET = "hunter-of-the-locals"
log = logging.getLogger("duetime.test")


@pytest.fixture(autouse=True)
def as_before() -> object:
    yield
    log.handlers, log.propagate = [], True


def fails(token: str) -> None:
    kept = {"token": token}
    raise ValueError(f"broke with {len(kept)}")


@pytest.mark.parametrize("format_", ["", "json"])
def test_the_journal_shows_where_and_not_with_what(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, format_: str
) -> None:
    monkeypatch.setenv(journal.FORMAT, format_)
    journal.keep(loggers=["duetime.test"])
    try:
        fails(SECRET)
    except ValueError:
        log.exception("It broke")
    said = capsys.readouterr().err
    assert SECRET not in said
    assert "ValueError: broke with 1" in said
    assert "in fails" in said


PROCESSES = {
    "the dashboard and the reconciler": "from db import journal; journal.keep()",
    "a worker": (
        "from prefect.logging.configuration import setup_logging; setup_logging()\n"
        "from db import journal; journal.keep(loggers=['flows', 'db'])"
    ),
    "a flow": "from flows import engine; engine._log_to(sys.stderr)",
    "Prefect's server": "import logging.config; from uvicorn.config import LOGGING_CONFIG\n"
    "logging.config.dictConfig(LOGGING_CONFIG)",
    "a page": "from db import journal; journal.keep(); import streamlit\n"
    "from streamlit.error_util import handle_uncaught_app_exception\n",
}
RAISE = """
import asyncio, threading

def fails(token):
    kept = [token]
    raise ValueError("broke")

for name in ("", "db.loops", "flows.station", "dashboard", "uvicorn.error", "streamlit", "prefect.flow_runs"):
    try:
        fails(SECRET)
    except ValueError as error:
        logging.getLogger(name).exception("It broke")
        if "handle_uncaught_app_exception" in globals():
            handle_uncaught_app_exception(error)

async def later():
    asyncio.get_running_loop().call_soon(lambda: fails(SECRET))
    await asyncio.sleep(0.01)

asyncio.run(later())
thread = threading.Thread(target=fails, args=(SECRET[:],))
thread.start()
thread.join()
fails(SECRET)
"""


@pytest.mark.parametrize("process", PROCESSES)
def test_no_process_shows_the_values_of_variables(process: str) -> None:
    lines = [f"import logging, os, sys; SECRET = os.environ['SECRET_OF_{os.getpid()}']", PROCESSES[process], RAISE]
    environment = {**os.environ, f"SECRET_OF_{os.getpid()}": SECRET, "PREFECT_LOGGING_TO_API_ENABLED": "false"}
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(lines)], env=environment, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 1
    assert done.stderr.count("ValueError: broke") >= 3
    assert SECRET not in done.stderr + done.stdout


def test_nothing_here_asks_for_the_values_of_variables() -> None:
    asking = ("show_locals", "capture_locals", "rich.traceback", "rich_traceback", "better_exceptions")
    rooms = ("cli", "dashboard", "db", "flows", "reconciler")
    files = [file for room in rooms for file in (ROOT / room).rglob("*.py")]
    assert len(files) > 100
    assert [file for file in files if any(word in file.read_text() for word in asking)] == []


def test_an_error_of_the_database_does_not_tell_what_the_statement_was_given(session: Session) -> None:
    with pytest.raises(DBAPIError) as raised:
        session.execute(text("SELECT 1 / length(substr(:value, 1, 0))"), {"value": SECRET})
    assert SECRET not in "".join(traceback.format_exception(raised.value))


def deep(levels: int) -> None:
    if levels:
        deep(levels - 1)
    raise ValueError("at the bottom")


def long() -> None:
    raise ValueError("x" * 10_000_000)


def caused() -> None:
    error: Exception = ValueError("the first")
    for number in range(2_000):
        following = ValueError(f"number {number}")
        following.__cause__ = error
        error = following
    raise error


def circle() -> None:
    one, other = ValueError("one"), ValueError("other")
    one.__context__, other.__context__ = other, one
    raise one


class Unsayable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


def unsayable() -> None:
    raise Unsayable


def group() -> None:
    inner: Exception = ValueError("innermost")
    for _ in range(100):
        inner = ExceptionGroup("several", [inner] * 100)
    raise inner


@pytest.mark.parametrize("fail", [lambda: deep(900), long, caused, circle, unsayable, group])
def test_a_traceback_is_bounded_whatever_was_raised(fail: Callable[[], None]) -> None:
    with pytest.raises(Exception) as raised:  # noqa: PT011 - whatever it is
        fail()
    said = tracebacks.bounded(raised.value)
    assert len(said) <= tracebacks.CHARACTERS + 100
    assert type(raised.value).__name__ in said
    assert len(said.splitlines()) < 200


def test_a_source_that_cannot_be_read_keeps_nobody_from_the_rest() -> None:
    class Loader:
        def get_source(self, name: str) -> str:
            raise RuntimeError(f"no source of {name}")

    with pytest.raises(ValueError, match="broke") as raised:
        exec(  # noqa: S102 - a module whose source is nowhere
            compile("raise ValueError('broke')", "generated.py", "exec"),
            {"__name__": "generated", "__loader__": Loader()},
        )
    assert "ValueError: broke" in tracebacks.bounded(raised.value)


def test_a_message_without_end_is_shortened(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(journal.FORMAT, "json")
    journal.keep(loggers=["duetime.test"])
    log.warning("it said %s", "x" * 1_000_000)
    (line,) = capsys.readouterr().err.splitlines()
    assert len(json.loads(line)["event"]) < 10_000
