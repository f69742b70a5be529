"""`duetime audit` of a system under test."""

import os
import subprocess
import time
from dataclasses import dataclass
from datetime import UTC, datetime

from cli.postgres import EmbeddedPostgres
from cli.settings import CATALOGUE
from db.witness import WRITTEN_AFTER
from tests.system import DUETIME, System


@dataclass(frozen=True, slots=True)
class Audit:
    """How the command ended, and all that it printed."""

    exit_code: int
    said: str

    @property
    def summary(self) -> str:
        """The last line."""
        return (self.said.strip() or "nothing").splitlines()[-1]


def catalogue_url(system: System) -> str:
    """The catalogue of a system with an embedded PostgreSQL, as its owner reaches it."""
    return EmbeddedPostgres(system.data_dir / "postgres").url(CATALOGUE)


def audit(system: System, begin: datetime, end: datetime) -> Audit:
    """Waits until the command counts everything up to the end: it leaves out what may not be written yet."""
    time.sleep(max((end + WRITTEN_AFTER - datetime.now(UTC)).total_seconds() + 1, 0))
    window = ("--from", begin.isoformat(), "--to", end.isoformat())
    environment = {**os.environ, "DUETIME_DATABASE_URL": catalogue_url(system)}
    done = subprocess.run(
        [DUETIME, "audit", *window], env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    return Audit(done.returncode, f"{done.stdout}{done.stderr}")
