"""The cards of a task's page."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import streamlit as st

from dashboard import action_text, components, history_bars, navigation, run_rows, task_header, track_record
from dashboard.components import CellKind, Column
from dashboard.moments import clock, moment, span, zone_of
from db.schedule_words import in_words
from db.schedules import next_due_times
from db.specs import CronSchedule
from db.states import FINAL_STATES
from db.tables import Run
from db.task_views import TaskView

DUE_TIMES_SHOWN = 8
RUNS_LISTED = 12
NOT_DUE = "It is not due again."
DURATION, LATENESS = "Duration", "Lateness"


def card_title(text: str, icon: str) -> None:
    """A heading without a link to itself."""
    st.subheader(text, anchor=False, icon=f":material/{icon}:")


class Cards:
    """What the cards are about, read once."""

    def __init__(self, task: TaskView, *, viewer_zone: str, now: datetime) -> None:
        self._task, self._viewer_zone, self._now = task, viewer_zone, now
        self._zone = zone_of(task.spec, otherwise=viewer_zone)

    def schedule(self) -> None:
        """In words, and the next due times."""
        spec = self._task.spec
        with st.container(border=True, height="stretch", gap="small"):
            card_title("Schedule", "schedule")
            words: list[tuple[CellKind, Any]] = [("text", in_words(spec.schedule.value()))]
            if isinstance(spec.schedule, CronSchedule):
                words.append(("code", spec.schedule.cron))
            components.labels(words, key="schedule_words")
            components.grid(
                self._due_rows(),
                self._due_columns(),
                key="due_times",
                label="Next due times",
                dense=True,
                empty="Nothing is due while it is paused." if spec.paused else NOT_DUE,
            )

    def _due_rows(self) -> list[dict[str, Any]]:
        task = self._task
        if task.spec.paused or task.deleted_at is not None:
            return []
        upcoming = next_due_times(
            task.spec.schedule.value(),
            after=self._now,
            count=DUE_TIMES_SHOWN,
            starts_at=task.spec.starts_at,
            ends_at=task.spec.ends_at,
        )
        return [
            {
                "id": at.isoformat(),
                "here": clock(at, self._zone),
                "there": clock(at, self._viewer_zone),
                "away": moment(at, self._zone),
            }
            for at in upcoming
        ]

    def _due_columns(self) -> list[Column]:
        columns = [Column("here", f"Task time, {self._zone}")]
        if self._viewer_zone != self._zone:
            columns.append(Column("there", f"Your time, {self._viewer_zone}", "muted", spare=True))
        return [*columns, Column("away", "", "away", "right")]

    def statistics(self, recent: Sequence[Run]) -> None:
        """How the last runs went."""
        ended = [run for run in recent if run.state in FINAL_STATES]
        with st.container(border=True, height="stretch", gap="small"):
            card_title(f"Last {len(ended)} runs" if ended else "Runs", "bar_chart")
            if not ended:
                st.caption("None has ended yet.")
                return
            with st.grid(3, min_column_width=90):
                st.metric("Succeeded", track_record.success_rate(ended) or "unknown")
                st.metric("Usually takes", span(track_record.percentile_seconds(ended, 0.5)) or "unknown")
                st.metric("95 % take at most", span(track_record.percentile_seconds(ended)) or "unknown")
            self._over_time(ended)

    @st.fragment
    def _over_time(self, ended: Sequence[Run]) -> None:
        """Drawn alone where another figure is chosen."""
        about = st.segmented_control(
            "Shown",
            [DURATION, LATENESS],
            default=DURATION,
            required=True,
            key="over_time",
            bind="query-params",
            label_visibility="collapsed",
        )
        series = history_bars.lateness if about == LATENESS else history_bars.durations
        history_bars.show(series(self._task.spec, list(reversed(ended)), zone=self._zone))

    def runs(self, recent: Sequence[Run]) -> None:
        """The newest runs."""
        with st.container(border=True, height="stretch", gap="small"):
            card_title("Runs", "history")
            components.grid(
                [run_rows.row(run, zone=self._zone, with_task=False) for run in recent[:RUNS_LISTED]],
                run_rows.OF_ONE_TASK,
                key="task_runs",
                label="Runs of this task",
                dense=True,
                empty="It has not run yet.",
                on_open=_open_run,
            )

    def output(self, recent: Sequence[Run]) -> None:
        """What the newest run prints."""
        with st.container(border=True, height="stretch", gap="small"):
            newest = next((run for run in recent if run.started_at is not None), None)
            card_title(f"Output of run {run_rows.short(newest.id)}" if newest else "Output", "terminal")
            if newest is None:
                st.caption("It has not run yet.")
            else:
                components.log(str(newest.id), over=newest.state in FINAL_STATES, zone=self._zone, key="task_log")

    def action(self) -> None:
        """What it does, and how."""
        with st.container(border=True, height="stretch", gap="small"):
            card_title(action_text.title(self._task.spec), "code")
            st.code(action_text.text(self._task.spec), language=None, wrap_lines=True)
            rows = [{"id": name, "name": name, "value": {"text": value}} for name, value in self._settings().items()]
            components.grid(
                rows,
                [Column("name", "", "muted"), Column("value", "", "title")],
                key="task_settings",
                label="Settings",
                dense=True,
                head=False,
            )
            task_header.prefect_link(self._task)

    def _settings(self) -> dict[str, str]:
        spec = self._task.spec
        retries = (
            f"{spec.retries}, {spec.retry_delay_seconds} s apart, {spec.retry_backoff}" if spec.retries else "none"
        )
        return action_text.details(spec) | {
            "Timeout": span(spec.timeout_seconds) or "none",
            "Retries": retries if spec.retries else "none",
            "While the last run is not done": spec.overlap.value,
            "After due times were missed": spec.misfire.value,
            "When its worker is lost": spec.on_crash.value,
            "Work pool": spec.work_pool,
        }


def _open_run(run_id: str) -> None:
    navigation.go("run", id=run_id)
