"""The schedule in the task form: checked while it is typed, in words, with the due times to come."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any

import streamlit as st

from dashboard import components, cron_grid, edit_effects, forms, reads
from dashboard.components import Column
from dashboard.context import catalogue, now
from dashboard.drafts import Draft, collect_in_fragment, held, key
from dashboard.forms import FIRST_PASS, SECOND_PASS
from dashboard.moments import clock, day, moment, time_of_day, zone_of
from dashboard.previews import Preview, preview, same_moment
from dashboard.task_form import card_title, say_problem
from dashboard.task_words import FIELD_LABELS
from dashboard.text import escape_markdown
from dashboard.viewer import viewer_zone
from db import overview
from db.closures import Entries
from db.errors import CatalogueUnavailable
from db.schedules import time_zones
from db.specs import AnyTask, InvalidTask, closed_by, parse_task

KINDS = {"cron": "Repeating", "once": "One time", "manual": "By hand"}
EXAMPLES = {
    "Every minute": "* * * * *",
    "Hourly": "0 * * * *",
    "Daily 02:00": "0 2 * * *",
    "Weekdays 08:30": "30 8 * * 1-5",
    "Weekly": "0 2 * * 1",
    "Monthly": "0 2 1 * *",
}
EXAMPLE = "edit_example"
ON_CLOSED = {
    "skip": "Don't run (default)",
    "next": "Run on the next open day",
    "previous": "Run on the last open day before",
}
RUNS_LOOKED_AT = 60
PASSES = {FIRST_PASS: "The first time", SECOND_PASS: "The second time"}


@st.fragment(key="edit_schedule")
def schedule(draft: Draft) -> None:
    """Everything about when it is due."""
    fields = collect_in_fragment(draft)
    problems = draft.problems()
    with st.container(border=True):
        card_title("Schedule")
        kind = fields["schedule_kind"]
        st.segmented_control(
            FIELD_LABELS["schedule_kind"],
            list(KINDS),
            format_func=KINDS.__getitem__,
            key=held("schedule_kind"),
            required=True,
            label_visibility="collapsed",
        )
        if kind != "manual":
            st.selectbox(FIELD_LABELS["timezone"], sorted(time_zones()), key=held("timezone"), filter_mode="contains")
        known = _calendars()
        seen = preview(fields, now=now(), calendars=known)
        {"cron": _cron, "once": _once, "manual": _manual}[kind](seen)
        if "once_time" in problems and not seen.error and (fields["run_if_past"] or not seen.is_past):
            say_problem(problems, "once_time")
        _say(seen, known=same_moment(fields, draft.base and draft.base["schedule"]), run_if_past=fields["run_if_past"])
        _due_times(seen.due_at, fields["timezone"])
        for note in seen.notes:
            st.caption(f":orange[:material/warning:] {escape_markdown(note)}")
        _changes(draft, known)
        if kind == "cron" and (known or fields["calendars"]):
            _closed_days(problems, fields, known)
        if kind == "cron" or fields["starts_at"] or fields["ends_at"]:
            _bounds(problems, fields)


def _calendars() -> Mapping[str, Entries]:
    """None while the database is away: what is typed must stay on the page."""
    try:
        return reads.calendars()
    except CatalogueUnavailable:
        return {}


def _closed_days(problems: Mapping[str, str], fields: Mapping[str, Any], known: Mapping[str, Entries]) -> None:
    left, right = st.columns(2)
    with left:
        names = sorted({*known, *fields["calendars"]})
        st.multiselect(FIELD_LABELS["calendars"], names, key=held("calendars"), placeholder="None: always open")
        say_problem(problems, "calendars")
    with right:
        if fields["calendars"]:
            label = FIELD_LABELS["on_closed"]
            st.selectbox(label, list(ON_CLOSED), format_func=ON_CLOSED.__getitem__, key=held("on_closed"))
        say_problem(problems, "on_closed")


def _changes(draft: Draft, calendars: Mapping[str, Entries]) -> None:
    """What saving it would change: due times that come and go, and runs that would meet each other."""
    try:
        task = closed_by(forms.read(draft.fields, base=draft.base), calendars)
    except InvalidTask:
        return
    at = now()
    forecast = edit_effects.overlap_forecast(task, _usual_seconds(draft), now=at)
    if forecast:
        st.caption(f":orange[:material/stacked_line_chart:] {escape_markdown(forecast)}")
    if draft.base is None:
        return
    found = edit_effects.effects(parse_task(draft.base), task, now=at)
    if found:
        with st.expander(edit_effects.in_words(found), icon=":material/difference:", key="edit_effects"):
            _named("Added", found.added, task)
            _named("Gone", found.removed, task)


def _usual_seconds(draft: Draft) -> float | None:
    """Read once for a draft."""
    if draft.task_id is not None and not draft.usual_read:
        try:
            with catalogue().transaction() as session:
                found = overview.usual_seconds(session, [draft.task_id], of_runs=RUNS_LOOKED_AT)
        except CatalogueUnavailable:
            return None
        draft.usual_read, draft.usual_seconds = True, found.get(draft.task_id)
    return draft.usual_seconds


def _named(word: str, instants: Sequence[datetime], task: AnyTask) -> None:
    if not instants:
        return
    zone = zone_of(task, otherwise=viewer_zone())
    more = f", and {len(instants) - edit_effects.NAMED:,} more" if len(instants) > edit_effects.NAMED else ""
    listed = ", ".join(clock(at, zone) for at in instants[: edit_effects.NAMED])
    st.markdown(f"**{word}**, {escape_markdown(zone)}: {escape_markdown(listed + more)}")


def _cron(_seen: Preview) -> None:
    st.pills("Start from an example", list(EXAMPLES), key=EXAMPLE, on_change=_take_example)
    st.text_input(
        FIELD_LABELS["cron"],
        key=held("cron"),
        live="100ms",
        max_chars=200,
        help="Minute, hour, day of month, month, day of week. A sixth field is seconds; @daily and the like work too.",
    )

    _grid()


def _grid() -> None:
    """The same as minutes, hours and days to choose from; each follows the other."""
    shown = cron_grid.read(st.session_state[key("cron")])
    with st.expander("Choose minutes, hours and days", icon=":material/grid_on:", key="edit_cron_grid"):
        if shown is None:
            st.caption("This expression says more than a grid can show. It is kept as it is written.")
            return
        components.cron_grid(
            [
                {
                    "name": name,
                    "label": name.capitalize(),
                    "values": cron_grid.labels(name),
                    "chosen": sorted(getattr(shown, name)),
                    "wide": name in ("months", "weekdays"),
                }
                for name in cron_grid.FIELDS
            ],
            key="edit_cron_grid_values",
            on_change=_choose,
        )


def _choose(field: str, values: Sequence[int]) -> None:
    shown = cron_grid.read(st.session_state[key("cron")])
    if shown is not None:
        st.session_state[key("cron")] = shown.having(field, values).cron()


def _take_example() -> None:
    chosen = st.session_state[EXAMPLE]
    if chosen:
        st.session_state[key("cron")] = EXAMPLES[chosen]
        st.session_state[EXAMPLE] = None


def _once(seen: Preview) -> None:
    left, right = st.columns(2)
    left.date_input(
        FIELD_LABELS["once_date"],
        value=None,
        key=held("once_date"),
        min_value=date(1970, 12, 31),
        max_value=date(9000, 12, 31),
        format="YYYY-MM-DD",
    )
    right.text_input(FIELD_LABELS["once_time"], key=held("once_time"), live=True, max_chars=20, placeholder="10:00")
    if seen.comes_twice:
        st.segmented_control(
            FIELD_LABELS["once_pass"],
            list(PASSES),
            format_func=PASSES.__getitem__,
            key=held("once_pass"),
            required=True,
        )
    st.checkbox(FIELD_LABELS["run_if_past"], key=held("run_if_past"))


def _manual(_seen: Preview) -> None:
    st.markdown("It runs when somebody presses **Run now**, or asks the API to.")


def _say(seen: Preview, *, known: bool, run_if_past: bool) -> None:
    if seen.error:
        st.error(escape_markdown(seen.error), icon=":material/error:")
        return
    if seen.is_past:
        _say_past(known=known, run_if_past=run_if_past)
    st.markdown(f":material/check_circle: **{escape_markdown(seen.words)}**")


def _say_past(*, known: bool, run_if_past: bool) -> None:
    if known:
        st.info("This moment has passed: it will not be due again.", icon=":material/history:")
    elif run_if_past:
        st.warning("This moment has passed: it runs as soon as it is saved.", icon=":material/bolt:")
    else:
        label = FIELD_LABELS["run_if_past"]
        st.error(f"This moment has passed. Choose a later one, or tick “{label}”.", icon=":material/error:")


def _due_times(due_at: Sequence[datetime], zone: str) -> None:
    if not due_at:
        return
    viewer = viewer_zone()
    columns = [Column("here", f"Due, {zone}"), Column("away", "", "away", align="right")]
    if viewer != zone:
        columns.insert(1, Column("viewer", f"Your time, {viewer}", "muted"))
    components.grid(
        [_row(at, zone, viewer) for at in due_at], columns, key="edit_due_times", label="Next due times", dense=True
    )


def _row(at: datetime, zone: str, viewer: str) -> dict[str, Any]:
    same_day = day(at, zone) == day(at, viewer)
    return {
        "id": at.isoformat(),
        "here": f"{day(at, zone)} {at.year}, {time_of_day(at, zone)}",
        "viewer": time_of_day(at, viewer) if same_day else clock(at, viewer),
        "away": moment(at, zone),
    }


def _bounds(problems: Mapping[str, str], fields: Mapping[str, Any]) -> None:
    left, right = st.columns(2)
    help_text = f"In {fields['timezone']}. Empty for none."
    for column, name in ((left, "starts_at"), (right, "ends_at")):
        with column:
            st.text_input(
                FIELD_LABELS[name],
                key=held(name),
                live=True,
                max_chars=40,
                placeholder="2026-12-01 10:00",
                help=escape_markdown(help_text),
            )
            say_problem(problems, name)
