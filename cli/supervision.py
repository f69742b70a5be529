"""Keeps the parts alive, tells which processes they are, and stops them in order."""

import os
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial

import psutil

from cli.census import Census, kill, write_whole
from cli.child import Child, ending
from cli.console import Refused, complain, say
from cli.data_folder import DataFolder
from cli.parts import Part, Role
from cli.postgres import EmbeddedPostgres, PostgresUnavailable
from cli.restarts import Restarts
from cli.stopping import Stopping, StopRequested
from cli.web import is_well
from db import loops

COUNT_EVERY_SECONDS = 3.0
LOOK_AT_POSTGRES_EVERY_SECONDS = 1.0
# Who is stopped together, and for how many seconds; with PostgreSQL's own it is less than 20.
STOPS = (((Role.UP,), 1.0), ((Role.WORKER,), 9.0), ((Role.RECONCILER, Role.DASHBOARD), 3.0), ((Role.PREFECT,), 3.0))
POSTGRES_START_SECONDS = 5.0
POSTGRES_STOP_SECONDS = 3.0
SURVIVORS_SECONDS = 0.5


class Supervisor:
    """Everything in one thread, the main one; a pass never waits longer than PostgreSQL takes to start."""

    def __init__(self, folder: DataFolder, stopping: Stopping, postgres: EmbeddedPostgres | None = None) -> None:
        self._folder, self._stopping, self._postgres = folder, stopping, postgres
        self._postgres_restarts, self._postgres_started_at, self._look_at_postgres_at = Restarts(), 0.0, 0.0
        self._children: list[Child] = []
        self._census, self._count_at, self._write_fails = Census(), 0.0, False

    def start_postgres(self, postgres: EmbeddedPostgres, *, within_seconds: float = 300.0) -> str:
        """Its url, once it answers. Raises PostgresUnavailable, or StopRequested when somebody loses patience."""
        self._postgres_started_at = time.monotonic()
        with self._stopping.interrupts():
            url = postgres.start(within_seconds)
        self._tend("census", self._count)
        return url

    def run_to_end(self, part: Part) -> None:
        """Raises Refused when it fails, and StopRequested when everything is to be stopped meanwhile."""
        child = Child(part, self._folder)
        self._children.append(child)
        child.start()
        self._count()
        while (code := child.exit_code()) is None:
            if self._stopping.wait(0.05):
                raise StopRequested
        self._children.remove(child)
        if code != 0:
            log = self._folder.log_of(part.name)
            raise Refused(f"The {part.name} {ending(code)}, see {log}:{child.last_lines()}")

    def keep(self, parts: Sequence[Part]) -> None:
        """From the next pass on."""
        self._children += [Child(part, self._folder) for part in parts]

    def keeps(self, part: Part) -> bool:
        """Not any more when it was to do its work once and has done it."""
        return any(child.part is part for child in self._children)

    def watch(self, also: Callable[[], float]) -> None:
        """Makes passes until everything is to be stopped; `also` is called after each, and says how long to rest."""

        def step() -> None:
            if self._stopping.requested:
                loop.stopped.set()
                return
            self.one_pass()
            self._stopping.wait(also())

        loop = loops.ThreadLoop("supervisor", step)
        loop.run()

    def one_pass(self) -> None:
        """Starts what is due, notes who died, counts. What cannot be looked after keeps nobody else from it."""
        if self._postgres is not None:
            self._tend("postgres", self._keep_postgres)
        for child in list(self._children):
            self._tend(child.part.name, partial(self._look_after, child))
        self._tend("logs", self._bound_logs)
        if time.monotonic() >= self._count_at:
            self._tend("census", self._count)

    def _tend(self, what: str, action: Callable[[], object]) -> None:
        """Does it; whatever it raises is logged, and it is done again in the next pass."""
        record = loops.record_of(f"supervisor.{what}")
        try:
            action()
        except Exception as error:  # noqa: BLE001 - whatever it is
            record.failed(error)
        else:
            record.went_well()

    def _look_after(self, child: Child) -> None:
        code = child.exit_code()
        if code == 0 and child.part.once:
            self._children.remove(child)
            self._count_at = 0.0
        elif code is not None:
            self._note_death(child, code)
        elif child.pid is None and time.monotonic() >= child.start_at:
            self._start(child)

    def _start(self, child: Child) -> None:
        part = child.part
        if part.needs is not None and not is_well(part.needs):
            return
        try:
            child.start()
        except Exception as error:  # noqa: BLE001 - no process, no memory, no file to be had
            child.note_death()
            complain(f"{part.name} can't be started: {error}")
        self._count_at = 0.0

    def _note_death(self, child: Child, code: int) -> None:
        try:
            child.kill_group()
            kill(self._below(child))  # what it had started would go on without anybody watching
        finally:
            last_lines = child.last_lines()
            child.note_death()
            again = f"it is started again in {child.restarts.delay_seconds:g} s"
            say(f"{child.part.name} {ending(code)}; {again} (log: {self._folder.log_of(child.part.name)}){last_lines}")
            self._count_at = 0.0

    def _bound_logs(self) -> None:
        self._folder.bound_logs()
        if self._postgres is not None:
            self._postgres.bound_log()

    def _keep_postgres(self) -> None:
        now = time.monotonic()
        if self._postgres is None or now < self._look_at_postgres_at:
            return
        self._look_at_postgres_at = now + LOOK_AT_POSTGRES_EVERY_SECONDS
        if self._postgres.pid() is not None:
            return
        say("postgres ended; it is started again now")
        self._postgres_restarts = self._postgres_restarts.after_death(lived_seconds=now - self._postgres_started_at)
        try:
            # While it recovers, which may take minutes, the others are looked after.
            self.start_postgres(self._postgres, within_seconds=POSTGRES_START_SECONDS)
        except PostgresUnavailable as error:
            self._look_at_postgres_at = time.monotonic() + self._postgres_restarts.delay_seconds
            complain(str(error))

    def _count(self) -> None:
        self._count_at = time.monotonic() + COUNT_EVERY_SECONDS
        roots: dict[Role, list[int]] = {}
        for child in self._children:
            if child.pid is not None:
                roots.setdefault(child.part.role, []).append(child.pid)
        if self._postgres is not None and (pid := self._postgres.pid()) is not None:
            roots[Role.POSTGRES] = [pid]
        if self._census.count(roots):
            self._tell()

    def _tell(self) -> None:
        try:
            write_whole(self._folder.births, self._census.births())
            write_whole(self._folder.processes, self._census.pids)
            self._write_fails = False
        except OSError as error:
            if not self._write_fails:
                complain(f"{self._folder.processes} can't be written: {error}")
            self._write_fails = True

    def _below(self, child: Child) -> list[psutil.Process]:
        """What the part had started; not itself, whose exit status is not psutil's to take."""
        if child.pid is None:
            return []
        return [process for process in self._census.below(child.pid) if process.pid != child.pid]

    def stop(self) -> None:
        """Everything, in order, within 20 s. PostgreSQL's end is waited for in any case."""
        for roles, patience_seconds in STOPS:
            children = [child for child in self._children if child.part.role in roles]
            self._tend(f"stop {', '.join(roles)}", partial(self._stop, children, patience_seconds))
        if self._postgres is not None:
            try:
                self._postgres.stop(POSTGRES_STOP_SECONDS)
            except PostgresUnavailable as error:
                complain(str(error))
        self._children.clear()
        with suppress(OSError):
            self._folder.births.unlink(missing_ok=True)
            write_whole(self._folder.processes, {role: [os.getpid()] if role == Role.UP else [] for role in Role})

    def _stop(self, children: list[Child], patience_seconds: float) -> None:
        self._tend("census", self._count)
        survivors = [process for child in children for process in self._below(child)]
        for child in children:
            child.terminate()
        deadline = time.monotonic() + patience_seconds
        for child in children:
            if not child.wait(deadline - time.monotonic()):
                say(f"{child.part.name} does not stop; it is killed")
                child.kill_group()
                child.wait(SURVIVORS_SECONDS)
        _, survivors = psutil.wait_procs(survivors, timeout=SURVIVORS_SECONDS)
        kill(survivors)
