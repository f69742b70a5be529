"""Secrets: values that tasks name and workers alone get to see. Written here, never shown again."""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import delete, func, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from db import audit
from db.errors import BadSecret, SecretNotFound
from db.sealing import Sealer
from db.tables import Channel, Secret, Webhook

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,99}\Z")
LEAST, MOST = 4, 64 * 1024
"""Characters of a value. What is shorter could not be masked: it would be found everywhere."""


@dataclass(frozen=True, slots=True)
class Listed:
    """A secret without its value."""

    name: str
    updated_at: datetime
    updated_by: str
    used_by: int
    """How many tasks name it that are not in the trash."""


def put(session: Session, name: str, value: str, *, sealer: Sealer, actor: str, now: datetime) -> None:
    """Keeps the value under this name from now on.

    Raises:
        BadSecret: the name or the value is none.
    """
    if not NAME.match(name):
        raise BadSecret("name", "Use letters, digits and _, and begin with no digit.")
    if not LEAST <= len(value) <= MOST or "\0" in value:
        raise BadSecret("value", f"Use {LEAST} to {MOST:,} characters, and no NUL.")
    row = {"name": name, "sealed": sealer.seal(value), "updated_at": now, "updated_by": actor}
    query = insert(Secret).values(**row)
    session.execute(query.on_conflict_do_update(index_elements=[Secret.name], set_=row))
    audit.record(session, at=now, actor=actor, change="secret.set", details={"secret": name})


def remove(session: Session, name: str, *, actor: str, now: datetime) -> None:
    """Runs that need it fail from now on.

    Raises:
        SecretNotFound.
    """
    found = session.execute(delete(Secret).where(Secret.name == name).returning(Secret.name)).first()
    if found is None:
        raise SecretNotFound(name)
    audit.record(session, at=now, actor=actor, change="secret.removed", details={"secret": name})


def opened(session: Session, names: Collection[str], *, sealer: Sealer) -> Mapping[str, str]:
    """The values. For workers alone.

    Raises:
        SecretNotFound: one of them is not there.
        SecretsUnavailable: it cannot be opened here.
    """
    rows = session.execute(select(Secret.name, Secret.sealed).where(Secret.name.in_(sorted(names)))).all()
    found = {row.name: sealer.open(row.sealed) for row in rows}
    for name in sorted(names):
        if name not in found:
            raise SecretNotFound(name)
    return found


def reseal_all(session: Session, *, sealer: Sealer, actor: str, now: datetime) -> int:
    """Seals all that is sealed anew with the first key, so that the others can be thrown away; how many these are.

    Raises:
        SecretsUnavailable: one was sealed with a key that is not here.
    """
    rows = session.scalars(select(Secret).with_for_update()).all()
    for row in rows:
        row.sealed = sealer.reseal(row.sealed)
    hooks = session.scalars(select(Webhook).with_for_update()).all()
    for hook in hooks:
        hook.signing_key = sealer.reseal(hook.signing_key)
    channels = session.scalars(select(Channel).with_for_update()).all()
    for channel in channels:
        channel.address = sealer.reseal(channel.address)
    details = {"secrets": len(rows), "webhooks": len(hooks), "channels": len(channels)}
    audit.record(session, at=now, actor=actor, change="secret.keys_changed", details=details)
    return sum(details.values())


_USED_BY = text(
    "SELECT count(*) FROM tasks WHERE deleted_at IS NULL"
    " AND (spec -> 'action')::text LIKE '%${secret:' || replace(:name, '_', '\\_') || '}%'"
)


def list_secrets(session: Session) -> Sequence[Listed]:
    """In order of name, without their values."""
    rows = session.execute(
        select(Secret.name, Secret.updated_at, Secret.updated_by).order_by(func.lower(Secret.name), Secret.name)
    ).all()
    return [
        Listed(row.name, row.updated_at, row.updated_by, session.scalar(_USED_BY, {"name": row.name}) or 0)
        for row in rows
    ]
