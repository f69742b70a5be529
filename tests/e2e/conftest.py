"""One system for the tests that leave it running, and one of their own for those that do not."""

from collections.abc import Iterator

import pytest

from tests.system import System


@pytest.fixture(scope="session")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """A running system that tests share; each makes tasks of its own."""
    home = tmp_path_factory.mktemp("system")
    home.chmod(0o755)  # as root PostgreSQL runs as another user
    started = System(home / "data").start()
    yield started
    assert started.stop() == 0, started.output


@pytest.fixture
def own_system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """A system to be killed; it is not started yet."""
    home = tmp_path_factory.mktemp("own")
    home.chmod(0o755)
    own = System(home / "data")
    yield own
    own.kill_everything()
