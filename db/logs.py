"""What runs print, line by line."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import psycopg
from sqlalchemy import select
from sqlalchemy.orm import Session

from db.notifications import Topic, notify, of
from db.states import Level, Stream
from db.tables import RunLog
from db.texts import MOST, fit

MAX_LINE = MOST
CUT = " … (line cut)"


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a run, as it is written."""

    run_id: UUID
    at: datetime
    level: Level
    stream: Stream
    message: str


def append(session: Session, lines: Sequence[Line]) -> None:
    """Adds the lines in their order, in one COPY, and tells whoever reads along."""
    connection: psycopg.Connection = session.connection().connection.driver_connection  # type: ignore[assignment]
    with (
        connection.cursor() as cursor,
        cursor.copy("COPY run_logs (at, run_id, level, stream, message) FROM STDIN") as copy,
    ):
        for line in lines:
            copy.write_row((line.at, line.run_id, line.level.value, line.stream.value, fit(line.message, cut=CUT)))
    notify(session, [Topic.LOGS, *{of(Topic.LOGS, line.run_id) for line in lines}])


def list_lines(session: Session, run_id: UUID, *, after: int = 0, limit: int = 1000) -> Sequence[RunLog]:
    """The lines of a run after a line's id, oldest first."""
    query = select(RunLog).where(RunLog.run_id == run_id, RunLog.id > after).order_by(RunLog.id).limit(limit)
    return session.scalars(query).all()


def last_lines(session: Session, run_id: UUID, *, before: int | None = None, limit: int = 1000) -> Sequence[RunLog]:
    """The end of a run's log, or of what is before a line, oldest first."""
    query = select(RunLog).where(RunLog.run_id == run_id).order_by(RunLog.id.desc()).limit(limit)
    if before is not None:
        query = query.where(RunLog.id < before)
    return list(reversed(session.scalars(query).all()))
