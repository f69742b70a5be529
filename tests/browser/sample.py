"""A catalogue as a company might have it, for pictures and for looking at whole pages."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from typing import Any
from uuid import UUID, uuid4

from db.runs import Ending, RunKey
from db.schedules import due_times
from db.states import Level, Outcome, Reason, RunState, Stream
from tests.browser.world import World, now

RUNS_EACH = 20
SHOWN = "import-orders"
"""The task whose page is pictured."""
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
        if name != SHOWN:
            _past(world, found[name], chance)
    world.refuse(world.task("price-feed", deployed=False), "Prefect has no work pool named 'gpu'.")
    run = world.start(found[SHOWN], due_at=now() - timedelta(seconds=20), late=timedelta(milliseconds=9))
    _ledger(world, found[SHOWN], run)
    for message, level, stream in LINES:
        world.say(run, message, level=level, stream=stream)
    world.audit()
    return Sample(found[SHOWN], run.id)


def _ledger(world: World, task_id: UUID, running: RunKey) -> None:
    """What became of the due times before the run that goes on: every kind of outcome, and why."""
    world.was_due(task_id, running.due_at, Outcome.RUNNING, run=running, late=timedelta(milliseconds=9))
    due = list(reversed(_last_due(world, task_id, count=30)))
    world.worker("worker-1", since=due[-1] + timedelta(seconds=190))
    world.worker("worker-0", since=due[-1] - timedelta(days=1), stopped_at=due[-1] - timedelta(seconds=70))
    lost = world.worker("worker-2", since=due[9], heard_at=due[7] + timedelta(seconds=3), stopped_at=due[6])
    _ran(world, task_id, due[:1])
    world.was_due(task_id, due[1], Outcome.SKIPPED, reason=Reason.OVERLAP, decided=timedelta(milliseconds=30))
    _ran(world, task_id, due[2:3], late=timedelta(seconds=42.3), took=timedelta(seconds=100))
    _ran(world, task_id, due[3:7])
    _ran(world, task_id, due[7:8], state=RunState.CRASHED, worker_id=lost, worker="worker-2")
    world.was_due(task_id, due[8], Outcome.CANCELLED, reason=Reason.CANCELLED)
    _ran(world, task_id, due[9:28])
    for at in due[28:]:
        world.was_due(task_id, at, Outcome.SKIPPED, reason=Reason.SUPERSEDED, decided=due[27] - at)


def _ran(
    world: World,
    task_id: UUID,
    due: Sequence[datetime],
    *,
    late: timedelta = timedelta(milliseconds=12),
    took: timedelta = timedelta(seconds=2.5),
    state: RunState = RunState.COMPLETED,
    **more: Any,
) -> None:
    outcome, reason = (Outcome.UNKNOWN, Reason.WORKER_LOST) if state is RunState.CRASHED else (Outcome.RAN, None)
    for at in due:
        key = RunKey(uuid4(), at)
        held_at = at + late - timedelta(milliseconds=12)
        world.past(task_id, [(key, Ending(state, at + late + took))], late=late, held_at=held_at, **more)
        world.was_due(task_id, at, outcome, reason=reason, run=key, late=late)


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


def _last_due(world: World, task_id: UUID, *, count: int = RUNS_EACH) -> list[datetime]:
    spec, moment = world.see(task_id).spec, now()
    since = due_times(spec.schedule.value(), after=moment - timedelta(days=20))
    return [at for at in islice(since, 20_000) if at < moment - QUIET][-count:]
