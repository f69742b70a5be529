"""Sealing: secrets are kept encrypted, by Fernet of the library cryptography. The keys are not in the catalogue."""

import os
import stat
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from db.errors import SecretsUnavailable

KEYS, KEY_FILE = "DUETIME_SECRET_KEYS", "DUETIME_SECRET_KEY_FILE"
_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_CURE = f"Set {KEY_FILE} to a file that only its owner may read, or {KEYS}, the same for the dashboard and all workers."


class Sealer:
    """Seals with the first key, and opens with any."""

    def __init__(self, keys: Sequence[str]) -> None:
        try:
            self._fernet = MultiFernet([Fernet(key) for key in keys])
        except ValueError as error:
            raise SecretsUnavailable(f"A key of {KEYS} or {KEY_FILE} is none of Fernet's: {error}") from None

    def seal(self, value: str) -> bytes:
        return self._fernet.encrypt(value.encode())

    def open(self, sealed: bytes) -> str:
        """Raises:
        SecretsUnavailable: it was sealed with a key that is not here.
        """
        try:
            return self._fernet.decrypt(sealed).decode()
        except InvalidToken:
            raise SecretsUnavailable(f"A secret was sealed with a key that is not here. {_CURE}") from None

    def reseal(self, sealed: bytes) -> bytes:
        """With the first key.

        Raises:
            SecretsUnavailable: it was sealed with a key that is not here.
        """
        try:
            return self._fernet.rotate(sealed)
        except InvalidToken:
            raise SecretsUnavailable(f"A secret was sealed with a key that is not here. {_CURE}") from None


def new_key() -> str:
    return Fernet.generate_key().decode()


def sealer() -> Sealer:
    """With the keys that the environment names.

    Raises:
        SecretsUnavailable: there are none, or others may read them.
    """
    return _sealer(keys_in(os.environ))


@lru_cache(maxsize=4)
def _sealer(keys: tuple[str, ...]) -> Sealer:
    return Sealer(keys)


def keys_in(environ: Mapping[str, str]) -> tuple[str, ...]:
    """The keys that are named, the first of which seals; separated by commas, or by lines in a file.

    Raises:
        SecretsUnavailable: there are none, or others may read them.
    """
    found = environ.get(KEYS, "") or _read(environ.get(KEY_FILE, ""))
    keys = tuple(key for each in found.replace("\n", ",").split(",") if (key := each.strip()))
    if not keys:
        raise SecretsUnavailable(f"There is no key for secrets. {_CURE}")
    return keys


def _read(name: str) -> str:
    if not name:
        return ""
    path = Path(name)
    try:
        if path.stat().st_mode & _OTHERS:
            raise SecretsUnavailable(f"Others may read {path}. Take that away: chmod 600 {path}")
        return path.read_text()
    except OSError as error:
        raise SecretsUnavailable(f"The keys of secrets cannot be read: {error}. {_CURE}") from None
