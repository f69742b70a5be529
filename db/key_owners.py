"""Whose API keys are that somebody made before there was any account: the first admin's, as soon as there is one.

A key may do no more than its owner. One without an owner opens nothing where there are accounts.
"""

from datetime import datetime

from sqlalchemy import exists, func, select, update
from sqlalchemy.orm import Session

from db import audit
from db.tables import Account, ApiKey

_ONE_AT_A_TIME = func.pg_advisory_xact_lock(0x6B657973)


def without_owner(session: Session) -> int:
    """How many keys become the first admin's."""
    return session.scalar(select(func.count()).where(ApiKey.account_id.is_(None))) or 0


def may_be_without(session: Session) -> bool:
    """Whether a key needs no owner: nobody has an account, and until the end of this transaction nobody gets one."""
    session.execute(select(_ONE_AT_A_TIME))
    return not session.scalar(select(exists().where(Account.id.is_not(None))))


def give_to(session: Session, admin: Account, *, actor: str, now: datetime) -> None:
    """The keys without an owner are this admin's from now on."""
    session.execute(select(_ONE_AT_A_TIME))
    given = update(ApiKey).where(ApiKey.account_id.is_(None)).values(account_id=admin.id).returning(ApiKey.name)
    for name in sorted(session.scalars(given)):
        audit.record(session, at=now, actor=actor, change="key.given", details={"key": name, "account": admin.name})
