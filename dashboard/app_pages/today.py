"""The last day at a glance: is all well, what runs, what comes, what needs somebody."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any
from uuid import UUID

import streamlit as st

from dashboard import commands, components, navigation, parts, problem_rows, reads, run_rows, today, viewer
from dashboard.badges import Badge
from dashboard.components import Column, Tile
from dashboard.context import now
from dashboard.failures import outage_shown
from dashboard.moments import moment, span
from dashboard.task_cards import card_title
from dashboard.viewer import viewer_zone
from db import overview, stored
from db.access import Role
from db.notifications import Topic
from db.states import Outcome
from db.tables import Run

FRAGMENTS = ("today_day", "today_now")
RUNNING_SHOWN, COMING_SHOWN, PROBLEMS_SHOWN = 8, 20, 6
CANCEL = {"key": "cancel", "icon": "cross", "label": "Cancel", "takes": Role.OPERATOR}
LONGER = Badge("orange", "clock", "Longer than usual")


def page() -> None:
    """The page at `/today`."""
    navigation.show_notice()
    with st.container(horizontal=True, vertical_alignment="center"):
        st.title("Today", anchor=False, width="stretch")
        components.live([Topic.TASKS, Topic.RUNS, Topic.WORKERS], FRAGMENTS, key="today_live")
        viewer.button(
            "New task",
            takes=Role.EDITOR,
            type="primary",
            icon=":material/add:",
            key="new_task",
            on_click=navigation.go,
            args=("new",),
        )
    _day()
    _now()


@st.fragment(key=FRAGMENTS[0])
def _day() -> None:
    """What became of the last 24 hours."""
    with outage_shown():
        moment_ = now()
        answer = reads.day(moment_)
        found = answer.value
        heard, running = reads.heard()
        st.markdown(f"#### {today.sentence(found)}")
        components.labels(parts.labels(heard, viewer_zone(), now=moment_), key="today_parts")
        components.tiles(_tiles(found, running), key="today_tiles", on_open=navigation.follow)
        with st.container(border=True, gap="small"):
            card_title("Due times, last 24 hours and next 6", "bar_chart")
            label = f"{today.sentence(found)} {found.failed:,} failed, {found.late:,} were late."
            components.timeline(today.chart(found, viewer_zone()), key="today_chart", label=label)
        components.again(answer.again_in_seconds, key="today_again")


def _tiles(found: today.Day, running: int) -> list[Tile]:
    missed, skipped = (found.outcomes.get(outcome, 0) for outcome in (Outcome.MISSED, Outcome.SKIPPED))
    return [
        Tile("Running now", f"{running:,}", href="runs?run_state=Running"),
        Tile("Failed", f"{found.failed:,}", href="runs?run_state=Failed", tone="red" if found.failed else ""),
        Tile("Late", f"{found.late:,}", href="due?outcome=Late", tone="orange" if found.late else ""),
        Tile("Missed", f"{missed:,}", href="due?outcome=Missed", tone="orange" if missed else ""),
        Tile("Skipped", f"{skipped:,}", href="due?outcome=Skipped"),
    ]


@st.fragment(key=FRAGMENTS[1])
def _now() -> None:
    """What runs, what comes, and what needs somebody."""
    with outage_shown():
        found = reads.at_hand(running=RUNNING_SHOWN, coming=COMING_SHOWN)
        left, right = st.columns(2, gap="small")
        with left:
            _needs_somebody()
            _running(found, now())
        with right:
            _coming(found.coming)


def _needs_somebody() -> None:
    answer = reads.open_problems()
    open_now = [each for each in answer.value if each.mark is None]
    with st.container(border=True, gap="small"):
        card_title("Needs attention", "priority_high")
        components.again(answer.again_in_seconds, key="today_problems_again")
        components.grid(
            problem_rows.groups(open_now, zone=viewer_zone())[:PROBLEMS_SHOWN],
            problem_rows.GROUP_COLUMNS,
            key="today_problems",
            label="Needs attention",
            dense=True,
            head=False,
            cards=True,
            empty="Nothing. All is well.",
            on_open=lambda _cause: navigation.go("problems"),
        )


def _running(found: reads.AtHand, moment_: datetime) -> None:
    with st.container(border=True, gap="small"):
        card_title("Running now", "progress_activity")
        components.grid(
            [_running_row(run, found.usual.get(run.task_id), moment_) for run in found.running],
            [
                Column("name", "Task", "title"),
                Column("state", "", "badges"),
                Column("usual", "Usually", "muted", spare=True),
                Column("took", "Elapsed", "elapsed", "right"),
            ],
            key="today_running",
            label="Running now",
            dense=True,
            cards=True,
            empty="Nothing is running.",
            on_open=lambda run_id: navigation.go("run", id=run_id),
            on_action=lambda run_id, _action: commands.cancel(UUID(run_id)),
        )


def _running_row(run: Run, usual: float | None, moment_: datetime) -> dict[str, Any]:
    assert run.started_at is not None
    is_long = usual is not None and (moment_ - run.started_at).total_seconds() > usual
    row = run_rows.row(run, zone=viewer_zone())
    badges = row["state"] if run_rows.is_cancelling(run) or not is_long else [asdict(LONGER)]
    usually = f"up to {span(usual)}" if usual is not None else ""
    elapsed = row["took"] | ({"limit": usual * 1000} if usual is not None else {})
    return row | {"state": badges, "usual": usually, "took": elapsed, "actions": [CANCEL]}


def _coming(coming: Sequence[overview.Coming]) -> None:
    with st.container(border=True, gap="small"):
        card_title("Due next", "upcoming")
        components.grid(
            [
                {
                    "id": f"{each.task_id} {each.due_at.isoformat()}",
                    "name": {"text": each.task_name, "href": f"task?id={each.task_id}"},
                    "schedule": stored.schedule_in_words(each.schedule),
                    "away": moment(each.due_at, viewer_zone()),
                }
                for each in coming
            ],
            [
                Column("name", "Task", "title"),
                Column("schedule", "Schedule", "muted", spare=True),
                Column("away", "Due", "away", "right"),
            ],
            key="today_coming",
            label="Due next",
            dense=True,
            cards=True,
            empty="Nothing is going to be due.",
            on_open=lambda opened: navigation.go("task", id=opened.partition(" ")[0]),
        )
