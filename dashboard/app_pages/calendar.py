"""The load ahead, by day, hour and minute, a way to spread what falls into the same minute, and the closed days."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import streamlit as st

from dashboard import bulk, bulk_bar, closed_card, components, navigation, reads, spreading, viewer
from dashboard.components import Column
from dashboard.context import catalogue, now
from dashboard.failures import outage_shown
from dashboard.load import DAY, HOUR, MINUTE, Load
from dashboard.moments import clock, span
from dashboard.spreading import Proposal
from dashboard.task_cards import card_title
from dashboard.viewer import viewer_zone
from db import load as db_load
from db.access import Role
from db.notifications import Topic

FRAGMENT = "calendar_load"
STARTS, WORK = "Starts", "Work"
AT_HOUR, AT_MINUTE = "hour", "minute"
LEFT_OUT = "_left_out"
LISTED = 200


def page() -> None:
    """The page at `/calendar`."""
    navigation.show_notice()
    with st.container(horizontal=True, vertical_alignment="center"):
        st.title("Calendar", anchor=False, width="stretch")
        components.live([Topic.TASKS], [FRAGMENT, closed_card.FRAGMENT], key="calendar_live")
    _load()
    closed_card.show()


@st.fragment(key=FRAGMENT)
def _load() -> None:
    with outage_shown():
        zone, weighted = _choices()
        with st.spinner("Looking a week ahead", show_time=False):
            answer = reads.load_ahead(zone, now())
        ahead = answer.value
        bulk_bar.show_progress()
        _week(ahead, zone, weighted=weighted)
        left, right = st.columns([1.5, 1], gap="small")
        with left:
            _hour(ahead, zone, weighted=weighted)
        with right:
            _busiest(ahead, zone, weighted=weighted)
        _shared(ahead, zone)
        components.again(answer.again_in_seconds, key="calendar_again")


def _choices() -> tuple[str, bool]:
    with st.container(horizontal=True, gap="small"):
        zones = list(dict.fromkeys([viewer_zone(), "UTC"]))
        zone = _choice("Zone", zones, "zone")
        shown = _choice("Shown", [STARTS, WORK], "load")
    return zone, shown == WORK


def _choice(label: str, options: Sequence[str], key: str) -> str:
    chosen = st.segmented_control(
        label, options, default=options[0], required=True, key=key, bind="query-params", label_visibility="collapsed"
    )
    return chosen or options[0]


def _amount(value: float, *, weighted: bool) -> str:
    return span(value) if weighted else f"{value:,.0f}"


def _week(ahead: Load, zone: str, *, weighted: bool) -> None:
    what = "Work" if weighted else "Starts"
    with st.container(border=True, gap="small"):
        card_title(f"{what} in the next seven days, {zone}", "calendar_month")
        if weighted:
            st.caption("By how long the last run of each task took.")
        hours = ahead.by_hour(weighted=weighted)
        highest = max(hours.values(), default=0)
        days = [ahead.begin.astimezone(ZoneInfo(zone)) + timedelta(days=number) for number in range(7)]
        components.heat(
            [_day(day, hours, highest, weighted=weighted) for day in days],
            key="calendar_week",
            label=f"{what} by day and hour",
            on_open=_choose_hour,
        )


def _day(day: datetime, hours: dict[datetime, float], highest: float, *, weighted: bool) -> dict[str, Any]:
    """A row of the week: its cells begin at the day's full hours on the wall, of which a day has 23 to 25."""
    begin, end = day.astimezone(UTC), (day + DAY).astimezone(UTC)
    instants = [begin + number * HOUR for number in range(int((end - begin) / HOUR))]
    amounts = [hours.get(at.replace(minute=0), 0.0) for at in instants]
    chosen = st.query_params.get(AT_HOUR)
    zone = str(day.tzinfo)
    return {
        "name": f"{day:%a %d}",
        "total": _amount(sum(amounts), weighted=weighted) if any(amounts) else "",
        "cells": [
            {
                "id": f"{at:%Y-%m-%dT%H}",
                "title": f"{clock(at, zone)}: {_amount(amount, weighted=weighted)}",
                "share": amount / highest if highest else 0,
                "hour": at.astimezone(ZoneInfo(zone)).hour,
                "chosen": f"{at:%Y-%m-%dT%H}" == chosen,
            }
            for at, amount in zip(instants, amounts, strict=True)
        ],
    }


def _choose_hour(hour: str) -> None:
    st.query_params[AT_HOUR] = hour
    st.query_params.pop(AT_MINUTE, None)


def _hour(ahead: Load, zone: str, *, weighted: bool) -> None:
    begin = _instant(st.query_params.get(AT_HOUR), "%Y-%m-%dT%H") or now().replace(minute=0, second=0, microsecond=0)
    minutes = [begin + number * MINUTE for number in range(60)]
    amounts = [ahead.amounts(weighted=weighted).get(minute, 0) for minute in minutes]
    highest = max(amounts)
    with st.container(border=True, height="stretch", gap="small"):
        card_title(
            f"Minute by minute, {clock(begin, zone)} to {clock(begin + HOUR, zone).rpartition(' ')[2]}", "bar_chart"
        )
        components.timeline(
            {
                "plots": [
                    {
                        "highest": round(highest),
                        "bars": [[["violet", amount / highest]] if amount else [] for amount in amounts],
                    }
                ],
                "titles": [
                    f"{clock(at, zone)}: {_amount(amount, weighted=weighted)}"
                    for at, amount in zip(minutes, amounts, strict=True)
                ],
                "ticks": [
                    {"at": number / 60, "word": f"{minutes[number].astimezone(ZoneInfo(zone)):%H:%M}"}
                    for number in range(0, 60, 10)
                ],
                "now": (now() - begin) / HOUR,
                "legend": [],
            },
            key="calendar_hour",
            label=f"What is due in each minute from {clock(begin, zone)}",
        )


def _instant(text: str | None, form: str) -> datetime | None:
    try:
        return datetime.strptime(text or "", form).replace(tzinfo=UTC)
    except ValueError:
        return None


def _busiest(ahead: Load, zone: str, *, weighted: bool) -> None:
    moment = now()
    minutes = [at for at in ahead.busiest(weighted=weighted, count=200) if at > moment][:8]
    with st.container(border=True, height="stretch", gap="small"):
        card_title("Busiest minutes", "local_fire_department")
        st.caption("What is due in the same minute starts one after the other. Open a minute to spread it.")
        components.grid(
            [
                {
                    "id": f"{at:%Y-%m-%dT%H:%M}",
                    "name": {"text": clock(at, zone), "href": f"calendar?minute={at:%Y-%m-%dT%H:%M}"},
                    "starts": f"{ahead.starts[at]:,}",
                    "work": span(ahead.work_seconds[at]),
                }
                for at in minutes
            ],
            [
                Column("name", "Minute", "title"),
                Column("starts", "Starts", align="right"),
                Column("work", "Work", align="right"),
            ],
            key="calendar_busiest",
            label="Busiest minutes",
            dense=True,
            empty="Nothing is due.",
            on_open=_choose_minute,
        )


def _choose_minute(minute: str) -> None:
    st.query_params[AT_MINUTE] = minute
    st.query_params[AT_HOUR] = minute[:13]
    st.session_state[LEFT_OUT] = set()


def _shared(ahead: Load, zone: str) -> None:
    """The tasks of the chosen minute, and where they could go."""
    minute = _instant(st.query_params.get(AT_MINUTE), "%Y-%m-%dT%H:%M")
    if minute is None:
        return
    with catalogue().transaction() as session:
        sharers = db_load.sharers(session, ahead.by_minute.get(minute, ()), limit=LISTED)
    proposals = spreading.propose(sharers, spreading.profile(ahead.starts))
    moved = {str(each.task_id): each for each in proposals}
    left_out: set[str] = st.session_state.setdefault(LEFT_OUT, set())
    chosen = set(moved) - left_out
    with st.container(border=True, gap="small", key="calendar_minute"):
        with st.container(horizontal=True, vertical_alignment="center"):
            card_title(f"Due at {clock(minute, zone)}", "group_work")
            viewer.button(
                f"Spread these {len(chosen):,}" if chosen else "Spread",
                takes=Role.EDITOR,
                type="primary",
                icon=":material/shuffle:",
                key="spread",
                disabled=not chosen,
                help=None if chosen else "None of them can be moved to a quieter minute near it.",
                on_click=_spread,
                args=([moved[task_id] for task_id in sorted(chosen)],),
            )
        st.caption(_counted(len(sharers), len(proposals)))
        components.grid(
            [
                {
                    "id": str(each.id),
                    "name": {"text": each.name, "href": f"task?id={each.id}"},
                    "before": each.cron,
                    "after": moved[str(each.id)].after if str(each.id) in moved else "",
                    "zone": each.timezone,
                }
                for each in sharers
            ],
            [
                Column("name", "Task", "title"),
                Column("before", "Now", "code"),
                Column("after", "Instead", "code"),
                Column("zone", "Zone", "muted", spare=True),
            ],
            key="calendar_sharers",
            label="Tasks that share the minute",
            dense=True,
            cards=True,
            chosen=chosen,
            empty="No two tasks share it.",
            on_open=lambda task_id: navigation.go("task", id=task_id),
            on_choose=_choose,
        )


def _counted(sharers: int, movable: int) -> str:
    tasks = "1 task" if sharers == 1 else f"{sharers:,} tasks"
    most = f", the first {LISTED} of them listed" if sharers == LISTED else ""
    return f"{tasks}{most}; {movable:,} of them could be moved by a few minutes within their hour."


def _choose(ids: Sequence[str], on: bool) -> None:
    left_out: set[str] = st.session_state.setdefault(LEFT_OUT, set())
    if on:
        left_out.difference_update(ids)
    else:
        left_out.update(ids)


def _spread(proposals: Sequence[Proposal]) -> None:
    by_id = {each.task_id: each for each in proposals}
    bulk_bar.begin(
        "Spread",
        list(by_id),
        lambda session, task_id, at, by: bulk.move(session, by_id[task_id], at, by),
        takes=Role.EDITOR,
    )
