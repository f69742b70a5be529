"""Parameters: what somebody gives one run in Prefect's page or by its CLI, instead of what its task has. Pure."""

from collections.abc import Mapping
from typing import Any

from db.specs import ATTEMPTS, AnyTask, FlowTask, as_document, parse_task


def as_asked(task: AnyTask, parameters: Mapping[str, Any]) -> AnyTask:
    """The task with the parameters of a run that was made in Prefect, which has merged them with the deployment's.

    Raises:
        InvalidTask: the task cannot have them.
    """
    document = as_document(task)
    if isinstance(task, FlowTask):
        return parse_task({**document, "action": {**document["action"], "parameters": dict(parameters)}})
    action = {name: value for name, value in parameters.items() if name not in ATTEMPTS}
    attempts = {name: parameters[name] for name in ATTEMPTS if name in parameters}
    return parse_task({**document, **attempts, "action": {**document["action"], **action}})
