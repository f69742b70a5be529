"""APScheduler's scheduler, which lives in the process that adds its jobs.

    python -m bench.peers.apscheduler_program URL

- Jobs are coroutines, so they run in the loop of AsyncIOScheduler, as its user guide says for asyncio programs.
- `misfire_grace_time=None`: what is late runs all the same; by default it is dropped when it is a second late.
- `coalesce=False`, `max_instances=1000`: each due time is a run, whatever still runs.
"""

import asyncio
import sys
from collections import defaultdict, deque
from datetime import UTC, datetime
from typing import Any

from apscheduler.executors.asyncio import AsyncIOExecutor
from apscheduler.jobstores.sqlalchemy import SQLAlchemyJobStore
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.cron import CronTrigger
from apscheduler.triggers.date import DateTrigger

from bench.peers.requests import Request, requests
from bench.performing import perform_in_loop
from bench.work import Work

DEFAULTS = {"misfire_grace_time": None, "coalesce": False, "max_instances": 1000}
DUE: defaultdict[str, deque[datetime]] = defaultdict(deque)
"""The due times of what was submitted and has not begun, for each job: a job is not told its due time."""


class TellingExecutor(AsyncIOExecutor):  # type: ignore[misc]  # it has no types
    """Notes which due times it was given."""

    def _do_submit_job(self, job: Any, run_times: list[datetime]) -> None:
        DUE[job.id].extend(run_times)
        super()._do_submit_job(job, run_times)


async def perform(job_id: str, work: Work) -> None:
    await perform_in_loop(work, f"{DUE[job_id].popleft().timestamp():.3f}")


def add(scheduler: Any, work: Work, trigger: Any) -> None:
    scheduler.add_job(perform, trigger, [work.task, work], id=work.task, replace_existing=True)


async def nothing() -> None:
    """What an idle job does."""


def at(epoch_seconds: float) -> datetime:
    return datetime.fromtimestamp(epoch_seconds, UTC)


def every_second(scheduler: Any, request: Request) -> None:
    since, until = at(request.document["since"]), at(request.document["until"] - 0.5)
    for work in request.works:
        add(scheduler, work, CronTrigger(second="*", start_date=since, end_date=until, timezone="UTC"))


def together(scheduler: Any, request: Request) -> None:
    for work in request.works:
        add(scheduler, work, DateTrigger(at(request.document["due"]), timezone="UTC"))


def run_now(scheduler: Any, request: Request) -> None:
    for work in request.works:
        add(scheduler, work, None)


def idle(scheduler: Any, request: Request) -> None:
    for number in range(request.document["count"]):
        scheduler.add_job(nothing, CronTrigger(month=1, day=1, timezone="UTC"), id=f"idle-{number}")


def clear(scheduler: Any, _: Request) -> None:
    for job in scheduler.get_jobs():
        if not job.id.startswith("idle-"):
            job.remove()


VERBS = {"every_second": every_second, "together": together, "run_now": run_now, "idle": idle, "clear": clear}


async def main(url: str) -> None:
    scheduler = AsyncIOScheduler(
        jobstores={"default": SQLAlchemyJobStore(url.replace("postgresql://", "postgresql+psycopg://"))},
        executors={"default": TellingExecutor()},
        job_defaults=DEFAULTS,
        timezone="UTC",
    )
    scheduler.start()
    async for request in requests():
        VERBS[request.verb](scheduler, request)
    scheduler.shutdown(wait=False)


if __name__ == "__main__":
    # Jobs are kept by the name of their function's module, which must not be __main__.
    from bench.peers import apscheduler_program

    if sys.version_info < (3, 12):
        asyncio.set_child_watcher(asyncio.PidfdChildWatcher())
    asyncio.run(apscheduler_program.main(sys.argv[1]))
