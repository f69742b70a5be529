"""Reads that are the same for all readers, made once per change of the catalogue."""

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache, partial
from typing import Any, TypedDict
from uuid import UUID
from zoneinfo import ZoneInfo

import streamlit as st

from dashboard import load, parts, run_gantt, task_rows, today
from dashboard.context import catalogue, now
from dashboard.live import Token, hub
from dashboard.paced import Answer, Paced
from db import calendars as db_calendars
from db import load as db_load
from db import overview, problems, run_views, runs, task_views
from db.closures import Entries
from db.notifications import Topic
from db.pages import Page
from db.problems import Problem
from db.states import Kind, RunState
from db.tables import Run
from db.task_views import TaskFilter, TaskOrder

COUNTED = 10_000
"""Nobody waits for more to be counted."""


class Filters(TypedDict):
    """What a list of tasks is narrowed to."""

    search: str
    tag: str | None
    kind: Kind | None
    pool: str | None
    state: TaskFilter | None


def day(at: datetime) -> Answer[today.Day]:
    """The figures of the last day."""
    return _DAY.get((hub().token(Topic.RUNS), hub().token(Topic.TASKS), today.window(at).begin))


def _day() -> today.Day:
    window = today.window(now())
    with catalogue().transaction() as session:
        since, until, slice_ = window.begin, window.now, today.SLICE
        counts = overview.count_by_slice(session, since=since, until=until, slice_=slice_)
        failures = overview.failures_by_slice(session, since=since, until=until, slice_=slice_)
    return today.day(window, counts, failures, _planned(window))


def _planned(window: today.Window) -> dict[datetime, int]:
    """What is still to come, by the slices of the window."""
    planned: Counter[datetime] = Counter()
    for minute, count in load_ahead("UTC", window.now).value.starts.items():
        if window.now < minute < window.begin + today.BACK + today.AHEAD + today.SLICE:
            planned[window.begin + (minute - window.begin) // today.SLICE * today.SLICE] += count
    return planned


_DAY = Paced(_day)


def open_problems() -> Answer[Sequence[Problem]]:
    """What needs somebody, and what was said of it."""
    return _PROBLEMS.get((hub().token(Topic.RUNS), hub().token(Topic.TASKS), hub().token(Topic.WORKERS)))


def forget_problems() -> None:
    """After somebody said something of them."""
    _PROBLEMS.forget()


def _problems() -> Sequence[Problem]:
    with catalogue().transaction() as session:
        return problems.open_problems(session, now=now())


_PROBLEMS = Paced(_problems)


def runs_within(length: timedelta) -> Answer[Sequence[Run]]:
    """The runs of so long until now, those that go on among them, newest first."""
    return _runs_of(length).get(hub().token(Topic.RUNS))


@lru_cache(maxsize=16)
def _runs_of(length: timedelta) -> Paced[Sequence[Run]]:
    return Paced(partial(_runs, length))


def _runs(length: timedelta) -> Sequence[Run]:
    at = now()
    with catalogue().transaction() as session:
        return run_views.in_window(session, since=at - length, until=at, limit=run_gantt.MOST)


def load_ahead(zone: str, at: datetime) -> Answer[load.Load]:
    """What is due in the week that begins with this day in a zone."""
    today_ = at.astimezone(ZoneInfo(zone)).replace(hour=0, minute=0, second=0, microsecond=0)
    return _load_of(zone).get((hub().token(Topic.TASKS), today_.date()))


@lru_cache(maxsize=32)
def _load_of(zone: str) -> Paced[load.Load]:
    return Paced(partial(_load, zone), pause_at_most_seconds=15.0, keeps_nobody_waiting=True)


def _load(zone: str) -> load.Load:
    today_ = now().astimezone(ZoneInfo(zone)).replace(hour=0, minute=0, second=0, microsecond=0)
    begin, end = (moment.astimezone(UTC) for moment in (today_, today_ + timedelta(days=load.DAYS)))
    with catalogue().transaction() as session:
        shared, alone = db_load.shared(session), db_load.alone(session, begin=begin, end=end)
    return load.load(shared, alone, begin=begin, end=end)


@dataclass(frozen=True, slots=True)
class AtHand:
    """What runs, with how long each takes nearly always in seconds, and what is due next."""

    running: Sequence[Run]
    usual: Mapping[UUID, float]
    coming: Sequence[overview.Coming]


def at_hand(*, running: int, coming: int) -> AtHand:
    """So many of those that run, and of the due times to come."""
    return _at_hand((hub().token(Topic.RUNS), hub().token(Topic.TASKS)), running, coming)


def heard() -> tuple[Sequence[parts.Part], int]:
    """The parts of the system, and how many runs go on."""
    return _heard((hub().token(Topic.RUNS), hub().token(Topic.TASKS), hub().token(Topic.WORKERS)))


@dataclass(frozen=True, slots=True)
class TaskRows:
    """A page of the list of tasks, as it is shown."""

    rows: Sequence[dict[str, Any]]
    next_cursor: str | None


def task_list(filters: Filters, *, order: TaskOrder, limit: int, cursor: str | None, zone: str) -> TaskRows:
    """For a reader in this time zone."""
    return _task_list((hub().token(Topic.RUNS), hub().token(Topic.TASKS)), filters, order, limit, cursor, zone)


def run_list(*, task_id: UUID | None, state: RunState | None, limit: int, cursor: str | None) -> Page[Run]:
    """A page of the list of runs."""
    return _run_list(hub().token(Topic.RUNS), task_id, state, limit, cursor)


def tags() -> Sequence[str]:
    """The tags in use."""
    return _tags(hub().token(Topic.TASKS))


def calendars() -> Mapping[str, Entries]:
    """What each calendar says."""
    return _calendars(hub().token(Topic.TASKS))


def pools() -> Sequence[str]:
    """The work pools of the tasks."""
    return _pools(hub().token(Topic.TASKS))


def count_tasks(filters: Filters, *, known: int | None = None) -> str:
    """How many tasks the filters leave, in words; `known` where all of them have been read."""
    count = known if known is not None else _count(hub().token(Topic.TASKS), filters)
    if count > COUNTED:
        return f"More than {COUNTED:,} tasks"
    return f"{count:,} {'task' if count == 1 else 'tasks'}"


# What is kept under a token is right while that is the same. A lost hint makes a stale answer live as long as this.
@st.cache_resource(ttl=15, max_entries=2, show_spinner=False)
def _at_hand(token: Hashable, running: int, coming: int) -> AtHand:  # noqa: ARG001
    with catalogue().transaction() as session:
        going_on = overview.going_on(session, limit=running)
        usual = overview.usual_seconds(session, [run.task_id for run in going_on])
        return AtHand(going_on, usual, overview.coming(session, after=now(), limit=coming))


@st.cache_resource(ttl=15, max_entries=2, show_spinner=False)
def _heard(token: Hashable) -> tuple[Sequence[parts.Part], int]:  # noqa: ARG001
    with catalogue().transaction() as session:
        return parts.read(session, now=now()), overview.count_going_on(session)


@st.cache_resource(ttl=15, max_entries=100, show_spinner=False)
def _task_list(
    token: Hashable,  # noqa: ARG001
    filters: Filters,
    order: TaskOrder,
    limit: int,
    cursor: str | None,
    zone: str,
) -> TaskRows:
    with catalogue().transaction() as session:
        found = task_views.list_tasks(session, **filters, order=order, limit=limit, cursor=cursor, now=now())
        recent = runs.recent_runs(session, [task.id for task in found.items], count=task_rows.RUNS_SHOWN)
    return TaskRows([task_rows.row(task, recent[task.id], zone) for task in found.items], found.next_cursor)


@st.cache_resource(ttl=15, max_entries=100, show_spinner=False)
def _run_list(
    token: Token,  # noqa: ARG001
    task_id: UUID | None,
    state: RunState | None,
    limit: int,
    cursor: str | None,
) -> Page[Run]:
    with catalogue().transaction() as session:
        return runs.list_runs(session, task_id=task_id, state=state, limit=limit, cursor=cursor)


@st.cache_data(ttl=15, max_entries=2, show_spinner=False)
def _tags(token: Token) -> Sequence[str]:  # noqa: ARG001
    with catalogue().transaction() as session:
        return list(task_views.list_tags(session))


@st.cache_data(ttl=15, max_entries=2, show_spinner=False)
def _calendars(token: Token) -> Mapping[str, Entries]:  # noqa: ARG001
    with catalogue().transaction() as session:
        return {each.name: each.entries for each in db_calendars.list_calendars(session)}


@st.cache_data(ttl=15, max_entries=2, show_spinner=False)
def _pools(token: Token) -> Sequence[str]:  # noqa: ARG001
    with catalogue().transaction() as session:
        return list(task_views.list_pools(session))


@st.cache_data(ttl=15, max_entries=200, show_spinner=False)
def _count(token: Token, filters: Filters) -> int:  # noqa: ARG001
    with catalogue().transaction() as session:
        return task_views.count_tasks(session, **filters, at_most=COUNTED)
