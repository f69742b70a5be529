"""The environment of what a task starts: little of the worker's, so that no key or database URL gets out."""

import os
from collections.abc import Mapping

from flows.attempts import Attempt

INHERITED = frozenset(
    {"PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "TZ", "TMPDIR", "SSL_CERT_FILE", "SSL_CERT_DIR"}
)
_FOR_PYTHON = frozenset({"PYTHONPATH", "VIRTUAL_ENV"})
_OF_PREFECT_SERVER = ("PREFECT_SERVER_", "PREFECT_API_DATABASE_")
_DEFAULT_PATH = "/usr/local/bin:/usr/bin:/bin"


def for_shell(attempt: Attempt, own: Mapping[str, str]) -> dict[str, str]:
    """What a command gets: `own` is its action's, and what it is told of its task wins."""
    return {"PATH": _DEFAULT_PATH, **_inherited(INHERITED), **own, **attempt.environment()}


def for_python(attempt: Attempt) -> dict[str, str]:
    """What a function gets."""
    return {"PATH": _DEFAULT_PATH, **_inherited(INHERITED | _FOR_PYTHON), **attempt.environment()}


def for_flow(attempt: Attempt, *, with_catalogue: bool) -> dict[str, str]:
    """What a flow gets: Prefect's settings besides."""
    catalogue = _inherited(frozenset({"DUETIME_DATABASE_URL"})) if with_catalogue else {}
    return for_python(attempt) | _prefect() | catalogue


def of_zygote() -> dict[str, str]:
    """What the zygote starts with: a child's /proc shows it, whatever the child is given later."""
    return {"PATH": _DEFAULT_PATH, **_inherited(INHERITED | _FOR_PYTHON)}


def of_flow_zygote() -> dict[str, str]:
    """The same for flows: Prefect reads its settings when it is imported."""
    return of_zygote() | _prefect()


def _prefect() -> dict[str, str]:
    """The settings of Prefect's client; those of its server hold the password of its database."""
    return {
        name: value
        for name, value in os.environ.items()
        if name.startswith("PREFECT_") and not name.startswith(_OF_PREFECT_SERVER)
    }


def _inherited(names: frozenset[str]) -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name in names or name.startswith("LC_")}
