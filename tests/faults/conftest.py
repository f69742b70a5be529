"""One system for all tests that disturb one: they are in one group, so that one process makes them all."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.disturbances.stage import Stage


@pytest.fixture(scope="session")
def stage() -> Iterator[Stage]:
    """It runs, and is well again after each test, or else that test says so."""
    with tempfile.TemporaryDirectory(prefix="duetime-faults-") as name:
        home = Path(name)
        home.chmod(0o755)  # as root PostgreSQL runs as another user
        stage = Stage(home)
        try:
            yield stage.start()
        finally:
            stage.stop()
