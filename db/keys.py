"""API keys: what programs come in with. A key is shown once, when it is made; what is kept is its hash."""

import hashlib
import secrets
from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID, uuid4

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from db import accounts, audit, key_owners
from db.access import Role, Visitor, check_rights
from db.errors import KeyNotFound, NotAllowed
from db.notifications import Topic, notify
from db.tables import Account, ApiKey

PREFIX = "duetime_"
"""By which whoever searches for leaked secrets knows one."""
HINT = len(PREFIX) + 4
USE_NOTED = timedelta(minutes=1)
"""The last use is known to so much."""


def make(
    session: Session,
    name: str,
    *,
    role: Role,
    tags: Sequence[str] | None = None,
    expires_at: datetime | None = None,
    maker: Visitor,
    actor: str,
    now: datetime,
) -> tuple[ApiKey, str]:
    """A new key, and the secret itself.

    Raises:
        NotAllowed: it would allow more than its maker is allowed, or have no owner where there are accounts.
        AdminWithTags.
    """
    check_rights(role, tags)
    maker.require(role)
    if maker.account_id is None and not key_owners.may_be_without(session):
        raise NotAllowed("A key belongs to an account. Sign in with your own, and make it there.")
    allowed = maker.limited_to(role, tags)
    secret = PREFIX + secrets.token_urlsafe(32)
    key = ApiKey(
        id=uuid4(),
        name=name,
        account_id=maker.account_id,
        role=role.value,
        tags=None if allowed.tags is None else sorted(allowed.tags),
        key_hash=_hash(secret),
        hint=secret[:HINT],
        created_at=now,
        expires_at=expires_at,
    )
    session.add(key)
    session.flush()
    audit.record(session, at=now, actor=actor, change="key.made", details=_details(key))
    return key, secret


def find(session: Session, secret: str, *, now: datetime) -> Visitor | None:
    """The program that has this key, with no more rights than the key's owner has by now; its use is noted.

    Without an owner it is good as long as there are no accounts.
    """
    row = session.execute(
        select(ApiKey, Account)
        .outerjoin(Account, Account.id == ApiKey.account_id)
        .where(ApiKey.key_hash == _hash(secret))
    ).first()
    if row is None or (row.ApiKey.expires_at is not None and row.ApiKey.expires_at <= now):
        return None
    if row.Account is None and accounts.there_are_any(session):
        return None
    key: ApiKey = row.ApiKey
    if key.used_at is None or key.used_at <= now - USE_NOTED:
        key.used_at = now
    program = Visitor(f"key:{key.name}", Role(key.role), None if key.tags is None else frozenset(key.tags))
    if row.Account is None:
        return program
    if row.Account.disabled:
        return None
    owner = accounts.visitor(row.Account)
    allowed = owner.limited_to(program.role, program.tags)
    return Visitor(program.name, allowed.role, allowed.tags, owner.account_id)


def revoke(session: Session, key_id: UUID, *, by: Visitor, actor: str, now: datetime) -> None:
    """Nobody comes in with it any more. Its owner may, and an admin.

    Raises:
        KeyNotFound.
    """
    key = session.get(ApiKey, key_id, with_for_update=True)
    if key is None or not _may_see(by, key):
        raise KeyNotFound
    session.delete(key)
    audit.record(session, at=now, actor=actor, change="key.revoked", details=_details(key))
    notify(session, [Topic.ACCESS])


def list_keys(session: Session, *, by: Visitor) -> Sequence[tuple[ApiKey, str | None]]:
    """The visitor's own, or all of them to an admin, each with its owner's name; in order of name."""
    query = select(ApiKey, Account.name).outerjoin(Account, Account.id == ApiKey.account_id)
    if by.role is not Role.ADMIN:
        query = query.where(ApiKey.account_id == by.account_id)
    rows = session.execute(query.order_by(func.lower(ApiKey.name), ApiKey.id)).all()
    return [(row.ApiKey, row.name) for row in rows]


def _may_see(by: Visitor, key: ApiKey) -> bool:
    return by.role is Role.ADMIN or (by.account_id is not None and by.account_id == key.account_id)


def _details(key: ApiKey) -> dict[str, object]:
    expires = key.expires_at.isoformat() if key.expires_at else None
    return {"key": key.name, "role": key.role, "tags": key.tags, "expires_at": expires}


def _hash(secret: str) -> bytes:
    return hashlib.sha256(secret.encode(errors="surrogateescape")).digest()
