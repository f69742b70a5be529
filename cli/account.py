"""`duetime account`: who may come in, from the machine itself. For the first admin, and for when nobody gets in."""

import argparse
import getpass
import os
import sys
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy.orm import Session

from cli.catalogue_option import catalogue_url
from cli.console import Refused, say
from cli.data_folder import DataFolder
from dashboard.prefect_auth import AUTH_FILE, WHO_NEEDS_IT, how_to_have_it
from db import accounts
from db.engine import Catalogue
from db.errors import CatalogueError
from db.tables import Account

ACTOR = "command line"


def account(chosen: argparse.Namespace) -> int:
    """The exit code.

    Raises:
        Refused: it cannot be done, and why.
    """
    catalogue = Catalogue(catalogue_url(chosen, failing="There are no accounts to be found: "))
    verbs = {"add": _add, "role": _role, "password": _password, "remove": _remove, "list": _list}
    try:
        with catalogue.transaction() as session:
            verbs[chosen.verb](session, chosen, datetime.now(UTC))
    except CatalogueError as error:
        raise Refused(str(error)) from error
    finally:
        catalogue.close()
    return 0


def _add(session: Session, chosen: argparse.Namespace, at: datetime) -> None:
    password, is_first = _read_password(), not accounts.there_are_any(session)
    accounts.add(session, chosen.name, role=chosen.role, tags=chosen.tag, password=password, actor=ACTOR, now=at)
    say(f"{chosen.name} may sign in now, as {chosen.role}.")
    if is_first:
        say(f"{WHO_NEEDS_IT}\n    {how_to_have_it(_prefect_auth(chosen))}")


def _prefect_auth(chosen: argparse.Namespace) -> str:
    """The file with Prefect's auth string, where it is known."""
    of_up = DataFolder(Path(chosen.data_dir).expanduser().absolute()).prefect_auth
    return os.environ.get(AUTH_FILE) or (os.fspath(of_up) if of_up.exists() else "")


def _role(session: Session, chosen: argparse.Namespace, at: datetime) -> None:
    found = accounts.by_name(session, chosen.name)
    role, tags = chosen.role, chosen.tag
    accounts.change(session, found.id, role=role, tags=tags, disabled=found.disabled, actor=ACTOR, now=at)
    say(_in_words(found))


def _password(session: Session, chosen: argparse.Namespace, at: datetime) -> None:
    found = accounts.by_name(session, chosen.name)
    accounts.set_password(session, found.id, _read_password(), actor=ACTOR, now=at)
    say(f"{found.name} has another password, and is signed in nowhere.")


def _remove(session: Session, chosen: argparse.Namespace, at: datetime) -> None:
    found = accounts.by_name(session, chosen.name)
    accounts.remove(session, found.id, actor=ACTOR, now=at)
    say(f"{found.name} may not come in any more.")


def _list(session: Session, _chosen: argparse.Namespace, _at: datetime) -> None:
    found = accounts.list_accounts(session)
    for each in found:
        say(_in_words(each))
    if not found:
        say("There are no accounts: nobody has to sign in on this machine.")


def _in_words(found: Account) -> str:
    tags = f", tags {', '.join(found.tags)}" if found.tags is not None else ""
    return f"{found.name}: {found.role}{tags}{', disabled' if found.disabled else ''}"


def _read_password() -> str:
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\n")
    password = getpass.getpass("Password: ")
    if getpass.getpass("The same again: ") != password:
        raise Refused("These were two different passwords. Nothing was changed.")
    return password
