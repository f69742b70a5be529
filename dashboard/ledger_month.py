"""A month of a task's due times: a cell for each day, coloured by what became of them, that opens the day."""

from calendar import monthrange
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import streamlit as st

from dashboard import components, pager
from db.states import Outcome

MONTH, DAY = "month", "day"
LIST_CURSOR = "due_before"
TONES: Mapping[Outcome, str] = {
    Outcome.RAN: "green",
    Outcome.RUNNING: "blue",
    Outcome.MISSED: "orange",
    Outcome.PENDING: "orange",
    Outcome.UNKNOWN: "violet",
    Outcome.SKIPPED: "gray",
    Outcome.CANCELLED: "gray",
}


@dataclass(frozen=True, slots=True)
class Month:
    """A month in a zone."""

    first: date
    zone: str
    today: date

    @property
    def begin(self) -> datetime:
        return midnight(self.first, self.zone)

    @property
    def end(self) -> datetime:
        return midnight(self.following, self.zone)

    @property
    def following(self) -> date:
        """The first day of the next month."""
        return (self.first + timedelta(days=31)).replace(day=1)

    @property
    def preceding(self) -> date:
        """The first day of the month before."""
        return (self.first - timedelta(days=1)).replace(day=1)

    @property
    def days(self) -> list[date]:
        count = monthrange(self.first.year, self.first.month)[1]
        return [self.first.replace(day=number) for number in range(1, count + 1)]


def midnight(day: date, zone: str) -> datetime:
    """The first instant of a day in a zone."""
    return datetime.combine(day, time(), ZoneInfo(zone)).astimezone(UTC)


def bounds(day: date, zone: str) -> tuple[datetime, datetime]:
    """The first instant of a day, and the last before the next one."""
    return midnight(day, zone), midnight(day + timedelta(days=1), zone) - timedelta(microseconds=1)


def chosen_day() -> date | None:
    """The day that the address names."""
    return _date(st.query_params.get(DAY, ""))


def chosen_month(now: datetime, zone: str) -> Month:
    """The month that the address names, that of the chosen day, or the present one."""
    today = now.astimezone(ZoneInfo(zone)).date()
    named = _date(f"{st.query_params.get(MONTH, '')}-01") or chosen_day() or today
    return Month(named.replace(day=1), zone, today)


def _date(text: str) -> date | None:
    try:
        found = date.fromisoformat(text)
    except ValueError:
        return None
    return found if 1970 < found.year < 9000 else None


def show(month: Month, days: Mapping[date, Mapping[Outcome, int]], chosen: date | None) -> None:
    """The month, and the ways to the one before and the next."""
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.markdown(f"{month.first:%B %Y}", width="stretch")
        _turn("chevron_left", "The month before", month.preceding, disabled=False)
        _turn("chevron_right", "The next month", month.following, disabled=month.following > month.today)
    components.month(
        [cell(day, days.get(day, {}), month, chosen) for day in month.days],
        first_weekday=month.first.weekday(),
        key="ledger_month",
        label=f"Due times in {month.first:%B %Y}, {month.zone}",
        on_open=_open,
    )
    if chosen:
        st.button(f"Not only {chosen:%d %b}", icon=":material/close:", key="all_days", on_click=_all_days)


def cell(day: date, outcomes: Mapping[Outcome, int], month: Month, chosen: date | None) -> dict[str, Any]:
    """A day as the component draws it. Pure."""
    total = sum(outcomes.values())
    in_order = [(outcome, outcomes[outcome]) for outcome in TONES if outcome in outcomes]
    words = ", ".join(f"{count:,} {outcome}" for outcome, count in in_order) or "not due"
    return {
        "id": day.isoformat(),
        "number": day.day,
        "title": f"{day:%a %d %b}: {words}",
        "parts": [[TONES[outcome], count / total] for outcome, count in in_order],
        "count": f"{total:,}" if total else "",
        "chosen": day == chosen,
        "today": day == month.today,
    }


def _turn(icon: str, word: str, first: date, *, disabled: bool) -> None:
    st.button(
        "",
        icon=f":material/{icon}:",
        key=f"month_{icon}",
        help=word if not disabled else "Nothing is known of the future yet.",
        disabled=disabled,
        on_click=_show_month,
        args=(first,),
    )


def _show_month(first: date) -> None:
    st.query_params[MONTH] = f"{first:%Y-%m}"


def _open(day: str) -> None:
    st.query_params[DAY] = day
    pager.newest(LIST_CURSOR)


def _all_days() -> None:
    st.query_params.pop(DAY, None)
    pager.newest(LIST_CURSOR)
