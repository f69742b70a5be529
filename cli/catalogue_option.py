"""Which catalogue a command is about: the one that `duetime up` uses here, or the one that a URL names."""

import argparse
from collections.abc import Mapping
from pathlib import Path

from cli.console import Refused
from cli.postgres import EmbeddedPostgres
from cli.postgres_errors import cures_for
from cli.settings import CATALOGUE, database_url


def add_catalogue_options(parser: argparse.ArgumentParser, environ: Mapping[str, str]) -> None:
    """As `duetime up` has them."""
    parser.add_argument(
        "--data-dir",
        type=Path,
        default=environ.get("DUETIME_DATA_DIR") or ".duetime",
        metavar="...",
        help="the folder of the `duetime up` that runs here (default: .duetime; variable: DUETIME_DATA_DIR)",
    )
    parser.add_argument(
        "--database-url",
        type=_database_url,
        default=environ.get("DUETIME_DATABASE_URL") or None,
        metavar="...",
        help="the PostgreSQL of the catalogue, instead of the embedded one (variable: DUETIME_DATABASE_URL)",
    )


def catalogue_url(chosen: argparse.Namespace, *, failing: str) -> str:
    """Of the catalogue that was chosen; `failing` begins what is said where there is none.

    Raises:
        Refused: nothing runs there.
    """
    if chosen.database_url:
        return str(chosen.database_url)
    folder = Path(chosen.data_dir).expanduser().absolute()
    postgres = EmbeddedPostgres(folder / "postgres")
    with cures_for(postgres.home):
        if postgres.pid() is None:
            raise Refused(
                f"{failing}no `duetime up` with its own PostgreSQL runs in {folder}. Start it, name its folder "
                "with --data-dir, or set DUETIME_DATABASE_URL."
            )
        return postgres.url(CATALOGUE)


def _database_url(text: str) -> str:
    try:
        return database_url(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{error} (the variable DUETIME_DATABASE_URL sets it, too)") from error
