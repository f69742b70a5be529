"""What to do about one task, given what people want and what Prefect has. Pure: decisions here, actions elsewhere."""

from dataclasses import dataclass

from db.specs import AnyTask, InvalidTask
from db.sync import Desired
from reconciler.deployments import Facts, differing, edited, wanted


@dataclass(frozen=True, slots=True)
class Create:
    """Prefect does not have the task yet, or any more."""

    desired: Desired
    facts: Facts


@dataclass(frozen=True, slots=True)
class Update:
    """Prefect has it otherwise. `overruled` names what was edited in Prefect and is taken back."""

    desired: Desired
    facts: Facts
    changed: frozenset[str]
    overruled: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Replace:
    """It became a deployment of another flow, or got another name, which Prefect cannot change in place."""

    desired: Desired
    facts: Facts


@dataclass(frozen=True, slots=True)
class Delete:
    """The task is in the trash and Prefect still has it."""

    desired: Desired


@dataclass(frozen=True, slots=True)
class Confirm:
    """Prefect has exactly this version already: it only has to be noted."""

    desired: Desired


@dataclass(frozen=True, slots=True)
class AdoptEdit:
    """Somebody edited the deployment in Prefect, and nobody the task since: it becomes an edit of the task."""

    desired: Desired
    task: AnyTask
    changed: frozenset[str]


@dataclass(frozen=True, slots=True)
class AdoptDeletion:
    """Somebody deleted the deployment in Prefect, and nobody changed the task since: it goes to the trash."""

    desired: Desired


Action = Create | Update | Replace | Delete | Confirm | AdoptEdit | AdoptDeletion
IDENTITY = frozenset({"flow", "name"})


def plan(desired: Desired, seen: Facts | None) -> Action | None:
    """The one action that brings the two together; None where they agree."""
    if desired.deleted:
        return Delete(desired) if seen is not None else _confirm_if_behind(desired)
    facts = wanted(desired.task_id, desired.task, applied=desired.applied)
    if seen is None:
        return _missing(desired, facts)
    changed = frozenset(differing(facts, seen))
    if _behind(desired):
        return _bring_down(desired, facts, changed, _edited_in_prefect(desired, seen))
    drift = _edited_in_prefect(desired, seen)
    if not drift:
        return None
    return _bring_up(desired, facts, seen, changed, drift)


def _behind(desired: Desired) -> bool:
    return desired.synced_version != desired.version


def _confirm_if_behind(desired: Desired) -> Action | None:
    return Confirm(desired) if _behind(desired) else None


def _missing(desired: Desired, facts: Facts) -> Action:
    known = desired.deployment_id is not None
    return AdoptDeletion(desired) if known and not _behind(desired) else Create(desired, facts)


def _edited_in_prefect(desired: Desired, seen: Facts) -> frozenset[str]:
    """What differs from the facts that Prefect was given last."""
    applied = desired.applied
    if applied is None:
        return frozenset()
    return frozenset(name for name, value in seen.items() if name in applied and applied[name] != value)


def _bring_down(desired: Desired, facts: Facts, changed: frozenset[str], drift: frozenset[str]) -> Action:
    if not changed:
        return Confirm(desired)
    if changed & IDENTITY:
        return Replace(desired, facts)
    return Update(desired, facts, changed, overruled=drift & changed)


def _bring_up(desired: Desired, facts: Facts, seen: Facts, changed: frozenset[str], drift: frozenset[str]) -> Action:
    try:
        task = edited(desired.task, seen, set(drift))
    except InvalidTask:
        if changed & IDENTITY:
            return Replace(desired, facts)
        return Update(desired, facts, changed or drift, overruled=drift)
    return AdoptEdit(desired, task, drift)
