"""Servers to maltreat, and one to look at."""

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.postgres import EmbeddedPostgres


@contextlib.contextmanager
def reachable_folder() -> Iterator[Path]:
    """A folder that the server's user can reach, as pytest's own are not; what runs below it is stopped."""
    path = Path(tempfile.mkdtemp(prefix="duetime-pg-")).resolve()
    path.chmod(0o755)
    try:
        yield path
    finally:
        for pid_file in path.glob("**/data/postmaster.pid"):
            EmbeddedPostgres(pid_file.parents[1]).stop()
        shutil.rmtree(path)


@pytest.fixture
def folder() -> Iterator[Path]:
    with reachable_folder() as path:
        yield path


@pytest.fixture
def server(folder: Path) -> EmbeddedPostgres:
    """A server to start, stop and maltreat."""
    return EmbeddedPostgres(folder / "postgres")


@pytest.fixture(scope="module")
def running() -> Iterator[EmbeddedPostgres]:
    """A server only to look at."""
    with reachable_folder() as path:
        server = EmbeddedPostgres(path / "postgres")
        server.start()
        yield server
