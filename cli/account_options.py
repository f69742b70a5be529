"""The options of `duetime account`: apart, as those of `import-crontab` are."""

import argparse
from collections.abc import Mapping
from typing import Any

from cli.catalogue_option import add_catalogue_options
from db.access import Role


def add_account_commands(commands: Any, environ: Mapping[str, str]) -> None:
    """To the commands of `duetime`."""
    account: argparse.ArgumentParser = commands.add_parser(
        "account",
        help="say who may come in",
        description="Says who may come in, and with what rights. As soon as there is an account, everybody has to sign "
        "in. A password is read from the terminal, or from the standard input.",
    )
    verbs = account.add_subparsers(dest="verb", required=True, metavar="verb")
    add = verbs.add_parser("add", help="let somebody in")
    role = verbs.add_parser("role", help="say what somebody may do")
    password = verbs.add_parser("password", help="give somebody another password")
    remove = verbs.add_parser("remove", help="take an account away")
    show = verbs.add_parser("list", help="print who may come in")
    for each in (add, role, password, remove):
        each.add_argument("name")
    for each in (add, role):
        each.add_argument("--role", choices=list(Role), required=True, type=Role)
        each.add_argument("--tag", action="append", help="only tasks with this tag may be run or changed")
    for each in (add, role, password, remove, show):
        add_catalogue_options(each, environ)
