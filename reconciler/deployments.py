"""A task as a Prefect deployment, and back: pure functions between the two documents.

What both sides can say is a `Facts` document; a deployment that differs from the facts that we gave it was edited in
Prefect.
"""

from typing import Any, TypedDict
from uuid import UUID

from db.schedules import Cron, Once, ScheduleError, check_cron, check_zone
from db.specs import ATTEMPTS, TASK_LABEL, AnyTask, FlowTask, InvalidTask, as_document, parse_task
from db.states import Kind

SLUG = "duetime"
FOREIGN = "foreign"
"""The schedule of a deployment that we cannot say as one cron expression: Prefect alone follows it."""

ENTRYPOINTS = {Kind.SHELL: "flows.shell.shell", Kind.HTTP: "flows.http.http", Kind.PYTHON: "flows.python.python"}
_NOT_IN_NAMES = str.maketrans(dict.fromkeys('/%&><"', "-"))


class Facts(TypedDict):
    """What a task and its deployment agree on."""

    flow: str
    name: str
    entrypoint: str
    parameters: dict[str, Any]
    schedule: dict[str, str] | str | None
    paused: bool
    work_pool: str
    tags: list[str]
    description: str


def wanted(task_id: UUID, task: AnyTask, *, applied: dict[str, Any] | None = None) -> Facts:
    """What Prefect should have of a task.

    A deployment that somebody else made keeps the names that it was given, as long as the task keeps its own.
    """
    kept = applied or {}
    same_name = kept.get("task_name") == task.name
    same_flow = isinstance(task, FlowTask) and kept.get("task_entrypoint") == task.action.entrypoint
    return Facts(
        flow=kept["flow"] if same_flow else flow_name(task),
        name=kept["name"] if same_name else deployment_name(task_id, task.name),
        entrypoint=kept["entrypoint"] if same_flow else entrypoint(task),
        parameters=parameters(task),
        schedule=_cron_of(task),
        paused=task.paused,
        work_pool=task.work_pool,
        tags=list(task.tags),
        description=task.description,
    )


def applied_document(task: AnyTask, seen: Facts, *, schedule_id: str | None) -> dict[str, Any]:
    """What is kept of an agreement: the facts, and what the task called itself when they were true."""
    named = {"task_name": task.name, "schedule_id": schedule_id}
    schedule = task.schedule.value()
    if isinstance(schedule, Once):
        named["once_at"] = schedule.at.isoformat()
    if isinstance(task, FlowTask):
        named["task_entrypoint"] = task.action.entrypoint
    return {**seen, **named}


def deployment_name(task_id: UUID, name: str) -> str:
    """The task's name where Prefect takes it, else the nearest that it takes, made unique by the task's id."""
    safe = name.translate(_NOT_IN_NAMES)
    return name if safe == name else f"{safe}-{str(task_id)[:8]}"


def flow_name(task: AnyTask) -> str:
    """The flow that a deployment of this task belongs to; Prefect names flows after their functions."""
    if not isinstance(task, FlowTask):
        return str(task.kind)
    return task.action.entrypoint.replace(":", ".").rsplit(".", 1)[-1].replace("_", "-")


def entrypoint(task: AnyTask) -> str:
    """Where the flow is found, in Prefect's notation: an import path, unless it names a file."""
    if not isinstance(task, FlowTask):
        return ENTRYPOINTS[task.kind]
    path = task.action.entrypoint
    return path if ".py:" in path else path.replace(":", ".")


def parameters(task: AnyTask) -> dict[str, Any]:
    """What the flow is called with; for our own kinds, the action and how to attempt it."""
    if isinstance(task, FlowTask):
        return dict(task.action.parameters)
    action: dict[str, Any] = as_document(task)["action"]
    return action | {field: as_document(task)[field] for field in ATTEMPTS}


def _cron_of(task: AnyTask) -> dict[str, str] | None:
    schedule = task.schedule.value()
    return {"cron": schedule.cron, "timezone": schedule.timezone} if isinstance(schedule, Cron) else None


def observed(deployment: dict[str, Any], flow: str) -> Facts:
    """What Prefect has."""
    return Facts(
        flow=flow,
        name=deployment["name"],
        entrypoint=deployment["entrypoint"] or "",
        parameters=deployment["parameters"] or {},
        schedule=_schedule_in(deployment),
        paused=bool(deployment["paused"]) or _is_switched_off(deployment),
        work_pool=deployment["work_pool_name"] or "",
        tags=sorted(set(deployment["tags"] or [])),
        description=deployment["description"] or "",
    )


def _followed(deployment: dict[str, Any]) -> list[dict[str, Any]]:
    """The schedules that are active, or would be if they were not all switched off."""
    every: list[dict[str, Any]] = deployment["schedules"]
    return [entry for entry in every if entry["active"]] or every


def _is_switched_off(deployment: dict[str, Any]) -> bool:
    """In Prefect a deployment can be paused, and so can each of its schedules: all of them is the same to us."""
    return bool(deployment["schedules"]) and not any(entry["active"] for entry in deployment["schedules"])


def _schedule_in(deployment: dict[str, Any]) -> dict[str, str] | str | None:
    active = [entry["schedule"] for entry in _followed(deployment)]
    if not active:
        return None
    if len(active) > 1 or not active[0].get("cron"):
        return FOREIGN
    try:
        cron = check_cron(active[0]["cron"])
        return {"cron": cron, "timezone": check_zone(active[0].get("timezone") or "UTC")}
    except ScheduleError:
        return FOREIGN


def schedule_id(deployment: dict[str, Any]) -> str | None:
    """The id of the schedule that we follow, which is part of the keys of its runs."""
    followed = [entry["id"] for entry in _followed(deployment)]
    return str(followed[0]) if len(followed) == 1 else None


def new_document(task_id: UUID, facts: Facts, flow_id: UUID) -> dict[str, Any]:
    """The body that makes the deployment. Without pull steps it needs no storage; parameters were checked already."""
    return {
        "name": facts["name"],
        "flow_id": str(flow_id),
        "labels": {TASK_LABEL: str(task_id)},
        "pull_steps": [],
        "enforce_parameter_schema": False,
        **changes_document(facts, set(facts)),
    }


def changes_document(facts: Facts, changed: set[str]) -> dict[str, Any]:
    """The body of a PATCH that brings these facts to Prefect; schedules keep their slugs, and so their ids."""
    same_names = {"entrypoint", "parameters", "paused", "tags", "description"}
    body: dict[str, Any] = {name: value for name, value in facts.items() if name in changed & same_names}
    if "work_pool" in changed:
        body["work_pool_name"] = facts["work_pool"]
    schedule = facts["schedule"]
    if changed & {"schedule", "paused"} and isinstance(schedule, dict):
        body["schedules"] = [{"slug": SLUG, "active": True, "schedule": {**schedule, "day_or": True}}]
    return body


def differing(ours: Facts, theirs: Facts) -> set[str]:
    """The names of the facts on which the two differ. A manual task leaves a foreign schedule alone."""
    different = {name for name, value in ours.items() if theirs[name] != value}  # type: ignore[literal-required]
    if ours["schedule"] is None and theirs["schedule"] == FOREIGN:
        different.discard("schedule")
    return different


def as_task(facts: Facts, *, name: str) -> AnyTask:
    """The task that a deployment made by somebody else stands for.

    Raises:
        InvalidTask: it cannot be said as one.
    """
    kind, action, policy = _action_in(facts)
    schedule = facts["schedule"]
    followed = {"kind": "cron", **schedule} if isinstance(schedule, dict) else {"kind": "manual"}
    document = {
        "name": name,
        "description": facts["description"][:5000],
        "tags": facts["tags"],
        "kind": kind,
        "action": action,
        "schedule": followed,
        "work_pool": facts["work_pool"],
        "paused": facts["paused"],
        **policy,
    }
    return parse_task(document)


def _action_in(facts: Facts) -> tuple[Kind, dict[str, Any], dict[str, Any]]:
    path = facts["entrypoint"].replace("/", ".").replace(".py:", ".").replace(":", ".")
    given = facts["parameters"]
    for kind, own in ENTRYPOINTS.items():
        if path.endswith(own):
            policy = {field: given[field] for field in ATTEMPTS if field in given}
            return kind, {name: value for name, value in given.items() if name not in ATTEMPTS}, policy
    # How long a flow may take is its own affair, unless somebody says otherwise here.
    return Kind.FLOW, {"entrypoint": facts["entrypoint"], "parameters": given}, {"timeout_seconds": None}


def _both_repeat(*documents: dict[str, Any]) -> bool:
    return all(document["schedule"]["kind"] == "cron" for document in documents)


EDITABLE = {"parameters", "schedule", "paused", "tags", "description", "work_pool"}


def edited(task: AnyTask, theirs: Facts, changed: set[str]) -> AnyTask:
    """The task with what was changed in Prefect.

    Raises:
        InvalidTask: it cannot be said as a task.
    """
    document = as_document(task)
    as_seen = as_document(as_task(theirs, name=task.name))
    if not changed <= EDITABLE or theirs["schedule"] == FOREIGN or as_seen["kind"] != document["kind"]:
        raise InvalidTask([])
    if "parameters" in changed:
        document["action"] = as_seen["action"]
        if not isinstance(task, FlowTask):
            document |= {field: as_seen[field] for field in ATTEMPTS}
    for field in changed & {"paused", "tags", "description", "work_pool"}:
        document[field] = as_seen[field]
    if "schedule" in changed:
        # Prefect does not know of calendars.
        kept = document["schedule"] if _both_repeat(document, as_seen) else {}
        document["schedule"] = kept | as_seen["schedule"]
    return parse_task(document)
