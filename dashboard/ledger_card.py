"""The card of a task's due times: what became of each, why, and what comes next."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date, datetime, timedelta
from typing import Any

import streamlit as st
from sqlalchemy.orm import Session

from dashboard import components, ledger_month, navigation, pager
from dashboard.badges import Badge
from dashboard.components import CellKind, Column
from dashboard.ledger_month import Month
from dashboard.moments import clock, moment, span, zone_of
from dashboard.run_rows import short
from db import evidence, ledger
from db.errors import BadCursor
from db.pages import Page
from db.states import Outcome, Reason
from db.tables import DueTime
from db.task_views import TaskView
from db.why import LATE_FROM

PAGE_SIZE = 20
UPCOMING = 3
COUNTED = timedelta(hours=24)
CURSOR = "due_before"

BADGES: Mapping[Outcome, Badge] = {
    Outcome.PENDING: Badge("gray", "clock", "Pending"),
    Outcome.RUNNING: Badge("blue", "spinner", "Running"),
    Outcome.RAN: Badge("green", "check", "Ran"),
    Outcome.SKIPPED: Badge("gray", "resume", "Skipped"),
    Outcome.MISSED: Badge("orange", "alert", "Missed"),
    Outcome.CANCELLED: Badge("gray", "ban", "Cancelled"),
    Outcome.UNKNOWN: Badge("violet", "bolt", "Unknown"),
}
COUNTED_IN_ORDER = (Outcome.RAN, *(outcome for outcome in BADGES if outcome is not Outcome.RAN))
RAN_LATE = Badge("orange", "clock", "Ran late")
CLOSED = Badge("gray", "resume", "Closed", "A calendar of the task is closed then: it is not run.")
WAITING = Badge("orange", "clock", "Waiting")


@dataclass(frozen=True, slots=True)
class Found:
    """A page of the ledger of a task, with what belongs to it."""

    past: Page[DueTime]
    reasons: Sequence[str | None]
    upcoming: Sequence[DueTime]
    counts: Mapping[Outcome, int]
    month: Month
    days: Mapping[date, Mapping[Outcome, int]]
    chosen: date | None


def read(session: Session, task: TaskView, *, viewer_zone: str, now: datetime) -> Found:
    """What the card shows, of the page that the address names."""
    zone = zone_of(task.spec, otherwise=viewer_zone)
    chosen, month = ledger_month.chosen_day(), ledger_month.chosen_month(now, zone)
    begin, end = ledger_month.bounds(chosen, zone) if chosen else (None, now)
    until = min(end, now)
    cursor = st.query_params.get(CURSOR)
    try:
        past = ledger.newest(session, task.id, now=until, since=begin, limit=PAGE_SIZE, cursor=cursor)
    except BadCursor:
        pager.newest(CURSOR)
        cursor, past = None, ledger.newest(session, task.id, now=until, since=begin, limit=PAGE_SIZE)
    shows_newest = cursor is None and chosen is None
    return Found(
        past=past,
        reasons=evidence.explain(session, task.id, past.items, now=now, zone=zone),
        upcoming=_not_paused(task, ledger.upcoming(session, task.id, after=now, limit=UPCOMING))
        if shows_newest
        else (),
        counts=ledger.count_outcomes(session, task.id, since=now - COUNTED, until=now),
        month=month,
        days=ledger.count_by_day(session, task.id, zone=zone, since=month.begin, until=min(month.end, now)),
        chosen=chosen,
    )


def _not_paused(task: TaskView, rows: Sequence[DueTime]) -> list[DueTime]:
    """Those at which the task is going to be due, as far as anybody knows now."""
    if not task.spec.paused:
        return list(rows)
    return [row for row in rows if task.paused_until is not None and row.due_at >= task.paused_until]


def show(task: TaskView, found: Found, *, viewer_zone: str, now: datetime) -> None:
    """Draws it."""
    zone = zone_of(task.spec, otherwise=viewer_zone)
    coming = [_row(row, None, zone, viewer_zone, now=now) for row in reversed(found.upcoming)]
    past = [
        _row(row, why, zone, viewer_zone, now=now) for row, why in zip(found.past.items, found.reasons, strict=True)
    ]
    with st.container(border=True, gap="small", key="ledger_card"):
        st.subheader("Due times", anchor=False, icon=":material/fact_check:")
        components.labels(_counted(found.counts), key="ledger_counts")
        left, right = st.columns([1, 2.2], gap="medium")
        with left:
            ledger_month.show(found.month, found.days, found.chosen)
        with right:
            components.grid(
                [*coming, *past],
                _columns(zone, viewer_zone),
                key="ledger",
                label="Due times and what became of them",
                dense=True,
                cards=True,
                empty=_empty(found.chosen),
                on_open=lambda due_at: _open_run(found.past.items, due_at),
            )
            pager.show(found.past.next_cursor, parameter=CURSOR)


def _empty(chosen: date | None) -> str:
    if CURSOR in st.query_params:
        return "There are none before."
    return "It was not due on this day." if chosen else "It has not been due yet."


def _counted(counts: Mapping[Outcome, int]) -> list[tuple[CellKind, Any]]:
    badges = {**BADGES, Outcome.PENDING: WAITING}
    counted = [
        asdict(replace(badges[outcome], word=f"{counts[outcome]:,} {badges[outcome].word.lower()}"))
        for outcome in COUNTED_IN_ORDER
        if outcome in counts
    ]
    return (
        [("muted", "Last 24 hours"), ("badges", counted)] if counted else [("muted", "Not due in the last 24 hours.")]
    )


def _columns(zone: str, viewer_zone: str) -> list[Column]:
    columns = [Column("due", f"Task time, {zone}")]
    if viewer_zone != zone:
        columns.append(Column("there", f"Your time, {viewer_zone}", "muted", spare=True))
    return [
        Column("outcome", "Outcome", "badges"),
        *columns,
        Column("away", "", "away"),
        Column("late", "Lateness", align="right"),
        Column("why", "Why", "prose"),
        Column("run", "", "title"),
    ]


def _row(row: DueTime, why: str | None, zone: str, viewer_zone: str, *, now: datetime) -> dict[str, Any]:
    run = short(row.run_id) if row.run_id else None
    return {
        "id": row.due_at.isoformat(),
        "due": clock(row.due_at, zone),
        "there": clock(row.due_at, viewer_zone),
        "away": moment(row.due_at, zone),
        "outcome": [asdict(badge(row, now=now))],
        "late": span(row.lateness_seconds),
        "why": _besidebadge(row, why),
        "run": {"text": f"Run {run}", "href": f"run?id={row.run_id}"} if run else None,
        "dim": row.due_at > now,
        "rev": [row.outcome, row.reason, run],
    }


def _besidebadge(row: DueTime, why: str | None) -> str | None:
    """The sentence without the word that the badge says already."""
    if why is None or row.outcome in (Outcome.RAN, Outcome.RUNNING):
        return why
    told = why.partition(": ")[2]
    return f"{told[:1].upper()}{told[1:]}"


def badge(row: DueTime, *, now: datetime) -> Badge:
    late = row.lateness_seconds is not None and row.lateness_seconds >= LATE_FROM.total_seconds()
    if row.outcome == Outcome.RAN and late:
        return RAN_LATE
    if row.outcome == Outcome.PENDING and row.reason == Reason.CLOSED:
        return CLOSED
    if row.outcome == Outcome.PENDING and now - row.due_at >= LATE_FROM:
        return WAITING
    return BADGES[Outcome(row.outcome)]


def _open_run(rows: Sequence[DueTime], due_at: str) -> None:
    run_id = next((row.run_id for row in rows if row.due_at.isoformat() == due_at), None)
    if run_id is not None:
        navigation.go("run", id=str(run_id))
