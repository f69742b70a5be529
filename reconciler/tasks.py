"""Tasks and deployments brought together: one pass over those that changed, one over everything."""

import logging
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from time import monotonic
from typing import Any
from uuid import UUID

from db import audit, run_requests, sync, tasks
from db.engine import Catalogue
from db.errors import CatalogueError, CatalogueUnavailable
from db.specs import TASK_LABEL, InvalidTask
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
from reconciler.place import Place
from reconciler.plan import Action, AdoptDeletion, AdoptEdit, Confirm, Create, Delete, Replace, Update, plan
from reconciler.prefect import PAGE, Prefect, PrefectRefused

log = logging.getLogger(__name__)

MARKER = "duetime_catalogue"
DEPLOYING_SECONDS = 1.0
CREATED_AT_ONCE = 3
"""New deployments: so Prefect's server need not wait for us between two of them."""
DEPLOYMENTS_AT_ONCE = PAGE
"""In one slice of the comparison of everything: one call."""
TASKS_AT_ONCE = 10
"""In one slice, of those that are asked for one by one."""


def deploy_changes(catalogue: Catalogue, prefect: Prefect) -> int:
    """Brings down to Prefect what changed in the catalogue. Returns the actions applied; 0 means agreement.

    It ends after about a second, because due times wait behind it. What Prefect refused is left to the slower pass
    over everything.
    """
    with catalogue.transaction() as session:
        behind = sync.unsynced(session)
    place, until, applied = Place(prefect, behind), monotonic() + DEPLOYING_SECONDS, 0
    with ThreadPoolExecutor(CREATED_AT_ONCE) as threads:
        creating: deque[Future[int]] = deque()
        for desired in behind:
            if desired.deployment_id is None and not desired.deleted:
                creating.append(threads.submit(_act, catalogue, place, desired, None))
            else:
                deployment = prefect.deployment(desired.deployment_id) if desired.deployment_id else None
                applied += _act(catalogue, place, desired, deployment)
            if len(creating) > CREATED_AT_ONCE:
                applied += creating.popleft().result()
            if monotonic() > until:
                break
        return applied + sum(each.result() for each in creating)


def reconcile_everything(catalogue: Catalogue, prefect: Prefect) -> int:
    """Compares every task with every deployment, both ways. Returns the actions applied; 0 means agreement."""
    return sum(compare(catalogue, prefect))


def compare(catalogue: Catalogue, prefect: Prefect) -> Iterator[int]:
    """Compares everything, a slice at a time, and yields the actions applied after each.

    What was read of Prefect is never kept from one slice to the next: it may be another one by then.
    """
    _notice_another_database(catalogue, prefect)
    seen: set[UUID] = set()
    listed = prefect.deployments()
    while found := list(islice(listed, DEPLOYMENTS_AT_ONCE)):
        seen |= {UUID(one["id"]) for one in found}
        yield _compare_deployments(catalogue, prefect, found)
    with catalogue.transaction() as session:
        rest = sync.not_among(session, seen)
    for start in range(0, len(rest), TASKS_AT_ONCE):
        yield _compare_tasks(catalogue, prefect, rest[start : start + TASKS_AT_ONCE])


def _compare_deployments(catalogue: Catalogue, prefect: Prefect, found: Sequence[dict[str, Any]]) -> int:
    deployments = {UUID(one["id"]): one for one in found}
    flows = prefect.flow_names({UUID(one["flow_id"]) for one in found})
    with catalogue.transaction() as session:
        wanted = sync.of_deployments(session, set(deployments))
        labelled = _labels(found)
        ours = {str(desired.task_id) for desired in sync.some(session, labelled)} if labelled else set()
    place, applied = Place(prefect, list(wanted.values())), 0
    for deployment_id, deployment in deployments.items():
        flow = flows.get(UUID(deployment["flow_id"]))
        if deployment_id in wanted:
            applied += _act(catalogue, place, wanted[deployment_id], deployment, flow=flow)
        elif flow is not None and (deployment.get("labels") or {}).get(TASK_LABEL) not in ours:
            applied += _adopt(catalogue, deployment, flow)
    return applied


def _labels(found: Sequence[dict[str, Any]]) -> set[UUID]:
    """The tasks that deployments say they were made of."""
    said: set[UUID] = set()
    for one in found:
        with suppress(ValueError, TypeError, AttributeError):
            said.add(UUID((one.get("labels") or {}).get(TASK_LABEL)))
    return said


def _compare_tasks(catalogue: Catalogue, prefect: Prefect, task_ids: Sequence[UUID]) -> int:
    """Those whose deployments were not listed: not made yet, made since, or gone."""
    with catalogue.transaction() as session:
        wanted = sync.some(session, task_ids)
    place, applied = Place(prefect, wanted), 0
    for desired in wanted:
        deployment = prefect.deployment(desired.deployment_id) if desired.deployment_id else None
        applied += _act(catalogue, place, desired, deployment)
    return applied


@dataclass(slots=True)
class Comparison:
    """The comparison of everything, made a slice at a time and then begun anew."""

    catalogue: Catalogue
    prefect: Prefect
    _going_on: Iterator[int] | None = None

    def step(self) -> bool:
        """Compares one slice; whether that was the last. After an error it begins anew."""
        going_on, self._going_on = self._going_on or compare(self.catalogue, self.prefect), None
        if next(going_on, None) is None:
            return True
        self._going_on = going_on
        return False


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
    catalogue: Catalogue, place: Place, desired: Desired, deployment: dict[str, Any] | None, flow: str | None = None
) -> int:
    """Does what the plan says; what Prefect refuses is noted on the task and does not stop the others."""
    try:
        action = plan(desired, _facts(place, deployment, flow))
        if action is not None:
            _apply(catalogue, place, action, deployment)
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
            _adopt_edit(catalogue, action, deployment or {})
        case AdoptDeletion(desired):
            _adopt_deletion(catalogue, place.prefect, desired)


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
