"""Sign-ins: the browsers that somebody signed in with. What a browser has is kept as a hash only."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import delete, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from db import accounts, audit
from db.access import Role, Visitor
from db.notifications import Topic, notify
from db.tables import Account, Invitation, SignIn
from db.tokens import new_token, token_hash

LASTS = timedelta(days=7)


def begin(session: Session, account: Account, *, address: str, now: datetime) -> str:
    """The token that the browser of this account keeps from now on."""
    account.signed_in_at = now
    return _begin(session, account.name, account_id=account.id, password="", address=address, now=now)


def begin_with_password(session: Session, name: str, *, password: str, address: str, now: datetime) -> str:
    """The same for whoever knows the password of the installation. It is good until that is another one."""
    return _begin(session, name, account_id=None, password=password, address=address, now=now)


def _begin(session: Session, name: str, *, account_id: UUID | None, password: str, address: str, now: datetime) -> str:
    session.execute(delete(SignIn).where(SignIn.expires_at <= now))
    token = new_token()
    kept = {"token_hash": token_hash(token, password), "account_id": account_id, "name": name, "address": address}
    session.execute(insert(SignIn).values(**kept, created_at=now, expires_at=now + LASTS))
    audit.record(session, at=now, actor=f"dashboard:{name}", change="account.signed_in")
    return token


def find(session: Session, token: str, *, password: str, now: datetime) -> Visitor | None:
    """Who signed in with it; None where it is not known, is over, or whoever it was may not come in any more."""
    hashes = [token_hash(token), *([token_hash(token, password)] if password else [])]
    row = session.execute(
        select(SignIn, Account)
        .outerjoin(Account, Account.id == SignIn.account_id)
        .where(SignIn.token_hash.in_(hashes), SignIn.expires_at > now)
    ).first()
    if row is None:
        return None
    if row.SignIn.account_id is None:
        return Visitor(row.SignIn.name, Role.ADMIN)
    return None if row.Account.disabled else accounts.visitor(row.Account)


def end(session: Session, token: str, *, password: str) -> None:
    """Nobody comes in with it any more."""
    session.execute(delete(SignIn).where(SignIn.token_hash.in_([token_hash(token), token_hash(token, password)])))
    notify(session, [Topic.ACCESS])


def of_account(session: Session, account_id: UUID, *, now: datetime) -> Sequence[SignIn]:
    """Where somebody is signed in, the newest first."""
    mine = select(SignIn).where(SignIn.account_id == account_id, SignIn.expires_at > now)
    return session.scalars(mine.order_by(SignIn.created_at.desc())).all()


def is_invited(session: Session, token: str, *, now: datetime) -> bool:
    """Whether the link is still good: in its time, unused, and nobody made an account meanwhile."""
    found = session.get(Invitation, token_hash(token))
    return found is not None and found.expires_at > now and not accounts.there_are_any(session)


def accept(session: Session, token: str, name: str, *, password: str, now: datetime) -> Account | None:
    """Makes the first account, an admin's, with the link; None where the link is void.

    Raises:
        AccountNameTaken, WeakPassword.
    """
    good = Invitation.token_hash == token_hash(token), Invitation.expires_at > now
    used = session.execute(delete(Invitation).where(*good).returning(Invitation.token_hash)).first()
    if used is None or accounts.there_are_any(session):
        return None
    return accounts.add(session, name, role=Role.ADMIN, password=password, actor=f"dashboard:{name}", now=now)
