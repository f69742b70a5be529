"""`duetime audit`: the independent witness, asked from a terminal."""

import argparse
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from cli.catalogue_option import add_catalogue_options, catalogue_url
from cli.console import Refused, complain, say

if TYPE_CHECKING:
    from db.witness import Verdict

LOOK_BACK = timedelta(hours=24)
YEARS = range(1971, 9001)


def add_audit_options(parser: argparse.ArgumentParser, environ: Mapping[str, str]) -> None:
    """Which due times, and of which catalogue: as `duetime up` finds it."""
    parser.set_defaults(refuse=parser.error)
    parser.add_argument("--from", dest="from_at", type=instant, metavar="...", help="from then on (default: 24 h)")
    parser.add_argument("--to", dest="to_at", type=instant, metavar="...", help="up to before then (default: now)")
    add_catalogue_options(parser, environ)


def instant(text: str) -> datetime:
    """An instant in UTC; argparse says what is wrong with any other text."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected an instant such as 2026-11-24T18:00:00Z, not {text!r}") from None
    if at.tzinfo is None:
        raise argparse.ArgumentTypeError(f"{text!r} has no time zone: add Z for UTC, or an offset such as +01:00")
    if at.year not in YEARS:
        raise argparse.ArgumentTypeError(f"expected a year from {YEARS[0]} to {YEARS[-1]}, not {text!r}")
    return at.astimezone(UTC)


def audit(chosen: argparse.Namespace) -> int:
    """Prints the verdict; 0 when every due time is accounted for, 1 when not.

    Raises:
        Refused, PostgresUnavailable: there is no verdict.
    """
    if chosen.from_at and chosen.to_at and chosen.from_at >= chosen.to_at:
        chosen.refuse("--from has to be earlier than --to")
    url = catalogue_url(chosen, failing="No verdict: ")
    verdict = _verdict(url, chosen.from_at, chosen.to_at)
    if chosen.from_at is not None and chosen.from_at < verdict.from_at:
        complain(f"duetime: Looked at what was due from {_utc(verdict.from_at)} on: the ledger is not kept for longer.")
    for one in sorted(verdict.discrepancies, key=lambda one: (one.due_at, one.task_name)):
        say(f"{_utc(one.due_at)} {one.task_name} ({one.task_id}): {one.what}")
    say(summary(verdict))
    return 1 if verdict.discrepancies else 0


def summary(verdict: "Verdict") -> str:
    """The verdict in one line."""
    parts = [f"{verdict.due_times} due times", f"{verdict.accounted} accounted for"]
    if verdict.waiting:
        parts.append(f"{verdict.waiting} of them still waiting")
    if verdict.discrepancies:
        parts.append(f"{len(verdict.discrepancies)} discrepancies")
    return ", ".join(parts)


def _verdict(url: str, from_at: datetime | None, to_at: datetime | None) -> "Verdict":
    # Here, because `duetime up` has no use for them.
    from sqlalchemy.exc import ProgrammingError

    from db.engine import Catalogue, database_now
    from db.errors import CatalogueUnavailable
    from db.witness import audit

    catalogue = Catalogue(url, pool_size=1, application_name="duetime-audit")
    try:
        with catalogue.transaction() as session:
            # Everything is read as of one moment, however long it takes.
            session.connection(execution_options={"isolation_level": "REPEATABLE READ", "postgresql_readonly": True})
            now = database_now(session)
            end = to_at or now
            return audit(session, from_at=from_at or end - LOOK_BACK, to_at=end, now=now)
    except CatalogueUnavailable as error:
        raise Refused(f"No verdict: {error} ({_first_line(error.__cause__)})") from error
    except ProgrammingError as error:
        raise Refused(
            f"No verdict: this database is not an up-to-date catalogue ({_first_line(error.orig)}). "
            "Bring it up to date with `duetime migrate`, or name another one."
        ) from error
    finally:
        catalogue.close()


def _first_line(error: BaseException | None) -> str:
    return str(getattr(error, "orig", None) or error).partition("\n")[0]


def _utc(at: datetime) -> str:
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")
