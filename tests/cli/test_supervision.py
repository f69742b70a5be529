"""Parts are started again when they die, and stopped when it is time, however they behave. The parts are stand-ins."""

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import psutil
import pytest

from cli.census import end_leftovers
from cli.child import Child
from cli.console import Refused
from cli.data_folder import DataFolder
from cli.leash import leashed
from cli.parts import Part, Role
from cli.stopping import Stopping, StopRequested
from cli.supervision import Supervisor
from db import loops
from tests.system import free_port
from tests.waiting import wait_until

FOREVER = "import time; print('started', flush=True); time.sleep(300)"
DEAF = "import signal; signal.signal(15, signal.SIG_IGN); " + FOREVER
WITH_CHILD = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {DEAF!r}], start_new_session=True); "
WITH_CHILD += FOREVER
ANSWERING = "import sys; from http.server import HTTPServer, SimpleHTTPRequestHandler as Handler; "
ANSWERING += "HTTPServer(('127.0.0.1', int(sys.argv[1])), Handler).serve_forever()"


def part(code: str, name: str = "worker-1", role: Role = Role.WORKER, needs: str | None = None) -> Part:
    return Part(name, role, (sys.executable, "-c", code), {"PATH": os.defpath}, needs)


def is_gone(process: psutil.Process) -> bool:
    """Dead is enough: whoever inherited it may not have taken its exit status yet."""
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


class World:
    """A supervisor in a folder of its own, and what can be seen of it."""

    def __init__(self, folder: DataFolder) -> None:
        self.folder, self.stopping = folder, Stopping()
        self.supervisor = Supervisor(folder, self.stopping)

    def keep(self, *parts: Part) -> None:
        self.supervisor.keep(parts)

    def wait(self, look: Callable[[], object], description: str) -> None:
        """Makes passes until it is so."""

        def pass_and_look() -> object:
            self.supervisor.one_pass()
            return look()

        wait_until(pass_and_look, description, seconds=20, every=0.05)

    def log(self, name: str = "worker-1") -> str:
        log = self.folder.log_of(name)
        return log.read_text() if log.exists() else ""

    def processes(self) -> dict[str, list[int]]:
        return json.loads(self.folder.processes.read_text()) if self.folder.processes.exists() else {}

    def started(self, times: int = 1, name: str = "worker-1") -> None:
        """Returns when the part has printed that it started so many times, and everybody can read of it."""
        self.wait(lambda: self.log(name).count("started") == times, f"{name} to be started {times} times")
        self.wait(lambda: self.processes().get("worker"), "its pids")


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    folder = DataFolder(tmp_path / "data")
    with folder.held(with_postgres=False):
        world = World(folder)
        yield world
        world.supervisor.stop()


def test_every_part_is_in_processes_json_with_its_pids(world: World) -> None:
    world.keep(part(FOREVER), part(FOREVER, "worker-2"), part(FOREVER, "reconciler", Role.RECONCILER))
    world.wait(lambda: len(world.processes().get("worker", [])) == 2, "two workers")
    found = world.processes()
    assert set(found) == {"up", "postgres", "prefect", "reconciler", "worker", "dashboard"}
    assert found["up"] == [os.getpid()]
    assert found["postgres"] == found["prefect"] == found["dashboard"] == []
    assert {psutil.Process(pid).ppid() for pid in found["worker"] + found["reconciler"]} == {os.getpid()}


def test_a_part_hears_an_interrupt_also_where_a_shell_started_everything_in_the_background() -> None:
    """There the shell has it ignored, and Prefect's worker, told to end, interrupts itself."""
    code = "import signal; print(signal.getsignal(signal.SIGINT) is signal.default_int_handler)"
    command = shlex.join(leashed([sys.executable, "-c", code])).replace(str(os.getpid()), "$$", 1)
    told = subprocess.run(
        ["sh", "-c", f"trap '' INT; {command}; true"], capture_output=True, text=True, timeout=30, check=True
    )
    assert told.stdout == "True\n", told.stderr


def test_what_a_part_starts_itself_is_listed_as_well(world: World) -> None:
    world.keep(part(WITH_CHILD))
    world.wait(lambda: len(world.processes().get("worker", [])) == 2, "the part and its child")


def test_a_killed_part_is_started_again_and_said_so(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    world.keep(part("print('my last words', flush=True); " + FOREVER))
    world.started()
    [before] = world.processes()["worker"]
    os.kill(before, signal.SIGKILL)
    world.started(times=2)
    said = capsys.readouterr().out
    assert "worker-1 was killed by SIGKILL; it is started again in 1 s" in said
    assert "my last words" in said
    world.wait(lambda: world.processes()["worker"] not in ([before], []), "the new pid")


def test_a_part_that_dies_at_once_is_started_again_more_and_more_slowly(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    world.keep(part("print('started', flush=True); raise SystemExit(3)"))
    world.wait(lambda: world.log().count("started") == 3, "three tries")
    said = capsys.readouterr().out
    assert "ended with exit code 3; it is started again in 1 s" in said
    assert "ended with exit code 3; it is started again in 2 s" in said


def test_what_a_dead_part_had_started_does_not_go_on_unwatched(world: World) -> None:
    world.keep(part(WITH_CHILD))
    world.wait(lambda: len(world.processes().get("worker", [])) == 2, "the part and its child")
    parent = min(world.processes()["worker"])
    child = psutil.Process(max(world.processes()["worker"]))
    os.kill(parent, signal.SIGKILL)
    world.wait(lambda: is_gone(child), "the child to be gone")


def test_a_part_waits_for_what_it_needs(world: World) -> None:
    port = free_port()
    world.keep(part(FOREVER, needs=f"http://127.0.0.1:{port}/"))
    for _ in range(20):
        world.supervisor.one_pass()
    assert world.processes()["worker"] == []
    with subprocess.Popen(
        [sys.executable, "-c", ANSWERING, str(port)], cwd=world.folder.logs, stderr=subprocess.DEVNULL
    ) as server:
        world.started()
        server.kill()


def test_a_program_that_is_not_there_is_tried_again_and_stops_nothing(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    nowhere = Part("reconciler", Role.RECONCILER, ("/no/such/program",), {})
    world.keep(nowhere, part(FOREVER))
    world.started()
    world.wait(lambda: "reconciler ended with exit code 1" in capsys.readouterr().out, "word of it")


class NobodyThoughtOfIt(Exception):
    pass


@pytest.mark.parametrize(
    ("where", "error"),
    [
        ("cli.supervision.is_well", NobodyThoughtOfIt()),
        ("cli.supervision.kill", psutil.AccessDenied(1)),
        ("cli.supervision.write_whole", NobodyThoughtOfIt()),
        ("cli.census.psutil.process_iter", OSError(24, "Too many open files")),
        ("cli.data_folder.logs.bound", OSError(28, "No space left on device")),
    ],
)
def test_whatever_a_pass_raises_the_parts_are_started_again(
    world: World, monkeypatch: pytest.MonkeyPatch, where: str, error: Exception
) -> None:
    def break_it(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(where, break_it)
    monkeypatch.setattr("cli.restarts.FIRST_DELAY_SECONDS", 0.05)
    waiting = part(FOREVER, "worker-2", needs="http://127.0.0.1:9/")
    dying = part("print('started', flush=True); raise SystemExit(3)")
    world.keep(waiting, dying)
    world.wait(lambda: world.log().count("started") >= 2, "the other part to be started twice")
    monkeypatch.undo()


def test_a_part_that_cannot_be_looked_after_keeps_no_other_from_it(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    exit_code = Child.exit_code

    def broken(child: Child) -> int | None:
        if child.part.name == "broken":
            raise NobodyThoughtOfIt
        return exit_code(child)

    monkeypatch.setattr(Child, "exit_code", broken)
    monkeypatch.setattr("cli.restarts.FIRST_DELAY_SECONDS", 0.05)
    world.keep(part(FOREVER, "broken"), part("print('started', flush=True); raise SystemExit(3)"))
    world.wait(lambda: world.log().count("started") >= 2, "the other part to be started twice")
    assert loops.failures()["supervisor.broken"] > 0
    assert "worker-1 ended with exit code 3" in capsys.readouterr().out
    monkeypatch.undo()


def test_a_part_that_cannot_be_started_is_tried_again_whatever_the_reason(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("cli.restarts.FIRST_DELAY_SECONDS", 0.05)
    world.keep(Part("reconciler", Role.RECONCILER, (sys.executable, "-c", FOREVER), {"A": "\0"}), part(FOREVER))
    world.started()
    assert "reconciler can't be started: embedded null byte" in capsys.readouterr().err


def test_passes_are_made_until_somebody_wants_to_stop_whatever_they_raise(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("db.loops.records.FIRST_PAUSE_SECONDS", 0.001)
    left: list[Exception | None] = [NobodyThoughtOfIt(), OSError(28, "No space left on device"), None, None]

    def also() -> float:
        if (error := left.pop(0)) is not None:
            raise error
        if not left:
            world.stopping.request()
        return 0.0

    world.keep(part(FOREVER))
    world.supervisor.watch(also)
    assert left == []
    assert [child.part.name for child in world.supervisor._children if child.pid] == ["worker-1"]


def test_what_the_parts_print_is_bounded_while_they_run(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cli.logs.LOG_BYTES", 10_000)
    world.keep(part("import itertools\nfor n in itertools.count(): print('line', n, flush=True)"))
    aside = world.folder.log_of("worker-1").with_suffix(".log.1")
    world.wait(aside.exists, "the log to be put aside")
    before = aside.stat().st_mtime_ns
    world.wait(lambda: aside.exists() and aside.stat().st_mtime_ns != before, "it to be put aside again")
    assert aside.stat().st_size <= 1_000_000  # it goes on while it is copied


def test_a_part_that_ignores_sigterm_is_killed_within_its_bound(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("cli.supervision.STOPS", (((Role.WORKER,), 0.5),))
    world.keep(part(DEAF + "  # with a child below"), part(WITH_CHILD, "worker-2"))
    world.wait(lambda: len(world.processes().get("worker", [])) == 3, "two parts and a child")
    world.wait(lambda: "started" in world.log() and world.log("worker-2").count("started") == 2, "all to be deaf")
    doomed = [psutil.Process(pid) for pid in world.processes()["worker"]]
    began = time.monotonic()
    world.supervisor.stop()
    assert 0.5 <= time.monotonic() - began < 10
    assert "worker-1 does not stop; it is killed" in capsys.readouterr().out
    _, alive = psutil.wait_procs(doomed, timeout=20)
    assert alive == []
    assert world.processes() == {role: [os.getpid()] if role == "up" else [] for role in Role}


def test_parts_are_stopped_one_after_the_other(world: World) -> None:
    last_word = (
        "import signal, time, sys; signal.signal(15, lambda *_: (time.sleep(0.3), print(time.time()), sys.exit())"
    )
    last_word += "); print('started', flush=True); time.sleep(300)"
    roles = (Role.WORKER, Role.RECONCILER, Role.PREFECT)
    for role in reversed(roles):
        world.keep(part(last_word, role.value, role))
    world.wait(lambda: all("started" in world.log(role.value) for role in roles), "all to be started")
    world.supervisor.stop()
    ends = [float(world.log(role.value).split()[-1]) for role in roles]
    assert ends == sorted(ends)
    assert all(later - earlier >= 0.3 for earlier, later in pairwise(ends))


def test_what_is_to_be_done_once_is_tried_until_it_succeeds_and_then_left(world: World) -> None:
    code = "from pathlib import Path; import sys; done = Path(sys.argv[1]); tried = done.exists(); done.touch(); "
    code += "sys.exit(0 if tried else 1)"
    command = (sys.executable, "-c", code, str(world.folder.path / "tried"))
    once = Part("arrivals", Role.UP, command, {}, once=True)
    world.keep(once)
    assert world.supervisor.keeps(once)
    world.wait(lambda: not world.supervisor.keeps(once), "the second try")
    assert world.folder.path.joinpath("tried").exists()


def test_what_runs_to_its_end_and_fails_is_an_error_with_its_last_lines(world: World) -> None:
    world.supervisor.run_to_end(part("print('fine')", "migrations", Role.UP))
    with pytest.raises(
        Refused, match=r"(?s)The migrations ended with exit code 7, see .*migrations\.log:.*because of me"
    ):
        world.supervisor.run_to_end(part("print('because of me'); raise SystemExit(7)", "migrations", Role.UP))


def test_what_runs_to_its_end_is_left_when_somebody_wants_to_stop(world: World) -> None:
    world.stopping.request()
    with pytest.raises(StopRequested):
        world.supervisor.run_to_end(part(FOREVER, "migrations", Role.UP))
    migrations = psutil.Process(world.processes()["up"][1])
    world.supervisor.stop()
    assert is_gone(migrations)


def test_a_part_ends_when_its_supervisor_is_killed_and_the_next_start_ends_the_deaf_ones(tmp_path: Path) -> None:
    code = f"""
import sys, time
from pathlib import Path
from cli.data_folder import DataFolder
from cli.leash import leashed
from cli.stopping import Stopping, StopRequested
from cli.supervision import Supervisor
from db import loops
from tests.cli.test_supervision import DEAF, FOREVER, part
folder = DataFolder(Path({str(tmp_path / "data")!r}))
with folder.held(with_postgres=False):
    supervisor = Supervisor(folder, Stopping())
    supervisor.keep([part(FOREVER), part(DEAF, "worker-2")])
    while True:
        supervisor.one_pass()
        time.sleep(0.05)
"""
    folder = DataFolder(tmp_path / "data")
    root = Path(__file__).parents[2]
    with subprocess.Popen([sys.executable, "-c", code], cwd=root) as supervisor:
        logs = [folder.log_of(name) for name in ("worker-1", "worker-2")]
        wait_until(lambda: all(log.exists() and "started" in log.read_text() for log in logs), "both parts")
        wait_until(
            lambda: folder.births.exists() and len(json.loads(folder.births.read_text())) == 2, "the record of both"
        )
        parts = {psutil.Process(int(pid)) for pid in json.loads(folder.births.read_text())}
        supervisor.kill()
    deaf = 1 if sys.platform == "linux" else 2
    wait_until(lambda: sum(is_gone(process) for process in parts) == 2 - deaf, "the part that listens to be gone")
    assert end_leftovers(folder.births, patience_seconds=0.5) == deaf
    wait_until(lambda: all(is_gone(process) for process in parts), "both to be gone")
