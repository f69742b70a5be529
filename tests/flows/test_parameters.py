"""Parameters that somebody gives one run."""

from typing import Any

import pytest

from db.specs import InvalidTask, parse_task
from flows.parameters import as_asked
from reconciler.deployments import parameters

KINDS: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("shell", {"command": "true", "env": {"A": "b"}}, {"command": "false"}),
    ("http", {"url": "http://x", "json": {"a": 1}}, {"url": "http://y", "json": None, "body": "z"}),
    ("python", {"callable": "a:b", "kwargs": {"n": 1}}, {"kwargs": {"n": 2}}),
    ("flow", {"entrypoint": "a.b:c", "parameters": {"n": 1}}, {"n": 2}),
]


def a_task(kind: str, action: dict[str, Any]) -> Any:
    return parse_task({"name": "x", "kind": kind, "action": action, "schedule": {"kind": "manual"}, "retries": 1})


@pytest.mark.parametrize(("kind", "action", "changes"), KINDS, ids=[kind for kind, _, _ in KINDS])
def test_the_parameters_of_its_deployment_leave_a_task_as_it_is_and_others_change_it(
    kind: str, action: dict[str, Any], changes: dict[str, Any]
) -> None:
    task = a_task(kind, action)
    merged = parameters(task)
    assert as_asked(task, merged) == task
    asked = as_asked(task, {**merged, **changes})
    assert asked != task
    assert parameters(asked) == {**merged, **changes}
    assert (asked.name, asked.retries) == (task.name, task.retries)


def test_how_often_a_run_is_attempted_can_be_asked_for_as_well() -> None:
    assert as_asked(a_task("shell", {"command": "true"}), {"retries": 7}).retries == 7


@pytest.mark.parametrize("wrong", [{"command": ""}, {"retries": -1}, {"unknown": 1}])
def test_what_a_task_cannot_have_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidTask):
        as_asked(a_task("shell", {"command": "true"}), wrong)
