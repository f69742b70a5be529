"""All tasks: found, filtered, and started, paused, resumed or restored where they stand."""

from collections.abc import Sequence
from uuid import UUID

import streamlit as st

from dashboard import bulk_bar, commands, components, forms, navigation, reads, task_rows, undo, viewer
from dashboard.context import catalogue
from dashboard.failures import outage_shown
from dashboard.reads import Filters
from dashboard.templates import TEMPLATES, Template
from dashboard.viewer import viewer_zone
from db import task_views
from db.access import Role
from db.notifications import Topic
from db.states import Kind
from db.task_views import TaskFilter, TaskOrder

PAGE_SIZE = 25
CURSOR = "after"
FRAGMENT = "tasks_list"
STATES = {"All": None, **{state.value.capitalize(): state for state in TaskFilter}}
ORDERS = {f"By {order}": order for order in TaskOrder}


def page() -> None:
    """The page at `/tasks`."""
    navigation.show_notice()
    with st.container(horizontal=True, vertical_alignment="center"):
        st.title("Tasks", anchor=False, width="stretch")
        components.live([Topic.TASKS, Topic.RUNS], [FRAGMENT], key="tasks_live")
        viewer.button(
            "New task",
            takes=Role.EDITOR,
            type="primary",
            icon=":material/add:",
            key="new_task",
            on_click=navigation.go,
            args=("new",),
        )
    undo.show_bar()
    _list()


@st.fragment(key=FRAGMENT)
def _list() -> None:
    with outage_shown():
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            filters, order = _filters(), _order()
        cursor = st.query_params.get(CURSOR)
        found = reads.task_list(filters, order=order, limit=PAGE_SIZE, cursor=cursor, zone=viewer_zone())
        if not found.rows and not any(filters.values()):
            _first_steps()
            return
        is_all = cursor is None and found.next_cursor is None
        total = reads.count_tasks(filters, known=len(found.rows) if is_all else None)
        bulk_bar.show(deleted=filters["state"] == TaskFilter.DELETED, everything=lambda: _all(filters), total=total)
        st.caption(total, width="content")
        with st.container(border=True, gap=None):
            components.grid(
                found.rows,
                task_rows.COLUMNS,
                key="tasks_grid",
                label="Tasks",
                empty="No task matches these filters.",
                cards=True,
                chosen=bulk_bar.chosen(),
                on_open=lambda task_id: navigation.go("task", id=task_id),
                on_action=_act,
                on_choose=bulk_bar.choose,
            )
        _pager(found.next_cursor)


def _all(filters: Filters) -> Sequence[UUID]:
    with catalogue().transaction() as session:
        return task_views.find_ids(session, **filters, at_most=reads.COUNTED)


def _filters() -> Filters:
    search = st.text_input(
        "Search",
        type="search",
        live="100ms",
        key="q",
        bind="query-params",
        max_chars=200,
        placeholder="Search by name",
        label_visibility="collapsed",
        width=240,
        on_change=_first_page,
    )
    state = st.segmented_control(
        "State",
        list(STATES),
        default="All",
        required=True,
        key="state",
        bind="query-params",
        label_visibility="collapsed",
        on_change=_first_page,
    )
    kind = _choice("Kind", [kind.value for kind in Kind])
    tag = _choice("Tag", reads.tags())
    pools = reads.pools()
    pool = _choice("Pool", pools) if len(pools) > 1 or "pool" in st.query_params else None
    return {
        "search": search or "",
        "tag": tag,
        "kind": Kind(kind) if kind else None,
        "pool": pool,
        "state": STATES[state or "All"],
    }


def _order() -> TaskOrder:
    chosen = st.selectbox(
        "Order",
        list(ORDERS),
        key="order",
        bind="query-params",
        label_visibility="collapsed",
        width=140,
        on_change=_first_page,
    )
    return ORDERS[chosen]


def _choice(label: str, options: Sequence[str]) -> str | None:
    return st.selectbox(
        label,
        options,
        index=None,
        key=label.lower(),
        bind="query-params",
        placeholder=f"Any {label.lower()}",
        label_visibility="collapsed",
        width=128,
        on_change=_first_page,
    )


def _act(task_id: str, action: str) -> None:
    task = UUID(task_id)
    match action:
        case "run":
            commands.run_now(task)
        case "pause":
            commands.pause(task)
        case "resume":
            commands.resume(task)
        case "restore":
            commands.restore(task)
        case "edit":
            navigation.go("edit", id=task_id)


def _pager(next_cursor: str | None) -> None:
    with st.container(horizontal=True, horizontal_alignment="right"):
        if CURSOR in st.query_params:
            st.button("First page", icon=":material/first_page:", key="first_page", on_click=_first_page)
        if next_cursor:
            st.button(
                "Next page",
                icon=":material/chevron_right:",
                icon_position="right",
                key="next_page",
                on_click=_next_page,
                args=(next_cursor,),
            )


def _first_page() -> None:
    st.query_params.pop(CURSOR, None)


def _next_page(cursor: str) -> None:
    st.query_params[CURSOR] = cursor


def _first_steps() -> None:
    st.subheader("Nothing is scheduled yet", anchor=False)
    st.markdown("A task is something to do and when to do it. Start with one of these, or with an empty form.")
    with st.grid(3, min_column_width=240):
        for key, template in TEMPLATES.items():
            with st.container(border=True, height="stretch"):
                st.subheader(template.title, anchor=False, icon=f":material/{template.icon}:")
                st.markdown(template.text)
                with st.container(horizontal=True):
                    viewer.button(
                        "Create it",
                        takes=Role.EDITOR,
                        key=f"template_{key}",
                        type="primary",
                        on_click=_create,
                        args=(template,),
                    )
                    st.button(
                        "Change it first",
                        key=f"change_{key}",
                        on_click=navigation.go,
                        args=("new",),
                        kwargs={"template": key},
                    )


def _create(template: Template) -> None:
    task_id = commands.create(forms.new_document(viewer_zone()) | template.in_zone(viewer_zone()))
    if task_id is not None:
        navigation.notice("Created. You can run it now as well.")
        navigation.go("task", id=str(task_id))
