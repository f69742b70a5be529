"""Loops and work beside them in threads, and a watch over steps that do not return."""

import threading
from collections.abc import Callable
from dataclasses import dataclass

from db.loops import records
from db.loops.records import Record, end_process, record_of

STUCK_TICKS = 300
"""A step in a thread that does not return for so many seconds is taken for stuck, and its process ended."""
_LOCK = threading.Lock()


class ThreadLoop:
    """Makes steps in a thread of its own until it is stopped."""

    def __init__(
        self,
        name: str,
        step: Callable[[], object],
        *,
        pause_seconds: float = 0.0,
        wake: threading.Event | None = None,
    ) -> None:
        self.name, self._step, self._pause_seconds = name, step, pause_seconds
        self._wake = wake or threading.Event()
        self.stopped = threading.Event()
        self._thread = threading.Thread(target=_guarded, args=(name, self.run), name=name, daemon=True)

    def start(self) -> "ThreadLoop":
        self._thread.start()
        return self

    def stop(self, timeout_seconds: float | None = 5.0) -> None:
        """Returns when the step that is being made is over, or when the time is."""
        self.stopped.set()
        self._wake.set()
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join(timeout_seconds)

    def run(self) -> None:
        """As `start`, in the thread that calls."""
        record = record_of(self.name)
        while not self.stopped.is_set():
            self._wake.clear()
            if self.stopped.is_set():
                return
            pause = self._one(record)
            if pause is None:
                self._wake.wait(self._pause_seconds)
            else:
                self.stopped.wait(pause)

    def _one(self, record: Record) -> float | None:
        try:
            with _WATCH.over(self.name):
                if records.before_step is not None:
                    records.before_step(self.name)
                self._step()
        except Exception as error:  # noqa: BLE001 - whatever it is
            return record.failed(error)
        record.went_well()
        return None


def thread(name: str, work: Callable[[], object]) -> threading.Thread:
    """Does one thing in a thread of its own, which has begun; what it raises is logged and counted."""

    def guarded() -> None:
        try:
            work()
        except Exception as error:  # noqa: BLE001 - whatever it is
            record_of(name).failed(error)

    started = threading.Thread(target=_guarded, args=(name, guarded), name=name, daemon=True)
    started.start()
    return started


def _guarded(name: str, run: Callable[[], None]) -> None:
    try:
        run()
    except BaseException as error:  # noqa: BLE001 - nothing but the end of the process raises this in a thread
        end_process(f"{name} ended by {error!r}.")


class _Watch:
    """Ends the process when a step in a thread does not return.

    It counts the seconds that it has seen itself, so that a process that was stopped for an hour is not stuck.
    """

    def __init__(self) -> None:
        self._steps: dict[int, tuple[str, int]] = {}
        self._thread: threading.Thread | None = None

    def over(self, name: str) -> "_Step":
        return _Step(self, name)

    def enter(self, step: "_Step") -> None:
        with _LOCK:
            self._steps[id(step)] = (step.name, 0)
            if self._thread is None:
                watching = threading.Thread(target=self._look_forever, name="loops.watch", daemon=True)
                watching.start()
                self._thread = watching

    def leave(self, step: "_Step") -> None:
        with _LOCK:
            self._steps.pop(id(step), None)

    def _look_forever(self) -> None:
        while True:
            threading.Event().wait(1.0)
            self.tick()

    def tick(self) -> None:
        """A second more has passed for every step that is being made."""
        with _LOCK:
            self._steps = {key: (name, ticks + 1) for key, (name, ticks) in self._steps.items()}
            stuck = [name for name, ticks in self._steps.values() if ticks > STUCK_TICKS]
        if stuck:
            end_process(f"{stuck[0]} has been stuck for {STUCK_TICKS} s.")


@dataclass(slots=True)
class _Step:
    watch: _Watch
    name: str

    def __enter__(self) -> None:
        self.watch.enter(self)

    def __exit__(self, *_: object) -> None:
        self.watch.leave(self)


_WATCH = _Watch()
