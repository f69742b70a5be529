"""What is made once and kept in a file that only its owner may read: keys and passwords of the system's own."""

import base64
import json
import os
import secrets
from collections.abc import Callable
from pathlib import Path


def kept(path: Path, make: Callable[[], str]) -> str:
    """What the file has; made and written where there is none. Either all of it is there or nothing."""
    if not path.exists():
        new = path.with_name(f"{path.name}.{os.getpid()}")
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, "w") as file:
            file.write(f"{make()}\n")
            file.flush()
            os.fsync(file.fileno())
        new.rename(path)
    return path.read_text().strip()


def fernet_key() -> str:
    """A key for db.sealing, without the library that uses it: the supervisor is not to hold that in memory."""
    return base64.urlsafe_b64encode(os.urandom(32)).decode()


def password() -> str:
    """One that nobody has to type."""
    return secrets.token_urlsafe(32)


def prefect_auth() -> str:
    """Name and password, as Prefect's auth string has them."""
    return f"duetime:{secrets.token_urlsafe(24)}"


def prefect_profile(auth: str) -> str:
    """A profile of Prefect's, by which its server asks for this string, and its clients have it."""
    string = json.dumps(auth)  # which is one of TOML's, too
    names = ("PREFECT_API_AUTH_STRING", "PREFECT_SERVER_API_AUTH_STRING")
    return "\n".join(['active = "duetime"', "[profiles.duetime]", *(f"{name} = {string}" for name in names)])
