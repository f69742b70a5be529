"""`duetime demo`: the dashboard on a made-up shop, in a temporary folder, gone when it ends. Nothing is executed."""

import argparse
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cli.console import Refused, say
from cli.demo_life import Life
from cli.demo_past import Cast, make_up
from cli.ports import port_problem
from cli.postgres import EmbeddedPostgres
from cli.stopping import Stopping
from db.engine import Catalogue
from db.migrate import migrate

HOST = "127.0.0.1"
SEED = 7
STEP_SECONDS = 1.0


def demo(chosen: argparse.Namespace) -> int:
    """Runs until it is stopped; the exit code.

    Raises:
        Refused: the port is taken, or the dashboard ended.
    """
    problem = port_problem(HOST, chosen.port, "--port")
    if problem is not None:
        raise Refused(problem)
    stopping = Stopping()
    stopping.listen()
    with demo_shop() as shop:
        environ = os.environ | {"DUETIME_DATABASE_URL": shop.catalogue.url, "DUETIME_PORT": str(chosen.port)}
        dashboard = subprocess.Popen([sys.executable, "-m", "dashboard"], env=environ)
        try:
            say(f"duetime demo: http://{HOST}:{chosen.port} (a made-up shop; nothing is executed; Ctrl-C ends it)")
            while not stopping.wait(STEP_SECONDS):
                if dashboard.poll() is not None:
                    raise Refused("The dashboard ended by itself. The lines above say why.")
                shop.step()
        finally:
            dashboard.terminate()
            dashboard.wait(20)
    return 0


@dataclass(frozen=True, slots=True)
class Shop:
    """A catalogue with a past, and a present that goes on step by step."""

    catalogue: Catalogue
    cast: Cast
    life: Life

    def step(self) -> None:
        """What has happened since the last one."""
        with self.catalogue.transaction() as session:
            self.life.step(session, now=datetime.now(UTC))


@contextmanager
def demo_shop() -> Iterator[Shop]:
    """In a PostgreSQL server of its own, which is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="duetime-demo-") as folder:
        Path(folder).chmod(0o755)  # as root the server runs as another user
        postgres = EmbeddedPostgres(Path(folder) / "postgres", ends_with_us=True)
        try:
            url = postgres.start()
            migrate(url)
            catalogue = Catalogue(url, application_name="duetime-demo")
            chance = random.Random(SEED)  # noqa: S311 - a made-up past, the same each time
            with catalogue.transaction() as session:
                cast = make_up(session, now=datetime.now(UTC), chance=chance)
            yield Shop(catalogue, cast, Life(cast, chance))
            catalogue.close()
        finally:
            postgres.stop()
