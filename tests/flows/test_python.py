"""Python attempts: real functions in processes forked from a real zygote, and the death of either."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from db.actions import PythonAction, ShellAction
from db.states import Level, RunState
from db.texts import fit
from flows import children, kinds
from flows.attempts import Result
from flows.lines import Allowance
from flows.reports import Report
from tests.flows.conftest import Log, Under, an_attempt, attempt, attempt_and, begun, is_alive, nothing, until
from tests.waiting import wait_until

CHORES = """
import asyncio, os, sys, time

seen = []

def add(a, b=1):
    return a + b

def chat():
    print("to stdout")
    print("to stderr", file=sys.stderr)
    os.write(1, b"to the descriptor\\n")

def fail():
    raise ValueError("no more\\nspace")

def leave(code):
    sys.exit(code)

async def later(word):
    await asyncio.sleep(0.01)
    return word

def remember():
    seen.append(os.getpid())
    return len(seen)

def environment():
    for name, value in os.environ.items():
        print(f"{name}={value}")

def whoami():
    return [os.getpid(), os.getpgrp(), os.getcwd(), time.strftime("%Z")]

def hang():
    print(os.getpid())
    time.sleep(60)

def large(size):
    return "x" * size

class Shop:
    @staticmethod
    def open():
        return "open"

not_a_function = 3

class Mute(Exception):
    def __str__(self):
        raise RuntimeError("no words")
    __repr__ = __str__

class Thing:
    def __init__(self, error):
        self.error = error
    def __repr__(self):
        raise self.error

def raise_it(what):
    raise eval(what)

def give_back(what):
    return eval(what)

def one(left):
    return another(left - 1) if left else 1 / 0

def another(left):
    return one(left)
"""

RAISED = {
    "NUL": ("ValueError('a\\0b')", "ValueError: a\ufffdb"),
    "surrogates": ("FileNotFoundError(2, 'No such file', 'caf\\udce9.csv')", "caf"),
    "10 MB": ("ValueError('x' * 10_000_000)", "ValueError: xxx"),
    "control characters": ("ValueError(''.join(map(chr, range(1, 160))))", "ValueError: "),
    "mute": ("Mute()", "Mute"),
    "KeyboardInterrupt": ("KeyboardInterrupt()", "KeyboardInterrupt"),
    "GeneratorExit": ("GeneratorExit()", "GeneratorExit"),
    "group": ("BaseExceptionGroup('all', [KeyboardInterrupt(), Mute()])", "BaseExceptionGroup: all"),
    "cancelled": ("asyncio.CancelledError()", "CancelledError"),
    "StopIteration": ("StopIteration(3)", "StopIteration: 3"),
    "mute exit": ("SystemExit(Mute())", "Exited with code 1."),
    "huge exit": ("SystemExit('x' * 10_000_000)", "Exited with code 1."),
}
"""What a function raises, and what is said of it."""


@pytest.fixture(autouse=True)
def chores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A user's own module, which is not installed."""
    (tmp_path / "chores.py").write_text(CHORES)
    (tmp_path / "broken.py").write_text("import nosuchmodule\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))


def call(path: str, *, timeout_seconds: float | None = 30, **kwargs: Any) -> tuple[Result, Log]:
    return attempt(PythonAction(callable=path, kwargs=kwargs), timeout_seconds=timeout_seconds)


# What a function may do.


def test_what_a_function_returns_is_in_the_log() -> None:
    result, log = call("chores:add", a=2, b=3)
    assert result == Result(RunState.COMPLETED, 0)
    assert log.system == ["Returned 5"]


def test_a_function_that_returnsnothing_addsnothing_to_the_log() -> None:
    result, log = call("chores:chat")
    assert result.state is RunState.COMPLETED
    assert log.stdout == ["to stdout", "to the descriptor"]
    assert log.stderr == ["to stderr"]
    assert log.system == []


def test_a_coroutine_function_is_awaited() -> None:
    assert call("chores:later", word="done")[1].system == ["Returned 'done'"]


def test_a_method_is_found_by_its_class() -> None:
    assert call("chores:Shop.open")[1].system == ["Returned 'open'"]


def test_a_long_answer_is_cut() -> None:
    _, log = call("chores:large", size=1_000_000)
    assert len(log.text) < 3000
    assert log.text.endswith("… (1000002 characters)")


def test_every_attempt_has_a_process_of_its_own_and_modules_as_they_were_loaded_first() -> None:
    async def twice() -> list[str]:
        both = [await begun(nothing, PythonAction(callable="chores:remember")) for _ in range(2)]
        await kinds.close()
        return [line for _, log in both for line in log.system]

    assert asyncio.run(twice()) == ["Returned 1", "Returned 1"]


def test_a_module_in_the_folder_where_the_worker_was_started_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PYTHONPATH")
    monkeypatch.chdir(tmp_path)
    assert call("chores:add", a=1)[1].system == ["Returned 2"]


def test_a_function_knows_its_task_andnothing_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DUETIME_DATABASE_URL", "PREFECT_API_KEY", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "secret")
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    _, log = call("chores:environment")
    given = dict(line.split("=", 1) for line in log.stdout)
    assert "secret" not in given.values()
    assert given["DUETIME_TASK"] == "backup"
    assert "JST" in call("chores:whoami")[1].text


def test_the_secrets_of_the_worker_are_not_in_the_process_that_functions_are_forked_from(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DUETIME_DATABASE_URL", "postgresql://duetime:sesame@here/duetime")

    async def environment_of_zygote() -> bytes:
        await kinds.warm_up()
        found = Path(f"/proc/{children.PLAIN.pid}/environ").read_bytes()
        await kinds.close()
        return found

    found = asyncio.run(environment_of_zygote())
    assert b"PATH=" in found
    assert b"sesame" not in found


# How it fails.


def test_an_exception_fails_the_attempt_with_its_traceback_in_the_log() -> None:
    result, log = call("chores:fail")
    assert result == Result(RunState.FAILED, 1, "ValueError: no more\nspace")
    assert log.stderr[0] == "Traceback (most recent call last):"
    assert 'chores.py", line' in log.stderr[1]
    assert log.stderr[-2:] == ["ValueError: no more", "space"]


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("nosuchmodule:f", "ModuleNotFoundError: No module named 'nosuchmodule'"),
        ("broken:f", "ModuleNotFoundError: No module named 'nosuchmodule'"),
        ("chores:nosuch", "AttributeError: module 'chores' has no attribute 'nosuch'"),
        ("chores:not_a_function", "TypeError: chores:not_a_function is a int, which cannot be called."),
    ],
)
def test_what_cannot_be_called_fails_with_the_reason_in_error_and_log(path: str, said: str) -> None:
    result, log = call(path)
    assert (result.state, result.error) == (RunState.FAILED, said)
    assert said in log.stderr[-1]


@pytest.mark.parametrize(("raised", "said"), RAISED.values(), ids=RAISED)
def test_whatever_a_function_raises_it_has_failed_and_says_so_in_few_words(raised: str, said: str) -> None:
    result, log = call("chores:raise_it", what=raised)
    assert (result.state, result.exit_code) == (RunState.FAILED, 1)
    error = fit(result.error or "")
    assert said in error
    assert len(error) < 3000
    assert len(log.lines) < 1000


@pytest.mark.parametrize("error", ["ValueError()", "KeyboardInterrupt()", "SystemExit(3)", "Mute()"])
def test_a_result_that_cannot_be_shown_is_a_result(error: str) -> None:
    result, log = call("chores:give_back", what=f"Thing({error})")
    assert result == Result(RunState.COMPLETED, 0)
    assert log.system == [f"Returned a Thing whose repr() raises {error.partition('(')[0]}"]


@pytest.mark.parametrize("what", ["(lambda a: a.append(a) or a)([])", "lambda: 1", "'\\udcff\\0'", "b'x' * 10_000_000"])
def test_a_result_of_any_kind_is_shown_in_few_words(what: str) -> None:
    result, log = call("chores:give_back", what=what)
    assert result == Result(RunState.COMPLETED, 0)
    assert len(log.text) < 3000


def test_a_deep_traceback_is_shown_by_its_beginning_and_its_end() -> None:
    result, log = call("chores:one", left=400)
    assert result.error == "ZeroDivisionError: division by zero"
    assert len(log.stderr) < 250
    assert log.stderr[0] == "Traceback (most recent call last):"
    assert any("lines are left out" in line for line in log.stderr)
    assert log.stderr[-1] == result.error


def test_a_child_may_report_anything_and_the_worker_goes_on() -> None:
    log = Log()
    report = Report(Allowance(log))
    report.feed(b"[" * 100_000 + b"]" * 100_000 + b'\n{"line": 1, "level": []}\n\xff\n{"error": [1]}\n')
    assert report.said == {"error": [1]}


def test_arguments_that_do_not_fit_fail_the_attempt() -> None:
    result, _ = call("chores:add", c=1)
    assert result.state is RunState.FAILED
    assert "unexpected keyword argument 'c'" in (result.error or "")


@pytest.mark.parametrize(("code", "result"), [(0, RunState.COMPLETED), (7, RunState.FAILED)])
def test_sys_exit_sets_the_exit_code(code: int, result: RunState) -> None:
    ended, _ = call("chores:leave", code=code)
    assert (ended.state, ended.exit_code) == (result, code)


def test_sys_exit_with_a_text_prints_it_and_fails() -> None:
    ended, log = call("chores:leave", code="out of paper")
    assert (ended.state, ended.exit_code, log.stderr) == (RunState.FAILED, 1, ["out of paper"])


@pytest.mark.parametrize(("code", "exit_code"), [(None, 0), (True, 1), (-1, 255), (256, 0), (2**40 + 3, 3)])
def test_the_exit_code_is_the_one_that_the_system_makes_of_it(code: Any, exit_code: int) -> None:
    assert call("chores:leave", code=code)[0].exit_code == exit_code


@pytest.mark.parametrize(
    "begin",
    [
        "open_for_ever = open('written', 'w'); open_for_ever.write('done')",
        "import zipfile; archive = zipfile.ZipFile('written', 'w'); archive.writestr('done', 'done')",
        "import atexit; atexit.register(lambda: write('done'))",
        "import threading; threading.Thread(target=lambda: (time.sleep(0.1), write('done'))).start()",
        "import weakref; thing = type('Thing', (), {})(); end = weakref.finalize(thing, write, 'done')",
        "thing = type('Thing', (), {'__del__': lambda self: write('done')})()",
    ],
    ids=["file", "archive", "atexit", "thread", "finalize", "finalizer"],
)
def test_what_is_to_happen_at_the_end_of_a_process_happens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, begin: str
) -> None:
    monkeypatch.chdir(tmp_path)
    written = tmp_path / "written"
    (tmp_path / "ending.py").write_text(
        "import os, pathlib, time\n"
        f"def write(text, to=pathlib.Path({str(written)!r})):\n    to.write_text(text)\n"
        f"{begin}\ndef work():\n    pass\n"
    )
    assert call("ending:work")[0] == Result(RunState.COMPLETED, 0)
    assert b"done" in written.read_bytes()
    assert written.read_bytes()[:4] != b"PK\x03\x04" or b"PK\x05\x06" in written.read_bytes()


def test_what_c_has_buffered_is_not_lost(tmp_path: Path) -> None:
    (tmp_path / "old.py").write_text("import ctypes\ndef say():\n    ctypes.CDLL(None).printf(b'from C\\n')\n")
    assert call("old:say")[1].stdout == ["from C"]


# How it is stopped, and what dies with what.


def test_a_timeout_ends_the_function() -> None:
    result, log = call("chores:hang", timeout_seconds=3)
    assert (result.state, result.error) == (RunState.TIMED_OUT, "Timed out after 3 s.")
    assert not is_alive(int(log.stdout[0]))


def test_a_function_can_be_cancelled() -> None:
    async def meanwhile(under: Under) -> None:
        await until(lambda: under.log.stdout, "the function to run")
        under.cancel.set()

    result, log = attempt_and(meanwhile, PythonAction(callable="chores:hang"))
    assert result.state is RunState.CANCELLED
    assert not is_alive(int(log.stdout[0]))


def test_when_the_coroutine_is_cancelled_the_function_is_killed() -> None:
    pids: list[int] = []

    async def meanwhile(under: Under) -> None:
        await until(lambda: under.log.stdout, "the function to run")
        pids.append(int(under.log.stdout[0]))
        under.task.cancel()

    with pytest.raises(asyncio.CancelledError):
        attempt_and(meanwhile, PythonAction(callable="chores:hang"))
    assert not is_alive(pids[0])


def test_when_the_zygote_is_killed_its_attempts_crash_and_the_next_one_has_a_new_zygote() -> None:
    async def meanwhile(under: Under) -> None:
        await until(lambda: under.log.stdout, "the function to run")
        assert children.PLAIN.pid is not None
        os.kill(children.PLAIN.pid, signal.SIGKILL)

    async def story() -> tuple[tuple[Result, Log], tuple[Result, Log]]:
        first = await begun(meanwhile, PythonAction(callable="chores:hang"))
        second = await begun(nothing, PythonAction(callable="chores:add", kwargs={"a": 1}))
        await kinds.close()
        return first, second

    (crashed, log), (completed, _) = asyncio.run(story())
    assert crashed.state is RunState.CRASHED
    assert completed.state is RunState.COMPLETED
    assert not is_alive(int(log.stdout[0]))


def test_a_zygote_that_does_not_answer_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    async def story() -> Result:
        await kinds.warm_up()
        pid = children.PLAIN.pid
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)
        monkeypatch.setattr(children, "ANSWER_WITHIN_SECONDS", 0.5)
        waiting = asyncio.ensure_future(begun(nothing, PythonAction(callable="chores:add", kwargs={"a": 1})))
        await until(lambda: not is_alive(pid), "the zygote to be killed")
        monkeypatch.setattr(children, "ANSWER_WITHIN_SECONDS", 60.0)
        result, _ = await waiting
        await kinds.close()
        return result

    assert asyncio.run(story()).state is RunState.COMPLETED


def test_an_idle_zygote_that_was_killed_is_not_missed() -> None:
    async def story() -> Result:
        await kinds.warm_up()
        assert children.PLAIN.pid is not None
        os.kill(children.PLAIN.pid, signal.SIGKILL)
        result, _ = await begun(nothing, PythonAction(callable="chores:add", kwargs={"a": 1}))
        await kinds.close()
        return result

    assert asyncio.run(story()).state is RunState.COMPLETED


WORKER = """
import asyncio
from tests.flows.test_python import go_on_forever
asyncio.run(go_on_forever())
"""


class _Printed:
    is_full = False

    def write(self, message: str, **_: Any) -> None:
        os.write(1, f"{message}\n".encode())


async def go_on_forever() -> None:
    """What a worker has going on when it is killed: a command and a function."""
    await kinds.warm_up()
    command = ShellAction(command="trap '' TERM HUP; echo $$; sleep 60 & echo $!; wait; sleep 60")
    function = PythonAction(callable="chores:hang")
    both = (kinds.perform(an_attempt(action), _Printed(), asyncio.Event()) for action in (command, function))
    await asyncio.gather(*both)


def test_when_the_worker_is_killednothing_that_it_started_goes_on() -> None:
    with subprocess.Popen([sys.executable, "-c", WORKER], stdout=subprocess.PIPE, text=True) as worker:
        assert worker.stdout is not None
        pids = [int(worker.stdout.readline()) for _ in range(3)]
        assert all(map(is_alive, pids))
        worker.kill()
    wait_until(lambda: not any(map(is_alive, pids)), "the end of what the worker had started", seconds=20)


def test_a_line_of_a_report_counts_against_the_allowance_and_nonsense_is_ignored() -> None:
    log = Log()
    report = Report(Allowance(log, max_lines=2))
    report.feed(b'nonsense\n[1]\n{"line": "no level"}\n{"line": "a\\nb", "level": "warn')
    report.feed(b'ing"}\n{"line": "c", "level": "info"}\n{"returned": "1"}\n{"returned": "2"}\n{"returned": ')
    report.close()
    assert log.stdout == ["a", "b"]
    assert log.lines[0].level is Level.WARNING
    assert report.said == {"returned": "2"}
