"""How long the last runs took, or how late they started: a bar for each, and the limit that they are to keep."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from dashboard import components, navigation, run_rows
from dashboard.badges import run_badge
from dashboard.moments import clock, span
from db.specs import AnyTask
from db.tables import Run
from db.why import LATE_FROM


@dataclass(frozen=True, slots=True)
class Series:
    """Bars, oldest first, and a line at a share of the highest, which may be above them all."""

    label: str
    bars: Sequence[dict[str, Any]]
    oldest: str
    highest: str
    line: float | None
    line_word: str


def durations(task: AnyTask, ended: Sequence[Run], *, zone: str) -> Series:
    """The time limit is the line, where it is near."""
    values = [run_rows.duration_seconds(run) or 0 for run in ended]
    tones = [run_badge(run.state).tone for run in ended]
    limit = float(task.timeout_seconds) if task.timeout_seconds else None
    near = limit if limit is not None and limit <= 3 * max(values, default=0) else None
    return _series("How long the last runs took", ended, values, tones, near, "time limit", "longest", zone)


def lateness(task: AnyTask, ended: Sequence[Run], *, zone: str) -> Series:
    """The objective is the line: the latest that the task may start, or one second."""
    most = task.max_lateness_seconds
    objective = float(most) if most else LATE_FROM.total_seconds()
    values = [max(0.0, run.lateness_seconds or 0) for run in ended]
    tones = ["orange" if value >= objective else "green" for value in values]
    return _series("How late the last runs started", ended, values, tones, objective, "objective", "latest", zone)


def _series(
    label: str,
    ended: Sequence[Run],
    values: Sequence[float],
    tones: Sequence[str],
    line: float | None,
    line_word: str,
    word: str,
    zone: str,
) -> Series:
    highest = max(values, default=0)
    # A line far above everything would make all bars flat; it is said in words then.
    scale = max(highest, line) if line is not None and line <= 3 * highest else highest
    bars = [
        {
            "id": str(run.id),
            "href": f"run?id={run.id}",
            "tone": tone,
            "title": f"{span(value)}\n{run_rows.in_words(run, zone=zone)}",
            "share": value / scale if scale else 0,
        }
        for run, value, tone in zip(ended, values, tones, strict=True)
    ]
    drawn = line / scale if line is not None and scale and line <= scale else None
    return Series(
        label,
        bars,
        clock(ended[0].due_at, zone) if ended else "",
        f"{word}: {span(highest)}",
        drawn,
        f"{line_word}: {span(line)}" if line is not None else "",
    )


def show(series: Series) -> None:
    """Draws them; a bar leads to its run."""
    components.durations(
        series.bars,
        key="task_durations",
        label=series.label,
        oldest=series.oldest,
        longest=", ".join(filter(None, [series.highest, series.line_word])),
        line=series.line,
        on_open=lambda run_id: navigation.go("run", id=run_id),
    )
