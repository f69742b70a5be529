"""One system for the tests that leave it running, and one of their own for those that do not."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.system import System


@contextmanager
def _home() -> Iterator[Path]:
    """Not below pytest's own folder, which is private: as root PostgreSQL runs as another user."""
    with tempfile.TemporaryDirectory(prefix="duetime-e2e-") as name:
        home = Path(name)
        home.chmod(0o755)
        yield home


@pytest.fixture(scope="session")
def system() -> Iterator[System]:
    """A running system that tests share; each makes tasks of its own."""
    with _home() as home:
        started = System(home / "data").start()
        yield started
        assert started.stop() == 0, started.output


@pytest.fixture
def own_system() -> Iterator[System]:
    """A system to be killed; it is not started yet."""
    with _home() as home:
        own = System(home / "data")
        yield own
        own.kill_everything()
