"""Tasks and deployments brought together, down and up, on a real Prefect server."""

from datetime import timedelta

import pytest
from sqlalchemy import update

from db import run_requests, runs, sync, tasks
from db.states import RunState
from db.tables import AuditEntry, TaskStatus
from reconciler.comparison import Comparison
from reconciler.prefect import MARKER
from reconciler.runs import make_requested
from reconciler.tasks import deploy_changes, resume_tasks
from tests.reconciler.conftest import World, now

pytestmark = pytest.mark.xdist_group("prefect")


def changes_in_audit(world: World) -> list[str]:
    with world.catalogue.transaction() as session:
        return [entry.change for entry in session.query(AuditEntry).order_by(AuditEntry.id)]


def test_a_new_task_becomes_a_deployment_of_its_kinds_flow(world: World) -> None:
    task = world.deployed(tags=["ops"])
    deployment = world.deployment(task)
    assert task.deployed
    assert (deployment["name"], deployment["entrypoint"]) == ("backup", "flows.shell.shell")
    assert deployment["parameters"]["command"] == "true"
    assert deployment["tags"] == ["ops"]
    schedule = deployment["schedules"][0]["schedule"]
    assert (schedule["cron"], schedule["timezone"]) == ("0 2 * * *", "Europe/Berlin")
    assert world.agree() == 0


def test_an_edit_is_made_in_place_and_keeps_the_schedules_id(world: World) -> None:
    task = world.deployed()
    before = world.deployment(task)
    world.edit(task.id, schedule={"kind": "cron", "cron": "0 3 * * *", "timezone": "UTC"}, description="nightly")
    assert deploy_changes(world.catalogue, world.prefect) == 1
    after = world.deployment(world.task(task.id))
    assert (after["id"], after["schedules"][0]["id"]) == (before["id"], before["schedules"][0]["id"])
    assert (after["schedules"][0]["schedule"]["cron"], after["description"]) == ("0 3 * * *", "nightly")


def test_a_task_that_is_manual_now_has_no_schedule_left_in_prefect(world: World) -> None:
    task = world.deployed()
    world.edit(task.id, schedule={"kind": "manual"})
    deploy_changes(world.catalogue, world.prefect)
    assert world.deployment(world.task(task.id))["schedules"] == []
    assert world.agree() == 0


def test_a_task_that_is_paused_deleted_and_restored_is_so_in_prefect(world: World) -> None:
    task = world.deployed()
    with world.catalogue.transaction() as session:
        tasks.pause_task(session, task.id, actor="test", now=now())
    deploy_changes(world.catalogue, world.prefect)
    assert world.deployment(task)["paused"]
    with world.catalogue.transaction() as session:
        tasks.delete_task(session, task.id, actor="test", now=now())
    deploy_changes(world.catalogue, world.prefect)
    assert world.http.get(f"/deployments/{task.deployment_id}").status_code == 404
    with world.catalogue.transaction() as session:
        tasks.restore_task(session, task.id, actor="test", now=now())
    deploy_changes(world.catalogue, world.prefect)
    assert world.deployment(world.task(task.id))["paused"]


def test_another_kind_or_name_is_another_deployment(world: World) -> None:
    task = world.deployed()
    world.edit(task.id, name="renamed", kind="http", action={"url": "http://127.0.0.1:9/"})
    deploy_changes(world.catalogue, world.prefect)
    renamed = world.task(task.id)
    assert world.deployment(renamed)["entrypoint"] == "flows.http.http"
    assert world.http.get(f"/deployments/{task.deployment_id}").status_code == 404
    assert world.agree() == 0


@pytest.mark.parametrize("name", ["a/b & c", "50 % ünïcode 🚀", "x" * 200, "..", "a?b#c"])
def test_any_name_can_be_deployed(world: World, name: str) -> None:
    task = world.deployed(name)
    assert task.sync_error is None
    assert task.deployed
    assert world.agree() == 0


def test_a_task_that_prefect_refuses_says_why_and_does_not_stop_the_others(world: World) -> None:
    refused = world.create("refused", work_pool="nowhere")
    fine = world.create("fine")
    deploy_changes(world.catalogue, world.prefect)
    assert "nowhere" in (world.task(refused).sync_error or "")
    assert world.task(fine).deployed
    world.call("POST", "/work_pools/", {"name": "nowhere", "type": "process"})
    world.agree()
    assert world.task(refused).sync_error is None
    assert world.task(refused).deployed


def test_an_edit_made_in_prefect_becomes_an_edit_of_the_task(world: World) -> None:
    task = world.deployed()
    schedule_id = world.deployment(task)["schedules"][0]["id"]
    path = f"/deployments/{task.deployment_id}"
    world.call("PATCH", path, {"paused": True, "parameters": {"command": "echo changed"}})
    world.call("PATCH", f"{path}/schedules/{schedule_id}", {"schedule": {"cron": "5 4 * * *", "timezone": "UTC"}})
    world.agree()
    edited = world.task(task.id)
    assert edited.spec.paused
    assert edited.spec.schedule.model_dump() == {"kind": "cron", "cron": "5 4 * * *", "timezone": "UTC"}
    assert edited.spec.action.model_dump()["command"] == "echo changed"
    assert edited.deployed
    assert world.agree() == 0


def test_a_schedule_switched_off_in_prefect_is_a_pause_and_our_resume_switches_it_on(world: World) -> None:
    task = world.deployed()
    [schedule] = world.deployment(task)["schedules"]
    world.call("PATCH", f"/deployments/{task.deployment_id}/schedules/{schedule['id']}", {"active": False})
    world.agree()
    paused = world.task(task.id).spec
    assert paused.paused
    assert paused.schedule == task.spec.schedule
    with world.catalogue.transaction() as session:
        tasks.resume_task(session, task.id, actor="test", now=now())
    deploy_changes(world.catalogue, world.prefect)
    after = world.deployment(task)
    assert (after["paused"], [entry["active"] for entry in after["schedules"]]) == (False, [True])
    assert [entry["id"] for entry in after["schedules"]] == [schedule["id"]]
    assert world.agree() == 0


def test_a_deployment_that_was_made_after_they_were_listed_is_not_taken_for_deleted(world: World) -> None:
    task = world.deployed()
    listed = world.prefect.deployments
    world.prefect.deployments = lambda **_: iter([])  # type: ignore[method-assign]
    world.agree()
    world.prefect.deployments = listed  # type: ignore[method-assign]
    assert world.task(task.id).deleted_at is None


def test_a_database_that_goes_in_the_midst_of_a_pass_takes_no_task_with_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = world.deployed()
    monkeypatch.setattr("reconciler.comparison._notice_another_database", lambda *_: None)
    world.call("DELETE", f"/deployments/{task.deployment_id}")
    world.call("DELETE", f"/variables/name/{MARKER}")
    world.agree()
    assert world.task(task.id).deleted_at is None


def test_runs_that_wait_in_a_database_that_is_lost_are_made_again(world: World) -> None:
    task = world.deployed(schedule={"kind": "manual"})
    with world.catalogue.transaction() as session:
        request = run_requests.request_run(session, task.id, actor="test", now=now())
    make_requested(world.catalogue, world.prefect, now=now())
    world.call("DELETE", f"/deployments/{task.deployment_id}")
    world.call("DELETE", f"/variables/name/{MARKER}")
    world.agree()
    assert make_requested(world.catalogue, world.prefect, now=now()) == 1
    with world.catalogue.transaction() as session:
        run = run_requests.resolve(session, request)
        assert [one.state for one in runs.list_runs(session, task_id=task.id).items].count(RunState.SCHEDULED) == 1
    assert world.call("GET", f"/flow_runs/{run.id}")["state_type"] == "SCHEDULED"


def test_where_both_were_edited_the_catalogue_wins_and_the_audit_says_so(world: World) -> None:
    task = world.deployed()
    world.call("PATCH", f"/deployments/{task.deployment_id}", {"parameters": {"command": "echo theirs"}})
    world.edit(task.id, action={"command": "echo ours"})
    deploy_changes(world.catalogue, world.prefect)
    assert world.deployment(task)["parameters"]["command"] == "echo ours"
    assert "prefect.edit_overruled" in changes_in_audit(world)
    assert world.agree() == 0


def test_an_edit_made_in_prefect_that_no_task_could_have_is_taken_back(world: World) -> None:
    task = world.deployed()
    world.call("PATCH", f"/deployments/{task.deployment_id}", {"parameters": {"command": ""}})
    world.agree()
    assert world.deployment(task)["parameters"]["command"] == "true"
    assert world.agree() == 0


def test_a_deployment_deleted_in_prefect_is_a_task_in_the_trash_that_can_be_restored(world: World) -> None:
    task = world.deployed()
    world.call("DELETE", f"/deployments/{task.deployment_id}")
    world.agree()
    assert world.task(task.id).deleted_at is not None
    with world.catalogue.transaction() as session:
        tasks.restore_task(session, task.id, actor="test", now=now())
    deploy_changes(world.catalogue, world.prefect)
    assert world.task(task.id).deployed


def test_a_server_that_lost_its_database_gets_every_deployment_again(world: World) -> None:
    kept = world.deployed()
    world.call("DELETE", f"/deployments/{kept.deployment_id}")
    world.call("DELETE", f"/variables/name/{MARKER}")
    world.agree()
    again = world.task(kept.id)
    assert again.deleted_at is None
    assert again.deployed
    assert again.deployment_id != kept.deployment_id


def test_a_deployment_of_somebodys_own_flow_is_adopted_and_left_as_it_is(world: World) -> None:
    flow_id = world.call("POST", "/flows/", {"name": "theirs"})["id"]
    world.call("POST", "/work_pools/", {"name": "default", "type": "process"})
    document = {
        "name": "their own",
        "flow_id": flow_id,
        "entrypoint": "pkg/mod.py:flow",
        "path": "/srv/theirs",
        "work_pool_name": "default",
        "parameters": {"a": 1},
        "schedules": [{"schedule": {"interval": 60}}],
    }
    made = world.call("POST", "/deployments/", document)
    assert world.agree() == 1
    with world.catalogue.transaction() as session:
        task_id = tasks.task_by_name(session, "their own")
    assert task_id is not None
    task = world.task(task_id)
    assert task.spec.kind == "flow"
    assert task.spec.action.model_dump()["parameters"] == {"a": 1}
    world.edit(task_id, tags=["seen"])
    deploy_changes(world.catalogue, world.prefect)
    after = world.call("GET", f"/deployments/{made['id']}")
    assert (after["path"], after["tags"]) == ("/srv/theirs", ["seen"])
    assert after["schedules"][0]["schedule"]["interval"] == 60
    assert world.agree() == 0


def test_a_pause_that_is_over_is_ended(world: World) -> None:
    task = world.deployed()
    with world.catalogue.transaction() as session:
        tasks.pause_task(session, task.id, until=now(), actor="test", now=now())
    assert resume_tasks(world.catalogue) == 1
    assert not world.task(task.id).spec.paused


def test_many_new_tasks_cost_prefect_one_call_each(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reconciler.tasks.DEPLOYING_SECONDS", 60.0)
    for n in range(10):
        world.create(f"task {n}")
    asked = world.calls()
    assert deploy_changes(world.catalogue, world.prefect) == 10
    assert asked.count("POST /deployments/") == 10
    assert len(asked) - 10 <= 4, asked


def test_a_new_task_takes_over_the_deployment_that_a_killed_attempt_left(world: World) -> None:
    task = world.deployed()
    [schedule] = world.deployment(task)["schedules"]
    with world.catalogue.transaction() as session:
        sync.forget_deployments(session)
    assert deploy_changes(world.catalogue, world.prefect) == 1
    again = world.task(task.id)
    assert again.deployment_id == task.deployment_id
    assert [entry["id"] for entry in world.deployment(again)["schedules"]] == [schedule["id"]]


def test_a_name_that_was_given_up_is_free_in_the_same_pass(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reconciler.tasks.DEPLOYING_SECONDS", 60.0)
    old, other = world.deployed("nightly"), world.deployed("other")
    world.edit(other.id, name="renamed")
    with world.catalogue.transaction() as session:
        tasks.delete_task(session, old.id, actor="test", now=now())
    new = world.create("nightly")
    deploy_changes(world.catalogue, world.prefect)
    assert world.task(new).sync_error is None
    assert world.task(new).deployed
    assert world.agree() == 0


def test_an_edit_and_what_is_due_soon_go_before_what_is_new(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    edited = world.deployed("edited")
    new = [world.create(f"new {n}") for n in range(3)]
    soon = world.create("soon", schedule={"kind": "once", "at": (now() + timedelta(minutes=2)).isoformat()})
    world.edit(edited.id, description="changed")
    monkeypatch.setattr("reconciler.tasks.DEPLOYING_SECONDS", 0.0)
    order = []
    while deploy_changes(world.catalogue, world.prefect):
        order.append({one for one in [edited.id, soon, *new] if world.task(one).deployed})
    assert order[:2] == [{edited.id}, {edited.id, soon}]
    assert [len(done) for done in order] == [1, 2, 3, 4, 5], "one task a pass that has no time for a second"


def test_many_that_prefect_refuses_do_not_hide_the_others(world: World) -> None:
    for n in range(101):
        world.create(f"refused {n}", work_pool="nowhere")
    deploy_changes(world.catalogue, world.prefect)
    with world.catalogue.transaction() as session:
        session.execute(update(TaskStatus).where(~TaskStatus.synced).values(sync_error="There is no such pool."))
    fine = world.create("fine")
    deploy_changes(world.catalogue, world.prefect)
    assert world.task(fine).deployed


def test_everything_is_compared_a_slice_at_a_time_and_what_happens_between_is_seen(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reconciler.comparison.DEPLOYMENTS_AT_ONCE", 2)
    monkeypatch.setattr("reconciler.prefect.PAGE", 2)
    ours = [world.deployed(f"task {n}") for n in range(5)]
    comparison = Comparison(world.catalogue, world.prefect)
    assert comparison.step()
    world.call("DELETE", f"/deployments/{ours[0].deployment_id}")  # the pages behind it move up by one
    world.call("PATCH", f"/deployments/{ours[4].deployment_id}", {"description": "edited in Prefect"})
    world.edit(ours[1].id, description="edited here")
    deploy_changes(world.catalogue, world.prefect)
    for _ in range(2):
        while comparison.step():
            pass
    assert world.task(ours[0].id).deleted_at is not None
    assert [world.task(one.id).spec.description for one in ours[1:]] == ["edited here", "", "", "edited in Prefect"]
    assert all(world.task(one.id).deleted_at is None for one in ours[1:])
