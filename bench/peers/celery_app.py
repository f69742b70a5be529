"""The Celery application of worker, beat and client, set for punctuality as its documentation says.

- `worker_timer_precision=0.1`: "If you need near millisecond precision you can set this to 0.1", for ETA.
- Beat knows intervals that drift and crontabs of whole minutes, so what is due at whole seconds is a schedule class of
  our own, which the documentation provides for; its `BeatLazyFunc` tells the run its due time.
"""

import json
import math
import os
import time
from datetime import datetime
from pathlib import Path
from typing import Any

from celery import Celery
from celery.beat import BeatLazyFunc
from celery.schedules import crontab, schedstate, schedule

from bench.performing import perform
from bench.work import Kind, Work

app = Celery("bench", broker=os.environ.get("BENCH_REDIS"), backend=os.environ.get("BENCH_REDIS"))
app.conf.update(
    worker_timer_precision=0.1,
    timezone="UTC",
    broker_connection_retry_on_startup=True,
    worker_redirect_stdouts=False,
)


class WholeSeconds(schedule):  # type: ignore[misc]  # Celery has no types
    """Due at every whole second from `since` on, before `until`; epoch seconds."""

    def __init__(self, since: int, until: int, **more: Any) -> None:
        super().__init__(run_every=1, **more)
        self.since, self.until = since, until

    def is_due(self, last_run_at: datetime) -> Any:
        now = time.time()
        due = max(self.since, math.floor(last_run_at.timestamp()) + 1)
        if due >= self.until:
            return schedstate(False, 60.0)
        return schedstate(True, 1.0 - now % 1.0) if now >= due else schedstate(False, due - now)

    def __reduce__(self) -> Any:
        return self.__class__, (self.since, self.until)


def this_second() -> str:
    """When beat sends it: the due time, unless beat is a whole second late, which then is a lost run."""
    return str(math.floor(time.time()))


def perform_work(work: dict[str, str], due: str) -> None:
    perform(Work(work["task"], Kind(work["kind"]), work["pipe"], work["url"]), due)


run = app.task(name="bench.run")(perform_work)


def beat_schedule(plan: dict[str, Any]) -> dict[str, Any]:
    due = WholeSeconds(plan["since"], plan["until"])
    entries = {
        work["task"]: {"task": "bench.run", "schedule": due, "args": (work, BeatLazyFunc(this_second))}
        for work in plan["works"]
    }
    never = crontab(minute=0, hour=0, day_of_month=1, month_of_year=1)
    idle = {f"idle-{n}": {"task": "bench.run", "schedule": never, "args": ()} for n in range(plan["idle"])}
    return entries | idle


if os.environ.get("BENCH_PLAN"):
    app.conf.beat_schedule = beat_schedule(json.loads(Path(os.environ["BENCH_PLAN"]).read_text()))
