"""Whatever people, workers, the reconciler and the clock do, in whatever order: the ledger stays true.

Hypothesis plays all the parts on a real catalogue, with a clock of its own. Beside it runs a model that knows nothing
but the revisions that were made, and from them, when each task was due.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import takewhile
from typing import Any, NamedTuple
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import select
from sqlalchemy.orm import Session

from db import claims, runs, schedules, sync, tasks, workers
from db.claims import Claimant, Claimed, NotYet, Offer, StandDown, trigger_of
from db.engine import Catalogue
from db.partitions import first_of_month
from db.runs import Ending, RunKey
from db.specs import AnyTask, parse_task
from db.states import (
    LEDGER_TRIGGERS,
    OPEN_OUTCOMES,
    Misfire,
    Missed,
    OnCrash,
    Outcome,
    Overlap,
    Reason,
    RunState,
    Trigger,
)
from db.tables import DueTime, Run
from db.witness import audit
from reconciler import due_times
from reconciler import runs as reconciler_runs
from reconciler.prefect import GOING_ON, FlowRun, Prefect, PrefectRefused, PrefectUnavailable
from reconciler.workers import declare_lost

START = first_of_month(datetime.now(UTC)) + timedelta(days=14, hours=12)
SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)
SKEW = SECOND
"""A worker's clock may be so much ahead."""
ENDED = ("COMPLETED", "FAILED", "CANCELLED", "CRASHED")


class RolledBackCatalogue(Catalogue):
    """A catalogue in one transaction, of which its own transactions are savepoints; nothing is left of it."""

    def __init__(self, catalogue: Catalogue) -> None:
        self.url, self.engine = catalogue.url, catalogue.engine
        self._connection = self.engine.connect()
        self._all = self._connection.begin()

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        options = {"join_transaction_mode": "create_savepoint", "expire_on_commit": False}
        with Session(self._connection, **options) as session, session.begin():  # type: ignore[arg-type]
            yield session

    def close(self) -> None:
        self._all.rollback()
        self._connection.close()


class FakePrefect(Prefect):
    """A world in which Prefect holds deployments and flow runs, as far as the reconciler asks for them."""

    def __init__(self) -> None:
        self.known: dict[UUID, tuple[AnyTask, str]] = {}
        self.held: dict[UUID, FlowRun] = {}
        self.answers = True

    def _ask(self) -> None:
        if not self.answers:
            raise PrefectUnavailable("It is away.")

    def deploy(self, deployment_id: UUID | None, task: AnyTask) -> tuple[UUID, str]:
        """The deployment as the task wants it, without the runs that were made of it before."""
        self._ask()
        deployment_id = deployment_id or uuid4()
        schedule_id = self.known[deployment_id][1] if deployment_id in self.known else str(uuid4())
        self.known[deployment_id] = task, schedule_id
        self._forget(run for run in self.waiting() if run.deployment_id == deployment_id and run.auto_scheduled)
        return deployment_id, schedule_id

    def delete_deployment(self, deployment_id: UUID) -> None:
        self._ask()
        self.known.pop(deployment_id, None)
        self._forget(run for run in self.waiting() if run.deployment_id == deployment_id)

    def create_flow_run(
        self,
        deployment_id: UUID,
        *,
        at: datetime,
        key: str,
        parameters: dict[str, Any] | None = None,
        auto_scheduled: bool = False,
    ) -> FlowRun:
        assert parameters is None, "nobody here asks for a test"
        self._ask()
        if deployment_id not in self.known:
            raise PrefectRefused("There is no such deployment.", status=404)
        for run in self.held.values():
            if run.idempotency_key == key:
                return run
        run = FlowRun(uuid4(), deployment_id, at, "SCHEDULED", "Scheduled", "", key, auto_scheduled, None, None)
        self.held[run.id] = run
        return run

    def schedule_runs(self, deployment_id: UUID, *, first: datetime, last: datetime, at_most: int) -> None:
        self._ask()
        assert last - first < timedelta(seconds=at_most)
        if deployment_id in self.known:
            self.schedule(deployment_id, now=first - timedelta(seconds=1), until=last)

    def count_flow_runs(self, filters: dict[str, Any]) -> int:
        self._ask()
        keys = filters["idempotency_key"]["any_"]
        return sum(run.idempotency_key in keys for run in self.held.values())

    def delete_waiting_runs(self, run_ids: Sequence[UUID]) -> None:
        self._ask()
        self._forget(run for run in self.waiting() if run.id in run_ids)

    def set_state(self, run_id: UUID, *, kind: str, name: str, message: str) -> None:
        self._ask()
        if run_id in self.held:
            self.held[run_id] = replace(self.held[run_id], state_type=kind, state_name=name, message=message)

    def ask_to_cancel(self, run_id: UUID) -> None:
        self._ask()
        if run_id in self.held and self.held[run_id].state_type in GOING_ON:
            self.held[run_id] = replace(self.held[run_id], state_type="CANCELLING", state_name="Cancelling")

    def told(self, run_id: UUID, state: str, **more: Any) -> None:
        """A worker says what became of a run; Prefect believes it."""
        if run := self.held.get(run_id):
            self.held[run_id] = replace(run, state_type=state, state_name=state.title(), **more)

    def waiting(self) -> list[FlowRun]:
        return [run for run in self.held.values() if run.state_type == "SCHEDULED"]

    def upcoming(self, *, until: datetime) -> list[FlowRun]:
        self._ask()
        return [run for run in self.waiting() if run.expected_start_time <= until]

    def recent(self, *, since: datetime) -> list[FlowRun]:
        """Those that go on, and those that ended since an instant."""
        self._ask()
        others = [run for run in self.held.values() if run.state_type != "SCHEDULED"]
        return [run for run in others if run.state_type not in ENDED or (run.end_time and run.end_time > since)]

    def schedule(self, deployment_id: UUID, *, now: datetime, until: datetime) -> None:
        """Its own scheduler makes the runs of a deployment ahead."""
        task, schedule_id = self.known[deployment_id]
        schedule = task.schedule.value()
        if task.paused or not isinstance(schedule, schedules.Cron):
            return
        for at in schedules.due_times(
            schedule, after=now, starts_at=task.starts_at, ends_at=min(until, task.ends_at or until)
        ):
            local = at.astimezone(ZoneInfo(schedule.timezone))
            self.create_flow_run(
                deployment_id, at=at, key=f"scheduled {deployment_id} {schedule_id} {local}", auto_scheduled=True
            )

    def _forget(self, some: Iterator[FlowRun]) -> None:
        for run in list(some):
            del self.held[run.id]


class Row(NamedTuple):
    """What the ledger says of a due time."""

    outcome: str
    reason: str | None
    run_id: UUID | None
    decided_at: datetime | None

    @property
    def is_final(self) -> bool:
        return self.outcome not in OPEN_OUTCOMES

    @property
    def is_resumed(self) -> bool:
        return self[:2] == (Outcome.PENDING, Reason.RESUMED)


PAUSED = (Outcome.SKIPPED, Reason.PAUSED)
NEW = Row(Outcome.PENDING, None, None, None)


Key = tuple[UUID, datetime]


@dataclass
class Model:
    """A task, as its revisions alone tell."""

    id: UUID
    spec: AnyTask
    changed_at: datetime
    version: int = 1
    deleted: bool = False
    paused_until: datetime | None = None
    pause_began_at: datetime | None = None
    force: list[tuple[datetime, AnyTask | None]] = field(default_factory=list)
    """From which instant on which schedule was in force; None in the trash."""
    caught: set[datetime] = field(default_factory=set)
    """One-shots that were asked for when they had passed."""

    def in_force(self, spec: AnyTask | None, *, after: datetime, catch_past: bool = False) -> None:
        self.force.append((after, spec))
        if (
            spec is not None
            and catch_past
            and isinstance(once := spec.schedule.value(), schedules.Once)
            and once.at <= after
        ):
            self.caught.add(once.at)

    def due_until(self, end: datetime) -> set[datetime]:
        """Every instant at which the task was due."""
        found = {at for at in self.caught if at <= end}
        for (after, spec), until in zip(self.force, [*(after for after, _ in self.force[1:]), end], strict=True):
            found |= _due(spec, after=after, until=min(until, end))
        return found

    def is_paused_at(self, instant: datetime) -> bool:
        return self.spec.paused and (self.paused_until is None or self.paused_until > instant)

    def may_wait(self, due_at: datetime, row: Row, *, now: datetime, newest: datetime) -> bool:
        """Whether a due time that has passed may be pending still."""
        late = now - due_at
        if self.deleted or self.is_paused_at(due_at):
            return False
        if row.reason == Reason.RESUMED:
            return True
        if self.spec.max_lateness_seconds is not None and late > timedelta(seconds=self.spec.max_lateness_seconds):
            return False
        if late <= MINUTE or row.reason == Reason.QUEUED:
            return True
        # A once that was moved into the past is asked for all the same.
        once = self.spec.schedule.value()
        latest = due_at == newest or (isinstance(once, schedules.Once) and once.at == due_at)
        return self.spec.misfire is Misfire.ALL or (self.spec.misfire is Misfire.LATEST and latest)


def _due(spec: AnyTask | None, *, after: datetime, until: datetime) -> set[datetime]:
    if spec is None:
        return set()
    upcoming = schedules.due_times(spec.schedule.value(), after=after, starts_at=spec.starts_at, ends_at=spec.ends_at)
    return set(takewhile(lambda at: at <= until, upcoming))


@dataclass
class Held:
    """A run in a worker's hands."""

    key: RunKey
    task: Model
    attempt: int
    started_at: datetime
    retrying: bool = False


@dataclass
class Worker:
    """A worker; one that is silent cannot be heard, but may go on."""

    id: UUID
    name: str
    silent: bool = False
    hands: list[Held] = field(default_factory=list)

    @property
    def claimant(self) -> Claimant:
        return Claimant(self.id, self.name)


SCHEDULES = st.sampled_from(
    [
        *[{"kind": "cron", "cron": "* * * * *"}] * 5,
        *[{"kind": "cron", "cron": "* * * * * 5,35"}] * 2,
        {"kind": "cron", "cron": "*/3 * * * *", "timezone": "Asia/Kathmandu"},
        {"kind": "cron", "cron": "*/2 * * * * 20"},
        {"kind": "cron", "cron": "30 * * * *"},
        {"kind": "manual"},
        -90,
        90,
    ]
)
"""As the API takes them; a number is a one-shot in so many seconds."""
POLICIES = st.fixed_dictionaries(
    {},
    optional={
        "overlap": st.sampled_from(Overlap),
        "misfire": st.sampled_from(Misfire),
        "max_lateness_seconds": st.sampled_from([None, 30, 150]),
    },
)
MOSTLY = st.sampled_from([True, True, False])
WHICH = st.integers(0, 7)


class Ledger(RuleBasedStateMachine):
    """Everybody who has to do with a catalogue."""

    shared: Catalogue

    def __init__(self) -> None:
        super().__init__()
        self.catalogue, self.prefect = RolledBackCatalogue(self.shared), FakePrefect()
        self.now = START
        self.models: list[Model] = []
        self.workers: list[Worker] = []
        self.reconciler_works = True
        self.complete_at: datetime | None = None
        """When the reconciler last made all its passes, if nothing has been changed since."""
        self.final: dict[Key, Row] = {}
        self.reopened: set[Key] = set()
        self.begun: set[tuple[UUID, datetime, int]] = set()
        """Attempts: of which task, for which due time, the how manieth."""
        self.given_up: set[Key] = set()
        """Due times whose machine died, of tasks that are to be run at most once."""

    # People.

    @initialize(schedule=SCHEDULES, policies=POLICIES, on_crash=st.sampled_from(OnCrash))
    def begin(self, schedule: Any, policies: dict[str, Any], on_crash: OnCrash) -> None:
        self.worker_starts()
        self.create(schedule, policies, on_crash)
        self._passes()

    @precondition(lambda self: len(self.models) < 3)
    @rule(schedule=SCHEDULES, policies=POLICIES, on_crash=st.sampled_from(OnCrash))
    def create(self, schedule: Any, policies: dict[str, Any], on_crash: OnCrash) -> None:
        spec = self._spec(f"task {len(self.models)}", schedule, on_crash=on_crash, retries=1, **policies)
        with self.catalogue.transaction() as session:
            task_id = tasks.create_task(session, spec, actor="Ada", now=self.now)
        model = Model(task_id, spec, self.now)
        model.in_force(spec, after=self.now, catch_past=True)
        self.models.append(model)
        self.complete_at = None

    @rule(which=WHICH, schedule=st.none() | SCHEDULES, policies=POLICIES, rename=st.booleans())
    def edit(self, which: int, schedule: Any, policies: dict[str, Any], rename: bool) -> None:
        model = self._live(which)
        if model is None:
            return
        changed = {**model.spec.model_dump(mode="json", by_alias=True), **policies}
        if rename:
            changed["name"] = f"{changed['name'].removesuffix('!')}{'' if changed['name'].endswith('!') else '!'}"
        if schedule is not None:
            changed["schedule"] = self._schedule(schedule)
        spec = parse_task(changed)
        moment = self._moment(model)
        with self.catalogue.transaction() as session:
            tasks.replace_task(session, model.id, spec, seen_version=model.version, actor="Ben", now=self.now)
        if spec.schedule != model.spec.schedule:
            model.in_force(spec, after=moment, catch_past=True)
        if not spec.paused:
            model.paused_until = model.pause_began_at = None
        self._changed(model, spec, moment)

    @rule(which=WHICH, seconds=st.none() | st.integers(20, 400))
    def pause(self, which: int, seconds: int | None) -> None:
        model = self._live(which)
        if model is None:
            return
        until = None if seconds is None else self.now + timedelta(seconds=seconds)
        moment = self._moment(model)
        with self.catalogue.transaction() as session:
            tasks.pause_task(session, model.id, until=until, actor="Ada", now=self.now)
        model.paused_until, model.pause_began_at = until, model.pause_began_at or moment
        self._changed(model, self._paused(model, True), moment)

    @rule(which=WHICH, missed=st.sampled_from(Missed))
    def resume(self, which: int, missed: Missed) -> None:
        model = self._live(which)
        if model is not None and model.spec.paused:
            self._resume(model, missed)

    @rule(
        which=WHICH,
        seconds=st.none() | st.integers(20, 400),
        half_minutes=st.integers(1, 8),
        missed=st.sampled_from(Missed),
    )
    def a_pause(self, which: int, seconds: int | None, half_minutes: int, missed: Missed) -> None:
        """What a worker has in its hands when it begins comes to be due before the reconciler can do anything."""
        self.pause(which, seconds)
        self._wait(61)
        self._claim_all(self._worker(which))
        self.all_is_well(half_minutes, busy=False)
        self.resume(which, missed)

    def _resume(self, model: Model, missed: Missed) -> None:
        moment, before = self._moment(model), self._rows()
        with self.catalogue.transaction() as session:
            tasks.resume_task(session, model.id, missed=missed, actor="Ada", now=self.now)
        rows = self._rows()
        wanted = {key for key, row in rows.items() if row.is_resumed and not before.get(key, NEW).is_resumed}
        self._check_resumed(model, missed, wanted, rows, moment)
        assert all(task_id == model.id for task_id, _ in wanted)
        assert all(before.get(key, NEW)[:2] in (PAUSED, NEW[:2]) for key in wanted)
        self.reopened |= wanted
        model.paused_until = model.pause_began_at = None
        self._changed(model, self._paused(model, False), moment)

    def _check_resumed(
        self, model: Model, missed: Missed, wanted: set[Key], rows: dict[Key, Row], moment: datetime
    ) -> None:
        """Of what was due in the pause and was not run: nothing, the last or all is to be run now."""
        assert model.pause_began_at is not None
        end = min(moment, model.paused_until or moment)
        passed = {at for at in model.due_until(end) if model.pause_began_at < at < end}
        left = {at for at in passed if rows[model.id, at][:2] == PAUSED}
        if missed is Missed.NONE:
            assert not wanted
        elif missed is Missed.ALL:
            assert not left, f"all that passed were wanted, and these stay skipped: {left}"
        else:
            assert len(wanted) <= 1, f"only the last was wanted: {wanted}"
            assert not left or any(at > max(left) for _, at in wanted), f"the last was wanted: {wanted}, not {left}"

    @rule(which=WHICH)
    def delete(self, which: int) -> None:
        model = self._live(which)
        if model is None:
            return
        moment = self._moment(model)
        with self.catalogue.transaction() as session:
            tasks.delete_task(session, model.id, actor="Ada", now=self.now)
        model.in_force(None, after=moment)
        model.deleted = True
        self._changed(model, model.spec, moment)

    @rule(which=WHICH)
    def restore(self, which: int) -> None:
        model = self.models[which % len(self.models)]
        if not model.deleted:
            return
        moment = self._moment(model)
        with self.catalogue.transaction() as session:
            tasks.restore_task(session, model.id, actor="Ada", now=self.now)
        model.in_force(model.spec, after=moment)
        model.deleted = False
        self._changed(model, model.spec, moment)

    # Time, Prefect and the reconciler.

    @rule(seconds=st.sampled_from([1, 7, 25, 61, 150]))
    def time_passes(self, seconds: int) -> None:
        self._wait(seconds)
        if self.reconciler_works:
            self._passes()

    @rule(half_minutes=st.integers(1, 8), busy=st.booleans())
    def all_is_well(self, half_minutes: int, busy: bool) -> None:
        """Everybody who is there does their part, and runs are short, or take half a minute."""
        if all(worker.silent for worker in self.workers):
            self.worker_starts()
        for _ in range(half_minutes):
            if not busy:
                self._end_all()
            self.time_passes(30)
            if busy:
                self._end_all()
            self._claim_all(self._worker(0))

    def _end_all(self) -> None:
        for worker in self.workers:
            for held in [] if worker.silent else list(worker.hands):
                self._end(worker, held, RunState.COMPLETED)

    @rule(minutes=st.sampled_from([3, 12, 40]))
    def nobody_does_anything(self, minutes: int) -> None:
        """The whole system stands still, and comes back."""
        self._wait(60 * minutes)

    def _wait(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)
        self._everybody_beats()

    @rule(works=MOSTLY)
    def reconciler_stops_or_starts(self, works: bool) -> None:
        self.reconciler_works = works
        if works:
            self._passes()

    @rule(answers=MOSTLY)
    def prefect_goes_or_comes(self, answers: bool) -> None:
        self.prefect.answers = answers

    @rule(which=WHICH, strange=st.none() | st.integers(1, 59))
    def prefect_schedules(self, which: int, strange: int | None) -> None:
        """Prefect's own scheduler, which may also find an instant due that is not."""
        deployments = sorted(self.prefect.known)
        if not self.prefect.answers or not deployments:
            return
        one = deployments[which % len(deployments)]
        self.prefect.schedule(one, now=self.now, until=self.now + 3 * MINUTE)
        if strange is not None:
            at = self.now + timedelta(seconds=strange)
            self.prefect.create_flow_run(one, at=at, key=f"scheduled {one} odd {at}", auto_scheduled=True)

    def _passes(self) -> None:
        """Every pass of the reconciler, once, in its order; without Prefect, those that do without it."""
        self._resume_tasks()
        due_times.write_ahead(self.catalogue, now=self.now)
        self._note_who_died()
        declare_lost(self.catalogue, now=self.now)
        try:
            self._deploy()
            reconciler_runs.make_requested(self.catalogue, self.prefect, now=self.now)
            reconciler_runs.Cancellations().tell(self.catalogue, self.prefect, now=self.now)
            scheduled = self.prefect.upcoming(until=self.now + due_times.LOOK_AHEAD + 5 * SECOND)
            due_times.serve(self.catalogue, self.prefect, scheduled, now=self.now)
            due_times.clear(self.catalogue, self.prefect, scheduled, now=self.now)
            recent = self.prefect.recent(since=self.now - timedelta(seconds=90))
            reconciler_runs.observe(self.catalogue, [*scheduled, *recent], now=self.now)
        except PrefectUnavailable:
            self.complete_at = None
        else:
            self.complete_at = self.now

    def _resume_tasks(self) -> None:
        with self.catalogue.transaction() as session:
            over = set(tasks.due_to_resume(session, now=self.now))
        mine = {
            m.id for m in self.models if not m.deleted and m.paused_until is not None and m.paused_until <= self.now
        }
        assert over == mine
        for model in self.models:
            if model.id in over:
                self._resume(model, Missed.NONE)

    def _note_who_died(self) -> None:
        with self.catalogue.transaction() as session:
            lost = {worker.id for worker in workers.silent(session, now=self.now)}
        for worker in self.workers:
            for held in worker.hands if worker.id in lost else []:
                if held.task.spec.on_crash is OnCrash.FAIL and not held.retrying:
                    self.given_up.add((held.task.id, held.key.due_at))

    def _deploy(self) -> None:
        with self.catalogue.transaction() as session:
            behind = sync.unsynced(session)
        for desired in behind:
            applied = None
            deployment_id = desired.deployment_id
            if desired.deleted and deployment_id is not None:
                self.prefect.delete_deployment(deployment_id)
                deployment_id = None
            elif not desired.deleted:
                deployment_id, schedule_id = self.prefect.deploy(deployment_id, desired.task)
                applied = {"schedule_id": schedule_id}
            with self.catalogue.transaction() as session:
                sync.record_synced(
                    session, desired.task_id, version=desired.version, deployment_id=deployment_id, applied=applied
                )

    # Workers.

    @precondition(lambda self: sum(not worker.silent for worker in self.workers) < 3)
    @rule()
    def worker_starts(self) -> None:
        worker = Worker(uuid4(), f"worker {len(self.workers)}")
        with self.catalogue.transaction() as session:
            workers.register(
                session, worker_id=worker.id, name=worker.name, work_pool="default", host="here", pid=1, now=self.now
            )
        self.workers.append(worker)

    @precondition(lambda self: sum(not worker.silent for worker in self.workers) > 1)
    @rule(which=WHICH)
    def worker_falls_silent(self, which: int) -> None:
        """It died, or only its network did."""
        self._worker(which).silent = True

    @precondition(lambda self: any(worker.hands for worker in self.workers))
    @rule(which=WHICH)
    def worker_dies_with_a_run(self, which: int) -> None:
        """Or it seems so: the reconciler, if it works, finds out half a minute later; then the worker asks for more."""
        worker, _ = self._in_hands(which)[0]
        worker.silent = True
        self.time_passes(31)
        self._claim_all(worker)

    @rule(which=WHICH, offer=st.integers(0, 20), twice=st.booleans(), other=WHICH)
    def worker_claims_one(self, which: int, offer: int, twice: bool, other: int) -> None:
        offered = self._offered()
        if not offered:
            return
        run = offered[offer % len(offered)]
        self._claim(self._worker(which), run)
        if twice:
            self._claim(self._worker(other), run)

    @rule(which=WHICH)
    def worker_claims_all(self, which: int) -> None:
        self._claim_all(self._worker(which))

    @rule(which=WHICH, state=st.sampled_from([RunState.COMPLETED, RunState.FAILED, RunState.TIMED_OUT]))
    def worker_finishes(self, which: int, state: RunState) -> None:
        for worker, held in self._in_hands(which):
            self._end(worker, held, state)

    @rule(which=WHICH)
    def worker_retries(self, which: int) -> None:
        """An attempt failed, and the next one waits; or the next one begins."""
        for worker, held in self._in_hands(which):
            state = RunState.RUNNING if held.retrying else RunState.RETRYING
            attempt = held.attempt + (not held.retrying)
            mine = self._is_mine(worker, held)
            with self.catalogue.transaction() as session:
                at = self.now + 10 * SECOND if state is RunState.RETRYING else None
                noted = runs.next_attempt(session, held.key, worker_id=worker.id, state=state, attempt=attempt, at=at)
            assert noted == mine
            if not noted:
                worker.hands.remove(held)
                continue
            held.retrying, held.attempt = state is RunState.RETRYING, attempt
            if not held.retrying:
                self._note_begun(held)

    def _worker(self, which: int) -> Worker:
        """Mostly one that lives."""
        living = [worker for worker in self.workers if not worker.silent]
        some = living if living and which < 6 else self.workers
        return some[which % len(some)]

    def _claim_all(self, worker: Worker) -> int:
        return sum([self._claim(worker, run) for run in self._offered()])

    def _everybody_beats(self) -> None:
        with self.catalogue.transaction() as session:
            for worker in self.workers:
                if not worker.silent:
                    workers.beat(session, worker.id, now=self.now)

    def _offered(self) -> list[FlowRun]:
        """What Prefect has for the workers, oldest first; a worker's clock may be a little ahead."""
        due = [run for run in self.prefect.waiting() if run.expected_start_time <= self.now + SKEW]
        return sorted(due, key=lambda run: (run.expected_start_time, run.id))

    def _claim(self, worker: Worker, run: FlowRun) -> bool:
        assert run.deployment_id is not None
        trigger = trigger_of(run.idempotency_key, auto_scheduled=run.auto_scheduled)
        offer = Offer(run.id, run.deployment_id, run.expected_start_time, trigger)
        claimed_at = max(self.now, run.expected_start_time)
        with self.catalogue.transaction() as session:
            gone = workers.is_gone(session, worker.id)
            answer = claims.claim(session, offer, worker.claimant, now=claimed_at)
        assert not gone or answer == NotYet(), "it was declared lost"
        if isinstance(answer, StandDown) and self.prefect.answers:
            if trigger in LEDGER_TRIGGERS and answer.reason is not Reason.CANCELLED:
                self.prefect.delete_waiting_runs([run.id])
            else:
                self.prefect.told(run.id, "CANCELLED", message=answer.message, end_time=self.now)
        if not isinstance(answer, Claimed):
            return False
        model = next(model for model in self.models if model.id == answer.task_id)
        assert (answer.version, answer.task) == (model.version, model.spec), "the claim reads the task as it is now"
        assert not model.deleted
        if any(held.key.id == run.id for held in worker.hands):
            return False  # the same worker asked again for what it has
        self._check_claim(model, run, trigger, claimed_at)
        held = Held(answer.key, model, answer.attempt, claimed_at)
        worker.hands.append(held)
        self._note_begun(held)
        self.prefect.told(run.id, "RUNNING", start_time=claimed_at)
        return True

    def _check_claim(self, model: Model, run: FlowRun, trigger: Trigger, claimed_at: datetime) -> None:
        due_at = run.expected_start_time
        assert due_at in model.due_until(claimed_at), f"{due_at} is not due"
        assert (model.id, due_at) not in self.given_up, "it was to be run at most once"
        others = [h for w in self.workers for h in w.hands if h.task is model and self._is_mine(w, h)]
        if model.spec.overlap in (Overlap.SKIP, Overlap.QUEUE):
            assert not others, f"it overlaps with {others}"
        if trigger is not Trigger.RERUN:
            assert not model.is_paused_at(due_at)

    def _note_begun(self, held: Held) -> None:
        attempt = (held.task.id, held.key.due_at, held.attempt)
        assert attempt not in self.begun, "this attempt was begun before"
        self.begun.add(attempt)

    def _in_hands(self, which: int) -> list[tuple[Worker, Held]]:
        everything = [(worker, held) for worker in self.workers for held in worker.hands]
        return [everything[which % len(everything)]] if everything else []

    def _is_mine(self, worker: Worker, held: Held) -> bool:
        with self.catalogue.transaction() as session:
            run = runs.get_run(session, held.key.id)
            return run.worker_id == worker.id and run.ended_at is None

    def _end(self, worker: Worker, held: Held, state: RunState) -> None:
        mine = self._is_mine(worker, held)
        with self.catalogue.transaction() as session:
            ended = runs.finish(session, held.key, Ending(state, self.now), worker_id=worker.id)
        assert ended == mine, "a run that was taken from its worker is not its to end"
        worker.hands.remove(held)
        if ended:
            self.prefect.told(held.key.id, "COMPLETED" if state is RunState.COMPLETED else "FAILED", end_time=self.now)

    # What holds at every moment.

    @invariant()
    def the_ledger_is_true(self) -> None:
        rows = self._rows()
        for model in self.models:
            due = model.due_until(self.now + SKEW)
            mine = {at: row for (task_id, at), row in rows.items() if task_id == model.id}
            self._check_rows(model, mine, due)
            if self.complete_at == self.now:
                self._check_complete(model, mine, {at for at in due if at <= self.now})
        self._check_final(rows)
        self._check_runs(rows)

    def _check_rows(self, model: Model, rows: dict[datetime, Row], due: set[datetime]) -> None:
        for at, row in rows.items():
            assert row.reason != Reason.CANCELLED, f"nobody cancelled {at}: {row}"
            if at <= self.now or (row.outcome != Outcome.PENDING and at <= self.now + SKEW):
                assert at in due, f"{at} was not due: {row}"
            else:
                assert row.outcome == Outcome.PENDING, f"{at} is still to come: {row}"
                assert not model.deleted, f"{at} will not be due: its task is deleted"
                after, spec = model.force[-1]
                assert at in _due(spec, after=after, until=at), f"{at} will not be due"

    def _check_complete(self, model: Model, rows: dict[datetime, Row], due: set[datetime]) -> None:
        missing = due - set(rows)
        assert not missing, f"no row for {sorted(missing)} of {model.spec.name}"
        passed = {at: row for at, row in rows.items() if at <= self.now}
        for at, row in passed.items():
            if row.outcome == Outcome.PENDING:
                assert model.may_wait(at, row, now=self.now, newest=max(passed)), f"{at} is to be decided: {row}"

    def _check_final(self, rows: dict[Key, Row]) -> None:
        for key, before in self.final.items():
            assert key in rows, f"{key} has vanished: {before}"
            assert rows[key] == before or key in self.reopened, f"{key} was {before}, is {rows[key]}"
        self.final = {key: row for key, row in rows.items() if row.is_final}
        self.reopened.clear()

    def _check_runs(self, rows: dict[Key, Row]) -> None:
        with self.catalogue.transaction() as session:
            found = session.scalars(select(Run).where(Run.worker_id.is_not(None))).all()
        active = [(run.task_id, run.due_at) for run in found if run.ended_at is None]
        assert len(active) == len(set(active)), "a due time is run twice at once"
        for run in found:
            row = rows[run.task_id, run.due_at]
            assert row.run_id is not None, f"{run.due_at} has a run: {row}"

    # How it ends.

    def teardown(self) -> None:
        try:
            if self.models:
                self._settle()
        finally:
            self.catalogue.close()

    def _settle(self) -> None:
        """Everybody is there, and does what is to be done, until nothing is left."""
        self.prefect.answers = True
        self.worker_starts()
        worker = self.workers[-1]
        for _ in range(60):
            self._wait(31)
            self._passes()
            self.the_ledger_is_true()
            for one in self.workers:
                for held in list(one.hands):
                    self._end(one, held, RunState.COMPLETED)
            while self._claim_all(worker):
                for held in list(worker.hands):
                    self._end(worker, held, RunState.COMPLETED)
            if all(row.is_final for (_, at), row in self._rows().items() if at <= self.now):
                break
        left = {key: row for key, row in self._rows().items() if key[1] <= self.now and not row.is_final}
        assert not left
        self.the_ledger_is_true()
        with self.catalogue.transaction() as session:
            verdict = audit(session, from_at=START - 5 * MINUTE, to_at=self.now, now=self.now + 2 * MINUTE)
        assert verdict.discrepancies == ()

    # What the rules share.

    def _spec(self, name: str, schedule: Any, **more: Any) -> AnyTask:
        document = {"name": name, "kind": "shell", "action": {"command": "true"}, "schedule": self._schedule(schedule)}
        return parse_task(document | more)

    def _schedule(self, schedule: Any) -> dict[str, Any]:
        if isinstance(schedule, dict):
            return schedule
        return {"kind": "once", "at": (self.now + timedelta(seconds=schedule)).isoformat(), "run_if_past": True}

    def _paused(self, model: Model, paused: bool) -> AnyTask:
        return parse_task({**model.spec.model_dump(mode="json", by_alias=True), "paused": paused})

    def _live(self, which: int) -> Model | None:
        model = self.models[which % len(self.models)]
        return None if model.deleted else model

    def _moment(self, model: Model) -> datetime:
        """When a change that is made now takes place: after the last one, and after what was claimed a little early."""
        rows = self._rows().items()
        early = [at for (task_id, at), row in rows if task_id == model.id and row.outcome != Outcome.PENDING]
        return max([self.now, model.changed_at, *early])

    def _changed(self, model: Model, spec: AnyTask, moment: datetime) -> None:
        model.spec, model.version, model.changed_at = spec, model.version + 1, moment
        self.complete_at = None

    def _rows(self) -> dict[Key, Row]:
        columns = (DueTime.task_id, DueTime.due_at, DueTime.outcome, DueTime.reason, DueTime.run_id, DueTime.decided_at)
        with self.catalogue.transaction() as session:
            return {(task_id, at): Row(*rest) for task_id, at, *rest in session.execute(select(*columns))}


@pytest.mark.timeout(600)  # it is quick where it passes; finding the shortest example takes minutes
def test_whatever_happens_the_ledger_stays_true(catalogue: Catalogue) -> None:
    class OnThisCatalogue(Ledger):
        shared = catalogue

    run_state_machine_as_test(
        OnThisCatalogue,
        settings=settings(
            max_examples=25, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
