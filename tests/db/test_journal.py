"""What is logged, as people and as programs read it."""

import json
import logging

import pytest

from db import journal

log = logging.getLogger("duetime.test")


@pytest.fixture(autouse=True)
def as_before() -> object:
    yield
    log.handlers, log.propagate = [], True


def test_a_program_reads_json_with_what_it_is_about(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(journal.FORMAT, "json")
    journal.keep(loggers=["duetime.test"])
    with journal.about(run_id="r1", task_id="t1"):
        log.warning("It took %s s\nand more", 3)
    log.info("after it")
    first, second = map(json.loads, capsys.readouterr().err.splitlines())
    assert (first["event"], first["run_id"], first["task_id"]) == ("It took 3 s\nand more", "r1", "t1")
    assert (first["level"], first["logger"]) == ("warning", "duetime.test")
    assert first["timestamp"].endswith("Z")
    assert "run_id" not in second


def test_an_exception_is_one_line_of_json(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(journal.FORMAT, "json")
    journal.keep(loggers=["duetime.test"])
    try:
        raise ValueError("no")
    except ValueError:
        log.exception("It broke")
    (line,) = capsys.readouterr().err.splitlines()
    assert "ValueError: no" in json.loads(line)["exception"]


def test_a_person_reads_words(capsys: pytest.CaptureFixture[str]) -> None:
    journal.keep(loggers=["duetime.test"])
    with journal.about(task="backup"):
        log.error("It broke")
    said = capsys.readouterr().err
    assert "It broke" in said
    assert "task=backup" in said
    assert "\x1b" not in said
