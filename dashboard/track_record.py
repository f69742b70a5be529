"""How the last runs of a task went, in figures. Pure."""

from collections.abc import Iterable
from math import ceil

from dashboard.run_rows import duration_seconds
from db.states import FINAL_STATES, RunState
from db.tables import Run

SHARE = 0.95
NOT_ITS_FAULT = (RunState.CANCELLED,)
"""What somebody cancelled says nothing of the task."""


def success_rate(runs: Iterable[Run]) -> str:
    """`95 %` of those that ended by themselves; nothing where none did."""
    ended = [run for run in runs if run.state in FINAL_STATES and run.state not in NOT_ITS_FAULT]
    completed = sum(run.state == RunState.COMPLETED for run in ended)
    # Never rounded up to a perfect record.
    return f"{100 * completed // len(ended)} %" if ended else ""


def percentile_seconds(runs: Iterable[Run], share: float = SHARE) -> float | None:
    """How long the given share of the completed runs took at most; None where none completed."""
    lengths = sorted(
        length for run in runs if run.state == RunState.COMPLETED and (length := duration_seconds(run)) is not None
    )
    return lengths[ceil(share * len(lengths)) - 1] if lengths else None
