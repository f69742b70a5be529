"""Leads the connections of a system's parts through proxies, although `duetime up` tells them the real addresses.

A copy of this file is the `sitecustomize` of every part's Python: it rewrites the addresses in the environment before
anything reads them. Which port stands for whom is in the file beside it. Processes that are no part are left alone.
"""

import json
import os
import re
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

POSTGRES, PREFECT = "postgres", "prefect"
PORTS = "ports.json"
DATABASES = ("DUETIME_DATABASE_URL", "DUETIME_PREFECT_DATABASE_URL", "PREFECT_SERVER_DATABASE_CONNECTION_URL")
API = "PREFECT_API_URL"
_PORT_OF_DATABASE = re.compile(r"(?<=@127\.0\.0\.1:)\d+")
_PORT_OF_API = re.compile(r"(?<=//127\.0\.0\.1:)\d+")

Ports = Mapping[str, Mapping[str, int]]
"""By part: the port instead of PostgreSQL's, and the one instead of Prefect's."""


def part_of(words: Sequence[str]) -> str | None:
    """Which part a command line starts: `prefect`, `dashboard`, `reconciler`, `worker-1`."""
    if "flows.prefect_app:create_app" in words:
        return "prefect"
    if "worker" in words and "--name" in words:
        number = words[words.index("--name") + 1].rpartition("-")[2]
        return f"worker-{number}"
    return next((one for one in ("dashboard", "reconciler") if one in words), None)


def rewired(environ: Mapping[str, str], ports: Mapping[str, int]) -> dict[str, str]:
    """The variables that change."""
    changed = {
        name: _PORT_OF_DATABASE.sub(str(ports[POSTGRES]), environ[name]) for name in DATABASES if name in environ
    }
    if API in environ and PREFECT in ports:
        changed[API] = _PORT_OF_API.sub(str(ports[PREFECT]), environ[API])
    return changed


def install(folder: Path, ports: Ports) -> None:
    """Makes the folder that is to be in `PYTHONPATH`."""
    folder.mkdir()
    shutil.copy(__file__, folder / "sitecustomize.py")
    (folder / PORTS).write_text(json.dumps(ports))


def _rewire_this_process() -> None:
    ports: Ports = json.loads(Path(__file__).with_name(PORTS).read_text())
    part = part_of(sys.orig_argv)
    if part is not None and part in ports:
        os.environ.update(rewired(os.environ, ports[part]))


if __name__ == "sitecustomize":
    _rewire_this_process()
