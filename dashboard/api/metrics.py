"""Figures for Prometheus: how the ledger is, who is there, what was due, read from the catalogue at every scrape.

The gate asks who it is here as it does for the API: unlike /healthz, which load balancers ask and which says nothing,
this tells what is going on, and costs the catalogue some queries. Prometheus sends a viewer's key by `authorization`.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from fastapi import APIRouter
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeHistogramMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.orm import Session
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from dashboard import ledger_audit
from dashboard.api.access import GuardedRoute, takes
from dashboard.context import now
from dashboard.ledger_audit import Audit
from db import figures, heartbeats, ledger, loop_failures, loop_lag, loops, notification_queue, task_views, workers
from db.access import Role
from db.engine import Catalogue
from db.errors import CatalogueUnavailable
from db.figures import Spread
from db.states import Outcome
from db.task_views import TaskFilter

WINDOW = timedelta(hours=1)
FRESH = timedelta(seconds=15)
RETRY_AFTER_SECONDS = 5
OWN_PART = "dashboard"
QUEUE = "How much of PostgreSQL's queue of notifications is taken, from 0 to 1; when it is full, nobody can write."
NO_STORE = {"Cache-Control": "no-store"}


def metrics_route(catalogue: Catalogue) -> Route:
    """`/metrics` for the root, where Prometheus looks."""
    registry = _registry(catalogue)

    def metrics(_request: Request) -> Response:
        return _exposed(registry)

    return Route("/metrics", metrics)


def metrics_router(catalogue: Catalogue) -> APIRouter:
    """The same as a part of the API."""
    router = APIRouter(tags=["health"], route_class=GuardedRoute)
    registry = _registry(catalogue)
    text = {"content": {"text/plain": {"schema": {"type": "string"}}}}
    described: dict[int | str, dict[str, Any]] = {
        200: {**text, "description": "In Prometheus's text format."},
        503: {**text, "description": "PostgreSQL is away; try again after `Retry-After`."},
    }

    @router.get(
        "/metrics",
        openapi_extra=takes(Role.VIEWER),
        response_class=PlainTextResponse,
        responses=described,
        summary="Figures for Prometheus",
    )
    def metrics() -> Response:
        return _exposed(registry)

    return router


def _registry(catalogue: Catalogue) -> CollectorRegistry:
    """One of its own: the global one has what the libraries of this process tell of themselves."""
    registry = CollectorRegistry()
    registry.register(CatalogueCollector(catalogue))
    registry.register(LoopCollector())
    return registry


def _exposed(registry: CollectorRegistry) -> Response:
    try:
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST, headers=NO_STORE)
    except CatalogueUnavailable as error:
        return _away(str(error))
    except ProgrammingError:
        return _away("Tables are missing. Apply the migrations: duetime migrate")


def _away(why: str) -> Response:
    return PlainTextResponse(f"{why}\n", 503, headers={**NO_STORE, "Retry-After": str(RETRY_AFTER_SECONDS)})


@dataclass(frozen=True, slots=True)
class Figures:
    """What is told."""

    audit: Audit | None
    audit_age: timedelta
    heartbeat_ages: Mapping[str, timedelta]
    workers: int
    outcomes: Mapping[Outcome, int]
    tasks: Mapping[str, int]
    lateness: Spread
    duration: Spread
    ahead: int
    running: Mapping[str, int]
    """By worker."""
    slots: Mapping[str, int]
    loop_lags: Mapping[str, float]
    loop_failures: Mapping[tuple[str, str], int]
    """By part of the system and loop."""
    pass_ages: Mapping[str, timedelta]
    notification_queue: float
    """How much of PostgreSQL's is taken, from 0 to 1."""

    @property
    def prefect_answers(self) -> bool:
        age = self.heartbeat_ages.get(heartbeats.PREFECT)
        return age is not None and age <= FRESH


class CatalogueCollector(Collector):
    """Reads the figures when they are asked for."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue

    def collect(self) -> Iterable[Metric]:
        """All of them, or nothing.

        Raises:
            CatalogueUnavailable: PostgreSQL does not answer.
        """
        with self._catalogue.transaction() as session:
            return list(families(read(session, now=now())))


class LoopCollector(Collector):
    """Tells of this process."""

    def collect(self) -> Iterable[Metric]:
        what = "How late an event loop was at most within a minute, by process."
        yield _labelled("event_loop_lag_seconds", what, "process", {"dashboard": loop_lag.worst_seconds()})


def read(session: Session, *, now: datetime) -> Figures:
    """The figures of this moment."""
    audit, present = ledger_audit.last_audit(session), workers.present(session, now=now)
    running = workers.running(session, [worker.id for worker in present])
    beats = {part: heartbeats.last(session, part) for part in (heartbeats.PREFECT, heartbeats.RECONCILER)}
    return Figures(
        audit=audit,
        audit_age=audit.age(now=now) if audit else timedelta(0),
        heartbeat_ages={part: max(timedelta(0), now - beat.at) for part, beat in beats.items() if beat is not None},
        workers=len(present),
        outcomes=ledger.count_all_outcomes(session, since=now - WINDOW, until=now),
        tasks={
            state.value: task_views.count_tasks(session, state=state)
            for state in (TaskFilter.ACTIVE, TaskFilter.PAUSED)
        },
        lateness=figures.lateness(session, since=now - WINDOW, until=now),
        duration=figures.duration(session, since=now - WINDOW, until=now),
        ahead=figures.due_between(session, since=now, until=now + WINDOW),
        running={worker.name: running.get(worker.id, 0) for worker in present},
        slots={worker.name: worker.slots or 0 for worker in present},
        loop_lags={one.name: one.loop_lag_seconds for one in present if one.loop_lag_seconds is not None},
        loop_failures=_loop_failures(session),
        notification_queue=notification_queue.usage(session),
        pass_ages={name: now - at for name, at in heartbeats.passes_made(session).items()},
    )


def _loop_failures(session: Session) -> dict[tuple[str, str], int]:
    """Of all processes, as they noted it; of this one as it is."""
    noted = {(row.part, row.loop): row.failures for row in loop_failures.all_of(session)}
    own = {(OWN_PART, loop): failures for loop, failures in loops.failures().items()}
    return {key: failures for key, failures in noted.items() if key[0] != OWN_PART} | own


def families(found: Figures) -> Iterator[Metric]:
    """The figures as Prometheus knows them. What is not known is left out, so that `absent()` tells of it. Pure."""
    audit = found.audit
    if audit is not None:
        yield _gauge("audit_due_times", "Due times that the last audit of the ledger looked at.", audit.due_times)
        yield _gauge("audit_accounted", "Due times of them about which everything agrees.", audit.accounted)
        yield _gauge("audit_discrepancies", "What does not agree.", audit.discrepancy_count)
        yield _gauge("audit_age_seconds", "How long ago that was.", found.audit_age.total_seconds())
    yield _gauge("workers", "Workers that were heard of lately.", found.workers)
    ages = {part: age.total_seconds() for part, age in found.heartbeat_ages.items()}
    yield _labelled("part_heartbeat_age_seconds", "How long ago a part was heard of.", "part", ages)
    counts = {outcome.value: found.outcomes.get(outcome, 0) for outcome in Outcome}
    yield _labelled("due_times", "Due times of the last hour, by what became of them.", "outcome", counts)
    yield _labelled("tasks", "Tasks that are not deleted.", "state", found.tasks)
    yield _spread("lateness_seconds", "How late the runs of the last hour started.", found.lateness)
    yield _spread("duration_seconds", "How long the runs that were due in the last hour took.", found.duration)
    yield _gauge("due_times_ahead", "Due times of the next hour.", found.ahead)
    yield _labelled("runs_running", "Runs that go on, by worker.", "worker", found.running)
    yield _labelled("slots", "How many runs a worker takes at once.", "worker", found.slots)
    lag = "How late the event loop of a worker was at most within a minute."
    yield _labelled("worker_event_loop_lag_seconds", lag, "worker", found.loop_lags)
    yield _failures(found.loop_failures)
    made = {name: age.total_seconds() for name, age in found.pass_ages.items()}
    yield _labelled("pass_age_seconds", "How long ago a pass of the reconciler was last made to its end.", "pass", made)
    yield _gauge("notification_queue_ratio", QUEUE, found.notification_queue)
    yield _labelled("up", "Whether a part answers.", "part", {"postgresql": 1, "prefect": int(found.prefect_answers)})


def _spread(name: str, what: str, spread: Spread) -> GaugeHistogramMetricFamily:
    """As gauges: they are of the last hour, and go up and down."""
    buckets = [(str(bound), float(count)) for bound, count in spread.up_to]
    return GaugeHistogramMetricFamily(
        f"duetime_{name}", what, buckets=[*buckets, ("+Inf", float(spread.count))], gsum_value=spread.total
    )


def _failures(failures: Mapping[tuple[str, str], int]) -> CounterMetricFamily:
    family = CounterMetricFamily(
        "duetime_loop_failures", "Steps of loops that failed and were made again.", labels=["part", "loop"]
    )
    for key, count in sorted(failures.items()):
        family.add_metric(key, count)
    return family


def _gauge(name: str, what: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"duetime_{name}", what, value=value)


def _labelled(name: str, what: str, label: str, values: Mapping[str, int] | Mapping[str, float]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(f"duetime_{name}", what, labels=[label])
    for key, value in values.items():
        family.add_metric([key], value)
    return family
