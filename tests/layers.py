"""Which tests need what: a mark for each test, told by its fixtures and its folder, so that nobody has to set it."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
LAYERS = {
    "unit": "needs nothing but this process",
    "db": "needs PostgreSQL",
    "process": "starts processes",
    "prefect": "needs a Prefect server",
    "browser": "needs a browser",
    "system": "needs a whole system",
    "long": "a campaign, or what tries many inputs: not part of `make test`",
}
BY_FIXTURE = {
    "browser": {"page", "browser", "context", "playwright"},
    "prefect": {"prefect_server", "shared_prefect_server"},
    "db": {"postgres_url"},
}
BY_FOLDER = {"e2e": "system", "faults": "system", "bench": "system", "worker": "prefect", "browser": "browser"}
STARTS_PROCESSES = {"flows", "cli"}
IN_PARTS = {"browser": 2, "prefect": 2}
"""The groups whose tests share something that is dear to start, and how many processes of pytest share them out."""


def mark(items: list[pytest.Item]) -> None:
    """Gives each test the mark of its layer, and shares out the groups that are too long for one process."""
    for item in items:
        item.add_marker(layer_of(item))
    for group, parts in IN_PARTS.items():
        _share_out([item for item in items if group in _groups(item)], parts)


def _groups(item: pytest.Item) -> set[str]:
    return {str(mark.args[0]) for mark in item.iter_markers("xdist_group")}


def _share_out(items: list[pytest.Item], parts: int) -> None:
    """Whole modules, the largest first, each to the part that has the fewest tests: another name of the group."""
    counts, filled = Counter(item.path for item in items), Counter(dict.fromkeys(range(parts), 0))
    part_of: dict[Path, int] = {}
    for path in sorted(counts, key=lambda path: (-counts[path], path)):
        part_of[path] = min(filled, key=lambda part: (filled[part], part))
        filled[part_of[path]] += counts[path]
    for item in items:
        item.add_marker(pytest.mark.xdist_group(f"part-{part_of[item.path]}"))


def layer_of(item: pytest.Item) -> str:
    """The layer of a test, by its folder and its fixtures."""
    folder = item.path.relative_to(TESTS).parts[0]
    if item.get_closest_marker("long") is not None:
        return "long"
    if folder in BY_FOLDER:
        return BY_FOLDER[folder]
    fixtures = set(getattr(item, "fixturenames", ()))
    found = next((layer for layer, wanted in BY_FIXTURE.items() if wanted & fixtures), None)
    return found or ("process" if folder in STARTS_PROCESSES else "unit")


def declared() -> Iterator[str]:
    """The marks as pytest wants them declared."""
    return (f"{name}: {what}" for name, what in LAYERS.items())
