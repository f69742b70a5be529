"""The options of `duetime export`, `import` and `check`: apart, as those of `import-crontab` are."""

import argparse
from collections.abc import Mapping
from typing import Any

from cli.catalogue_option import add_catalogue_options


def add_moving_commands(commands: Any, environ: Mapping[str, str]) -> None:
    """To the commands of `duetime`."""
    export: argparse.ArgumentParser = commands.add_parser(
        "export",
        help="print all tasks as YAML",
        description="Prints all tasks that are not in the trash as a prefect.yaml. `duetime import` makes them again, "
        "elsewhere or here.",
    )
    add_catalogue_options(export, environ)
    importing: argparse.ArgumentParser = commands.add_parser(
        "import",
        help="make the tasks of a file",
        description="Makes the tasks of a file that `duetime export` wrote, or that somebody wrote like it. A task of "
        "the same name becomes what the file says; one that is so already is left alone. Either all of the file is "
        "taken or nothing: then the exit code is 1, and why is said.",
    )
    importing.add_argument("file", metavar="FILE", help="YAML, or - for the standard input")
    importing.add_argument("--dry-run", action="store_true", help="report what would be done, and do nothing")
    add_catalogue_options(importing, environ)
    check: argparse.ArgumentParser = commands.add_parser(
        "check",
        help="say what is wrong with a file of tasks",
        description="Reads a file as `duetime import` does, without any catalogue. The exit code is 0 when every entry "
        "is a task, and 1 when one is not; why is said for each.",
    )
    check.add_argument("file", metavar="FILE", help="YAML, or - for the standard input")
