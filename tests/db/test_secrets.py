"""Secrets: kept sealed, opened by whoever has a key, listed without their values."""

import os
from pathlib import Path

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from db import secrets, tasks
from db.errors import BadSecret, SecretNotFound, SecretsUnavailable
from db.sealing import Sealer, keys_in, new_key
from db.specs import parse_task
from db.tables import AuditEntry, Secret
from tests.db.conftest import NOW, document

FIRST, SECOND = new_key(), new_key()
SEALER = Sealer([FIRST])


def put(session: Session, name: str = "TOKEN", value: str = "hunter22", sealer: Sealer = SEALER) -> None:
    secrets.put(session, name, value, sealer=sealer, actor="ada", now=NOW)


def test_a_secret_is_kept_sealed(session: Session) -> None:
    put(session)
    put(session, value="hunter23")
    assert b"hunter" not in session.scalars(select(Secret.sealed)).one()
    assert secrets.opened(session, ["TOKEN"], sealer=SEALER) == {"TOKEN": "hunter23"}
    session.flush()
    noted = session.execute(select(AuditEntry.change, AuditEntry.details)).all()
    assert [tuple(one) for one in noted] == [("secret.set", {"secret": "TOKEN"})] * 2


def test_what_is_not_there_or_not_for_these_keys_is_said(session: Session) -> None:
    put(session)
    with pytest.raises(SecretNotFound, match="OTHER"):
        secrets.opened(session, ["TOKEN", "OTHER"], sealer=SEALER)
    with pytest.raises(SecretsUnavailable, match="DUETIME_SECRET_KEY_FILE"):
        secrets.opened(session, ["TOKEN"], sealer=Sealer([SECOND]))
    secrets.remove(session, "TOKEN", actor="ada", now=NOW)
    with pytest.raises(SecretNotFound):
        secrets.remove(session, "TOKEN", actor="ada", now=NOW)


@pytest.mark.parametrize(
    ("name", "value", "field"),
    [
        ("", "long enough", "name"),
        ("1A", "long enough", "name"),
        ("A-B", "long enough", "name"),
        ("A" * 101, "long enough", "name"),
        ("A", "abc", "value"),
        ("A", "a\0bcd", "value"),
        ("A", "x" * 65537, "value"),
    ],
)
def test_a_name_and_a_value_have_their_form(session: Session, name: str, value: str, field: str) -> None:
    with pytest.raises(BadSecret) as refused:
        put(session, name, value)
    assert refused.value.field == field


def test_keys_are_changed_without_a_secret_being_lost(session: Session) -> None:
    put(session)
    both = Sealer([SECOND, FIRST])
    assert secrets.opened(session, ["TOKEN"], sealer=both) == {"TOKEN": "hunter22"}
    assert secrets.reseal_all(session, sealer=both, actor="ada", now=NOW) == 1
    session.flush()
    assert secrets.opened(session, ["TOKEN"], sealer=Sealer([SECOND])) == {"TOKEN": "hunter22"}


def test_the_list_says_how_many_tasks_name_one(session: Session) -> None:
    put(session, "A_TOKEN")
    put(session, "AXTOKEN")
    for name in ("one", "two"):
        spec = parse_task(document(name=name, action={"command": "curl -H ${secret:A_TOKEN}"}))
        tasks.create_task(session, spec, actor="ada", now=NOW)
    session.flush()
    assert [(one.name, one.used_by) for one in secrets.list_secrets(session)] == [("A_TOKEN", 2), ("AXTOKEN", 0)]


def test_a_file_that_others_may_read_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text(f"{FIRST}\n{SECOND}\n")
    file.chmod(0o644)
    with pytest.raises(SecretsUnavailable, match="chmod 600"):
        keys_in({"DUETIME_SECRET_KEY_FILE": os.fspath(file)})
    file.chmod(0o600)
    assert keys_in({"DUETIME_SECRET_KEY_FILE": os.fspath(file)}) == (FIRST, SECOND)
    assert keys_in({"DUETIME_SECRET_KEYS": f"{SECOND}, {FIRST}"}) == (SECOND, FIRST)
    for environ in ({}, {"DUETIME_SECRET_KEY_FILE": os.fspath(tmp_path / "none")}):
        with pytest.raises(SecretsUnavailable, match="DUETIME_SECRET_KEY"):
            keys_in(environ)
    with pytest.raises(SecretsUnavailable, match="none of Fernet's"):
        Sealer(["short"])
