"""Accounts, the browsers and the programs that come in, and what becomes of them when rights change."""

from datetime import timedelta

import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from cli.doors import invitation, there_is_an_admin
from db import accounts, keys, sign_ins
from db.access import Role, Visitor
from db.engine import Catalogue
from db.errors import (
    AccountNameTaken,
    AdminWithTags,
    KeyNotFound,
    LastAdmin,
    NotAllowed,
    WeakPassword,
    WrongPassword,
)
from db.tables import Account, ApiKey, AuditEntry, SignIn
from tests.db.conftest import NOW

PASSWORD = "correct horse battery"
HERE = "10.0.0.7"
ROOT = Visitor("", Role.ADMIN)


def add(session: Session, name: str, role: Role = Role.ADMIN, tags: list[str] | None = None) -> Account:
    return accounts.add(session, name, role=role, tags=tags, password=PASSWORD, actor="root", now=NOW)


def signed_in(session: Session, account: Account) -> str:
    return sign_ins.begin(session, account, address=HERE, now=NOW)


def found(session: Session, token: str, *, password: str = "", later: timedelta = timedelta()) -> Visitor | None:
    return sign_ins.find(session, token, password=password, now=NOW + later)


def test_a_password_is_kept_as_argon2id_and_nowhere_else(session: Session) -> None:
    account = add(session, "Ada")
    assert account.password_hash is not None
    assert account.password_hash.startswith("$argon2id$")
    session.flush()
    assert PASSWORD not in str(session.execute(select(AuditEntry.details)).all())
    assert accounts.verified(session, "ada", PASSWORD) is account
    assert accounts.verified(session, "Ada", f"{PASSWORD}!") is None
    assert accounts.verified(session, "nobody", PASSWORD) is None


@pytest.mark.parametrize("password", ["", "short", "x" * 1001])
def test_a_password_has_a_length(session: Session, password: str) -> None:
    with pytest.raises(WeakPassword):
        accounts.add(session, "ada", role=Role.ADMIN, password=password, actor="root", now=NOW)


def test_a_name_is_one_persons_however_it_is_written(session: Session) -> None:
    add(session, "Ada")
    with pytest.raises(AccountNameTaken):
        add(session, "ADA")
    assert len(accounts.list_accounts(session)) == 1


def test_the_last_admin_stays_one(session: Session) -> None:
    ada, ben = add(session, "ada"), add(session, "ben", Role.EDITOR)
    change = {"tags": None, "actor": "ada", "now": NOW}
    with pytest.raises(LastAdmin):
        accounts.change(session, ada.id, role=Role.EDITOR, disabled=False, **change)  # type: ignore[arg-type]
    session.refresh(ada)
    session.expire_all()
    accounts.change(session, ben.id, role=Role.ADMIN, disabled=False, **change)  # type: ignore[arg-type]
    accounts.change(session, ada.id, role=Role.EDITOR, disabled=False, **change)  # type: ignore[arg-type]
    with pytest.raises(LastAdmin):
        accounts.remove(session, ben.id, actor="ben", now=NOW)


def test_an_admin_is_not_limited_to_tags(session: Session) -> None:
    with pytest.raises(AdminWithTags):
        add(session, "ada", Role.ADMIN, ["ops"])
    with pytest.raises(IntegrityError), session.begin_nested():
        session.execute(
            text(
                "INSERT INTO accounts (id, name, role, tags, password_hash, created_at)"
                " VALUES (gen_random_uuid(), 'x', 'admin', '{ops}', 'x', now())"
            )
        )


def test_what_a_browser_has_is_kept_as_a_hash_and_ends_in_time(session: Session) -> None:
    account = add(session, "ada")
    token = signed_in(session, account)
    assert found(session, token) == Visitor("ada", Role.ADMIN, None, account.id)
    assert token.encode() not in session.scalars(select(SignIn.token_hash)).all()
    assert found(session, token, later=sign_ins.LASTS) is None
    assert found(session, f"{token}x") is None
    sign_ins.end(session, token, password="")
    assert found(session, token) is None


def test_rights_count_as_they_are_now(session: Session) -> None:
    add(session, "ada")
    ben = add(session, "ben", Role.EDITOR)
    token = signed_in(session, ben)
    accounts.change(session, ben.id, role=Role.VIEWER, tags=["ops"], disabled=False, actor="ada", now=NOW)
    assert found(session, token) == Visitor("ben", Role.VIEWER, frozenset({"ops"}), ben.id)
    accounts.change(session, ben.id, role=Role.VIEWER, tags=None, disabled=True, actor="ada", now=NOW)
    assert found(session, token) is None
    assert accounts.verified(session, "ben", PASSWORD) is None


def test_another_password_ends_what_was_signed_in_with_the_one_before(session: Session) -> None:
    ada = add(session, "ada")
    token = signed_in(session, ada)
    me = accounts.visitor(ada)
    with pytest.raises(WrongPassword):
        accounts.change_own_password(session, me, "not the password", f"{PASSWORD}!", actor="ada", now=NOW)
    accounts.change_own_password(session, me, PASSWORD, f"{PASSWORD}!", actor="ada", now=NOW)
    assert found(session, token) is None
    assert accounts.verified(session, "ada", f"{PASSWORD}!") is ada


def test_a_sign_in_with_the_installations_password_is_good_until_that_changes(session: Session) -> None:
    token = sign_ins.begin_with_password(session, "ada", password=PASSWORD, address=HERE, now=NOW)
    assert found(session, token, password=PASSWORD) == Visitor("ada", Role.ADMIN)
    assert found(session, token, password=f"{PASSWORD}!") is None
    assert found(session, token) is None


def test_a_key_is_shown_once_and_found_by_its_hash(session: Session) -> None:
    key, secret = keys.make(session, "deploy", role=Role.EDITOR, maker=ROOT, actor="root", now=NOW)
    assert secret.startswith("duetime_")
    assert secret.encode() not in session.scalars(select(ApiKey.key_hash)).all()
    assert keys.find(session, secret, now=NOW) == Visitor("key:deploy", Role.EDITOR)
    assert key.used_at == NOW
    keys.find(session, secret, now=NOW + timedelta(seconds=1))
    assert key.used_at == NOW
    keys.find(session, secret, now=NOW + timedelta(minutes=2))
    assert key.used_at == NOW + timedelta(minutes=2)
    keys.revoke(session, key.id, by=ROOT, actor="root", now=NOW)
    session.flush()
    assert keys.find(session, secret, now=NOW) is None


def test_a_key_ends_in_time(session: Session) -> None:
    given = {"role": Role.VIEWER, "expires_at": NOW + timedelta(days=1), "maker": ROOT, "actor": "root", "now": NOW}
    _, secret = keys.make(session, "short", **given)  # type: ignore[arg-type]
    assert keys.find(session, secret, now=NOW + timedelta(hours=23)) is not None
    assert keys.find(session, secret, now=NOW + timedelta(days=1)) is None


def test_a_key_allows_no_more_than_its_owner_may_by_now(session: Session) -> None:
    add(session, "ada")
    ben = add(session, "ben", Role.EDITOR, ["ops", "web"])
    maker = accounts.visitor(ben)
    with pytest.raises(NotAllowed):
        keys.make(session, "too much", role=Role.ADMIN, maker=maker, actor="ben", now=NOW)
    given = {"maker": maker, "actor": "ben", "now": NOW}
    key, secret = keys.make(session, "mine", role=Role.EDITOR, tags=["ops", "shop"], **given)  # type: ignore[arg-type]
    assert key.tags == ["ops"]
    change = {"tags": ["web"], "disabled": False, "actor": "ada", "now": NOW}
    accounts.change(session, ben.id, role=Role.OPERATOR, **change)  # type: ignore[arg-type]
    program = keys.find(session, secret, now=NOW)
    assert program == Visitor("key:mine", Role.OPERATOR, frozenset(), ben.id)
    accounts.remove(session, ben.id, actor="ada", now=NOW)
    session.expire_all()
    assert keys.find(session, secret, now=NOW) is None


def test_a_key_is_revoked_by_its_owner_or_an_admin_and_seen_by_nobody_else(session: Session) -> None:
    ada, ben, cleo = add(session, "ada"), add(session, "ben", Role.EDITOR), add(session, "cleo", Role.EDITOR)
    given = {"role": Role.VIEWER, "maker": accounts.visitor(ben), "actor": "ben", "now": NOW}
    key, _ = keys.make(session, "mine", **given)  # type: ignore[arg-type]
    assert [one.name for one, _ in keys.list_keys(session, by=accounts.visitor(cleo))] == []
    with pytest.raises(KeyNotFound):
        keys.revoke(session, key.id, by=accounts.visitor(cleo), actor="cleo", now=NOW)
    assert [(one.name, owner) for one, owner in keys.list_keys(session, by=accounts.visitor(ada))] == [("mine", "ben")]
    keys.revoke(session, key.id, by=accounts.visitor(ada), actor="ada", now=NOW)


def test_the_first_account_is_made_by_a_link_once(catalogue: Catalogue) -> None:
    assert not there_is_an_admin(catalogue.url)
    void, token = invitation(catalogue.url), invitation(catalogue.url)
    assert void is not None
    assert token is not None
    with catalogue.transaction() as session:
        assert not sign_ins.is_invited(session, void, now=NOW - timedelta(days=60))
        assert sign_ins.is_invited(session, token, now=NOW - timedelta(days=60))
        given = {"password": PASSWORD, "now": NOW - timedelta(days=60)}
        assert sign_ins.accept(session, void, "eve", **given) is None  # type: ignore[arg-type]
        assert sign_ins.accept(session, token, "ada", **given) is not None  # type: ignore[arg-type]
        assert sign_ins.accept(session, token, "eve", **given) is None  # type: ignore[arg-type]
    assert there_is_an_admin(catalogue.url)
    assert invitation(catalogue.url) is None
