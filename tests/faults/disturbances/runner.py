"""Makes trials one after the other on a running system; where one has not healed, the next gets a fresh one."""

import shutil
import tempfile
import traceback
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.faults.console import say
from tests.faults.disturbances.disturbance import Unavailable
from tests.faults.disturbances.kinds.disk import mount_small_disk, unmount
from tests.faults.disturbances.measuring.results import Result
from tests.faults.disturbances.plan import Trial
from tests.faults.disturbances.stage import Stage
from tests.faults.disturbances.trial import make

ON_A_SMALL_DISK = frozenset({"disk_full"})


@dataclass
class Runner:
    """Every system has a folder of its own, which is kept where something was found there."""

    commit: str
    accelerator: str = "on"
    keep: bool = False
    kept: list[Path] = field(default_factory=list)

    def run(self, trials: Sequence[Trial]) -> Iterator[Result]:
        """A result for each, as soon as it is there; those that need a small disk come last."""
        for small_disk in (False, True):
            yield from self._on_one_disk([t for t in trials if (t.kind in ON_A_SMALL_DISK) is small_disk], small_disk)

    def _on_one_disk(self, trials: Iterable[Trial], small_disk: bool) -> Iterator[Result]:
        place: _Place | None = None
        try:
            for trial in trials:
                try:
                    place = place or _Place(accelerator=self.accelerator, small_disk=small_disk).open()
                except Unavailable as error:
                    yield Result(trial, self.commit, left_out=str(error))
                    continue
                result = self._made(place, trial)
                yield result
                if not result.has_healed:
                    self._close(place)
                    place = None
        finally:
            self._close(place)

    def _made(self, place: "_Place", trial: Trial) -> Result:
        try:
            result = make(place.stage, trial, commit=self.commit)
        except Exception as error:
            if (stop := stop_behind(error)) is not None:
                raise stop from error
            say(traceback.format_exc())
            result = Result(trial, self.commit, complaints=[f"given up: {error!r}"[:2000]])
        place.has_findings |= bool(result.found)
        for one in result.found:
            say(f"! {one}")
        return result

    def _close(self, place: "_Place | None") -> None:
        if place is None:
            return
        keep = self.keep or place.has_findings
        place.close(keep=keep)
        if keep:
            self.kept.append(place.home)


def stop_behind(error: BaseException) -> BaseException | None:
    """The order to stop that this error took the place of: what tidies up afterwards may fail, too."""
    seen: BaseException | None = error
    while seen is not None and not isinstance(seen, SystemExit | KeyboardInterrupt):
        seen = seen.__context__
    return seen


class _Place:
    """A temporary folder with a running system in it."""

    def __init__(self, *, accelerator: str, small_disk: bool) -> None:
        self.home = Path(tempfile.mkdtemp(prefix="duetime-disturbances-"))
        self.home.chmod(0o755)  # as root PostgreSQL runs as another user
        self.has_findings = False
        self._disk = self.home / "data/postgres" if small_disk else None
        self.stage = Stage(self.home, accelerator=accelerator)

    def open(self) -> "_Place":
        """Raises Unavailable."""
        try:
            if self._disk is not None:
                mount_small_disk(self._disk)
            self.stage.start()
        except BaseException:
            self.close(keep=False)
            raise
        say(f"ready: {self.home}")
        return self

    def close(self, *, keep: bool) -> None:
        """Of a small disk nothing is kept."""
        self.stage.stop()
        if self._disk is not None and self._disk.is_mount():
            unmount(self._disk)
        if not keep:
            shutil.rmtree(self.home)
