"""`duetime reseal`: all that is sealed, sealed anew with the first key, so that the others can be thrown away."""

import argparse
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from cli.catalogue_option import catalogue_url
from cli.console import Refused, say
from cli.data_folder import DataFolder
from db import sealing, secrets
from db.engine import Catalogue
from db.errors import CatalogueError

ACTOR = "command line"


def reseal(chosen: argparse.Namespace) -> int:
    """The exit code.

    Raises:
        Refused: there is no key, or something was sealed with one that is not here; then nothing is changed.
    """
    catalogue = Catalogue(catalogue_url(chosen, failing="Nothing is sealed anew: "))
    try:
        sealer = sealing.Sealer(sealing.keys_in(_keys(os.environ, chosen)))
        with catalogue.transaction() as session:
            count = secrets.reseal_all(session, sealer=sealer, actor=ACTOR, now=datetime.now(UTC))
    except CatalogueError as error:
        raise Refused(f"Nothing is sealed anew: {error}") from error
    finally:
        catalogue.close()
    say(f"{count:,} sealed anew with the first key. Take the others away, and start what seals and opens again.")
    return 0


def _keys(environ: Mapping[str, str], chosen: argparse.Namespace) -> Mapping[str, str]:
    """Those of the environment, or of the folder of `duetime up`."""
    if environ.get(sealing.KEYS) or environ.get(sealing.KEY_FILE) or chosen.database_url:
        return environ
    return {sealing.KEY_FILE: os.fspath(DataFolder(Path(chosen.data_dir).expanduser().absolute()).secret_keys)}
