"""The options of `duetime import-crontab`: apart, because the supervisor would hold what reads crontabs for nothing."""

import argparse
from collections.abc import Mapping

from cli.catalogue_option import add_catalogue_options


def add_crontab_options(parser: argparse.ArgumentParser, environ: Mapping[str, str]) -> None:
    parser.add_argument("file", metavar="FILE", help="a crontab, or - for what `crontab -l` prints")
    parser.add_argument("--dry-run", action="store_true", help="report what would be made, and make nothing")
    users = parser.add_mutually_exclusive_group()
    users.add_argument("--system", dest="with_users", action="store_true", default=None, help="lines name a user first")
    users.add_argument("--user", dest="with_users", action="store_false", help="lines name no user")
    parser.add_argument("--timezone", help="of the schedules (default: that of this machine)")
    parser.add_argument("--tag", action="append", default=[], help="a tag for every task; may be given several times")
    parser.add_argument("--paused", action="store_true", help="make the tasks paused")
    add_catalogue_options(parser, environ)
