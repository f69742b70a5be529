"""What a task does, as text to be read. Values that may be secrets stay hidden. Pure."""

import json

from db.actions import FlowAction, HttpAction, PythonAction, ShellAction
from db.specs import AnyTask

TITLES = {"shell": "Command", "http": "Request", "python": "Python function", "flow": "Prefect flow"}


def title(task: AnyTask) -> str:
    """What kind of thing the text below is."""
    return TITLES[task.kind]


def text(task: AnyTask) -> str:
    """The command, the request, or the call."""
    match task.action:
        case ShellAction() as action:
            return action.command
        case HttpAction() as action:
            return _request(action)
        case PythonAction() as action:
            return _call(action.callable, action.kwargs)
        case FlowAction() as action:
            return _call(action.entrypoint, action.parameters)


def details(task: AnyTask) -> dict[str, str]:
    """What else there is to know about it, by name; of variables and headers only the names."""
    found: dict[str, str] = {}
    if isinstance(task.action, ShellAction):
        found["Directory"] = task.action.cwd or ""
        found["Variables"] = ", ".join(task.action.env)
        found["Success exit codes"] = ", ".join(map(str, task.action.success_exit_codes))
    if isinstance(task.action, HttpAction):
        found["Headers"] = ", ".join(task.action.headers)
        found["Expected status"] = task.action.expect_status
    return {name: value for name, value in found.items() if value}


def _request(action: HttpAction) -> str:
    line = f"{action.method} {action.url}"
    if action.json_body is not None:
        return f"{line}\n\n{json.dumps(action.json_body, indent=2, ensure_ascii=False)}"
    return f"{line}\n\n{action.body}" if action.body else line


def _call(path: str, arguments: object) -> str:
    return f"{path}\n{json.dumps(arguments, indent=2, ensure_ascii=False)}" if arguments else path
