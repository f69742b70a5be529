"""Tasks as a file: whatever a task is, the file says it, and Prefect takes the file as well."""

from typing import Any
from uuid import uuid4

import pytest
import yaml
from hypothesis import given
from prefect.cli.deploy._models import PrefectYamlModel

from cli.task_file import OWN, NotATaskFile, entry_of, read, task_in, text_of
from db.specs import as_document, parse_task
from db.states import After
from tests.dashboard.task_documents import documents, example

ENTRY = """
deployments:
  - name: backup
    entrypoint: flows.shell.shell
    parameters: {command: pg_dump shop}
    schedules: [{cron: 0 2 * * *, timezone: Europe/Berlin}]
"""


@given(documents())
def test_a_task_comes_back_as_it_was(document: dict[str, Any]) -> None:
    task = parse_task(document)
    [entry] = read(text_of([(uuid4(), task)]))
    assert entry.errors == ()
    assert entry.task is not None
    assert as_document(entry.task) == document


@given(documents())
def test_prefect_takes_every_entry(document: dict[str, Any]) -> None:
    text = text_of([(uuid4(), parse_task(document))])
    [deployment] = PrefectYamlModel.model_validate(yaml.safe_load(text)).deployments
    assert deployment.entrypoint


@pytest.mark.parametrize("kind", ["shell", "http", "python"])
def test_what_prefect_knows_is_said_once(kind: str) -> None:
    assert OWN not in entry_of(uuid4(), parse_task(example(kind)), names={})


def test_what_prefect_does_not_know_is_said_beside() -> None:
    task = parse_task(example(name="a/b", overlap="queue", ends_at="2030-01-01T00:00:00Z"))
    assert entry_of(uuid4(), task, names={})[OWN] == {
        "name": "a/b",
        "overlap": "queue",
        "ends_at": "2030-01-01T00:00:00Z",
    }


def test_an_edit_of_what_prefect_knows_counts() -> None:
    entry = entry_of(uuid4(), parse_task(example(overlap="queue")), names={})
    entry["parameters"]["command"] = "pg_dump stock"
    entry["schedules"][0]["cron"] = "0 4 * * *"
    document = as_document(task_in(entry))
    assert document["action"]["command"] == "pg_dump stock"
    assert (document["schedule"]["cron"], document["overlap"]) == ("0 4 * * *", "queue")


def test_a_plain_entry_is_a_task() -> None:
    [entry] = read(ENTRY)
    assert entry.task is not None
    assert as_document(entry.task) == as_document(
        parse_task(example(name="backup", schedule={"kind": "cron", "cron": "0 2 * * *", "timezone": "Europe/Berlin"}))
    )


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"name": None}, "name"),
        ({"entrypoint": 7}, "entrypoint"),
        ({"parameters": ["a"]}, "parameters"),
        ({"parameters": {}}, "action.command"),
        ({"parameters": {"command": "x", "retries": -1}}, "retries"),
        ({"work_pool": "default"}, "work_pool"),
        ({"schedules": [{"interval": 60}]}, "schedules"),
        ({"schedules": [{"cron": "0 1 * * *"}, {"cron": "0 2 * * *"}]}, "schedules"),
        ({"schedules": [{"cron": "61 * * * *"}]}, "schedule.cron"),
        ({"schedules": ["daily"]}, "schedules"),
        ({"schedules": 7}, "schedules"),
        ({"tags": 7}, "tags"),
        ({"tags": [7]}, "tags.0"),
        ({"description": 7}, "description"),
        ({OWN: {"overlap": "sometimes"}}, "overlap"),
        ({OWN: {"unknown": 1}}, "unknown"),
        ({OWN: ["overlap"]}, OWN),
        ({OWN: {"action": 7}}, "action"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(change: dict[str, Any], field: str) -> None:
    given_entry = yaml.safe_load(ENTRY)["deployments"][0] | change
    [entry] = read(yaml.safe_dump({"deployments": [given_entry]}))
    assert entry.task is None
    assert field in [error.field for error in entry.errors]


def test_a_name_is_taken_once() -> None:
    entries = yaml.safe_load(ENTRY)["deployments"]
    found = read(yaml.safe_dump({"deployments": entries * 2}))
    assert [[error.field for error in entry.errors] for entry in found] == [["name"], ["name"]]


@pytest.mark.parametrize("text", ["", "a: [", "- a", "deployments: 7", "7", "deployments:\n  a: b", "\0"])
def test_what_is_no_such_file_is_refused(text: str) -> None:
    with pytest.raises(NotATaskFile):
        read(text)


@pytest.mark.parametrize("entry", [7, "a", None, [], {}])
def test_an_entry_of_nothing_is_said(entry: Any) -> None:
    [found] = read(yaml.safe_dump({"deployments": [entry]}))
    assert found.errors


def test_a_chain_is_said_by_name() -> None:
    first, gone = uuid4(), uuid4()
    after = [{"task_id": str(first), "on": "failed"}, {"task_id": str(gone)}]
    text = text_of(
        [(first, parse_task(example(name="first"))), (uuid4(), parse_task(example(name="next", after=after)))]
    )
    [_, entry] = read(text)
    assert entry.after == [("first", After.FAILED)]
    assert str(first) not in text
    assert entry.task is not None
    assert entry.task.after == []


@pytest.mark.parametrize("after", ["first", "[first]", "[{on: failed}]", "[{task: first, on: never}]", "{task: first}"])
def test_a_chain_that_is_none_is_said(after: str) -> None:
    [entry] = read(f"{ENTRY}    duetime: {{after: {after}}}\n")
    assert [error.field for error in entry.errors] == ["after"]
