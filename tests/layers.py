"""Which tests need what: a mark for each test, told by its fixtures and its folder, so that nobody has to set it."""

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


def mark(items: list[pytest.Item]) -> None:
    """Gives each test the mark of its layer."""
    for item in items:
        item.add_marker(layer_of(item))


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
