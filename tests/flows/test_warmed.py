"""Warmed zygotes: a library that is installed, functions of a user that import it, and what one of them may notice."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from db.actions import PythonAction
from db.states import RunState
from flows import kinds, warmed
from flows.attempts import Result
from flows.warmed import WARMED
from tests.flows.conftest import Log, Under, begun, is_alive, nothing, until
from tests.waiting import wait_until

LIBRARY = """
import importlib, os
version = 1
loaded_by = os.getpid()
for number in range(25):
    importlib.import_module(f"slowlib.part{number}")
"""

CHORES = """
import os, time
import slowlib

RUN_ID = os.environ.get("DUETIME_RUN_ID")

def pids():
    return [slowlib.loaded_by, os.getpid()]

def version():
    return slowlib.version

def run_id():
    return RUN_ID == os.environ["DUETIME_RUN_ID"]

def hang():
    print(os.getpid(), slowlib.loaded_by)
    time.sleep(60)

def wait(file):
    print(os.getpid())
    while not os.path.exists(file):
        time.sleep(0.01)
"""


class Machine:
    """Where the library is installed, and the user's folder."""

    def __init__(self, folder: Path) -> None:
        self.site, self.home = folder / "site-packages", folder / "home"
        self.home.mkdir()
        self.write("chores", CHORES)
        self.install("slowlib", LIBRARY)
        for number in range(25):
            (self.site / "slowlib" / f"part{number}.py").touch()

    def write(self, module: str, code: str) -> None:
        (self.home / f"{module}.py").write_text(code)

    def install(self, name: str, code: str, *, ago_seconds: float = 60) -> None:
        (self.site / name).mkdir(parents=True, exist_ok=True)
        (self.site / name / "__init__.py").write_text(code)
        then = time.time() - ago_seconds
        os.utime(self.site, (then, then))


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    machine = Machine(tmp_path)
    monkeypatch.setenv("PYTHONPATH", f"{machine.home}:{machine.site}")
    monkeypatch.chdir(tmp_path)
    return machine


def played(story: Callable[[], Awaitable[None]]) -> None:
    """The story of a worker, from its start to its end."""

    async def whole() -> None:
        await kinds.warm_up()
        try:
            await story()
        finally:
            await kinds.close()

    asyncio.run(whole())


async def ran(path: str, **kwargs: Any) -> tuple[Result, Log]:
    result, log = await begun(nothing, PythonAction(callable=path, kwargs=kwargs))
    assert result.state is RunState.COMPLETED, log.text
    return result, log


async def returned(path: str) -> Any:
    """The function's answer."""
    said = (await ran(path))[1].system
    assert len(said) == 1
    return eval(said[0].removeprefix("Returned "))  # noqa: S307 - it is our own


async def loads_itself(path: str = "chores:pids") -> bool:
    loaded_by, pid = await returned(path)
    return bool(loaded_by == pid)


async def warm(path: str = "chores:pids", *, count: int = 1) -> None:
    await ran(path)
    await until(lambda: WARMED.ready == count, "the libraries to be loaded ahead")


async def refused() -> None:
    await until(lambda: WARMED._refused and not WARMED._places, "the refusal to load them")


def zygotes() -> list[psutil.Process]:
    """The plain one first, then the others as they were started."""
    alive = (child for child in psutil.Process().children() if child.status() != psutil.STATUS_ZOMBIE)
    ours = (child for child in alive if "flows.zygote" in child.cmdline())
    return sorted(ours, key=psutil.Process.create_time)


# What is loaded ahead, and what is not.


@pytest.mark.usefixtures("machine")
def test_the_first_run_loads_the_library_itself_and_the_following_ones_find_it_loaded() -> None:
    async def story() -> None:
        assert await loads_itself()
        await until(lambda: WARMED.ready, "the library to be loaded ahead")
        first, second = await returned("chores:pids"), await returned("chores:pids")
        assert first[0] == second[0] == zygotes()[-1].pid
        assert first[1] != second[1]

    played(story)


def test_a_library_that_the_function_imports_itself_is_loaded_ahead_as_well(machine: Machine) -> None:
    machine.write("lazy", "import os\ndef pids():\n    import slowlib\n    return [slowlib.loaded_by, os.getpid()]\n")

    async def story() -> None:
        await warm("lazy:pids")
        assert not await loads_itself("lazy:pids")

    played(story)


@pytest.mark.usefixtures("machine")
def test_functions_that_use_the_same_share_a_zygote() -> None:
    async def story() -> None:
        await warm()
        await ran("chores:version")
        assert not await loads_itself()
        assert WARMED.ready == 1
        assert len(zygotes()) == 2

    played(story)


def test_a_function_that_comes_to_use_more_gets_another_zygote(machine: Machine) -> None:
    for number in range(25):
        machine.install(f"other{number}", "import os\nloaded_by = os.getpid()\n")
    more = "".join(f"import other{number}\n" for number in range(25))

    async def story() -> None:
        await warm()
        machine.write("chores", CHORES.replace("import slowlib", f"import slowlib\n{more}slowlib = other7"))
        assert await loads_itself()
        await until(lambda: WARMED.ready == 2, "all of them to be loaded ahead")
        assert not await loads_itself()

    played(story)


def test_what_the_user_wrote_is_imported_by_each_run(machine: Machine) -> None:
    async def story() -> None:
        await warm()
        assert await returned("chores:run_id")
        for number in (100, 2000, 30000):
            machine.write("chores", f"import os, slowlib\ndef pids():\n    return [slowlib.loaded_by, {number}]\n")
            assert await returned("chores:pids") == [zygotes()[-1].pid, number]

    played(story)


def test_a_package_of_the_user_that_is_installed_is_imported_by_each_run(machine: Machine) -> None:
    machine.install("acme", "import os, slowlib\nfrom acme import deep\ndef deeply():\n    return deep.value\n")
    (machine.site / "acme" / "deep.py").write_text("value = 1\n")

    async def story() -> None:
        await warm("acme:deeply")
        (machine.site / "acme" / "deep.py").write_text("value = 20\n")
        assert await returned("acme:deeply") == 20
        assert WARMED.ready == 1

    played(story)


# Never old code.


def test_a_library_that_was_installed_anew_is_new_in_the_very_next_run(machine: Machine) -> None:
    machine.write("chores", CHORES.replace("os.getpid()]", "os.getpid(), slowlib.version]"))

    async def story() -> None:
        await warm()
        machine.install("slowlib", f"{LIBRARY}version = 22\n", ago_seconds=30)
        loaded_by, pid, version = await returned("chores:pids")
        assert (loaded_by, version) == (pid, 22)
        await until(lambda: WARMED.ready, "the new one to be loaded ahead")
        loaded_by, pid, version = await returned("chores:pids")
        assert loaded_by != pid
        assert version == 22

    played(story)


def test_nothing_is_loaded_ahead_while_an_installation_may_be_going_on(machine: Machine) -> None:
    async def story() -> None:
        machine.install("slowlib", LIBRARY, ago_seconds=1)
        await ran("chores:pids")
        await refused()
        assert await loads_itself()

    played(story)


def test_a_module_of_the_same_name_that_comes_to_be_found_first_is_used(machine: Machine) -> None:
    async def story() -> None:
        await warm()
        machine.write("unrelated", "")
        assert not await loads_itself()
        machine.write("slowlib", "loaded_by = 'another'\n")
        assert (await returned("chores:pids"))[0] == "another"

    played(story)


# As if each run had loaded them.


def test_what_a_library_prints_and_sets_when_it_is_imported_is_there_in_every_run(machine: Machine) -> None:
    loud = 'import os, sys\nprint("Welcome")\nprint("to this", file=sys.stderr)\nos.environ["GREETED"] = "yes"\n'
    machine.install("slowlib", loud + LIBRARY)
    machine.write("chores", f"{CHORES}\ndef greeted():\n    print(os.environ['GREETED'], slowlib.loaded_by)\n")

    async def story() -> None:
        await warm("chores:greeted")
        for _ in range(2):
            _, log = await ran("chores:greeted")
            assert log.stdout == ["Welcome", f"yes {zygotes()[-1].pid}"]
            assert log.stderr == ["to this"]

    played(story)


def test_random_numbers_differ_between_runs(machine: Machine) -> None:
    code = "import numpy.random, random\ndef draw():\n    return [numpy.random.rand(), random.random()]\n"
    machine.write("dice", code)

    async def story() -> None:
        await warm("dice:draw")
        drawn = [await returned("dice:draw") for _ in range(3)]
        assert len({numbers[0] for numbers in drawn}) == 3
        assert len({numbers[1] for numbers in drawn}) == 3

    played(story)


@pytest.mark.parametrize(
    "behaviour",
    [
        "import threading, time; threading.Thread(target=time.sleep, args=(60,), daemon=True).start()",
        "import socket; kept = socket.socket()",
        "import subprocess; kept = subprocess.Popen(['sleep', '5'])",
        "import signal; signal.signal(signal.SIGTERM, lambda *_: None)",
        "import settings",
        "if 'DUETIME_TASK' not in os.environ: os.register_at_fork(after_in_child=os.abort)",
    ],
    ids=["threads", "connections", "processes", "signals", "the user's modules", "forks"],
)
def test_a_library_that_no_fork_can_share_is_loaded_by_each_run(machine: Machine, behaviour: str) -> None:
    machine.write("settings", "")
    machine.install("slowlib", f"import os\n{behaviour}\n{LIBRARY}")

    async def story() -> None:
        await ran("chores:version")
        await refused()
        assert await loads_itself()
        assert not WARMED._places
        assert len(zygotes()) == 1

    played(story)


@pytest.mark.parametrize(
    "before",
    ["os.environ['OMP_NUM_THREADS'] = '1'", "import socket; socket.create_connection = print"],
    ids=["environment", "standard library"],
)
def test_what_a_user_changes_before_the_import_is_not_too_late(machine: Machine, before: str) -> None:
    machine.write("chores", f"import os\n{before}\n{CHORES}")

    async def story() -> None:
        await ran("chores:pids")
        await refused()
        assert await loads_itself()

    played(story)


def test_a_library_that_ends_the_process_that_loads_it_ahead_does_no_harm(machine: Machine) -> None:
    machine.install("slowlib", f"import os\nif 'DUETIME_TASK' not in os.environ:\n    os._exit(3)\n{LIBRARY}")

    async def story() -> None:
        await ran("chores:pids")
        await refused()
        assert await loads_itself()

    played(story)


# What ends, and with what.


@pytest.mark.usefixtures("machine")
def test_an_idle_zygote_that_was_killed_is_not_missed() -> None:
    async def story() -> None:
        await warm()
        zygotes()[-1].kill()
        assert await loads_itself()
        await until(lambda: WARMED.ready, "another one")
        assert not await loads_itself()

    played(story)


def test_what_was_not_used_lately_makes_room_and_its_runs_go_on(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(warmed, "MOST", 1)
    machine.install("slowlib2", LIBRARY.replace("slowlib.part", "slowlib2.part"))
    for number in range(25):
        (machine.site / "slowlib2" / f"part{number}.py").touch()
    machine.write("others", CHORES.replace("slowlib", "slowlib2"))

    async def meanwhile(under: Under) -> None:
        await until(lambda: under.log.stdout, "the function to run")
        await ran("others:pids")
        assert not await loads_itself()  # the first one is spared
        monkeypatch.setattr(warmed, "SPARED_SECONDS", -1.0)
        await ran("others:pids")
        await until(lambda: WARMED.ready, "the other one")
        assert not await loads_itself("others:pids")
        assert len(zygotes()) == 3
        (tmp_path / "done").touch()

    async def story() -> None:
        await warm()
        waiting = PythonAction(callable="chores:wait", kwargs={"file": str(tmp_path / "done")})
        await ran("chores:wait", file=str(tmp_path))
        result, _ = await begun(meanwhile, waiting)
        assert result.state is RunState.COMPLETED
        await until(lambda: len(zygotes()) == 2, "the end of the first zygote")

    played(story)


@pytest.mark.usefixtures("machine")
def test_a_zygote_that_is_not_used_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warmed, "_TIDY_SECONDS", 0.05)

    async def story() -> None:
        await warm()
        monkeypatch.setattr(warmed, "IDLE_SECONDS", 0.0)
        await until(lambda: len(zygotes()) == 1, "the end of what is not used")
        monkeypatch.setattr(warmed, "IDLE_SECONDS", 600.0)
        await ran("chores:pids")
        await until(lambda: WARMED.ready, "the library to be loaded ahead again")

    played(story)


def test_at_the_end_nobody_waits_for_what_is_being_loaded(machine: Machine) -> None:
    slow = (
        "import os, time\nif 'DUETIME_TASK' not in os.environ:\n    open('loading', 'w').close()\n    time.sleep(50)\n"
    )
    machine.install("slowlib", slow + LIBRARY)
    began: list[float] = []

    async def story() -> None:
        await ran("chores:pids")
        await until(Path("loading").exists, "the loading")
        began.append(time.monotonic())

    played(story)
    assert time.monotonic() - began[0] < 20
    assert zygotes() == []


WORKER = """
import asyncio
from tests.flows.test_warmed import go_on_forever
asyncio.run(go_on_forever())
"""


async def go_on_forever() -> None:
    """A worker in the middle of a run from a warmed zygote."""
    await kinds.warm_up()
    await warm()

    async def meanwhile(under: Under) -> None:
        line = await until(lambda: under.log.stdout, "the function to run")
        os.write(1, f"{line[0]} {' '.join(str(one.pid) for one in zygotes())}\n".encode())

    await begun(meanwhile, PythonAction(callable="chores:hang"))


@pytest.mark.usefixtures("machine")
def test_when_the_worker_is_killed_its_zygotes_and_their_runs_end() -> None:
    here = Path(__file__).parents[2]
    with subprocess.Popen([sys.executable, "-c", WORKER], stdout=subprocess.PIPE, text=True, cwd=here) as worker:
        assert worker.stdout is not None
        pids = [int(pid) for pid in worker.stdout.readline().split()]
        assert len(set(pids)) == 3
        assert all(map(is_alive, pids))
        os.kill(worker.pid, signal.SIGKILL)
    wait_until(lambda: not any(map(is_alive, pids)), "the end of what the worker had started", seconds=5)
