"""Secrets from where a task names them to what nobody gets to read."""

from pathlib import Path
from typing import Any

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from db import secrets
from db.actions import FlowAction, HttpAction, PythonAction, ShellAction
from db.sealing import Sealer, new_key
from db.states import RunState
from flows.masks import Mask
from flows.secrets import DoesNotFit, in_place, names_in
from tests.reconciler.conftest import now
from tests.waiting import wait_until
from tests.worker.conftest import Workplace

VALUE = 'hunter22/é "quoted"'
VALUES = {"TOKEN": VALUE, "OTHER": "second value"}
MANUAL = {"kind": "manual"}


def test_what_names_a_secret_is_found_in_every_field() -> None:
    assert names_in(ShellAction(command="a ${secret:A}", env={"X": "${secret:B}"}, cwd="/x/${secret:C}")) == {*"ABC"}
    http = {"url": "https://x/${secret:A}", "headers": {"X": "Bearer ${secret:B}"}, "json": {"k": ["${secret:C}"]}}
    assert names_in(HttpAction.model_validate(http)) == {*"ABC"}
    assert names_in(PythonAction(callable="m:f", kwargs={"a": [{"b": "${secret:A}"}]})) == {"A"}
    assert names_in(FlowAction(entrypoint="m:f", parameters={"a": "x${secret:A}x"})) == {"A"}
    assert names_in(ShellAction(command="echo ${secret} ${secret:} ${secret:1} $${HOME} ${secret:a-b}")) == set()


def test_a_command_gets_it_as_a_variable_and_never_in_its_text() -> None:
    action = in_place(ShellAction(command='curl -H "${secret:TOKEN}"', env={"B": "x ${secret:OTHER}"}), VALUES)
    assert isinstance(action, ShellAction)
    assert action.command == 'curl -H "${DUETIME_SECRET_TOKEN}"'
    assert action.env == {"B": "x second value", "DUETIME_SECRET_TOKEN": VALUE}


def test_other_actions_get_it_where_they_name_it() -> None:
    asked = {"url": "https://x/", "json": {"token": ["${secret:TOKEN}", 1]}}
    action = in_place(HttpAction.model_validate(asked), VALUES)
    assert isinstance(action, HttpAction)
    assert action.json_body == {"token": [VALUE, 1]}


def test_a_value_that_does_not_fit_is_said_without_it() -> None:
    asked = {"url": "https://x/", "headers": {"Authorization": "${secret:TOKEN}"}}
    with pytest.raises(DoesNotFit, match="headers") as refused:
        in_place(HttpAction.model_validate(asked), {"TOKEN": "two\nlines"})
    assert "two" not in str(refused.value)


@given(value=st.text(min_size=4, max_size=40), before=st.text(max_size=20), after=st.text(max_size=20))
def test_no_form_of_a_value_is_left_to_be_read(value: str, before: str, after: str) -> None:
    mask = Mask.of({"A": value})
    for form in (value, repr(value)[1:-1]):
        assert form not in mask(f"{before}|{form}|{after}").replace("***", "")


def test_lines_of_a_value_are_hidden_and_what_is_like_it_is_not() -> None:
    mask = Mask.of({"KEY": "-----BEGIN-----\nabcdefgh\n-----END-----\n", "TOKEN": "a b/c"})
    assert mask("abcdefgh, abcdefg, a%20b%2Fc, a+b%2Fc, a b/c.") == "***, abcdefg, ***, ***, ***."
    assert Mask.of({})("a b/c") == "a b/c"


@pytest.fixture
def place(workplace: Workplace, tmp_path: Path) -> Workplace:
    """With a worker that has the key, and two secrets."""
    file = tmp_path / "keys"
    file.write_text(key := new_key())
    file.chmod(0o600)
    with workplace.catalogue.transaction() as session:
        for name, value in VALUES.items():
            secrets.put(session, name, value, sealer=Sealer([key]), actor="ada", now=now())
    modules = tmp_path / "modules"
    modules.mkdir()
    (modules / "secret_work.py").write_text(MODULE)
    workplace.start_worker(DUETIME_SECRET_KEY_FILE=str(file), PYTHONPATH=str(modules))
    return workplace


MODULE = """
import prefect

def tell(token):
    print(token)
    raise ValueError(f"no {token} " + "x" * 9_000 + token)

class Told(Exception):
    def __init__(self, token):
        self.token = token

    def __str__(self):
        return f"told {self.token}"

@prefect.task
def fails(token):
    raise Told(token)

@prefect.flow(log_prints=True)
def told(token):
    print(f"it is {token}")
    prefect.get_run_logger().warning("logged %s", token)
    fails(token, return_state=True)
    raise ValueError(f"no {token}")
"""


def ended(place: Workplace, **changes: Any) -> tuple[Any, list[str]]:
    task = place.world.create(schedule=MANUAL, **changes)
    wait_until(lambda: place.world.task(task).deployed, "its deployment")
    place.run_now(task)
    run = place.ended(task)[0]
    return run, place.lines_of(run.id)


@pytest.mark.xdist_group("prefect")
def test_a_command_may_print_it_and_nobody_reads_it(place: Workplace) -> None:
    command = (
        'printf "%s\\n" "${secret:TOKEN}"; test "${secret:TOKEN}" = "$SAME" && echo same; env >&2;'
        # Over the cut of a long line, and over the second after which a line that has no end yet is shown.
        ' head -c 16376 /dev/zero | tr "\\0" x; echo "$SAME";'
        ' printf "%.9s" "begin $SAME"; sleep 1.4; echo "${SAME#???} end"; exit 3'
    )
    run, lines = ended(place, action={"command": command, "env": {"SAME": "${secret:TOKEN}"}})
    assert (run.state, run.exit_code) == (RunState.FAILED, 3)
    assert {"***", "same", "SAME=***", "DUETIME_SECRET_TOKEN=***"} <= set(lines)
    assert "".join(lines).count("x***") == 1
    assert [line for line in lines if line.startswith("begin")] == ["begin "]
    assert "*** end" in lines
    assert "hunt" not in str(lines)
    assert "hunt" not in str(place.in_prefect(run.id))


@pytest.mark.xdist_group("prefect")
def test_ps_does_not_show_it(place: Workplace) -> None:
    task = place.world.create(action={"command": "echo ${secret:TOKEN}; sleep 5"}, schedule=MANUAL)
    wait_until(lambda: place.world.task(task).deployed, "its deployment")
    place.run_now(task)

    def shell() -> list[str]:
        children = place.started[0].children()
        words = [word for child in children for word in _words(child)]
        return words if any("DUETIME_SECRET_TOKEN" in word for word in words) else []

    found = wait_until(shell, "the shell", seconds=20)
    assert "hunter22" not in str(found)


def _words(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.NoSuchProcess:
        return []


@pytest.mark.xdist_group("prefect")
def test_a_function_and_its_exception_do_not_tell_it(place: Workplace) -> None:
    run, lines = ended(
        place, kind="python", action={"callable": "secret_work:tell", "kwargs": {"token": "${secret:TOKEN}"}}
    )
    assert run.error.startswith("ValueError: no *** xxx")
    assert "***" in lines
    assert "hunt" not in str(lines) + run.error


@pytest.mark.xdist_group("prefect")
def test_a_flow_and_prefect_do_not_tell_it(place: Workplace) -> None:
    parameters = {"token": "${secret:TOKEN}"}
    run, lines = ended(place, kind="flow", action={"entrypoint": "secret_work:told", "parameters": parameters})
    assert run.state == RunState.FAILED
    assert "no ***" in (run.error or "")
    assert any("it is ***" in line for line in lines)
    there = place.in_prefect(run.id)
    assert there["parameters"] == parameters
    assert "hunter22" not in str(there)

    def logged() -> list[str]:
        found = place.world.call("POST", "/logs/filter", {"logs": {"flow_run_id": {"any_": [str(run.id)]}}})
        return [line["message"] for line in found]

    wait_until(lambda: any("logged ***" in line for line in logged()), "its lines in Prefect")
    assert "hunter22" not in str(logged()) + str(lines)

    def of_its_task() -> list[str]:
        found = place.world.call("POST", "/task_runs/filter", {"flow_runs": {"id": {"any_": [str(run.id)]}}})
        return [str(each["state"]["message"]) for each in found if each["state"]["type"] == "FAILED"]

    assert "told ***" in wait_until(of_its_task, "the end of its task in Prefect", seconds=20)[0]
    assert "hunter22" not in str(of_its_task())


@pytest.mark.xdist_group("prefect")
def test_what_is_missing_fails_the_run_with_the_cure(place: Workplace) -> None:
    run, _ = ended(place, action={"command": "echo ${secret:MISSING}"})
    assert run.state == RunState.FAILED
    assert run.error.startswith("There is no secret MISSING. An admin sets it")
