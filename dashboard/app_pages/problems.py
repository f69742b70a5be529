"""What needs somebody, by cause: to be looked at, acknowledged, put off for a while, or muted."""

from collections.abc import Sequence
from datetime import timedelta

import streamlit as st

from dashboard import commands, components, navigation, problem_rows, reads, viewer
from dashboard.failures import outage_shown
from dashboard.text import escape_markdown
from dashboard.viewer import viewer_zone
from db.access import Role
from db.notifications import Topic
from db.problems import Problem
from db.states import Mark

FRAGMENT = "problems_list"
OPEN = "Open"
SHOWN = {
    OPEN: None,
    "Acknowledged": Mark.ACKNOWLEDGED,
    "Snoozed": Mark.SNOOZED,
    "Muted": Mark.MUTED,
}
GROUPS_SHOWN, TASKS_SHOWN = 20, 50
SNOOZES = {"For an hour": timedelta(hours=1), "For a day": timedelta(days=1), "For a week": timedelta(days=7)}
HOUR = timedelta(hours=1)


def page() -> None:
    """The page at `/problems`."""
    navigation.show_notice()
    with st.container(horizontal=True, vertical_alignment="center"):
        st.title("Problems", anchor=False, width="stretch")
        components.live([Topic.TASKS, Topic.RUNS, Topic.WORKERS], [FRAGMENT], key="problems_live")
    _list()


@st.fragment(key=FRAGMENT)
def _list() -> None:
    with outage_shown():
        shown = st.segmented_control(
            "Shown",
            list(SHOWN),
            default=OPEN,
            required=True,
            key="shown",
            bind="query-params",
            label_visibility="collapsed",
        )
        answer = reads.open_problems()
        components.again(answer.again_in_seconds, key="problems_again")
        chosen = [each for each in answer.value if _mark(each) == SHOWN[shown or OPEN]]
        st.caption(_counted(chosen, shown or OPEN))
        groups = problem_rows.by_cause(chosen)
        for number, (cause, group) in enumerate(list(groups.items())[:GROUPS_SHOWN]):
            _group(number, cause, group, shown or OPEN)
        if len(groups) > GROUPS_SHOWN:
            st.caption(f"{len(groups) - GROUPS_SHOWN:,} more causes are not shown.")


def _mark(problem: Problem) -> Mark | None:
    return Mark(problem.mark.mark) if problem.mark is not None else None


def _counted(chosen: Sequence[Problem], shown: str) -> str:
    if not chosen:
        return "Nothing needs you. All is well." if shown == OPEN else f"Nothing is {shown.lower()}."
    tasks = len({each.task_id for each in chosen if each.task_id is not None})
    found = "1 problem" if len(chosen) == 1 else f"{len(chosen):,} problems"
    return f"{found} of {'1 task' if tasks == 1 else f'{tasks:,} tasks'}" if tasks else found


def _group(number: int, cause: str, group: Sequence[Problem], shown: str) -> None:
    keys = [each.key for each in group]
    with st.container(border=True, gap="small", key=f"cause_{number}"):
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            st.markdown(f"**{escape_markdown(cause)}**", width="stretch")
            if shown == OPEN:
                _group_buttons(number, keys)
            else:
                viewer.button(
                    "Reopen",
                    takes=Role.OPERATOR,
                    icon=":material/undo:",
                    key=f"reopen_{number}",
                    on_click=commands.reopen,
                    args=(keys,),
                )
        components.grid(
            [problem_rows.row(each, zone=viewer_zone()) for each in group[:TASKS_SHOWN]],
            problem_rows.COLUMNS if shown == OPEN else [*problem_rows.COLUMNS, problem_rows.MARKED],
            key=f"problems_{number}",
            label=cause,
            dense=True,
            cards=True,
            on_open=_open,
            on_action=_act,
        )
        if len(group) > TASKS_SHOWN:
            st.caption(f"{len(group) - TASKS_SHOWN:,} more tasks are not shown.")


def _group_buttons(number: int, keys: Sequence[str]) -> None:
    viewer.button(
        "Acknowledge",
        takes=Role.OPERATOR,
        icon=":material/check:",
        key=f"acknowledge_{number}",
        help="It comes back when it happens anew after a success.",
        on_click=commands.mark,
        args=(keys, Mark.ACKNOWLEDGED),
    )
    with st.popover("Snooze", icon=":material/snooze:", key=f"snooze_{number}"):
        for word, span in SNOOZES.items():
            viewer.button(
                word,
                takes=Role.OPERATOR,
                key=f"snooze_{number}_{word}",
                on_click=commands.mark,
                args=(keys, Mark.SNOOZED, span),
            )
    viewer.button(
        "Mute",
        takes=Role.OPERATOR,
        icon=":material/notifications_off:",
        key=f"mute_{number}",
        help="It stays away until somebody reopens it.",
        on_click=commands.mark,
        args=(keys, Mark.MUTED),
    )


def _open(key: str) -> None:
    page, parameters = problem_rows.place(key)
    navigation.go(page, **parameters)


def _act(key: str, action: str) -> None:
    if action == problem_rows.REOPEN["key"]:
        commands.reopen([key])
    else:
        commands.mark([key], Mark(action), HOUR if action == Mark.SNOOZED else None)
