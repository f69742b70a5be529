"""What is copied is what makes the same task again."""

import json
import shlex

import pytest
import yaml
from hypothesis import given

from dashboard import copying
from db.specs import as_document, parse_task
from tests.dashboard.task_documents import documents


@given(documents())
def test_the_request_and_the_document_hold_the_whole_task(document: dict[str, object]) -> None:
    task = parse_task(document)
    words = shlex.split(copying.curl(task, "http://127.0.0.1:3000/"))
    assert words[:3] == ["curl", "-s", "http://127.0.0.1:3000/api/tasks"]
    assert parse_task(json.loads(words[-1])) == task
    assert yaml.safe_load(copying.document(task)) == as_document(task)


@pytest.mark.parametrize("schedule", [{"cron": "0 2 * * *", "timezone": "UTC"}, None, "foreign"])
def test_an_entry_of_prefect_yaml_is_what_prefect_was_told(schedule: object) -> None:
    applied = {
        "name": "backup",
        "description": "",
        "entrypoint": "flows.shell.shell",
        "parameters": {"command": "true"},
        "tags": ["ops"],
        "work_pool": "default",
        "schedule": schedule,
    }
    [entry] = yaml.safe_load(copying.prefect_yaml(applied))
    assert entry["entrypoint"] == "flows.shell.shell"
    assert entry["work_pool"] == {"name": "default"}
    expected = [{"slug": "duetime", "cron": "0 2 * * *", "timezone": "UTC"}] if isinstance(schedule, dict) else None
    assert entry.get("schedules") == expected
