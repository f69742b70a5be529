"""Accounts: who may come in, with a password or from an identity provider, and what they may do."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID, uuid4

from sqlalchemy import delete, exists, func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from db import audit, key_owners, passwords
from db.access import Role, Visitor, check_rights
from db.errors import AccountNameTaken, AccountNotFound, LastAdmin, WrongPassword
from db.notifications import Topic, notify
from db.tables import Account, SignIn

_ONE_AT_A_TIME = func.pg_advisory_xact_lock(0x61636373)


def add(
    session: Session,
    name: str,
    *,
    role: Role,
    tags: Sequence[str] | None = None,
    password: str | None = None,
    subject: str | None = None,
    by_provider: bool = False,
    actor: str,
    now: datetime,
) -> Account:
    """Lets somebody in: with a password, or as who the identity provider says they are.

    The first admin becomes the owner of the keys that have none.

    Raises:
        AccountNameTaken, AdminWithTags, WeakPassword.
    """
    check_rights(role, tags)
    account = Account(
        id=uuid4(),
        name=name,
        role=role.value,
        tags=None if tags is None else sorted(tags),
        password_hash=None if password is None else passwords.hashed(password),
        subject=subject,
        role_by_provider=by_provider,
        disabled=False,
        created_at=now,
    )
    try:
        with session.begin_nested():
            session.add(account)
    except IntegrityError:
        raise AccountNameTaken(name) from None
    _record(session, "account.added", account, actor=actor, now=now)
    _give_keys(session, account, actor=actor, now=now)
    return account


def change(
    session: Session,
    account_id: UUID,
    *,
    role: Role,
    tags: Sequence[str] | None,
    disabled: bool,
    actor: str,
    now: datetime,
) -> Account:
    """Says what somebody may do from now on. Who is disabled is out at once.

    Raises:
        AccountNotFound, AdminWithTags, LastAdmin.
    """
    check_rights(role, tags)
    account = _locked(session, account_id)
    account.role_by_provider = account.role_by_provider and account.role == role
    account.role, account.tags, account.disabled = role.value, None if tags is None else sorted(tags), disabled
    if disabled:
        session.execute(delete(SignIn).where(SignIn.account_id == account_id))
    _check_that_an_admin_is_left(session)
    _record(session, "account.changed", account, actor=actor, now=now)
    _give_keys(session, account, actor=actor, now=now)
    return account


def follow_provider(
    session: Session, account_id: UUID, *, role: Role, said: bool, actor: str, now: datetime
) -> Account:
    """Gives somebody the role that the identity provider says, or, where it says none, what is left without it.

    The last admin may go so: who is one is said there. Who is limited to some tags becomes an editor at most.

    Raises:
        AccountNotFound.
    """
    account = _locked(session, account_id)
    role = Role.EDITOR if role is Role.ADMIN and account.tags is not None else role
    if (account.role, account.role_by_provider) == (role, said):
        return account
    account.role, account.role_by_provider = role.value, said
    session.flush()
    _record(session, "account.changed", account, actor=actor, now=now)
    _give_keys(session, account, actor=actor, now=now)
    return account


def set_password(session: Session, account_id: UUID, password: str, *, actor: str, now: datetime) -> None:
    """Gives somebody another password, and ends all that was signed in with the one before.

    Raises:
        AccountNotFound, WeakPassword.
    """
    account = _locked(session, account_id)
    account.password_hash = passwords.hashed(password)
    session.execute(delete(SignIn).where(SignIn.account_id == account_id))
    _record(session, "account.password_set", account, actor=actor, now=now)


def change_own_password(
    session: Session, me: Visitor, current: str, password: str, *, actor: str, now: datetime
) -> None:
    """Gives the visitor another password, who knows the one before.

    Raises:
        WrongPassword, WeakPassword.
    """
    account = verified(session, me.name, current)
    if account is None or account.id != me.account_id:
        raise WrongPassword
    set_password(session, account.id, password, actor=actor, now=now)


def remove(session: Session, account_id: UUID, *, actor: str, now: datetime) -> None:
    """Takes somebody's account away, with their keys and everything that is signed in. What they did stays known.

    Raises:
        AccountNotFound, LastAdmin.
    """
    account = _locked(session, account_id)
    session.delete(account)
    session.flush()
    _check_that_an_admin_is_left(session)
    _record(session, "account.removed", account, actor=actor, now=now)


def verified(session: Session, name: str, password: str) -> Account | None:
    """The account that has this name and this password and is not disabled.

    It takes as long where there is no such account.

    Raises:
        TryAgainLater: too many passwords are checked at this moment.
    """
    account = session.scalars(select(Account).where(func.lower(Account.name) == name.lower())).first()
    known = account.password_hash if account is not None else None
    if not passwords.is_right(password, known) or account is None or known is None or account.disabled:
        return None
    if passwords.is_outdated(known):
        account.password_hash = passwords.hashed_again(password)
    return account


def of_subject(session: Session, subject: str) -> Account | None:
    """The account of whom the identity provider calls so."""
    return session.scalars(select(Account).where(Account.subject == subject)).first()


def by_name(session: Session, name: str) -> Account:
    """Raises:
    AccountNotFound.
    """
    account = session.scalars(select(Account).where(func.lower(Account.name) == name.lower())).first()
    if account is None:
        raise AccountNotFound
    return account


def list_accounts(session: Session) -> Sequence[Account]:
    """In order of name."""
    return session.scalars(select(Account).order_by(func.lower(Account.name))).all()


def there_are_any(session: Session) -> bool:
    """Whether people have to say who they are."""
    return bool(session.scalar(select(exists().where(Account.id.is_not(None)))))


def there_is_an_admin(session: Session) -> bool:
    return bool(session.scalar(select(exists().where(Account.role == Role.ADMIN, ~Account.disabled))))


def visitor(account: Account) -> Visitor:
    """The account as somebody at a door."""
    return Visitor(account.name, Role(account.role), _set(account.tags), account.id)


def _set(tags: Sequence[str] | None) -> frozenset[str] | None:
    return None if tags is None else frozenset(tags)


def _locked(session: Session, account_id: UUID) -> Account:
    # One change at a time: or two admins could take each other's role at the same moment.
    session.execute(select(_ONE_AT_A_TIME))
    account = session.get(Account, account_id, with_for_update=True, populate_existing=True)
    if account is None:
        raise AccountNotFound
    return account


def _check_that_an_admin_is_left(session: Session) -> None:
    session.flush()
    if there_are_any(session) and not there_is_an_admin(session):
        raise LastAdmin


def _give_keys(session: Session, account: Account, *, actor: str, now: datetime) -> None:
    if account.role == Role.ADMIN and not account.disabled:
        key_owners.give_to(session, account, actor=actor, now=now)


def _record(session: Session, change: str, account: Account, *, actor: str, now: datetime) -> None:
    details = {"account": account.name, "role": account.role, "tags": account.tags, "disabled": account.disabled}
    audit.record(session, at=now, actor=actor, change=change, details=details)
    notify(session, [Topic.ACCESS])
