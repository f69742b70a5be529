"""The command `duetime`."""

import argparse
import os
import sys
from collections.abc import Sequence

from cli.audit import add_audit_options
from cli.console import Refused, complain
from cli.postgres_errors import PostgresUnavailable
from cli.settings import add_up_options, settings_of


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code: 0 done, 1 impossible as things are, 2 not understood (by SystemExit, as argparse does)."""
    parser, up_parser = _parsers()
    chosen = parser.parse_args(arguments)
    try:
        if chosen.command == "migrate":
            return _migrate()
        if chosen.command == "audit":
            return _audit(chosen)
        try:
            settings = settings_of(chosen, os.environ)
        except ValueError as error:
            up_parser.error(str(error))
        from cli.up import up

        return up(settings, os.environ)
    except (Refused, PostgresUnavailable) as error:
        complain(f"duetime: {error}")
        return 1


def _migrate() -> int:
    # Here, because the supervisor, which lives long, would hold SQLAlchemy in memory for nothing.
    from cli.migrations import migrate_everything

    migrate_everything(os.environ)
    return 0


def _audit(chosen: argparse.Namespace) -> int:
    from cli.audit import audit

    return audit(chosen)


def _parsers() -> tuple[argparse.ArgumentParser, argparse.ArgumentParser]:
    parser = argparse.ArgumentParser(prog="duetime", description="A distributed task scheduler.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")
    up = commands.add_parser(
        "up",
        help="start the whole system on this machine, and stop it with Ctrl-C",
        description="Starts the whole system in the foreground. Ctrl-C stops it; the next start goes on from there.",
    )
    add_up_options(up, os.environ)
    commands.add_parser(
        "migrate",
        help="bring the databases up to date and end",
        description="Brings the database of DUETIME_DATABASE_URL up to date, and Prefect's: the one beside it, or that "
        "of DUETIME_PREFECT_DATABASE_URL, which is made if it is not there.",
    )
    audit = commands.add_parser(
        "audit",
        help="ask the independent witness whether every due time is accounted for",
        description="Recomputes every due time from the versions of the tasks that were in force, and compares with "
        "the ledger and the runs. The exit code is 0 when everything agrees; 1 when something does not, and then "
        "each discrepancy is printed; also 1, with nothing but a message on stderr, when there is no answer.",
    )
    add_audit_options(audit, os.environ)
    return parser, up


if __name__ == "__main__":
    sys.exit(main())
