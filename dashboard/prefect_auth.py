"""Prefect's auth string, as people hear of it: who needs it, and where it is. Pure."""

import shlex

AUTH_FILE = "DUETIME_PREFECT_AUTH_FILE"
"""The variable that names the file."""
WHO_NEEDS_IT = (
    "From the first account on Prefect asks for its auth string. What runs here has it; workers on other machines, "
    "the prefect CLI and people on Prefect's page need it:"
)


def how_to_have_it(file: str) -> str:
    """A line for a shell."""
    where = f'"$(cat {shlex.quote(file)})"' if file else "...  # what Prefect's server was started with"
    return f"export PREFECT_API_AUTH_STRING={where}"
