"""A cron expression as a grid of minutes, hours and days, and back. Pure.

What a grid cannot show (seconds, the last Friday) it does not touch.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from croniter import CroniterError, croniter

from db.schedules import ALIASES

MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
WEEKDAYS = ("Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat")
FIELDS = ("minutes", "hours", "days", "months", "weekdays")
RANGES: Mapping[str, range] = {
    "minutes": range(60),
    "hours": range(24),
    "days": range(1, 32),
    "months": range(1, 13),
    "weekdays": range(7),
}
_BEYOND = frozenset("L#W?H")


@dataclass(frozen=True, slots=True)
class CronGrid:
    """What is chosen of each field; nothing chosen is every one."""

    minutes: frozenset[int] = frozenset()
    hours: frozenset[int] = frozenset()
    days: frozenset[int] = frozenset()
    months: frozenset[int] = frozenset()
    weekdays: frozenset[int] = frozenset()

    def having(self, field: str, values: Sequence[int]) -> "CronGrid":
        """With other values of a field; all of them are the same as none."""
        known = frozenset(values) & frozenset(RANGES[field])
        return replace(self, **{field: frozenset() if len(known) == len(RANGES[field]) else known})

    def cron(self) -> str:
        """The shortest expression that says it."""
        return " ".join(_text(getattr(self, field), RANGES[field]) for field in FIELDS)


def read(expression: str) -> CronGrid | None:
    """None where it is no cron, or says what the grid cannot show."""
    text = ALIASES.get(expression.strip().lower(), expression)
    fields = text.split()
    if len(fields) != len(FIELDS) or any(_BEYOND & set(field.upper()) for field in (fields[2], fields[4])):
        return None
    try:
        expanded = croniter.expand(text)[0]
    except (CroniterError, ValueError):
        return None
    grid = CronGrid()
    for field, values in zip(FIELDS, expanded, strict=True):
        if any(not isinstance(value, int) and value != "*" for value in values):
            return None
        grid = grid.having(field, [] if "*" in values else _days_of_week(values) if field == "weekdays" else values)
    return grid


def _days_of_week(values: Sequence[int]) -> list[int]:
    """Sunday is 0, and 7 as well."""
    return [value % 7 for value in values]


def labels(field: str) -> list[tuple[int, str]]:
    """The values of a field and how they are shown; weeks begin on Monday."""
    match field:
        case "months":
            return [(number, MONTHS[number - 1]) for number in RANGES[field]]
        case "weekdays":
            return [(number, WEEKDAYS[number]) for number in (1, 2, 3, 4, 5, 6, 0)]
        case _:
            return [(number, str(number)) for number in RANGES[field]]


def _text(chosen: frozenset[int], whole: range) -> str:
    if not chosen:
        return "*"
    values = sorted(chosen)
    step = _even_step(values, whole)
    if step is not None:
        return f"*/{step}"
    return ",".join(f"{run[0]}-{run[-1]}" if len(run) > 2 else ",".join(map(str, run)) for run in _runs(values))


def _even_step(values: Sequence[int], whole: range) -> int | None:
    """The step that gives just these, from the first to the end; None where there is none worth it."""
    if len(values) < 3 or values[0] != whole[0]:
        return None
    step = values[1] - values[0]
    return step if step > 1 and list(whole)[::step] == list(values) else None


def _runs(values: Sequence[int]) -> list[list[int]]:
    """The values in rows of neighbours."""
    runs = [[values[0]]]
    for before, value in pairwise(values):
        if value == before + 1:
            runs[-1].append(value)
        else:
            runs.append([value])
    return runs
