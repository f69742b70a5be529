"""What kept an event loop busy for too long: every part is told to say so in its log."""

import re
from pathlib import Path

from db.loop_lag import DEBUG

ENVIRONMENT = {DEBUG: "1"}
_SAID = re.compile(r"\] (.+?) kept the event loop busy for (\d+\.\d+) s")


class BusyLoops:
    """Reads the logs of a folder on, from where it began."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._read = {path: path.stat().st_size for path in folder.glob("*.log")}

    def longest(self) -> dict[str, float]:
        """Of each callback that was named: the longest, in seconds of its thread's processor time."""
        found: dict[str, float] = {}
        for path in self._folder.glob("*.log"):
            with path.open("rb") as file:
                file.seek(min(self._read.get(path, 0), path.stat().st_size))
                said = file.read().decode(errors="replace")
            for name, seconds in callbacks(said):
                what = f"{path.stem}: {name}"
                found[what] = max(found.get(what, 0.0), seconds)
        return found


def callbacks(said: str) -> list[tuple[str, float]]:
    """What a log says of them. Pure."""
    return [(name, float(seconds)) for name, seconds in _SAID.findall(said)]
