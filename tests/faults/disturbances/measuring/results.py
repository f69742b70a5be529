"""What became of each trial: a file that gets a line whenever one is over, so that what was interrupted can go on."""

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

from tests.faults.disturbances.measuring.healing import Healing
from tests.faults.disturbances.plan import Trial
from tests.faults.verdict import Discrepancy, Fault


@dataclass(frozen=True, slots=True)
class Result:
    """One trial that is over."""

    trial: Trial
    commit: str
    what: str = ""
    """The disturbance as it was drawn."""
    due_times: int = 0
    faults: dict[str, int] = field(default_factory=dict)
    """How many discrepancies of each sort there are between files, ledger and runs."""
    discrepancies: list[str] = field(default_factory=list)
    """In words, gathered by task."""
    complaints: list[str] = field(default_factory=list)
    """Everything else that is wrong."""
    healing: Healing = field(default_factory=lambda: Healing(None, None, None))
    decided_seconds: float | None = None
    """From the end of the disturbance until all that was due before is decided."""
    restarts: int = 0
    """How many parts the supervisor had to start again."""
    busy_loops: dict[str, float] = field(default_factory=dict)
    """The callbacks that used too much of their thread's processor time: the longest of each, in seconds."""
    took_seconds: float = 0.0
    left_out: str = ""
    """Why it could not be made."""

    @property
    def is_well(self) -> bool:
        return not self.found and not self.left_out

    @property
    def found(self) -> list[str]:
        """Everything that is wrong."""
        return [*self.complaints, *self.discrepancies]

    @property
    def has_healed(self) -> bool:
        return None not in (self.healing.first, self.healing.steady, self.healing.ready)

    def as_line(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def of_line(cls, line: str) -> Self:
        read: dict[str, Any] = json.loads(line)
        return cls(**{**read, "trial": Trial(**read["trial"]), "healing": Healing(**read["healing"])})


@dataclass
class ResultsFile:
    """The file; it need not be there yet."""

    path: Path

    def begin_anew(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text("")

    def read(self) -> list[Result]:
        """Those that were written whole: a line may have been cut when everything was stopped."""
        found = []
        for line in self.path.read_text().splitlines() if self.path.exists() else []:
            with suppress(json.JSONDecodeError):
                found.append(Result.of_line(line))
        return found

    def add(self, result: Result) -> None:
        """Whatever was cut before it stays on a line of its own."""
        before = self.path.read_text() if self.path.exists() else ""
        cut = before and not before.endswith("\n")
        with self.path.open("a") as file:
            file.write(("\n" if cut else "") + result.as_line() + "\n")


def still_to_make(trials: Iterable[Trial], results: Iterable[Result], *, commit: str) -> list[Trial]:
    """The trials of which there is no result by this version of the code."""
    made = {result.trial for result in results if result.commit == commit}
    return [trial for trial in trials if trial not in made]


def gathered(discrepancies: Sequence[Discrepancy]) -> list[str]:
    """A sentence for each fault of each task, with the first of its due times as an example."""
    groups: dict[tuple[Fault, str], list[Discrepancy]] = defaultdict(list)
    for one in discrepancies:
        groups[one.fault, one.task].append(one)
    return [f"{len(group)} times {group[0]}" if len(group) > 1 else str(group[0]) for group in groups.values()]
