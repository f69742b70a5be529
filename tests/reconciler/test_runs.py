"""Runs between the two stores, and due times served, on a real Prefect server."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from db import claims, due_times, run_requests, runs, workers
from db.claims import Claimant, Claimed, Offer
from db.runs import Ending, RunKey
from db.states import Outcome, RunState, Trigger
from reconciler import decisions
from reconciler import due_times as serving
from reconciler import runs as passes
from reconciler.decisions import URGENT
from reconciler.prefect import FlowRun
from reconciler.sight import Sight
from reconciler.tasks import deploy_changes
from reconciler.workers import declare_lost
from tests.reconciler.conftest import World, now

pytestmark = pytest.mark.xdist_group("prefect")


def serve(world: World, at: datetime) -> int:
    return serving.serve(world.catalogue, world.prefect, Sight(world.catalogue, world.prefect).upcoming(now=at), now=at)


def observe(world: World, at: datetime) -> int:
    sight = Sight(world.catalogue, world.prefect)
    seen = [*sight.upcoming(now=at), *sight.recent(since=at - timedelta(minutes=1))]
    return passes.observe(world.catalogue, seen, now=at)


def flow_runs(world: World, deployment_id: UUID | None) -> list[dict[str, Any]]:
    query = {"deployments": {"id": {"any_": [str(deployment_id)]}}}
    return world.call("POST", "/flow_runs/filter", query)  # type: ignore[no-any-return]


def a_claimed_run(world: World, *, command: str = "true") -> RunKey:
    """A run of a once task that is due now, claimed by a worker that was heard of just now."""
    task = world.deployed(f"due {uuid4()}", action={"command": command}, schedule=once_in(1))
    serve(world, now())
    run = flow_runs(world, task.deployment_id)[0]
    due_at = datetime.fromisoformat(run["expected_start_time"])
    worker = Claimant(uuid4(), "w1")
    with world.catalogue.transaction() as session:
        workers.register(
            session, worker_id=worker.id, name=worker.name, work_pool="default", host="here", pid=1, now=now()
        )
        offer = Offer(UUID(run["id"]), UUID(run["deployment_id"]), due_at, Trigger.SCHEDULE)
        answer = claims.claim(session, offer, worker, now=due_at)
    assert isinstance(answer, Claimed)
    return answer.key


def once_in(seconds: float) -> dict[str, Any]:
    return {"kind": "once", "at": (now() + timedelta(seconds=seconds)).isoformat()}


def run_of(world: World, run_id: UUID) -> Any:
    with world.catalogue.transaction() as session:
        return runs.get_run(session, run_id)


def state_in_prefect(world: World, run_id: UUID) -> str:
    return str(world.call("GET", f"/flow_runs/{run_id}")["state_name"])


def instants(world: World, deployment_id: UUID | None) -> list[datetime]:
    """At which Prefect has runs of the deployment."""
    return sorted(datetime.fromisoformat(run["expected_start_time"]) for run in flow_runs(world, deployment_id))


def test_a_one_shot_waits_in_prefect_from_its_deployment_on_and_follows_its_edits(world: World) -> None:
    first, second = now() + timedelta(days=9), now() + timedelta(days=3)
    task = world.deployed(schedule={"kind": "once", "at": first.isoformat()})
    assert instants(world, task.deployment_id) == [first]
    world.edit(task.id, schedule={"kind": "once", "at": second.isoformat()})
    deploy_changes(world.catalogue, world.prefect)
    assert instants(world, task.deployment_id) == [second]
    world.edit(task.id, schedule={"kind": "manual"})
    deploy_changes(world.catalogue, world.prefect)
    assert instants(world, task.deployment_id) == []


def test_a_due_time_of_the_next_minute_gets_one_run_however_often_it_is_served(world: World) -> None:
    task = world.deployed(schedule=once_in(12))
    [run] = flow_runs(world, task.deployment_id)
    world.call("DELETE", f"/flow_runs/{run['id']}")
    assert serve(world, now()) == 1
    assert serve(world, now()) == 0
    assert instants(world, task.deployment_id) == [task.spec.schedule.value().at]  # type: ignore[union-attr]


def test_a_run_that_is_cancelled_in_prefect_before_it_began_was_never_run(world: World) -> None:
    """Prefect gives it a start time all the same."""
    task = world.deployed(schedule=once_in(30))
    [run] = flow_runs(world, task.deployment_id)
    state = {"type": "CANCELLED", "name": "Cancelled"}
    world.call("POST", f"/flow_runs/{run['id']}/set_state", {"state": state, "force": True})
    assert flow_runs(world, task.deployment_id)[0]["start_time"]
    assert observe(world, now()) == 1
    with world.catalogue.transaction() as session:
        [row] = due_times.list_due_times(session, task.id).items
        assert runs.list_runs(session, task_id=task.id).items == []
    assert row.outcome == Outcome.CANCELLED


def test_our_key_of_a_cron_run_is_the_one_that_prefects_scheduler_uses(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    often = {"kind": "cron", "cron": "* * * * * */10", "timezone": "Asia/Kathmandu"}
    task = world.deployed(schedule=often)
    ours: set[str] = set()
    create = world.prefect.create_flow_run

    def noted(deployment_id: UUID, *, at: datetime, key: str) -> FlowRun:
        ours.add(key)
        return create(deployment_id, at=at, key=key)

    # By a call for each, as where there is only one.
    monkeypatch.setattr(world.prefect, "schedule_runs", lambda *_, **__: None)
    monkeypatch.setattr(world.prefect, "create_flow_run", noted)
    serving.serve(world.catalogue, world.prefect, [], now=now())
    assert ours
    world.call("POST", f"/deployments/{task.deployment_id}/schedule", {"min_runs": 20})
    found = flow_runs(world, task.deployment_id)
    instants = [run["expected_start_time"] for run in found]
    assert len(found) > len(ours)
    assert len(set(instants)) == len(instants)
    assert ours <= {run["idempotency_key"] for run in found}


def test_a_run_asked_for_is_made_once_and_answers_by_its_requests_id(world: World) -> None:
    task = world.deployed(schedule={"kind": "manual"})
    with world.catalogue.transaction() as session:
        request = run_requests.request_run(session, task.id, actor="test", now=now())
    assert passes.make_requested(world.catalogue, world.prefect, now=now()) == 1
    assert passes.make_requested(world.catalogue, world.prefect, now=now()) == 0
    with world.catalogue.transaction() as session:
        run = run_requests.resolve(session, request)
    assert (run.trigger, run.state) == (Trigger.MANUAL, RunState.SCHEDULED)
    assert [UUID(found["id"]) for found in flow_runs(world, task.deployment_id)] == [run.id]


def test_a_run_that_waits_is_cancelled_in_both(world: World) -> None:
    task = world.deployed(schedule={"kind": "manual"})
    with world.catalogue.transaction() as session:
        request = run_requests.request_run(session, task.id, actor="test", now=now())
    passes.make_requested(world.catalogue, world.prefect, now=now())
    with world.catalogue.transaction() as session:
        run = run_requests.cancel(session, request, actor="ada", now=now())
    assert passes.Cancellations().tell(world.catalogue, world.prefect, now=now()) == 1
    passes.tell_prefect(world.catalogue, world.prefect, now=now())
    assert run_of(world, run.id).state == RunState.CANCELLED
    assert state_in_prefect(world, run.id) == "Cancelled"


@pytest.mark.parametrize("end", ["CANCELLED", "COMPLETED"])
def test_a_run_that_somebody_elses_worker_executes_is_asked_once_to_end_and_its_end_stands(
    world: World, end: str
) -> None:
    task = world.deployed(schedule={"kind": "manual"})
    made = world.call("POST", f"/deployments/{task.deployment_id}/create_flow_run", {})
    world.call("POST", f"/flow_runs/{made['id']}/set_state", {"state": {"type": "PENDING"}})
    world.call("POST", f"/flow_runs/{made['id']}/set_state", {"state": {"type": "RUNNING"}})
    observe(world, now())
    run_id, cancellations = UUID(made["id"]), passes.Cancellations()
    with world.catalogue.transaction() as session:
        run_requests.cancel(session, run_id, actor="ada", now=now())
    assert cancellations.tell(world.catalogue, world.prefect, now=now()) == 1
    assert state_in_prefect(world, run_id) == "Cancelling"
    states = len(world.call("GET", f"/flow_run_states/?flow_run_id={run_id}"))
    assert cancellations.tell(world.catalogue, world.prefect, now=now()) == 0
    world.call("POST", f"/flow_runs/{run_id}/set_state", {"state": {"type": end}, "force": True})
    # One that begins to lead has asked nobody yet, and may not have seen the end.
    passes.Cancellations().tell(world.catalogue, world.prefect, now=now())
    assert state_in_prefect(world, run_id) == end.title()
    assert len(world.call("GET", f"/flow_run_states/?flow_run_id={run_id}")) == states + 1
    observe(world, now())
    assert run_of(world, run_id).state == RunState[end]


def test_a_run_started_and_ended_in_prefect_is_seen_here(world: World) -> None:
    task = world.deployed(schedule={"kind": "manual"})
    made = world.call("POST", f"/deployments/{task.deployment_id}/create_flow_run", {})
    observe(world, now())
    assert run_of(world, UUID(made["id"])).trigger == Trigger.PREFECT
    for kind in ("PENDING", "RUNNING", "COMPLETED"):
        world.call("POST", f"/flow_runs/{made['id']}/set_state", {"state": {"type": kind}})
    observe(world, now())
    run = run_of(world, UUID(made["id"]))
    assert (run.state, run.ended_at is not None) == (RunState.COMPLETED, True)


def test_the_end_that_a_worker_could_not_report_is_told_for_it(world: World) -> None:
    key = a_claimed_run(world)
    worker_id = run_of(world, key.id).worker_id
    with world.catalogue.transaction() as session:
        runs.finish(session, key, Ending(RunState.FAILED, now(), exit_code=3, error="No."), worker_id=worker_id)
    later = now() + passes.TELL_AFTER + timedelta(seconds=5)
    assert worker_id is not None
    with world.catalogue.transaction() as session:
        workers.beat(session, worker_id, now=later)
    assert passes.tell_prefect(world.catalogue, world.prefect, now=later) == 0, "the worker is there"
    with world.catalogue.transaction() as session:
        workers.stop(session, worker_id, now=now())
    assert passes.tell_prefect(world.catalogue, world.prefect, now=now()) == 0
    assert passes.tell_prefect(world.catalogue, world.prefect, now=later) == 1
    assert state_in_prefect(world, key.id) == "Failed"


def test_the_run_of_a_worker_that_fell_silent_is_crashed_and_its_due_time_unknown(world: World) -> None:
    key = a_claimed_run(world)
    assert declare_lost(world.catalogue, now=now()) == 0
    assert declare_lost(world.catalogue, now=now() + timedelta(seconds=40)) == 1
    run = run_of(world, key.id)
    assert run.state == RunState.CRASHED
    assert "w1" in run.error
    with world.catalogue.transaction() as session:
        ledger = due_times.list_due_times(session, run.task_id).items
    assert [row.outcome for row in ledger] == [Outcome.UNKNOWN]


def test_what_passed_while_nobody_looked_is_superseded_but_for_the_newest(world: World) -> None:
    minutely = {"kind": "cron", "cron": "* * * * *", "timezone": "UTC"}
    task = world.deployed(schedule=minutely)
    later = now() + timedelta(minutes=5)
    serve(world, later)
    with world.catalogue.transaction() as session:
        ledger = due_times.list_due_times(session, task.id, to_at=later).items
    outcomes = [row.outcome for row in ledger]
    assert outcomes[-1] == Outcome.PENDING
    assert set(outcomes[:-1]) == {Outcome.SKIPPED}


def test_several_runs_of_one_schedule_are_made_by_one_call(world: World) -> None:
    task = world.deployed(schedule={"kind": "cron", "cron": "* * * * * *", "timezone": "Europe/Berlin"})
    began, asked = now(), world.calls()
    assert serving.serve(world.catalogue, world.prefect, [], now=began) >= 15
    assert asked == [f"POST /deployments/{task.deployment_id}/schedule", "POST /flow_runs/count"]
    found = instants(world, task.deployment_id)
    assert len(found) == len(set(found))
    served = [at for at in found if began < at <= began + serving.LOOK_AHEAD]
    assert len(served) == serving.LOOK_AHEAD.total_seconds()


def test_making_many_runs_keeps_nothing_else_waiting_and_what_is_due_in_a_moment_is_made(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.deployed(schedule={"kind": "cron", "cron": "* * * * * *", "timezone": "UTC"})
    made: list[datetime] = []
    create = world.prefect.create_flow_run

    def noted(deployment_id: UUID, *, at: datetime, key: str) -> FlowRun:
        made.append(at)
        return create(deployment_id, at=at, key=key)

    # As where Prefect and we disagree about a schedule: then each run is made by its own call.
    monkeypatch.setattr(world.prefect, "schedule_runs", lambda *_, **__: None)
    monkeypatch.setattr(world.prefect, "count_flow_runs", lambda _: 0)
    monkeypatch.setattr(world.prefect, "create_flow_run", noted)
    monkeypatch.setattr(decisions, "MAKING_SECONDS", 0.0)
    began = now()
    serving.serve(world.catalogue, world.prefect, [], now=began)
    assert made == sorted(made)
    # One that was not urgent yet, and then it looks at what has become so meanwhile.
    urgent = [at for at in made if at >= began]
    assert len(urgent) >= 4
    assert made[-1] < now() + URGENT
