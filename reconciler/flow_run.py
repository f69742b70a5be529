"""A run as Prefect tells of it."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

STATE_TYPES = frozenset(
    {"SCHEDULED", "PENDING", "RUNNING", "PAUSED", "CANCELLING", "COMPLETED", "FAILED", "CANCELLED", "CRASHED"}
)
NOT_AS_EXPECTED = (KeyError, IndexError, TypeError, ValueError, AttributeError)
"""What comes of reading a document that is not made as Prefect makes them."""


@dataclass(frozen=True, slots=True)
class FlowRun:
    """A run as Prefect has it."""

    id: UUID
    deployment_id: UUID | None
    expected_start_time: datetime
    state_type: str
    state_name: str
    message: str
    idempotency_key: str
    auto_scheduled: bool
    start_time: datetime | None
    end_time: datetime | None

    @classmethod
    def of(cls, document: dict[str, Any]) -> "FlowRun":
        """The run that a document says.

        Raises:
            one of NOT_AS_EXPECTED: it says none.
        """
        deployment_id, state_type = document["deployment_id"], document["state_type"] or "PENDING"
        if state_type not in STATE_TYPES:
            raise ValueError(f"{state_type!r} is no state")
        return cls(
            id=UUID(document["id"]),
            deployment_id=UUID(deployment_id) if deployment_id else None,
            expected_start_time=_instant(document["expected_start_time"]),
            state_type=state_type,
            state_name=str(document["state_name"] or ""),
            message=str((document["state"] or {}).get("message") or "").replace("\0", "\ufffd"),
            idempotency_key=str(document["idempotency_key"] or ""),
            auto_scheduled=bool(document["auto_scheduled"]),
            # Prefect gives a start to what was cancelled before it began, too.
            start_time=_instant(document["start_time"]) if document["run_count"] and document["start_time"] else None,
            end_time=_instant(document["end_time"]) if document["end_time"] else None,
        )


def _instant(text: str) -> datetime:
    at = datetime.fromisoformat(text)
    if at.tzinfo is None:
        raise ValueError(f"{text} has no time zone")
    return at
