"""`duetime import-crontab FILE`: every line becomes a task, or is reported with the reason why not."""

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from cli.catalogue_option import catalogue_url
from cli.console import Refused, complain, say
from cli.crontab import Finding, Reading, read
from db.schedule_words import in_words
from db.schedules import time_zones

ACTOR = "import-crontab"
OF_THE_SYSTEM = (Path("/etc/crontab"), Path("/etc/cron.d"))
ZONES = "zoneinfo/"


def import_crontab(chosen: argparse.Namespace) -> int:
    """Prints a line for each finding; 0 when every line became a task, 1 when some did not.

    Raises:
        Refused: the file or the catalogue cannot be read.
    """
    text, is_system = _text(chosen.file)
    reading = Reading(
        timezone=_zone(chosen.timezone),
        with_users=is_system if chosen.with_users is None else chosen.with_users,
        tags=chosen.tag,
        paused=chosen.paused,
    )
    findings = (
        read(text, reading)
        if chosen.dry_run
        else _make(catalogue_url(chosen, failing="Nothing is made: "), text, reading)
    )
    for finding in findings:
        _report(finding, "would be made" if chosen.dry_run else "made")
    tasks = sum(finding.document is not None for finding in findings)
    left = sum(bool(finding.problem) for finding in findings)
    made = "would be made" if chosen.dry_run else "made"
    say(f"{tasks} {'task' if tasks == 1 else 'tasks'} {made}, {left} {'line' if left == 1 else 'lines'} not imported")
    return int(left > 0)


def _text(name: str) -> tuple[str, bool]:
    """The table, and whether it looks like one of the system."""
    if name == "-":
        return sys.stdin.read(), False
    path = Path(name)
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise Refused(f"{name} cannot be read: {error.strerror}.") from error
    resolved = path.resolve()
    return text, any(resolved == place or place in resolved.parents for place in OF_THE_SYSTEM)


def _zone(named: str | None) -> str:
    if named is not None:
        if named not in time_zones():
            raise Refused(f"Unknown time zone {named!r}. Use a name such as Europe/Berlin or UTC.")
        return named
    local = os.environ.get("TZ") or str(Path("/etc/localtime").resolve()).partition(ZONES)[2]
    return local if local in time_zones() else "UTC"


def _report(finding: Finding, made: str) -> None:
    if finding.problem:
        complain(f"line {finding.line}: not imported: {finding.problem}: {finding.text}")
    elif finding.document is not None:
        from db.specs import schedule_of

        words = in_words(schedule_of(finding.document["schedule"]))
        say(f"line {finding.line}: {made}: {finding.document['name']}: {words}")
    for note in finding.notes:
        say(f"line {finding.line}: note: {note}")


def _make(url: str, text: str, reading: Reading) -> Sequence[Finding]:
    """All tasks in one transaction: of a table that is read twice nothing is made twice by half."""
    from db import task_views, tasks
    from db.engine import Catalogue
    from db.errors import CatalogueUnavailable
    from db.specs import parse_task

    catalogue = Catalogue(url, pool_size=1, application_name="duetime-import")
    try:
        with catalogue.transaction() as session:
            findings = read(text, replace(reading, taken=frozenset(task_views.names(session))))
            for finding in findings:
                if finding.document is not None:
                    tasks.create_task(session, parse_task(finding.document), actor=ACTOR, now=datetime.now(UTC))
        return findings
    except CatalogueUnavailable as error:
        raise Refused(str(error)) from error
    finally:
        catalogue.close()
