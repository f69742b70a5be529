"""Adoption: what somebody did in Prefect becomes a change of the catalogue's task, or a task of its own."""

import logging
from typing import Any
from uuid import UUID

from sqlalchemy.orm import Session

from db import audit, sync, tasks
from db.engine import Catalogue
from db.errors import CatalogueError
from db.specs import InvalidTask
from db.sync import Desired
from reconciler.clock import now
from reconciler.deployments import Facts, applied_document, as_task, observed, schedule_id
from reconciler.plan import AdoptEdit
from reconciler.prefect import MARKER, Prefect

log = logging.getLogger(__name__)


def adopt_edit(catalogue: Catalogue, action: AdoptEdit, deployment: dict[str, Any]) -> None:
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


def adopt_deletion(catalogue: Catalogue, prefect: Prefect, desired: Desired) -> None:
    if prefect.variable(MARKER) is None:
        return  # the whole database went, in the midst of this pass
    with catalogue.transaction() as session:
        if tasks.lock_version(session, desired.task_id) != desired.version:
            return
        tasks.delete_task(session, desired.task_id, actor=audit.PREFECT, now=now())
        sync.record_synced(session, desired.task_id, version=desired.version + 1, deployment_id=None, applied=None)


class CannotBeShown(CatalogueError):
    """A deployment cannot be said as a task; the message says why."""


def adopt(catalogue: Catalogue, deployment: dict[str, Any], flow: str) -> int:
    """A deployment that somebody else made becomes a task. Served flows, which have no work pool, stay theirs alone.

    Raises:
        CannotBeShown.
    """
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
            applied = applied_document(task, seen, schedule_id=schedule_id(deployment))
            sync.record_synced(session, task_id, version=1, deployment_id=UUID(deployment["id"]), applied=applied)
    except InvalidTask as error:
        raise CannotBeShown(f"Deployment {flow}/{deployment['name']} cannot be shown as a task: {error}") from error
    log.info("Deployment %s/%s is shown as task %s now", flow, deployment["name"], name)
    return 1


def _free_name(session: Session, seen: Facts) -> str | None:
    names = (seen["name"], f"{seen['flow']}/{seen['name']}")
    return next((name for name in names if tasks.task_by_name(session, name) is None), None)
