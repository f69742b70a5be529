"""What Streamlit lacks: a table with links and ticking times, the live output of a run, and the hint to look again."""

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from time import sleep
from typing import Any, Literal

import streamlit as st
from streamlit.errors import StreamlitAPIException
from streamlit.runtime.scriptrunner import get_script_run_ctx

from dashboard.live import hub
from dashboard.viewer import visitor
from db.access import Role

FRONTEND = Path(__file__).with_name("frontend")
PAUSE_MS = 900
"""A page is drawn again at most this often, however much happens."""
SENT_SECONDS = 0.02
"""What the run before has drawn has been sent by then. Streamlit sends it every 5 ms (`runtime/runtime_util.py`), and
drops what is not sent when the same fragment is drawn again: a dialog, say, but not what is in it."""


def _read(*names: str) -> str:
    return "".join((FRONTEND / name).read_text(encoding="utf-8") for name in names)


_live = st.components.v2.component(
    "duetime_live",
    html='<span class="live" role="status"><span class="word">Connecting</span></span>',
    css=_read("live.css"),
    js=_read("live.js"),
)
_shell = st.components.v2.component(
    "duetime_shell", html="<span></span>", css=_read("shell.css"), js=_read("shell.js"), isolate_styles=False
)
_grid = st.components.v2.component(
    "duetime_grid",
    html='<div class="grid"></div>',
    css=_read("cells.css", "grid.css"),
    js=_read("cells.js", "grid.js"),
)
_labels = st.components.v2.component(
    "duetime_labels",
    html='<div class="labels"></div>',
    css=_read("cells.css", "labels.css"),
    js=_read("cells.js", "labels.js"),
)
_tiles = st.components.v2.component(
    "duetime_tiles",
    html='<dl class="tiles"></dl>',
    css=_read("cells.css", "tiles.css"),
    js=_read("cells.js", "tiles.js"),
)
_again = st.components.v2.component("duetime_again", html="<span></span>", js=_read("again.js"))
_keep = st.components.v2.component("duetime_keep", html="<span></span>", js=_read("keep.js"))
_timeline = st.components.v2.component(
    "duetime_timeline",
    html='<div class="timeline" role="img"></div>',
    css=_read("timeline.css"),
    js=_read("cells.js", "timeline.js"),
)
_month = st.components.v2.component(
    "duetime_month",
    html='<div class="month" role="group"></div>',
    css=_read("month.css"),
    js=_read("cells.js", "month.js"),
)
_heat = st.components.v2.component(
    "duetime_heat", html='<div class="heat" role="group"></div>', css=_read("heat.css"), js=_read("cells.js", "heat.js")
)
_chain = st.components.v2.component(
    "duetime_chain",
    html='<div class="chain" role="group"></div>',
    css=_read("chain.css"),
    js=_read("cells.js", "chain.js"),
)
_story = st.components.v2.component(
    "duetime_story", html='<ol class="story"></ol>', css=_read("story.css"), js=_read("cells.js", "story.js")
)
_gantt = st.components.v2.component(
    "duetime_gantt",
    html='<div class="gantt" role="group"></div>',
    css=_read("gantt.css"),
    js=_read("cells.js", "gantt.js"),
)
_cron_grid = st.components.v2.component(
    "duetime_cron_grid",
    html='<div class="cron-grid"></div>',
    css=_read("cron_grid.css"),
    js=_read("cells.js", "cron_grid.js"),
)
_log = st.components.v2.component(
    "duetime_log", html=_read("log.html"), css=_read("log.css"), js=_read("cells.js", "ansi.js", "log.js")
)
_durations = st.components.v2.component(
    "duetime_durations",
    html='<div class="durations" role="group"><div class="plot"></div>'
    '<div class="scale"><span class="oldest"></span><span class="longest"></span></div></div>',
    css=_read("durations.css"),
    js=_read("durations.js"),
)

Row = dict[str, Any]
CellKind = Literal["title", "badges", "bars", "away", "elapsed", "tags", "code", "muted", "prose", "text"]


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a grid: which member of the rows it shows, under which heading, and how."""

    key: str
    label: str = ""
    kind: CellKind = "text"
    align: Literal["left", "right"] = "left"
    spare: bool = False
    """Left out where there is little room."""


def shell() -> None:
    """Once a page: makes the browser's Back do what people expect, and chosen segments readable."""
    _shell(key="shell", height=1)


def draw_again(fragments: Sequence[str]) -> None:
    """Draws these fragments again, to be called back for a hint.

    Streamlit makes one run of several that are asked for at the same time. Where one of them is of the whole page, all
    is drawn anyway; asked for as well, the fragments would be drawn instead, and a dialog just closed, or a page just
    left, would stay.
    """
    context = get_script_run_ctx()
    if context and context.fragment_ids_this_run:
        sleep(SENT_SECONDS)
        with suppress(StreamlitAPIException):  # the page was left meanwhile, and its fragments with it
            st.rerun(list(fragments))


def live(topics: Sequence[str], fragments: Sequence[str], *, key: str) -> None:
    """Draws these fragments again when one of the topics changes, and the whole page after an outage."""

    known = hub().count(topics)  # before anything below is read

    # In a fragment of its own, because a hint that comes while the page is being drawn then waits its turn. Outside of
    # one, it would end that run half-way: a dialog just closed, or a page just left, would stay.
    @st.fragment(key=f"{key}_hints")
    def hints() -> None:
        data = {"topics": list(topics), "known": known, "pause_ms": PAUSE_MS}
        redraw = partial(draw_again, fragments)
        _live(key=key, data=data, on_change_change=redraw, on_reload_change=st.rerun, width="content")

    with st.container(width="content"):
        hints()


def grid(
    rows: Sequence[Row],
    columns: Sequence[Column],
    *,
    key: str,
    label: str,
    empty: str = "",
    dense: bool = False,
    head: bool = True,
    cards: bool = False,
    chosen: Collection[str] | None = None,
    on_open: Callable[[str], None] | None = None,
    on_action: Callable[[str, str], None] | None = None,
    on_choose: Callable[[Sequence[str], bool], None] | None = None,
) -> None:
    """A table. A row has an `id` and the columns' members; where it has any, also:

    `name` for its buttons, `actions` (key, icon, label, and the role that it takes), `dim`, and `rev`, whose change is
    shown.
    With `cards`, rows become cards where there is little room. With `chosen`, rows have boxes: these are ticked.
    """
    data = {
        "rows": _permitted(rows),
        "columns": [asdict(column) for column in columns],
        "label": label,
        "empty": empty,
        "dense": dense,
        "head": head,
        "cards": cards,
        "chosen": None if chosen is None else [row["id"] for row in rows if row["id"] in chosen],
    }
    _grid(
        key=key,
        data=data,
        on_open_change=partial(_opened, key, on_open),
        on_action_change=partial(_acted, key, on_action),
        on_choose_change=partial(_chosen, key, on_choose),
    )


def labels(items: Sequence[tuple[CellKind, Any]], *, key: str, on_open: Callable[[str], None] | None = None) -> None:
    """A line of badges, tags, words and links, each as a grid's cell would show it; `on_open` gets a link's address."""
    data = {"items": [{"kind": kind, "value": value} for kind, value in items]}
    _labels(key=key, data=data, on_open_change=partial(_opened, key, on_open))


@dataclass(frozen=True, slots=True)
class Tile:
    """One fact: its value as a grid's cell would show it."""

    label: str
    value: Any
    kind: CellKind = "text"
    sub: str = ""
    href: str = ""
    """Where it leads, and what `on_open` gets."""
    tone: str = ""


def tiles(facts: Sequence[Tile], *, key: str, on_open: Callable[[str], None] | None = None) -> None:
    """A few facts side by side."""
    data = {"tiles": [asdict(fact) for fact in facts]}
    _tiles(key=key, data=data, on_open_change=partial(_opened, key, on_open))


def again(seconds: float, *, key: str) -> None:
    """Draws the fragment that it is in again after some seconds, once; not at all for 0."""
    _again(key=key, data={"ms": round(seconds * 1000)}, on_again_change=lambda: None, height=1)


def keep(data: Mapping[str, Any], *, key: str, on_restore: Callable[[Mapping[str, Any]], None]) -> None:
    """Keeps a form in the browser: its `source`, `version` and `fields`, and whether it `is_new` here.

    What was kept of a form that is new to the server is given to `on_restore`; `forget` throws it away.
    """

    def restored() -> None:
        kept = st.session_state[key].restore
        if kept is not None:
            on_restore(kept)

    _keep(key=key, data=dict(data), on_restore_change=restored, height=1)


def timeline(chart: Mapping[str, Any], *, key: str, label: str) -> None:
    """Stacked bars over time.

    `plots` have bars, each of tones with their shares of the `highest`; `titles` are the bars', `ticks`, `now` and
    `legend` what is around them.
    """
    _timeline(key=key, data={**chart, "label": label})


def month(days: Sequence[Row], *, first_weekday: int, key: str, label: str, on_open: Callable[[str], None]) -> None:
    """A button for each day of a month, which begins on a weekday counted from Monday."""
    data = {"days": list(days), "first_weekday": first_weekday, "label": label}
    _month(key=key, data=data, on_open_change=partial(_opened, key, on_open))


def heat(days: Sequence[Row], *, key: str, label: str, on_open: Callable[[str], None]) -> None:
    """A row for each day: `name`, `total`, and `cells` (id, title, hour, chosen, and the share of the fullest one)."""
    _heat(key=key, data={"days": list(days), "label": label}, on_open_change=partial(_opened, key, on_open))


def story(steps: Sequence[Row], *, key: str, label: str) -> None:
    """What happened, in order: `word`, `at`, `title`, and the `gap` before it."""
    _story(key=key, data={"steps": list(steps), "label": label})


def gantt(chart: Mapping[str, Any], *, key: str, label: str, empty: str, on_open: Callable[[str], None]) -> None:
    """`lanes` (name, and bars of id, href, tone, title, begin and width as shares of the window) above `ticks`."""
    data = {**chart, "label": label, "empty": empty}
    _gantt(key=key, data=data, on_open_change=partial(_opened, key, on_open))


def cron_grid(fields: Sequence[Row], *, key: str, on_change: Callable[[str, Sequence[int]], None]) -> None:
    """Values to choose from for each field: `name`, `label`, `values` with their words, and which are `chosen`."""

    def changed() -> None:
        change = st.session_state[key].change
        if change is not None:
            on_change(str(change["field"]), [int(value) for value in change["values"]])

    _cron_grid(key=key, data={"fields": list(fields)}, on_change_change=changed)


def log(run_id: str, *, over: bool, zone: str, key: str, height: int = 380, reveal: bool = False) -> None:
    """The output of a run, line by line while it is printed; times in this zone. `reveal` moves the page to it once."""
    _log(key=key, data={"run": run_id, "over": over, "zone": zone, "height": height, "reveal": reveal})


def chain(
    before: Sequence[Row],
    name: str,
    after: Sequence[Row],
    *,
    key: str,
    label: str,
    on_open: Callable[[str], None],
) -> None:
    """A small graph: what comes before, the thing itself, what comes after. A node has `name`, `href`, `on`, `tone`."""
    data = {"before": list(before), "name": name, "after": list(after), "label": label}
    _chain(key=key, data=data, on_open_change=partial(_opened, key, on_open))


def durations(
    items: Sequence[Row],
    *,
    key: str,
    label: str,
    oldest: str,
    longest: str,
    line: float | None = None,
    on_open: Callable[[str], None],
) -> None:
    """A bar for each run: `id`, `href`, `tone`, `title`, and its `share` of the longest; a line at a share of it."""
    data = {"items": list(items), "label": label, "oldest": oldest, "longest": longest, "line": line}
    _durations(key=key, data=data, on_open_change=partial(_opened, key, on_open))


def _permitted(rows: Sequence[Row]) -> Sequence[Row]:
    """The rows with the actions that whoever looks at them may do."""
    if not any("actions" in row for row in rows):
        return rows
    role = visitor().role
    return [row | {"actions": _within(role, row["actions"])} if "actions" in row else row for row in rows]


def _within(role: Role, actions: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return [each for each in actions if role.includes(each.get("takes", Role.VIEWER))]


def _opened(key: str, on_open: Callable[[str], None] | None) -> None:
    opened = st.session_state[key].open
    if on_open is not None and opened is not None:
        on_open(str(opened))


def _acted(key: str, on_action: Callable[[str, str], None] | None) -> None:
    acted = st.session_state[key].action
    if on_action is not None and acted is not None:
        on_action(str(acted["id"]), str(acted["action"]))


def _chosen(key: str, on_choose: Callable[[Sequence[str], bool], None] | None) -> None:
    chosen = st.session_state[key].choose
    if on_choose is not None and chosen is not None:
        on_choose([str(row_id) for row_id in chosen["ids"]], bool(chosen["on"]))
