"""Entries of a calendar out of an iCalendar file (RFC 5545). Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any

import icalendar
import recurring_ical_events
from pydantic import ValidationError

from db.closures import DAY, MAX_ENTRIES, WEEKDAYS, Dates, Entries, Weekly
from db.values import MAX_NAME

FREQUENCIES = ("YEARLY", "MONTHLY", "WEEKLY")
"""What repeats more often closes every day, or would take long to go through."""
REPEATED_AT_MOST = 200
"""Events with a rule that is looked up day by day."""
AHEAD = timedelta(days=5 * 366)
"""So far what repeats by such a rule is looked up."""


class NotACalendar(ValueError):
    """The text is no iCalendar file, or says too much."""


@dataclass(frozen=True, slots=True)
class Read:
    """What was understood, and in sentences what was not."""

    entries: Entries
    left_out: Sequence[str]


def read(text: str, *, today: date) -> Read:
    """The events of the file. What repeats by a rule that is none of ours is taken for five years from today.

    Raises:
        NotACalendar.
    """
    try:
        calendar = icalendar.Calendar.from_ical(text)
        events = list(calendar.walk("VEVENT"))
    except (ValueError, IndexError, KeyError) as error:
        raise NotACalendar(f"This is no iCalendar file: {error}.") from None
    if not events:
        raise NotACalendar("There are no events in this file.")
    entries, left_out, looked_up = list[Dates | Weekly](), list[str](), 0
    for event in events:
        looked_up += "RRULE" in event
        name = " ".join(str(event.get("SUMMARY", "")).split())[:MAX_NAME]
        try:
            if looked_up > REPEATED_AT_MOST:
                raise ValueError("there are too many events with rules")
            entries += _entries(event, name, today=today)
        except ValidationError as error:
            left_out.append(f"{name or 'An event'}: {error.errors()[0]['msg']}")
        except (ValueError, TypeError, AttributeError, OverflowError) as error:
            left_out.append(f"{name or 'An event'}: {error}.")
        if len(entries) > MAX_ENTRIES:
            raise NotACalendar(f"There are more than {MAX_ENTRIES:,} days in this file.")
    return Read(tuple(dict.fromkeys(entries)), left_out)


def _entries(event: Any, name: str, *, today: date) -> Iterator[Dates | Weekly]:
    rule = event.get("RRULE")
    if rule is None:
        yield _dates(event, name)
        return
    frequency = str(rule.get("FREQ", [""])[0]).upper()
    if frequency not in FREQUENCIES or any(part in rule for part in ("BYHOUR", "BYMINUTE", "BYSECOND")):
        raise ValueError(f"what repeats {frequency.lower() or 'by no rule'} is not taken")
    plain = not any(part in event for part in ("EXDATE", "RDATE", "RECURRENCE-ID"))
    if plain and frequency == "YEARLY" and _only(rule, "FREQ", "WKST"):
        yield _dates(event, name).model_copy(update={"yearly": True})
    elif plain and frequency == "WEEKLY" and _only(rule, "FREQ", "WKST", "BYDAY"):
        yield _weekly(event, rule, name)
    else:
        for each in recurring_ical_events.of(_alone(event)).between(today, today + AHEAD):
            yield _dates(each, name)


def _only(rule: Any, *parts: str) -> bool:
    return set(rule) <= set(parts)


def _alone(event: Any) -> Any:
    calendar = icalendar.Calendar()
    calendar.add_component(event)
    return calendar


def _dates(event: Any, name: str) -> Dates:
    begin, end = _span(event)
    last = (end - timedelta(microseconds=1)).date()
    begins = begin.time() if begin.time() != time() else None
    ends = end.time() if end.time() != time() else None
    return Dates(first=begin.date(), last=last if last != begin.date() else None, begins=begins, ends=ends, name=name)


def _weekly(event: Any, rule: Any, name: str) -> Weekly:
    begin, end = _span(event)
    named = [str(day).lower()[:2] for day in rule.get("BYDAY", [])]
    days = tuple(day for day in WEEKDAYS if day[:2] in named) or (WEEKDAYS[begin.weekday()],)
    if end - begin > DAY:
        raise ValueError("what repeats each week must be over within a day")
    all_day = end - begin == DAY and begin.time() == time()
    times = (None, None) if all_day else (begin.time(), end.time())
    return Weekly(days=days, begins=times[0], ends=times[1], name=name)


def _span(event: Any) -> tuple[datetime, datetime]:
    """On the wall clock of whoever wrote it."""
    begin, end = event.start, event.end
    if not isinstance(begin, datetime):
        begin, end = datetime.combine(begin, time()), datetime.combine(max(end, begin + DAY), time())
    begin, end = (at.replace(tzinfo=None, second=0, microsecond=0) for at in (begin, end))
    if end <= begin:
        raise ValueError("it has no length")
    return begin, end
