"""Tables, and the one of all figures: a line for each scenario and peer. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

HEAD = (
    "scenario",
    "peer",
    "started",
    "p50",
    "p95",
    "p99",
    "longest",
    "earliest",
    "a second",
    "lost",
    "twice",
    "Prefect complete",
    "its starts off by",
    "CPU a run",
)
NAMED = frozenset(HEAD[3:])
"""Whose cells say nothing without the name."""
Row = Sequence[str]


def rows(document: Mapping[str, Any]) -> list[Row]:
    """All that was measured, scenario by scenario."""
    results = [each for each in document["results"] if "figures" in each]
    order = list(dict.fromkeys(each["scenario"] for each in results))
    return [HEAD, *(row(each) for name in order for each in results if each["scenario"] == name)]


def row(result: Mapping[str, Any]) -> Row:
    figures = result["figures"]
    return [
        result["scenario"],
        result["peer"],
        f"{figures['started']:g} of {figures['expected']:g}",
        *(seconds(figures[name]) for name in ("p50", "p95", "p99", "max", "min")),
        "-" if figures["per_second"] is None else f"{figures['per_second']:.3g}",
        f"{figures['lost']:g}",
        f"{figures['doubled']:g}",
        prefect(figures.get("prefect")),
        off(figures.get("prefect")),
        cpu(figures["cpu_ms"]),
    ]


def seconds(value: float | None) -> str:
    """Milliseconds below ten seconds."""
    if value is None:
        return "-"
    return (
        f"{value:.1f} s"
        if abs(value) >= 10
        else f"{1000 * value:.1f} ms"
        if abs(value) < 0.1
        else f"{1000 * value:.0f} ms"
    )


def prefect(records: Mapping[str, Any] | None) -> str:
    """How long after the last due time, and how many are wrong."""
    if records is None:
        return ""
    complete = records["complete_seconds"]
    when = f"{complete:.1f} s" if complete is not None else f"not yet: {records['completed']:g}"
    return when + (f", {records['wrong']:g} wrong" if records["wrong"] else "")


def off(records: Mapping[str, Any] | None) -> str:
    """The 99th percentile."""
    return "" if records is None else seconds(records["off_p99"])


def cpu(by_part: Mapping[str, float]) -> str:
    """The sum and the parts, in milliseconds."""
    parts = {part: ms for part, ms in by_part.items() if ms >= 0.05}
    return f"{sum(parts.values()):.0f} ms: " + ", ".join(f"{part} {ms:.1f}" for part, ms in parts.items())


def plain(lines: Sequence[Row]) -> str:
    """For a terminal; the first line is the head."""
    widths = [max(len(line[n]) for line in lines) for n in range(len(lines[0]))]
    return "\n".join(aligned(line, widths) for line in lines)


def aligned(line: Row, widths: Sequence[int]) -> str:
    return "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()


def markdown(lines: Sequence[Row]) -> str:
    """The first line is the head."""
    head, *others = ["| " + " | ".join(line) + " |" for line in lines]
    return "\n".join([head, "|" + "---|" * len(lines[0]), *others])
