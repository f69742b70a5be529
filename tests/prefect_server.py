"""A real Prefect server for the tests of one pytest process, on a database of its own."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

import httpx
import psycopg
import pytest
from psycopg import errors
from starlette.types import ASGIApp

from cli.parts import CONNECTIONS
from flows import prefect_app
from tests.conftest import FreshDatabase
from tests.system import free_port
from tests.waiting import wait_until

AUTH = "duetime:the string of tests"
"""What the server asks for while people have to sign in."""


class Accounts:
    """There are some while the server's folder has a file of this name."""

    FILE = "people-have-accounts"

    def __init__(self, _ask: object) -> None:
        self._file = Path(os.environ["PREFECT_HOME"]) / self.FILE

    async def there_are_any(self) -> bool:
        return self._file.exists()


def create_app() -> ASGIApp:
    """Our application, in a process that gives way to nobody: not to tests that have nothing to do with it either."""
    with patch("flows.prefect_app.give_way"), patch("flows.prefect_app.Accounts", Accounts):
        return prefect_app.create_app()


PROXY_HOST = "127.0.0.2"
"""Another address under which the server lets its clients in: a proxy may listen there, on the same port."""


@dataclass
class PrefectServer:
    """A server that can be stopped and started again, as its clients see it."""

    database_url: str
    home: Path
    port: int
    process: "subprocess.Popen[bytes] | None" = None
    has_scheduler: bool = True
    """Whether its scheduler service runs."""

    @property
    def url(self) -> str:
        """What `PREFECT_API_URL` is to be."""
        return f"http://127.0.0.1:{self.port}/api"

    @property
    def environment(self) -> dict[str, str]:
        """This process's environment, with nothing of Prefect's but how to reach this server."""
        plain = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "DUETIME_"))}
        return plain | {
            "PREFECT_API_URL": self.url,
            "PREFECT_HOME": str(self.home),
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "DO_NOT_TRACK": "1",
            "PREFECT_CLIENT_CSRF_SUPPORT_ENABLED": "false",
            "PREFECT_CLIENT_SERVER_VERSION_CHECK_ENABLED": "false",
            "PREFECT_TELEMETRY_ENABLE_RESOURCE_METRICS": "false",
        }

    def start(self) -> None:
        address = self.database_url.replace("postgresql://", "postgresql+asyncpg://", 1)
        environment = self.environment | {
            "PREFECT_SERVER_DATABASE_CONNECTION_URL": address,
            "PREFECT_SERVER_API_AUTH_STRING": AUTH,
            prefect_app.PREFECT_HOSTS: PROXY_HOST,
            "PREFECT_SERVER_API_HOST": "127.0.0.1",
            "PREFECT_SERVER_API_PORT": str(self.port),
            "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect.server.concurrency.lease_storage.filesystem",
            "PREFECT_SERVER_LOGGING_LEVEL": "WARNING",
            "PREFECT_SERVER_SERVICES_SCHEDULER_ENABLED": str(self.has_scheduler).lower(),
        }
        words = ["-m", "uvicorn", "--factory", "tests.prefect_server:create_app", "--log-level", "warning"]
        words += ["--http", CONNECTIONS]
        with (self.home / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, *words, "--port", str(self.port)], env=environment, stdout=log, stderr=log
            )
        wait_until(self._answers, "the Prefect server to answer", seconds=240)

    def _answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, (self.home / "server.log").read_text()
        try:
            return httpx.get(f"{self.url}/ready", timeout=5).is_success
        except httpx.TransportError:
            return False

    @contextmanager
    def with_accounts(self) -> Iterator[None]:
        """People have to sign in meanwhile."""
        file = self.home / Accounts.FILE
        file.touch()
        try:
            yield
        finally:
            file.unlink()

    def stop(self) -> None:
        """At once: what it holds is in its database."""
        if self.process is not None:
            self.process.kill()
            self.process.wait(10)
            self.process = None

    def forget_everything(self) -> None:
        """No deployments, runs, pools or variables are left: in its database, because by its API it takes long."""
        wait_until(self._forgotten, "Prefect's tables to be let go of by its server", seconds=60)

    def _forgotten(self) -> bool:
        try:
            with psycopg.connect(self.database_url, options="-c lock_timeout=2s") as connection:
                connection.execute("TRUNCATE deployment, flow_run, flow, work_pool, variable CASCADE")
        except (errors.DeadlockDetected, errors.LockNotAvailable):
            return False
        return True


@pytest.fixture(scope="session")
def shared_prefect_server(fresh_database: FreshDatabase) -> Iterator[PrefectServer]:
    """The process's server; with what earlier tests left in it."""
    with fresh_database() as url, tempfile.TemporaryDirectory(prefix="duetime-prefect-") as home:
        server = PrefectServer(url, Path(home), free_port())
        server.start()
        yield server
        server.stop()


@pytest.fixture
def prefect_server(shared_prefect_server: PrefectServer) -> PrefectServer:
    """A running server with nothing in it."""
    shared_prefect_server.forget_everything()
    return shared_prefect_server
