"""Tasks brought to Prefect: those that changed, and the one action that brings a task and its deployment together."""

import logging
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from time import monotonic
from typing import Any
from uuid import UUID

from db import audit, sync, tasks, trials
from db.engine import Catalogue
from db.errors import CatalogueError, CatalogueUnavailable
from db.specs import InvalidTask
from db.sync import Desired
from db.tables import Task
from reconciler.adoption import adopt_deletion, adopt_edit
from reconciler.aside import Aside
from reconciler.clock import now
from reconciler.deployments import (
    Facts,
    applied_document,
    changes_document,
    new_document,
    observed,
    schedule_id,
)
from reconciler.due_times import prepare_once
from reconciler.place import Place
from reconciler.plan import Action, AdoptDeletion, AdoptEdit, Confirm, Create, Delete, Replace, Update, plan
from reconciler.prefect import Prefect, PrefectRefused

log = logging.getLogger(__name__)

DEPLOYING_SECONDS = 0.5
CREATED_AT_ONCE = 3
"""New deployments: so Prefect's server need not wait for us between two of them."""


class CannotBeRead(CatalogueError):
    """What is stored of a task is none; the message says why."""


def deploy_changes(catalogue: Catalogue, prefect: Prefect, aside: Aside | None = None) -> int:
    """Brings down to Prefect what changed in the catalogue. Returns the actions applied; 0 means agreement.

    It ends after half a second, because due times and edits wait behind it. What Prefect refused is left to the slower
    pass over everything.
    """
    aside = aside or Aside("tasks in Prefect")
    with catalogue.transaction() as session:
        behind = sync.unsynced(session, besides=aside.waiting_ids())
    place, until, applied = Place(prefect, behind), monotonic() + DEPLOYING_SECONDS, 0
    with ThreadPoolExecutor(CREATED_AT_ONCE) as threads:
        creating: deque[Future[int]] = deque()
        for desired in aside.ready(behind, lambda one: one.task_id):
            if desired.deployment_id is None and not desired.deleted:
                # Threads of a pool do not know by themselves how much time is left.
                creating.append(threads.submit(copy_context().run, act, catalogue, place, desired, aside))
            else:
                applied += act(catalogue, place, desired, aside)
            if len(creating) > CREATED_AT_ONCE:
                applied += creating.popleft().result()
            if monotonic() > until:
                break
        return applied + sum(each.result() for each in creating)


def act(catalogue: Catalogue, place: Place, desired: Desired, aside: Aside) -> int:
    """As `act_on`, for a task whose deployment has to be asked for; whatever goes wrong does not stop the others."""
    with aside.alone(desired.task_id, task_id=desired.task_id):
        deployment = place.prefect.deployment(desired.deployment_id) if desired.deployment_id else None
        return act_on(catalogue, place, desired, deployment)
    return 0


def act_on(
    catalogue: Catalogue, place: Place, desired: Desired, deployment: dict[str, Any] | None, flow: str | None = None
) -> int:
    """Does what the plan says; what Prefect refuses is noted on the task.

    Raises:
        CannotBeRead: what is stored of it is no task.
    """
    if desired.broken is not None and not desired.deleted:
        raise CannotBeRead(desired.broken)
    try:
        action = plan(desired, _facts(place, deployment, flow))
        if action is not None:
            _apply(catalogue, place, action, deployment)
            return 1
        if deployment is not None:
            _note_agreement(catalogue, desired, deployment)
    except (PrefectRefused, InvalidTask) as error:
        with catalogue.transaction() as session:
            if sync.record_error(session, desired.task_id, str(error)):
                log.warning("Task %s could not be brought to agreement: %s", desired.task.name, error)
    except CatalogueUnavailable:
        raise
    except CatalogueError as error:
        log.info("Task %s changed meanwhile: %s", desired.task.name, error)
    return 0


def _facts(place: Place, deployment: dict[str, Any] | None, flow: str | None) -> Facts | None:
    if deployment is None:
        return None
    return observed(deployment, flow or place.flow_name(UUID(deployment["flow_id"])))


def _apply(catalogue: Catalogue, place: Place, action: Action, deployment: dict[str, Any] | None) -> None:
    match action:
        case Create(desired, facts):
            _create(catalogue, place, desired, facts)
        case Update():
            _update(catalogue, place, action, deployment or {})
        case Replace(desired, facts):
            _delete(place, desired)
            _create(catalogue, place, desired, facts)
        case Delete(desired):
            _delete(place, desired)
            _record(catalogue, place, desired, None)
        case Confirm(desired):
            _record(catalogue, place, desired, deployment)
        case AdoptEdit():
            adopt_edit(catalogue, action, deployment or {})
        case AdoptDeletion(desired):
            adopt_deletion(catalogue, place.prefect, desired)


def _delete(place: Place, desired: Desired) -> None:
    if desired.deployment_id:
        place.delete_deployment(desired.deployment_id)


def _create(catalogue: Catalogue, place: Place, desired: Desired, facts: Facts) -> None:
    place.ensure_pool(facts["work_pool"])
    flow_id = place.flow_id(facts["flow"])
    # Left by an attempt that was killed before it could note the id, or made by somebody else meanwhile.
    found = place.deployment_named(flow_id, facts["name"])
    if found is None:
        _record(
            catalogue, place, desired, place.prefect.create_deployment(new_document(desired.task_id, facts, flow_id))
        )
        return
    deployment_id = UUID(found["id"])
    place.prefect.update_deployment(deployment_id, changes_document(facts, set(facts)))
    _record(catalogue, place, desired, place.prefect.deployment(deployment_id))


def _update(catalogue: Catalogue, place: Place, action: Update, deployment: dict[str, Any]) -> None:
    deployment_id = UUID(deployment["id"])
    if "schedule" in action.changed and action.facts["schedule"] is None:
        for entry in deployment["schedules"]:
            place.prefect.delete_schedule(deployment_id, entry["id"])
    body = changes_document(action.facts, set(action.changed))
    if body:
        place.prefect.update_deployment(deployment_id, body)
    if action.overruled:
        _audit(catalogue, action.desired, "prefect.edit_overruled", sorted(action.overruled))
    _record(catalogue, place, action.desired, place.prefect.deployment(deployment_id))


def _record(catalogue: Catalogue, place: Place, desired: Desired, deployment: dict[str, Any] | None) -> None:
    """Keeps what Prefect made of it as what was agreed on."""
    seen = _facts(place, deployment, None)
    deployment_id = UUID(deployment["id"]) if deployment else None
    if deployment_id is not None:
        prepare_once(place.prefect, desired, deployment_id, now=now())
    with catalogue.transaction() as session:
        sync.record_synced(
            session,
            desired.task_id,
            version=desired.version,
            deployment_id=deployment_id,
            applied=_agreed(desired.task, seen, deployment),
        )


def _agreed(task: Any, seen: Facts | None, deployment: dict[str, Any] | None) -> dict[str, Any] | None:
    if seen is None or deployment is None:
        return None
    return applied_document(task, seen, schedule_id=schedule_id(deployment))


def _note_agreement(catalogue: Catalogue, desired: Desired, deployment: dict[str, Any]) -> None:
    """A deployment that was written anew has the same facts and another schedule id, which the keys of runs hold.

    What Prefect refused before, it has taken.
    """
    if desired.applied is None or desired.deleted:
        return
    if desired.sync_error is None and desired.applied.get("schedule_id") == schedule_id(deployment):
        return
    with catalogue.transaction() as session:
        sync.record_synced(
            session,
            desired.task_id,
            version=desired.version,
            deployment_id=desired.deployment_id,
            applied={**desired.applied, "schedule_id": schedule_id(deployment)},
        )


def _audit(catalogue: Catalogue, desired: Desired, change: str, fields: list[str]) -> None:
    with catalogue.transaction() as session:
        task = session.get(Task, desired.task_id)
        audit.record(session, at=now(), actor=audit.SYSTEM, change=change, task=task, details={"fields": fields})


def resume_tasks(catalogue: Catalogue, aside: Aside | None = None) -> int:
    """Resumes the tasks whose pause is over, and returns how many."""
    aside = aside or Aside("pauses")
    with catalogue.transaction() as session:
        over = tasks.due_to_resume(session, now=now())
    for task_id in aside.ready(over, lambda one: one):
        with aside.alone(task_id, task_id=task_id), catalogue.transaction() as session:
            tasks.resume_if_over(session, task_id, actor=audit.SYSTEM, now=now())
    return len(over)


def end_trials(catalogue: Catalogue, aside: Aside | None = None) -> int:
    """Moves the trials that are over into the trash, and returns how many."""
    aside = aside or Aside("trials")
    with catalogue.transaction() as session:
        over = trials.over(session, now=now())
    for task_id in aside.ready(over, lambda one: one):
        with aside.alone(task_id, task_id=task_id), catalogue.transaction() as session:
            trials.end(session, task_id, now=now())
    return len(over)
