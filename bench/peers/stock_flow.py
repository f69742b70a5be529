"""The flow of Prefect's own worker: it does the same work."""

from prefect import flow
from prefect.runtime import flow_run

from bench.performing import perform
from bench.work import Kind, Work


@flow
def work(task: str, kind: str, pipe: str, url: str) -> None:
    due = flow_run.get_scheduled_start_time()
    perform(Work(task, Kind(kind), pipe, url), f"{due.timestamp():.3f}")
