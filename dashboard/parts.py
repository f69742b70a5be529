"""The parts of the system and when each was last heard of. Pure but for `read`."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy.orm import Session

from dashboard.badges import Badge
from dashboard.components import CellKind
from dashboard.moments import moment
from db import heartbeats, pools, workers

SILENT_AFTER = timedelta(seconds=30)
"""A part says every few seconds that it is there."""
AUDITED_WITHIN = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Part:
    """One of the parts; `heard_at` is None before its first word."""

    name: str
    heard_at: datetime | None
    patience: timedelta = SILENT_AFTER
    trouble: str = ""
    """Why it is not well though it was heard of."""

    def is_well(self, *, now: datetime) -> bool:
        return self.heard_at is not None and now - self.heard_at < self.patience and not self.trouble


def read(session: Session, *, now: datetime) -> list[Part]:
    """Reconciler, Prefect, the audit of the ledger, and the workers as one."""
    names = {heartbeats.RECONCILER: "Reconciler", heartbeats.PREFECT: "Prefect", heartbeats.AUDIT: "Audit"}
    beats = {part: heartbeats.last(session, part) for part in names}
    present, served = workers.present(session, now=now), pools.all_of(session, now=now)
    found = [
        Part(
            name,
            beat.at if (beat := beats[part]) else None,
            AUDITED_WITHIN if part == heartbeats.AUDIT else SILENT_AFTER,
        )
        for part, name in names.items()
    ]
    heard = max((worker.heartbeat_at for worker in present), default=None)
    name = "1 worker" if len(present) == 1 else f"{len(present)} workers"
    stopped = [pool for _, pool in sorted(served.items()) if pool.is_stopped]
    return [*found, Part(name, heard, trouble=" ".join(pool.why_not() or "" for pool in stopped))]


def labels(parts: Sequence[Part], zone: str, *, now: datetime) -> list[tuple[CellKind, Any]]:
    """A badge and a ticking age for each."""
    found: list[tuple[CellKind, Any]] = []
    for part in parts:
        tone, icon = ("green", "check") if part.is_well(now=now) else ("red", "alert")
        found.append(("badges", [asdict(Badge(tone, icon, part.name, part.trouble))]))  # type: ignore[arg-type]
        heard = moment(part.heard_at, zone)
        found.append(("away", heard) if heard else ("muted", "not heard of"))
        if part.trouble:
            found.append(("text", part.trouble))
    return found
