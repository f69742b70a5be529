"""Due times of all tasks that came to one outcome: where the figures of the day lead."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import timedelta
from typing import Any

import streamlit as st

from dashboard import components, ledger_card, navigation, pager
from dashboard.components import Column
from dashboard.context import catalogue, now
from dashboard.failures import outage_shown
from dashboard.moments import clock, moment, span
from dashboard.viewer import viewer_zone
from db import overview
from db.notifications import Topic
from db.overview import DueTimeOf
from db.states import Outcome

FRAGMENT = "due_list"
CURSOR = "before"
PAGE_SIZE = 50
WITHIN = {"24 hours": timedelta(hours=24), "7 days": timedelta(days=7), "30 days": timedelta(days=30)}
OUTCOMES = {
    "Late": None,
    "Missed": Outcome.MISSED,
    "Skipped": Outcome.SKIPPED,
    "Cancelled": Outcome.CANCELLED,
    "Unknown": Outcome.UNKNOWN,
}
WHY = {
    "overlap": "The run before it was not done.",
    "late": "It was too late to run.",
    "superseded": "A newer due time was run instead.",
    "paused": "The task was paused.",
    "deleted": "The task was deleted.",
    "not_due": "The schedule was changed.",
    "worker_lost": "Its worker was lost.",
    "cancelled": "Somebody cancelled it.",
}


def page() -> None:
    """The page at `/due?outcome=`."""
    with st.container(horizontal=True, vertical_alignment="center"):
        with st.container(width="stretch"):
            navigation.back_link("today", "Today")
        components.live([Topic.RUNS, Topic.TASKS], [FRAGMENT], key="due_live")
    st.title("Due times", anchor=False)
    _list()


@st.fragment(key=FRAGMENT)
def _list() -> None:
    with outage_shown():
        outcome, within = _filters()
        moment_ = now()
        with catalogue().transaction() as session:
            found = overview.due_times_that(
                session,
                outcome=OUTCOMES[outcome],
                since=moment_ - WITHIN[within],
                until=moment_,
                limit=PAGE_SIZE,
                cursor=st.query_params.get(CURSOR),
            )
        with st.container(border=True, gap=None):
            components.grid(
                [_row(each) for each in found.items],
                COLUMNS,
                key="due_grid",
                label="Due times",
                empty=f"None in the last {within}.",
                cards=True,
                on_open=lambda opened: _open(found.items, opened),
            )
        pager.show(found.next_cursor, parameter=CURSOR)


COLUMNS = (
    Column("name", "Task", "title"),
    Column("outcome", "Outcome", "badges"),
    Column("due", "Due"),
    Column("away", "", "away"),
    Column("late", "Lateness", align="right"),
    Column("why", "Why", "muted"),
)


def _filters() -> tuple[str, str]:
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        outcome = _choice("Outcome", list(OUTCOMES), default="Late")
        within = _choice("Within", list(WITHIN), default="24 hours")
    return outcome, within


def _choice(label: str, options: Sequence[str], *, default: str) -> str:
    return (
        st.segmented_control(
            label,
            options,
            default=default,
            required=True,
            key=label.lower(),
            bind="query-params",
            label_visibility="collapsed",
            on_change=pager.newest,
            args=(CURSOR,),
        )
        or default
    )


def _row(each: DueTimeOf) -> dict[str, Any]:
    row, zone = each.row, viewer_zone()
    run = f"run?id={row.run_id}" if row.run_id else f"task?id={row.task_id}"
    return {
        "id": f"{row.task_id} {row.due_at.isoformat()}",
        "name": {"text": each.task_name, "href": run},
        "outcome": [asdict(ledger_card.badge(row, now=now()))],
        "due": f"{clock(row.due_at, zone)}, {zone}",
        "away": moment(row.due_at, zone),
        "late": span(row.lateness_seconds),
        "why": WHY.get(row.reason or "", ""),
    }


def _open(items: Sequence[DueTimeOf], opened: str) -> None:
    for each in items:
        if opened == f"{each.row.task_id} {each.row.due_at.isoformat()}":
            if each.row.run_id is not None:
                navigation.go("run", id=str(each.row.run_id))
            navigation.go("task", id=str(each.row.task_id))
