"""The tasks of the demonstration: what a small shop might have scheduled."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from db.closures import Dates

HOLIDAYS = "Bank holidays"
CLOSED = (
    Dates(first=date(2026, 1, 1), yearly=True, name="New Year"),
    Dates(first=date(2026, 5, 1), yearly=True, name="Labour Day"),
    Dates(first=date(2026, 12, 25), last=date(2026, 12, 26), yearly=True, name="Christmas"),
)
BERLIN, UTC, TOKYO, NEW_YORK = "Europe/Berlin", "UTC", "Asia/Tokyo", "America/New_York"


@dataclass(frozen=True, slots=True)
class Story:
    """A task, how long its runs take, and how its luck is."""

    document: Mapping[str, Any]
    usual_seconds: float
    failing: float = 0.01
    error: str = "Exited with code 1."
    fails_now: bool = False
    refused: str = ""
    """What Prefect says against the task."""


def _cron(cron: str, timezone: str = BERLIN) -> dict[str, Any]:
    return {"kind": "cron", "cron": cron, "timezone": timezone}


def _shell(name: str, command: str, schedule: Mapping[str, Any], *tags: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "kind": "shell", "action": {"command": command}, "schedule": schedule, "tags": tags} | more


def _http(name: str, method: str, url: str, schedule: Mapping[str, Any], *tags: str, **more: Any) -> dict[str, Any]:
    action = {"method": method, "url": url}
    return {"name": name, "kind": "http", "action": action, "schedule": schedule, "tags": tags} | more


def _python(name: str, function: str, schedule: Mapping[str, Any], *tags: str, **more: Any) -> dict[str, Any]:
    action = {"callable": function, "kwargs": {"region": "eu"}}
    return {"name": name, "kind": "python", "action": action, "schedule": schedule, "tags": tags} | more


NO_ANSWER = "No answer from payments.example within 30 s."
STORIES = (
    Story(
        _shell(
            "backup-shop-database",
            "pg_dump shop | gzip > /backup/shop-$(date +%F).gz",
            _cron("0 2 * * *"),
            "nightly",
            "ops",
            retries=2,
            description="The backup that everything else relies on. The runbook says whom to call.",
        ),
        340,
    ),
    Story(_http("cache-warm-up", "POST", "https://shop.example/warm", _cron("*/5 * * * *", UTC), "shop"), 2.1),
    Story(_http("currency-rates", "GET", "https://rates.example/latest", _cron("*/15 7-19 * * 1-5"), "finance"), 0.8),
    Story(_python("customer-report", "reports.customers:weekly", _cron("30 7 * * 1", NEW_YORK), "reports"), 95),
    Story(_shell("delete-old-sessions", "psql shop -f delete-old-sessions.sql", _cron("15 * * * *"), "shop"), 12),
    Story(_shell("disk-usage", "df -h | sort -k5 -r | head", _cron("*/10 * * * *", UTC), "ops"), 0.3),
    Story(
        _shell(
            "import-orders",
            "/opt/import/run.sh --all --batch 500",
            _cron("*/2 * * * *", TOKYO),
            "orders",
            max_lateness_seconds=60,
            description="Brings the orders of the other half of the world in.",
        ),
        38,
        failing=0.02,
    ),
    Story(
        _python(
            "invoices",
            "billing.invoices:send",
            _cron("0 6 * * 1-5") | {"calendars": [HOLIDAYS], "on_closed": "next"},
            "billing",
            on_crash="fail",
        ),
        22,
    ),
    Story(_python("newsletter", "mail.newsletter:send", {"kind": "manual"}, "mail"), 240),
    Story(
        _http("payment-reconciliation", "POST", "https://payments.example/match", _cron("*/30 * * * *"), "billing"),
        9,
        failing=0.05,
        error=NO_ANSWER,
        fails_now=True,
    ),
    Story(
        _http("payment-settlement", "POST", "https://payments.example/settle", _cron("5 * * * *"), "billing"),
        6,
        error=NO_ANSWER,
        fails_now=True,
    ),
    Story(_http("ping-shop", "GET", "https://shop.example/health", _cron("* * * * *", UTC), "ops", "shop"), 0.2),
    Story(
        _shell("price-feed", "./prices --model large", _cron("40 * * * *"), "finance", work_pool="gpu"),
        20,
        refused="Prefect has no work pool named 'gpu'.",
    ),
    Story(_shell("rotate-logs", "logrotate /etc/logrotate.d/shop", _cron("0 0 * * 0"), "ops", paused=True), 1.4),
    Story(_shell("search-reindex", "./reindex --full", _cron("0 3 * * *", "Europe/London"), "search"), 1900),
    Story(_http("sync-contacts", "POST", "https://crm.example/sync", _cron("20 */2 * * *"), "crm"), 47),
    Story(
        _shell("thumbnails", "find /srv/images -newer .stamp | xargs -n1 thumb", _cron("*/20 * * * *"), "shop"),
        75,
        failing=0.03,
        error="Exited with code 137.",
    ),
    Story(_shell("warehouse-export", "./export.sh warehouse", _cron("0 2 * * *"), "nightly", "reports"), 410),
    Story(_shell("vacuum-analyze", "psql shop -c 'VACUUM ANALYZE'", _cron("0 2 * * *"), "nightly", "ops"), 63),
)
LINES = (
    "Reading /srv/incoming",
    "Batch 1: 500 rows",
    "Batch 2: 500 rows",
    "\x1b[33mrow 48213: no postal code, skipped\x1b[0m",
    "Batch 3: 316 rows",
    "\x1b[32mDone\x1b[0m",
)
