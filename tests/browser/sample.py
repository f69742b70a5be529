"""A catalogue as a company might have it, for pictures and for looking at whole pages."""

import random
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from typing import Any
from uuid import UUID, uuid4

from db.runs import Ending, RunKey
from db.schedules import due_times
from db.states import Level, RunState, Stream
from tests.browser.world import World, now

RUNS_EACH = 20
QUIET = timedelta(minutes=1)
"""How long ago the last of the past runs was due, so that the one that runs is the newest."""


@dataclass(frozen=True, slots=True)
class Sample:
    """What is worth a look: a task that runs, and its run."""

    task: UUID
    run: UUID


def _cron(cron: str, timezone: str = "Europe/Berlin") -> dict[str, str]:
    return {"kind": "cron", "cron": cron, "timezone": timezone}


def _shell(command: str) -> dict[str, Any]:
    return {"kind": "shell", "action": {"command": command}}


def _http(method: str, url: str) -> dict[str, Any]:
    return {"kind": "http", "action": {"method": method, "url": url}}


def _python(function: str) -> dict[str, Any]:
    return {"kind": "python", "action": {"callable": function, "kwargs": {"region": "eu"}}}


TASKS: dict[str, dict[str, Any]] = {
    "backup-shop-database": _shell("pg_dump shop | gzip > /backup/shop-$(date +%F).gz")
    | {"schedule": _cron("0 2 * * *"), "tags": ["ops", "nightly"]},
    "cache-warm-up": _http("POST", "https://shop.example/warm")
    | {"schedule": _cron("*/5 * * * *", "UTC"), "tags": ["shop"]},
    "currency-rates": _http("GET", "https://rates.example/latest")
    | {"schedule": _cron("*/15 7-19 * * 1-5"), "tags": ["finance"]},
    "customer-report": _python("reports.customers:weekly")
    | {"schedule": _cron("30 7 * * 1", "America/New_York"), "tags": ["reports"]},
    "delete-old-sessions": _shell("psql shop -f /opt/shop/delete-old-sessions.sql")
    | {"schedule": _cron("15 * * * *"), "tags": ["shop"]},
    "disk-usage": _shell("df -h | sort -k5 -r | head") | {"schedule": _cron("*/10 * * * *", "UTC"), "tags": ["ops"]},
    "import-orders": _shell("/opt/import/run.sh --all --batch 500")
    | {
        "schedule": _cron("*/2 * * * *", "Asia/Tokyo"),
        "tags": ["orders"],
        "description": "Brings the orders of the night shift in; the runbook says whom to call.",
    },
    "invoices": _python("billing.invoices:send") | {"schedule": _cron("0 6 * * 1-5"), "tags": ["billing"]},
    "newsletter": _python("mail.newsletter:send") | {"schedule": {"kind": "manual"}, "tags": ["mail"]},
    "rotate-logs": _shell("logrotate /etc/logrotate.d/shop")
    | {"schedule": _cron("0 0 * * 0"), "tags": ["ops"], "paused": True},
    "search-reindex": _shell("./reindex --full")
    | {"schedule": _cron("0 3 * * *", "Europe/London"), "tags": ["search"]},
    "sync-contacts": _http("POST", "https://crm.example/sync") | {"schedule": _cron("20 */2 * * *"), "tags": ["crm"]},
    "thumbnails": _shell("find /srv/images -newer .stamp | xargs -n1 thumb")
    | {"schedule": _cron("*/20 * * * *"), "tags": ["shop"]},
}
LINES = (
    ("Reading /srv/orders/incoming", Level.INFO, Stream.STDOUT),
    ("Imported batch 1 (500 rows)", Level.INFO, Stream.STDOUT),
    ("Imported batch 2 (500 rows)", Level.INFO, Stream.STDOUT),
    ("order 48213: no postal code, skipped", Level.INFO, Stream.STDERR),
    ("Retrying after HTTP 503", Level.WARNING, Stream.STDOUT),
    ("Imported batch 3 (316 rows)", Level.INFO, Stream.STDOUT),
)


def fill(world: World) -> Sample:
    """Writes it, with runs of the last weeks."""
    chance = random.Random(7)
    found: dict[str, UUID] = {}
    for name, task in TASKS.items():
        found[name] = world.task(name, **task)
        _past(world, found[name], chance)
    world.refuse(world.task("price-feed", deployed=False), "Prefect has no work pool named 'gpu'.")
    run = world.start(found["import-orders"], due_at=now() - timedelta(seconds=20), late=timedelta(milliseconds=9))
    for message, level, stream in LINES:
        world.say(run, message, level=level, stream=stream)
    return Sample(found["import-orders"], run.id)


def _past(world: World, task_id: UUID, chance: random.Random) -> None:
    usual, late = chance.choice((0.4, 2.0, 9.0, 33.0)), timedelta(milliseconds=chance.randint(4, 40))
    world.past(
        task_id,
        [(RunKey(uuid4(), due), _ending(due + late, usual, chance)) for due in _last_due(world, task_id)],
        late=late,
    )


def _ending(started_at: datetime, usual: float, chance: random.Random) -> Ending:
    state = chance.choices((RunState.COMPLETED, RunState.FAILED, RunState.TIMED_OUT), (30, 2, 1))[0]
    took = timedelta(seconds=usual * chance.lognormvariate(0, 0.5))
    return Ending(state, started_at + took, exit_code={RunState.COMPLETED: 0, RunState.FAILED: 1}.get(state))


def _last_due(world: World, task_id: UUID) -> list[datetime]:
    spec, moment = world.see(task_id).spec, now()
    since = due_times(spec.schedule.value(), after=moment - timedelta(days=20))
    return [at for at in islice(since, 20_000) if at < moment - QUIET][-RUNS_EACH:]
