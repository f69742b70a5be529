"""Texts that are made to take long: every pattern that they meet is linear."""

import time
from collections.abc import Callable
from contextlib import suppress
from datetime import date
from typing import Any

import pytest
from starlette.testclient import TestClient

from dashboard import closed_texts, cron_grid, field_texts, ics
from dashboard.api import inputs
from db.schedules import check_cron
from db.specs import parse_task
from tests.api.conftest import created, document

EVIL = ("a" * 50_000 + "!", "(a+)+$" * 5_000, "%" * 50_000, "_" * 50_000, "\\" * 50_000, "0-" * 20_000, "," * 50_000)
SECONDS = 2.0


def a_task(**action: Any) -> Callable[[str], object]:
    return lambda text: parse_task(document(action={"command": "true", **dict.fromkeys(action, text)}))


READERS: dict[str, Callable[[str], object]] = {
    "cron": check_cron,
    "cron grid": cron_grid.read,
    "closed days": closed_texts.read,
    "closed days, weekly": lambda text: closed_texts.read(f"every sat, {text}"),
    "closed days, dates": lambda text: closed_texts.read(f"2026-12-24 to {text}"),
    "environment": field_texts.read_env,
    "headers": field_texts.read_headers,
    "codes": field_texts.read_codes,
    "calendar file": lambda text: ics.read(text, today=date(2026, 11, 28)),
    "versions": lambda text: inputs.condition(f'"{text}'),
    "versions, many": lambda text: inputs.condition('"1",' * 10_000 + text),
    "command with secrets": a_task(command="${secret:"),
}


@pytest.mark.parametrize("reader", READERS)
def test_a_text_is_read_in_no_time(reader: str) -> None:
    for text in EVIL:
        began = time.thread_time()
        with suppress(Exception):  # what it says of the text is tested elsewhere
            READERS[reader](text)
        assert time.thread_time() - began < SECONDS, text[:20]


@pytest.mark.parametrize("text", ["%", "_", "\\", "(a+)+$", "[", ".*", "a%b"])
def test_a_search_is_for_a_piece_of_text_and_no_pattern(api: TestClient, text: str) -> None:
    created(api, name="plain")
    assert api.get("/tasks", params={"search": text}).json()["items"] == []
    created(api, name=f"with {text} in it")
    assert [each["name"] for each in api.get("/tasks", params={"search": text}).json()["items"]] == [
        f"with {text} in it"
    ]


def test_a_long_search_is_refused(api: TestClient) -> None:
    assert api.get("/tasks", params={"search": "a" * 201}).status_code == 422
