"""How far the start has come, and the moment from which on a task created now would run."""

import json
import time

from cli.console import say
from cli.settings import Settings
from cli.web import get

REMIND_EVERY_SECONDS = 120.0
NOT_AWAITED = frozenset({"due_times", "pools"})
"""What was due before the start, or is due in a pool without a worker, keeps no task from running that is new."""


class Readiness:
    """Told line by line; the ready line once."""

    def __init__(self, settings: Settings, *, logs: str) -> None:
        self._settings, self._logs = settings, logs
        self._began_at = time.monotonic()
        self._remind_at = self._began_at + REMIND_EVERY_SECONDS
        self._unwell: list[str] = []
        self._ready = False

    def tell(self, text: str) -> None:
        """A line with the seconds since the start."""
        say(f"{time.monotonic() - self._began_at:5.1f} s  {text}")

    def look(self, *, everybody_is_here: bool) -> bool:
        """Whether the system is ready; once it was, nobody is asked again."""
        if self._ready:
            return True
        answer = get(f"{self._settings.url}/readyz")
        if problems := unwell(answer.text if answer is not None else None):
            self._tell_of(problems)
        elif not everybody_is_here:
            self._tell_of({"signs of life": "Prefect, the reconciler or a worker was not heard of since this start."})
        else:
            self._ready = True
            say(self._settings.ready_line)
        return self._ready

    def _tell_of(self, problems: dict[str, str]) -> None:
        if list(problems) != self._unwell:
            self._unwell = list(problems)
            self.tell(f"waiting for {', '.join(problems)}")
        if time.monotonic() > self._remind_at:
            self._remind_at = time.monotonic() + REMIND_EVERY_SECONDS
            for part, detail in problems.items():
                self.tell(f"still waiting for {part}: {detail} See the logs in {self._logs}.")


def unwell(document: str | None) -> dict[str, str]:
    """The parts that a new task needs and that are not well, and why, by what /readyz answered; None if it did not."""
    if document is None:
        return {"dashboard": "It does not answer."}
    try:
        parts = json.loads(document)["parts"]
        awaited = {name: part for name, part in parts.items() if name not in NOT_AWAITED}
        required = {name: part for name, part in awaited.items() if part.get("required", True)}
        return {name: part["detail"] for name, part in required.items() if not part["ok"]}
    except (ValueError, KeyError, TypeError, AttributeError):
        return {"dashboard": f"It answers: {document[:300]}"}
