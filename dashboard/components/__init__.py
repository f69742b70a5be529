"""What Streamlit lacks: a table with links and ticking times, the live output of a run, and the hint to look again."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import streamlit as st
from streamlit.errors import StreamlitAPIException

FRONTEND = Path(__file__).with_name("frontend")
PAUSE_MS = 900
"""A page is drawn again at most this often, however much happens."""


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
_log = st.components.v2.component(
    "duetime_log", html=_read("log.html"), css=_read("log.css"), js=_read("cells.js", "log.js")
)
_durations = st.components.v2.component(
    "duetime_durations",
    html='<div class="durations" role="group"><div class="plot"></div>'
    '<div class="scale"><span class="oldest"></span><span class="longest"></span></div></div>',
    css=_read("durations.css"),
    js=_read("durations.js"),
)

Row = Mapping[str, Any]
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


def live(topics: Sequence[str], fragments: Sequence[str], *, key: str) -> None:
    """Draws these fragments again when one of the topics changes, and the whole page after an outage."""

    def redraw() -> None:
        with suppress(StreamlitAPIException):  # the page was left meanwhile, and its fragments with it
            st.rerun(list(fragments))

    # In a fragment of its own, because a hint that comes while the page is being drawn then waits its turn. Outside of
    # one, it would end that run half-way: a dialog just closed, or a page just left, would stay.
    @st.fragment(key=f"{key}_hints")
    def hints() -> None:
        data = {"topics": list(topics), "pause_ms": PAUSE_MS}
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
    on_open: Callable[[str], None] | None = None,
    on_action: Callable[[str, str], None] | None = None,
) -> None:
    """A table. A row has an `id` and the columns' members; where it has any, also:

    `name` for its buttons, `actions` (key, icon, label), `dim`, and `rev`, whose change is shown.
    With `cards`, rows become cards where there is little room.
    """
    data = {
        "rows": list(rows),
        "columns": [asdict(column) for column in columns],
        "label": label,
        "empty": empty,
        "dense": dense,
        "head": head,
        "cards": cards,
    }
    _grid(
        key=key,
        data=data,
        on_open_change=partial(_opened, key, on_open),
        on_action_change=partial(_acted, key, on_action),
    )


def labels(items: Sequence[tuple[CellKind, Any]], *, key: str) -> None:
    """A line of badges, tags and words, each as a grid's cell would show it."""
    _labels(key=key, data={"items": [{"kind": kind, "value": value} for kind, value in items]})


@dataclass(frozen=True, slots=True)
class Tile:
    """One fact: its value as a grid's cell would show it."""

    label: str
    value: Any
    kind: CellKind = "text"
    sub: str = ""


def tiles(facts: Sequence[Tile], *, key: str) -> None:
    """A few facts side by side."""
    _tiles(key=key, data={"tiles": [asdict(fact) for fact in facts]})


def log(run_id: str, *, over: bool, zone: str, key: str, height: int = 380) -> None:
    """The output of a run, line by line while it is printed; times in this zone."""
    _log(key=key, data={"run": run_id, "over": over, "zone": zone, "height": height})


def durations(
    items: Sequence[Row], *, key: str, label: str, oldest: str, longest: str, on_open: Callable[[str], None]
) -> None:
    """A bar for each run: `id`, `href`, `tone`, `title`, and its `share` of the longest."""
    data = {"items": list(items), "label": label, "oldest": oldest, "longest": longest}
    _durations(key=key, data=data, on_open_change=partial(_opened, key, on_open))


def _opened(key: str, on_open: Callable[[str], None] | None) -> None:
    opened = st.session_state[key].open
    if on_open is not None and opened is not None:
        on_open(str(opened))


def _acted(key: str, on_action: Callable[[str, str], None] | None) -> None:
    acted = st.session_state[key].action
    if on_action is not None and acted is not None:
        on_action(str(acted["id"]), str(acted["action"]))
