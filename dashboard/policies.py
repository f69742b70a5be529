"""What a task's policies mean, in plain words. Pure."""

from collections.abc import Mapping
from typing import Any

OVERLAP = {
    "skip": "Skip the new one",
    "queue": "Wait, then run the new one",
    "allow": "Run both at once",
    "replace": "Stop the old one, run the new one",
}
MISFIRE = {
    "latest": "Run once, for the newest",
    "all": "Run each of them, oldest first",
    "skip": "Don't run them",
}
ON_CRASH = {
    "fail": "Leave it, so it runs at most once",
    "rerun": "Run it again, so it runs at least once",
}
BACKOFF = {
    "constant": "The same every time",
    "exponential": "Twice as long each time",
}
SENTENCES: Mapping[str, Mapping[str, str]] = {
    "overlap": OVERLAP,
    "misfire": MISFIRE,
    "on_crash": ON_CRASH,
    "retry_backoff": BACKOFF,
}
DEFAULTS = {"overlap": "skip", "misfire": "latest", "on_crash": "fail", "retry_backoff": "constant"}
UNITS = ((86400, "day"), (3600, "hour"), (60, "minute"), (1, "second"))


def duration(seconds: int) -> str:
    """`90 seconds`, `1 hour`, `2 days`: in the largest unit that is exact."""
    size, unit = next((size, unit) for size, unit in UNITS if seconds % size == 0 and (seconds or size == 1))
    return _count(seconds // size, unit)


def summary(fields: Mapping[str, Any]) -> str:
    """All of them in one line, which says what happens when something goes otherwise than planned."""
    return ", ".join(
        [
            {
                "skip": "one run at a time",
                "queue": "one run after the other",
                "allow": "runs side by side",
                "replace": "a new run ends the old",
            }[fields["overlap"]],
            {"latest": "catches up once", "all": "catches up with all", "skip": "never catches up"}[fields["misfire"]],
            _retries(fields["retries"]),
            f"ends after {duration(fields['timeout_seconds'])}" if fields["timeout_seconds"] else "no time limit",
            *(["runs again after a crash"] if fields["on_crash"] == "rerun" else []),
            *([f"at most {duration(late)} late"] if (late := fields["max_lateness_seconds"]) is not None else []),
        ]
    )


def _retries(count: int | None) -> str:
    return _count(count, "retry") if count else "no retries"


def _count(number: int, word: str) -> str:
    if number == 1:
        return f"1 {word}"
    return f"{number} {word[:-1]}ies" if word.endswith("ry") else f"{number} {word}s"
