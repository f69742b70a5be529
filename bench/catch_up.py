"""A thousand due times that an outage of an hour left behind, and a task that is due now meanwhile.

    python -m bench.catch_up [--tasks 17] [--every 60] [--hours 1]

A system of its own is started. Each task says `misfire: all`, so each of its due times is run; half of them one after
the other (overlap skip), half side by side (allow). A task that is due every two seconds shows whether what is due now
is delayed: its lateness is measured for half a minute before, and all the while.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cli.postgres import EmbeddedPostgres
from cli.settings import CATALOGUE
from db import tasks
from db.engine import Catalogue
from db.specs import parse_task
from tests.system import System

ALONE_SECONDS = 30
GIVE_UP_SECONDS = 1800


@contextmanager
def a_system() -> Iterator[tuple[System, Catalogue]]:
    with tempfile.TemporaryDirectory(prefix="duetime-bench-") as home:
        Path(home).chmod(0o755)  # as root PostgreSQL runs as another user
        system = System(Path(home) / "data").start()
        catalogue = Catalogue(EmbeddedPostgres(system.data_dir / "postgres").url(CATALOGUE))
        try:
            yield system, catalogue
        finally:
            catalogue.close()
            system.stop()


def shell(name: str, schedule: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"name": name, "kind": "shell", "action": {"command": "true"}, "schedule": schedule, **more}


def left_behind(catalogue: Catalogue, count: int, *, every_seconds: int, hours: float) -> list[str]:
    """Tasks that were made before the outage, whose ledgers nobody wrote since; all in one transaction."""
    now = datetime.now(UTC)
    cron = "* * * * *" if every_seconds == 60 else f"* * * * * */{every_seconds}"
    schedule = {"kind": "cron", "cron": cron, "timezone": "UTC"}
    made: list[str] = []
    with catalogue.transaction() as session:
        for number in range(count):
            overlap = "allow" if number % 2 else "skip"
            spec = shell(f"behind-{number}", schedule, misfire="all", overlap=overlap, ends_at=now.isoformat())
            born = now - timedelta(hours=hours)
            made.append(str(tasks.create_task(session, parse_task(spec), actor="bench", now=born)))
    return made


def outcomes(system: System, task_id: str) -> list[str]:
    found: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        page = system.api("GET", f"/tasks/{task_id}/due-times?limit=500" + (f"&cursor={cursor}" if cursor else ""))
        found += [row["outcome"] for row in page["items"]]
        cursor = page["next_cursor"]
    return found


def lateness(system: System, task_id: str, since: datetime, until: datetime) -> list[float | None]:
    """Of the due times of a while, in seconds; None for what was not run."""
    found: list[float | None] = []
    at = since
    while at < until:
        to = min(at + timedelta(minutes=10), until)
        query = f"from={at.isoformat()}&to={to.isoformat()}&limit=500".replace("+", "%2B")
        rows = system.api("GET", f"/tasks/{task_id}/due-times?{query}")["items"]
        found += [row["lateness_seconds"] for row in rows]
        at = to
    return found


def said(values: Sequence[float | None]) -> str:
    run = sorted(value for value in values if value is not None)
    if not run:
        return "nothing ran"
    later = run[min(len(run) - 1, int(len(run) * 0.95))]
    milliseconds = [1000 * value for value in (statistics.median(run), later, run[-1])]
    return "median {:.0f} ms, 95 % {:.0f} ms, longest {:.0f} ms".format(*milliseconds) + (
        f" ({len(values) - len(run)} of {len(values)} not run)" if len(run) < len(values) else f" ({len(run)})"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", type=int, default=17)
    parser.add_argument("--every", type=int, default=60, help="seconds between two due times")
    parser.add_argument("--hours", type=float, default=1.0)
    chosen = parser.parse_args()
    with a_system() as (system, catalogue):
        every_two = {"kind": "cron", "cron": "* * * * * */2", "timezone": "UTC"}
        punctual = system.api("POST", "/tasks", shell("punctual", every_two))["id"]
        time.sleep(10)  # until it is deployed and has its rhythm
        alone_since = datetime.now(UTC)
        time.sleep(ALONE_SECONDS)
        began = datetime.now(UTC)
        behind = left_behind(catalogue, chosen.tasks, every_seconds=chosen.every, hours=chosen.hours)
        wait_for_all(system, behind)
        ended = datetime.now(UTC)
        took = (ended - began).total_seconds()
        counts = [outcome for task_id in behind for outcome in outcomes(system, task_id)]
        print(f"caught up with {counts.count('ran')} of {len(counts)} due times in {took:.0f} s")
        print(f"  {counts.count('ran') / took:.1f} runs a second")
        print(f"a task that is due every 2 s, alone:     {said(lateness(system, punctual, alone_since, began))}")
        print(f"a task that is due every 2 s, meanwhile: {said(lateness(system, punctual, began, ended))}")


def wait_for_all(system: System, task_ids: Sequence[str]) -> None:
    end = time.monotonic() + GIVE_UP_SECONDS
    left = list(task_ids)
    while left and time.monotonic() < end:
        found = outcomes(system, left[0])
        if found and not {"pending", "running"} & set(found):
            left.pop(0)
        else:
            time.sleep(2)
    if left:
        raise TimeoutError(f"{len(left)} tasks were not caught up with within {GIVE_UP_SECONDS} s.")


if __name__ == "__main__":
    main()
