"""What the last audit of the ledger said, and whether that is well: what /readyz, /metrics and the pages tell of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy.orm import Session

from db import heartbeats

OLD_AFTER = timedelta(minutes=5)
"""The ledger is audited every minute: so long without one is not well."""
NAMED = 3
"""So many discrepancies are told in a sentence."""


@dataclass(frozen=True, slots=True)
class Discrepancy:
    """What does not agree about a due time."""

    task_id: str
    task_name: str
    due_at: datetime
    what: str


@dataclass(frozen=True, slots=True)
class Audit:
    """How many due times there were, and how many of them are accounted for."""

    at: datetime
    due_times: int
    accounted: int
    waiting: int
    discrepancy_count: int
    discrepancies: tuple[Discrepancy, ...] = ()
    """The first of them."""

    def age(self, *, now: datetime) -> timedelta:
        return max(timedelta(0), now - self.at)

    def is_old(self, *, now: datetime) -> bool:
        return self.age(now=now) > OLD_AFTER

    def is_well(self, *, now: datetime) -> bool:
        """Whether nothing disagrees, as far as is known of this very time."""
        return self.discrepancy_count == 0 and not self.is_old(now=now)


def last_audit(session: Session) -> Audit | None:
    """The newest one; None before the first."""
    beat = heartbeats.last(session, heartbeats.AUDIT)
    return None if beat is None else _audit(beat.at, beat.details)


def _audit(at: datetime, told: Mapping[str, Any]) -> Audit:
    found = [
        Discrepancy(each["task_id"], each["task_name"], datetime.fromisoformat(each["due_at"]), each["what"])
        for each in told["discrepancies"]
    ]
    return Audit(at, told["due_times"], told["accounted"], told["waiting"], told["discrepancy_count"], tuple(found))


def in_words(audit: Audit | None, *, now: datetime) -> str:
    """One or two sentences, also for a log: what it found, and when that was if it is too long ago. Pure."""
    if audit is None:
        return "The ledger has not been audited yet."
    if audit.is_old(now=now):
        minutes = int(audit.age(now=now) / timedelta(minutes=1))
        return f"The ledger was audited {minutes:,} minutes ago, and not since. Is the reconciler there?"
    return findings(audit)


def findings(audit: Audit) -> str:
    """`1,234 due times in the last hour, all accounted for.` Pure."""
    if audit.discrepancy_count:
        listed = (
            f"{one.task_name}, due at {one.due_at.astimezone(UTC):%H:%M:%S} UTC: {one.what}" for one in _first(audit)
        )
        more = audit.discrepancy_count - len(_first(audit))
        return " ".join([f"{headline(audit)}:", *listed, *([f"And {more:,} more."] if more > 0 else [])])
    if audit.due_times == 0:
        return "Nothing was due in the last hour."
    waiting = f"; {audit.waiting:,} of them still {'waits' if audit.waiting == 1 else 'wait'}" if audit.waiting else ""
    all_of_them = "accounted for" if audit.due_times == 1 else "all accounted for"
    return f"{_count(audit.due_times, 'due time')} in the last hour, {all_of_them}{waiting}."


def headline(audit: Audit) -> str:
    """`2 discrepancies among 1,234 due times of the last hour`."""
    found = "1 discrepancy" if audit.discrepancy_count == 1 else f"{audit.discrepancy_count:,} discrepancies"
    return f"{found} among {_count(audit.due_times, 'due time')} of the last hour"


def _first(audit: Audit) -> tuple[Discrepancy, ...]:
    return audit.discrepancies[:NAMED]


def _count(number: int, word: str) -> str:
    return f"{number:,} {word}{'' if number == 1 else 's'}"
