"""Keys that were made before there was any account: whose they become, and that none of them opens without an owner."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest
from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from db import accounts, key_owners, keys, sign_ins
from db.access import Role, Visitor
from db.engine import Catalogue
from db.errors import NotAllowed
from db.migrations import versions
from db.tables import Account, ApiKey, AuditEntry, Invitation
from db.tokens import token_hash
from tests.db.conftest import NOW
from tests.waiting import wait_until

PASSWORD = "correct horse battery"
ANYBODY = Visitor("", Role.ADMIN)
WITH_PASSWORD = Visitor("root", Role.ADMIN)
"""Whoever knows the password of the installation."""


def add(session: Session, name: str, role: Role = Role.ADMIN) -> Account:
    return accounts.add(session, name, role=role, password=PASSWORD, actor="root", now=NOW)


def made(session: Session, name: str = "deploy", maker: Visitor = ANYBODY) -> str:
    """The secret of an admin's key."""
    return keys.make(session, name, role=Role.ADMIN, maker=maker, actor="root", now=NOW)[1]


def opens(session: Session, secret: str) -> tuple[Role, UUID | None] | None:
    """As what somebody comes in with the key, and by whose rights."""
    found = keys.find(session, secret, now=NOW)
    return None if found is None else (found.role, found.account_id)


@pytest.mark.parametrize("maker", [ANYBODY, WITH_PASSWORD])
def test_they_become_the_first_admins_and_end_with_them(session: Session, maker: Visitor) -> None:
    secrets = [made(session, name, maker) for name in ("deploy", "backup")]
    assert [opens(session, secret) for secret in secrets] == [(Role.ADMIN, None)] * 2
    assert key_owners.without_owner(session) == 2
    ada = add(session, "ada")
    assert [opens(session, secret) for secret in secrets] == [(Role.ADMIN, ada.id)] * 2
    add(session, "ben")
    given = select(AuditEntry.details).where(AuditEntry.change == "key.given").order_by(AuditEntry.id)
    assert session.scalars(given).all() == [{"key": name, "account": "ada"} for name in ("backup", "deploy")]
    change = {"tags": None, "disabled": False, "actor": "ben", "now": NOW}
    accounts.change(session, ada.id, role=Role.VIEWER, **change)  # type: ignore[arg-type]
    assert [opens(session, secret) for secret in secrets] == [(Role.VIEWER, ada.id)] * 2
    accounts.remove(session, ada.id, actor="ben", now=NOW)
    session.expire_all()
    assert [opens(session, secret) for secret in secrets] == [None, None]


def by_link(session: Session) -> None:
    session.add(Invitation(token_hash=token_hash("a link"), expires_at=NOW + timedelta(hours=1)))
    session.flush()
    assert sign_ins.accept(session, "a link", "ada", password=PASSWORD, now=NOW) is not None


def by_change(session: Session) -> None:
    ada = add(session, "ada", Role.VIEWER)
    accounts.change(session, ada.id, role=Role.ADMIN, tags=None, disabled=False, actor="root", now=NOW)


@pytest.mark.parametrize("first", [by_link, by_change, lambda session: add(session, "ada")])
def test_however_the_first_admin_comes_to_be(session: Session, first: Callable[[Session], object]) -> None:
    secret = made(session)
    first(session)
    ada = accounts.by_name(session, "ada")
    assert opens(session, secret) == (Role.ADMIN, ada.id)


@pytest.mark.parametrize("role", [role for role in Role if role is not Role.ADMIN])
def test_without_an_owner_a_key_opens_nothing_where_there_are_accounts(session: Session, role: Role) -> None:
    secret = made(session)
    add(session, "ben", role)
    assert opens(session, secret) is None
    ada = add(session, "ada")
    assert opens(session, secret) == (Role.ADMIN, ada.id)


@pytest.mark.parametrize("maker", [ANYBODY, WITH_PASSWORD])
def test_where_there_are_accounts_nobody_makes_a_key_without_an_owner(session: Session, maker: Visitor) -> None:
    ada = add(session, "ada")
    with pytest.raises(NotAllowed, match="belongs to an account"):
        made(session, maker=maker)
    assert opens(session, made(session, maker=accounts.visitor(ada))) == (Role.ADMIN, ada.id)
    assert key_owners.without_owner(session) == 0


def test_a_key_that_is_made_while_the_first_account_is_becomes_theirs(catalogue: Catalogue) -> None:
    waiting = select(func.count()).select_from(text("pg_locks")).where(text("locktype = 'advisory' AND NOT granted"))

    def first() -> None:
        with catalogue.transaction() as session:
            add(session, "ada")

    def is_waited_for() -> bool:
        with catalogue.transaction() as session:
            return bool(session.scalar(waiting))

    with ThreadPoolExecutor(1) as thread:
        with catalogue.transaction() as session:
            secret = made(session)
            adding = thread.submit(first)
            wait_until(is_waited_for, "the account to wait for the key")
        adding.result(20)
    with catalogue.transaction() as session:
        assert opens(session, secret) == (Role.ADMIN, accounts.by_name(session, "ada").id)


def test_those_of_before_are_given_to_the_oldest_admin_once(session: Session) -> None:
    secret = made(session)
    migration = (Path(str(versions.__path__[0])) / "0014_key_owners.sql").read_text()
    session.execute(text(migration))
    assert session.scalars(select(ApiKey.account_id)).all() == [None]
    ada = add(session, "ada")
    session.execute(text("UPDATE api_keys SET account_id = NULL"))
    session.execute(text(migration))
    session.execute(text(migration))
    session.expire_all()
    assert opens(session, secret) == (Role.ADMIN, ada.id)
    given = select(func.count()).where(AuditEntry.change == "key.given", AuditEntry.actor == "duetime")
    assert session.scalar(given) == 1
