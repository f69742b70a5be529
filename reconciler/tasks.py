"""Tasks and deployments brought together: one pass over those that changed, one over everything."""

import logging
from typing import Any
from uuid import UUID

from db import audit, run_requests, sync, tasks
from db.engine import Catalogue
from db.errors import CatalogueError, CatalogueUnavailable
from db.specs import DEFAULT_WORK_POOL, TASK_LABEL, InvalidTask
from db.sync import Desired
from db.tables import Task
from reconciler.clock import now
from reconciler.deployments import (
    Facts,
    applied_document,
    as_task,
    changes_document,
    new_document,
    observed,
    schedule_id,
)
from reconciler.due_times import prepare_once
from reconciler.plan import Action, AdoptDeletion, AdoptEdit, Confirm, Create, Delete, Replace, Update, plan
from reconciler.prefect import Prefect, PrefectRefused

log = logging.getLogger(__name__)

MARKER = "duetime_catalogue"
WORKER_TYPE = "warm"


def deploy_changes(catalogue: Catalogue, prefect: Prefect) -> int:
    """Brings down to Prefect what changed in the catalogue. Returns the actions applied; 0 means agreement.

    What Prefect refused is left to the slower pass over everything.
    """
    with catalogue.transaction() as session:
        behind = [desired for desired in sync.unsynced(session) if desired.sync_error is None]
    return sum(_reconcile_one(catalogue, prefect, desired) for desired in behind)


def _reconcile_one(catalogue: Catalogue, prefect: Prefect, desired: Desired) -> int:
    deployment = prefect.deployment(desired.deployment_id) if desired.deployment_id else None
    return _act(catalogue, prefect, desired, deployment)


def reconcile_everything(catalogue: Catalogue, prefect: Prefect) -> int:
    """Compares every task with every deployment, both ways. Returns the actions applied; 0 means agreement."""
    _notice_another_database(catalogue, prefect)
    deployments = {UUID(found["id"]): found for found in prefect.deployments()}
    flows = prefect.flow_names({UUID(found["flow_id"]) for found in deployments.values()})
    with catalogue.transaction() as session:
        wanted = sync.everything(session)
    applied = 0
    for desired in wanted:
        deployment = deployments.pop(desired.deployment_id, None) if desired.deployment_id else None
        if deployment is None and desired.deployment_id:
            deployment = prefect.deployment(desired.deployment_id)  # made after they were listed
        flow = flows.get(UUID(deployment["flow_id"])) if deployment else None
        applied += _act(catalogue, prefect, desired, deployment, flow=flow)
    ours = {str(desired.task_id) for desired in wanted}
    strangers = [found for found in deployments.values() if found.get("labels", {}).get(TASK_LABEL) not in ours]
    return applied + sum(_adopt(catalogue, found, flows[UUID(found["flow_id"])]) for found in strangers)


def _notice_another_database(catalogue: Catalogue, prefect: Prefect) -> None:
    """A server without our marker has lost its database, or is a new one: nothing of ours was deleted on purpose."""
    if prefect.variable(MARKER) is not None:
        return
    with catalogue.transaction() as session:
        lost = sync.forget_deployments(session)
        run_requests.reopen_waiting(session, now=now())
        if lost:
            audit.record(
                session, at=now(), actor=audit.SYSTEM, change="prefect.database_replaced", details={"deployments": lost}
            )
    log.info("This Prefect server is new to us: %d tasks are to be deployed anew", lost)
    prefect.set_variable(MARKER, "This server's deployments are kept in agreement with a Duetime catalogue.")


def _act(
    catalogue: Catalogue, prefect: Prefect, desired: Desired, deployment: dict[str, Any] | None, flow: str | None = None
) -> int:
    """Does what the plan says; what Prefect refuses is noted on the task and does not stop the others."""
    try:
        action = plan(desired, _facts(prefect, deployment, flow))
        if action is not None:
            _apply(catalogue, prefect, action, deployment)
            return 1
        if deployment is not None:
            _note_new_schedule(catalogue, desired, deployment)
    except (PrefectRefused, InvalidTask) as error:
        with catalogue.transaction() as session:
            if sync.record_error(session, desired.task_id, str(error)):
                log.warning("Task %s could not be brought to agreement: %s", desired.task.name, error)
    except CatalogueUnavailable:
        raise
    except CatalogueError as error:
        log.info("Task %s changed meanwhile: %s", desired.task.name, error)
    return 0


def _facts(prefect: Prefect, deployment: dict[str, Any] | None, flow: str | None) -> Facts | None:
    if deployment is None:
        return None
    if flow is None:
        flow_id = UUID(deployment["flow_id"])
        flow = prefect.flow_names({flow_id})[flow_id]
    return observed(deployment, flow)


def _apply(catalogue: Catalogue, prefect: Prefect, action: Action, deployment: dict[str, Any] | None) -> None:
    match action:
        case Create(desired, facts):
            _create(catalogue, prefect, desired, facts)
        case Update():
            _update(catalogue, prefect, action, deployment or {})
        case Replace(desired, facts):
            _delete(prefect, desired)
            _create(catalogue, prefect, desired, facts)
        case Delete(desired):
            _delete(prefect, desired)
            _record(catalogue, prefect, desired, None)
        case Confirm(desired):
            _record(catalogue, prefect, desired, desired.deployment_id)
        case AdoptEdit():
            _adopt_edit(catalogue, action, deployment or {})
        case AdoptDeletion(desired):
            _adopt_deletion(catalogue, prefect, desired)


def _delete(prefect: Prefect, desired: Desired) -> None:
    if desired.deployment_id:
        prefect.delete_deployment(desired.deployment_id)


def _create(catalogue: Catalogue, prefect: Prefect, desired: Desired, facts: Facts) -> None:
    _ensure_pool(prefect, facts["work_pool"])
    # Left by an attempt that was killed before it could note the id, or made by somebody else meanwhile.
    found = prefect.deployment_named(facts["flow"], facts["name"])
    if found is None:
        document = new_document(desired.task_id, facts, prefect.flow_id(facts["flow"]))
        found = prefect.create_deployment(document)
    else:
        prefect.update_deployment(UUID(found["id"]), changes_document(facts, set(facts)))
    _record(catalogue, prefect, desired, UUID(found["id"]))


def _ensure_pool(prefect: Prefect, name: str) -> None:
    """The default pool is made where it is missing; another one is somebody's decision."""
    if name == DEFAULT_WORK_POOL:
        prefect.ensure_work_pool(name, kind=WORKER_TYPE)
    elif not prefect.has_work_pool(name):
        cure = f"Make it with `prefect work-pool create '{name}' --type {WORKER_TYPE}`, or choose another."
        raise PrefectRefused(f"There is no work pool {name!r} in Prefect. {cure}", status=404)


def _update(catalogue: Catalogue, prefect: Prefect, action: Update, deployment: dict[str, Any]) -> None:
    deployment_id = UUID(deployment["id"])
    if "schedule" in action.changed and action.facts["schedule"] is None:
        for entry in deployment["schedules"]:
            prefect.delete_schedule(deployment_id, entry["id"])
    body = changes_document(action.facts, set(action.changed))
    if body:
        prefect.update_deployment(deployment_id, body)
    if action.overruled:
        _audit(catalogue, action.desired, "prefect.edit_overruled", sorted(action.overruled))
    _record(catalogue, prefect, action.desired, deployment_id)


def _record(catalogue: Catalogue, prefect: Prefect, desired: Desired, deployment_id: UUID | None) -> None:
    """Reads what Prefect made of it, and keeps that as what was agreed on."""
    deployment = prefect.deployment(deployment_id) if deployment_id else None
    seen = _facts(prefect, deployment, None)
    if deployment_id and deployment:
        prepare_once(prefect, desired, deployment_id, now=now())
    with catalogue.transaction() as session:
        sync.record_synced(
            session,
            desired.task_id,
            version=desired.version,
            deployment_id=deployment_id if deployment else None,
            applied=_agreed(desired.task, seen, deployment),
        )


def _agreed(task: Any, seen: Facts | None, deployment: dict[str, Any] | None) -> dict[str, Any] | None:
    if seen is None or deployment is None:
        return None
    return applied_document(task, seen, schedule_id=schedule_id(deployment))


def _note_new_schedule(catalogue: Catalogue, desired: Desired, deployment: dict[str, Any]) -> None:
    """A deployment that was written anew has the same facts and another schedule id, which the keys of runs hold."""
    if desired.applied is None or desired.deleted or desired.applied.get("schedule_id") == schedule_id(deployment):
        return
    with catalogue.transaction() as session:
        sync.record_synced(
            session,
            desired.task_id,
            version=desired.version,
            deployment_id=desired.deployment_id,
            applied={**desired.applied, "schedule_id": schedule_id(deployment)},
        )


def _adopt_edit(catalogue: Catalogue, action: AdoptEdit, deployment: dict[str, Any]) -> None:
    desired = action.desired
    seen = dict(desired.applied or {})
    with catalogue.transaction() as session:
        tasks.replace_task(
            session, desired.task_id, action.task, seen_version=desired.version, actor=audit.PREFECT, now=now()
        )
        seen |= {name: _value(deployment, name) for name in action.changed}
        seen["schedule_id"] = schedule_id(deployment)
        sync.record_synced(
            session,
            desired.task_id,
            version=desired.version + 1,
            deployment_id=desired.deployment_id,
            applied=seen,
        )


def _value(deployment: dict[str, Any], name: str) -> Any:
    return observed(deployment, "")[name]  # type: ignore[literal-required]


def _adopt_deletion(catalogue: Catalogue, prefect: Prefect, desired: Desired) -> None:
    if prefect.variable(MARKER) is None:
        return  # the whole database went, in the midst of this pass
    with catalogue.transaction() as session:
        if tasks.lock_version(session, desired.task_id) != desired.version:
            return
        tasks.delete_task(session, desired.task_id, actor=audit.PREFECT, now=now())
        sync.record_synced(session, desired.task_id, version=desired.version + 1, deployment_id=None, applied=None)


def _adopt(catalogue: Catalogue, deployment: dict[str, Any], flow: str) -> int:
    """A deployment that somebody else made becomes a task. Served flows, which have no work pool, stay theirs alone."""
    if not deployment["work_pool_name"] or not deployment["entrypoint"]:
        return 0
    seen = observed(deployment, flow)
    try:
        with catalogue.transaction() as session:
            name = _free_name(session, seen)
            if name is None:
                return 0
            task = as_task(seen, name=name)
            task_id = tasks.create_task(session, task, actor=audit.PREFECT, now=now())
            applied = _agreed(task, seen, deployment)
            sync.record_synced(session, task_id, version=1, deployment_id=UUID(deployment["id"]), applied=applied)
    except (InvalidTask, CatalogueError) as error:
        if isinstance(error, CatalogueUnavailable):
            raise
        log.warning("Deployment %s/%s cannot be shown as a task: %s", flow, deployment["name"], error)
        return 0
    log.info("Deployment %s/%s is shown as task %s now", flow, deployment["name"], name)
    return 1


def _free_name(session: Any, seen: Facts) -> str | None:
    names = (seen["name"], f"{seen['flow']}/{seen['name']}")
    return next((name for name in names if tasks.task_by_name(session, name) is None), None)


def _audit(catalogue: Catalogue, desired: Desired, change: str, fields: list[str]) -> None:
    with catalogue.transaction() as session:
        task = session.get(Task, desired.task_id)
        audit.record(session, at=now(), actor=audit.SYSTEM, change=change, task=task, details={"fields": fields})


def resume_tasks(catalogue: Catalogue) -> int:
    """Resumes the tasks whose pause is over, and returns how many."""
    with catalogue.transaction() as session:
        over = tasks.due_to_resume(session, now=now())
        for task_id in over:
            tasks.resume_task(session, task_id, actor=audit.SYSTEM, now=now())
    return len(over)
