"""Who executes runs: which workers are there, what they do, and a way to empty one before its machine is stopped."""

from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import streamlit as st

from dashboard import commands, components, navigation
from dashboard.badges import Badge
from dashboard.components import Column
from dashboard.context import catalogue, now
from dashboard.failures import outage_shown
from dashboard.moments import moment
from dashboard.viewer import viewer_zone
from db import workers
from db.access import Role
from db.notifications import Topic
from db.tables import Worker

FRAGMENT = "workers_list"
SEEN_WITHIN = timedelta(days=1)
HERE = Badge("green", "check", "Here")
DRAINING = Badge("orange", "pause", "Draining", "It finishes what it runs and takes nothing new.")
EMPTY = Badge("violet", "pause", "Drained", "It runs nothing and takes nothing new: its machine can be stopped.")
LOST = Badge("red", "bolt", "Silent", "It was not heard of for too long.")
STOPPED = Badge("gray", "ban", "Stopped")
DRAIN = {"key": "drain", "icon": "pause", "label": "Drain", "takes": Role.OPERATOR}
TAKE = {"key": "take", "icon": "resume", "label": "Take runs again", "takes": Role.OPERATOR}
COLUMNS = (
    Column("name", "Worker", "title"),
    Column("state", "State", "badges"),
    Column("heard", "Heartbeat", "away"),
    Column("busy", "Running", align="right"),
    Column("pool", "Pool", "code"),
    Column("since", "Since", "away"),
    Column("version", "Version", "muted", spare=True),
)


def page() -> None:
    """The page at `/workers`."""
    with st.container(horizontal=True, vertical_alignment="center"):
        st.title("Workers", anchor=False, width="stretch")
        components.live([Topic.WORKERS, Topic.RUNS], [FRAGMENT], key="workers_live")
    _list()


@st.fragment(key=FRAGMENT)
def _list() -> None:
    with outage_shown():
        at = now()
        with catalogue().transaction() as session:
            found = workers.seen(session, since=at - SEEN_WITHIN)
            running = workers.running(session, [worker.id for worker in found])
        here = [worker for worker in found if _is_here(worker, at)]
        slots = sum(worker.slots or 0 for worker in here)
        busy = sum(running.get(worker.id, 0) for worker in here)
        st.caption(f"{len(here):,} here, {busy:,} of {slots:,} slots busy")
        with st.container(border=True, gap=None):
            components.grid(
                [_row(worker, running.get(worker.id, 0), at) for worker in found],
                COLUMNS,
                key="workers_grid",
                label="Workers",
                cards=True,
                empty="No worker was heard of within a day. Start one: prefect worker start --pool default",
                on_open=lambda _worker: navigation.go("runs"),
                on_action=lambda worker, action: commands.drain(UUID(worker), on=action == DRAIN["key"]),
            )


def _is_here(worker: Worker, at: datetime) -> bool:
    return worker.stopped_at is None and at - worker.heartbeat_at < workers.LOST_AFTER


def _row(worker: Worker, running: int, at: datetime) -> dict[str, Any]:
    zone, is_here = viewer_zone(), _is_here(worker, at)
    queues = f", queues {', '.join(worker.queues)}" if worker.queues else ""
    return {
        "id": str(worker.id),
        "name": {"text": worker.name, "sub": f"{worker.host}, process {worker.pid}{queues}"},
        "state": [asdict(_badge(worker, running, at))],
        "heard": moment(worker.heartbeat_at, zone),
        "busy": f"{running:,} of {worker.slots:,}" if worker.slots else f"{running:,}",
        "pool": worker.work_pool,
        "since": moment(worker.started_at, zone),
        "version": worker.version,
        "dim": not is_here,
        "rev": [running, worker.draining_at is not None, worker.stopped_at is not None],
        **({"actions": [TAKE if worker.draining_at else DRAIN]} if is_here else {}),
    }


def _badge(worker: Worker, running: int, at: datetime) -> Badge:
    if worker.stopped_at is not None:
        return STOPPED
    if not _is_here(worker, at):
        return LOST
    if worker.draining_at is not None:
        return DRAINING if running else EMPTY
    return HERE
