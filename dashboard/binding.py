"""Where the dashboard may listen: not where others reach it, unless it can tell them apart. Pure."""

from collections.abc import Mapping

from db.access import MIN_PASSWORD
from db.hosts import is_loopback

PASSWORD = "DUETIME_PASSWORD"  # noqa: S105 - the name of the variable
PROVIDER = "DUETIME_OIDC_ISSUER"
"""Where people sign in, if not here."""
PUBLISHED_ON = "DUETIME_PUBLISHED_ON"
"""Where a container's port is published, if not on the address that the process listens on."""


class UnsafeBinding(Exception):
    """The address is reachable from elsewhere, and nothing protects it."""


def check_binding(host: str, environ: Mapping[str, str], *, has_way_in: bool) -> None:
    """Refuses an address that others reach, unless there is a password or another way to say who one is.

    Raises:
        UnsafeBinding: there is none, or the password is too short.
    """
    reached_at = environ.get(PUBLISHED_ON) or host
    password = environ.get(PASSWORD, "")
    if password and len(password) < MIN_PASSWORD:
        raise UnsafeBinding(f"{PASSWORD} is too short. Set it to at least {MIN_PASSWORD} characters.")
    if not password and not has_way_in and not is_loopback(reached_at):
        raise UnsafeBinding(
            f"Whoever reaches {reached_at or 'every address'} could run any command here. Make an admin with `duetime "
            f"account add`, set {PASSWORD} to at least {MIN_PASSWORD} characters, or listen on 127.0.0.1."
        )
