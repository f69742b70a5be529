"""The command `duetime`."""

import argparse
import os
import sys
from collections.abc import Callable, Mapping, Sequence

from cli.account_options import add_account_commands
from cli.audit import add_audit_options
from cli.catalogue_option import add_catalogue_options
from cli.console import Refused, complain
from cli.crontab_options import add_crontab_options
from cli.moving_options import add_moving_commands
from cli.postgres_errors import PostgresUnavailable
from cli.settings import add_up_options, settings_of


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code: 0 done, 1 impossible as things are, 2 not understood (by SystemExit, as argparse does)."""
    parser, up_parser = _parsers()
    chosen = parser.parse_args(arguments)
    try:
        if chosen.command in COMMANDS:
            return COMMANDS[chosen.command](chosen)
        try:
            settings = settings_of(chosen, os.environ)
        except ValueError as error:
            up_parser.error(str(error))
        from cli.up import up

        return up(settings, os.environ)
    except (Refused, PostgresUnavailable) as error:
        complain(f"duetime: {error}")
        return 1


def _migrate(_chosen: argparse.Namespace) -> int:
    # Here, because the supervisor, which lives long, would hold SQLAlchemy in memory for nothing.
    from cli.migrations import migrate_everything

    migrate_everything(os.environ)
    return 0


def _audit(chosen: argparse.Namespace) -> int:
    from cli.audit import audit

    return audit(chosen)


def _demo(chosen: argparse.Namespace) -> int:
    from cli.demo import demo

    return demo(chosen)


def _import_crontab(chosen: argparse.Namespace) -> int:
    from cli.import_crontab import import_crontab

    return import_crontab(chosen)


def _move(chosen: argparse.Namespace) -> int:
    from cli import moving

    return {"export": moving.export, "import": moving.import_tasks, "check": moving.check}[chosen.command](chosen)


def _reseal(chosen: argparse.Namespace) -> int:
    from cli.reseal import reseal

    return reseal(chosen)


def _account(chosen: argparse.Namespace) -> int:
    from cli.account import account

    return account(chosen)


# Without `up`, whose settings may be refused in argparse's words.
COMMANDS: Mapping[str, Callable[[argparse.Namespace], int]] = {
    "migrate": _migrate,
    "audit": _audit,
    "demo": _demo,
    "import-crontab": _import_crontab,
    "export": _move,
    "import": _move,
    "check": _move,
    "account": _account,
    "reseal": _reseal,
}


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
    crontab = commands.add_parser(
        "import-crontab",
        help="make a task of each line of a crontab",
        description="Makes a task of each line of a crontab and reports line by line. The exit code is 0 when every "
        "line became a task, and 1 when some did not; why is said for each of them.",
    )
    add_crontab_options(crontab, os.environ)
    add_moving_commands(commands, os.environ)
    add_account_commands(commands, os.environ)
    reseal = commands.add_parser(
        "reseal",
        help="seal secrets anew after a change of keys",
        description="Seals all secrets, webhooks' keys and channels' addresses anew with the first key of "
        "DUETIME_SECRET_KEYS or DUETIME_SECRET_KEY_FILE, so that the others can be thrown away.",
    )
    add_catalogue_options(reseal, os.environ)
    demo = commands.add_parser(
        "demo",
        help="show the dashboard on a made-up shop",
        description="Shows the dashboard on made-up tasks and runs, in a temporary folder that is gone afterwards. "
        "Nothing is executed, and what you create is not kept.",
    )
    demo.add_argument("--port", type=int, default=3000, help="of the dashboard (default: 3000)")
    return parser, up


if __name__ == "__main__":
    sys.exit(main())
