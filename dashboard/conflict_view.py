"""Somebody else saved the task meanwhile: what each of the two changed, and what is to be kept."""

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from dashboard.conflicts import Difference, Side
from dashboard.context import now
from dashboard.drafts import Draft, choice_key
from dashboard.moments import span
from dashboard.task_form import card_title
from dashboard.task_words import label, value
from dashboard.text import escape_markdown
from dashboard.viewer import viewer_zone

SIDES = {Side.THEIRS.value: "Saved", Side.MINE.value: "Yours"}
SHOWN_CHARACTERS = 600
JUST_NOW_SECONDS = 10


def conflict_view(draft: Draft) -> None:
    """Nothing where there is no conflict."""
    if draft.conflict is None:
        return
    differing = draft.differences()
    with st.container(border=True, key="conflict"):
        card_title("Somebody else saved this task while you were editing", icon=":material/sync_problem:")
        st.markdown(_who(draft) + _hint(differing))
        for difference in differing or []:
            _row(difference)


def _who(draft: Draft) -> str:
    assert draft.conflict is not None
    seconds = (now() - draft.conflict.at).total_seconds()
    ago = "just now" if seconds < JUST_NOW_SECONDS else f"{span(seconds)} ago"
    return f"Version {draft.conflict.version}, by {escape_markdown(draft.conflict.actor)}, {ago}. "


def _hint(differing: list[Difference] | None) -> str:
    if differing is None:
        return "Your form has mistakes. Correct them to see what differs."
    if any(each.changed_by_both for each in differing):
        return "Where both of you changed a field, choose whose value is kept."
    return "You changed different fields, so both changes can be kept."


def _row(difference: Difference) -> None:
    name = label(difference.field)
    with st.container(border=True, gap="small"):
        head, theirs, mine, kept = st.columns([1.5, 2, 2, 1.3], vertical_alignment="top")
        with head:
            st.markdown(f"**{escape_markdown(name)}**")
            _badge(difference)
        _value(theirs, "Saved now", difference, Side.THEIRS)
        _value(mine, "Yours", difference, Side.MINE)
        kept.segmented_control(
            "Keep",
            list(SIDES),
            format_func=SIDES.__getitem__,
            key=choice_key(difference.field),
            required=True,
        )


def _badge(difference: Difference) -> None:
    if difference.changed_by_both:
        st.badge("Both changed it", color="orange", icon=":material/call_split:")
    elif difference.suggested is Side.THEIRS:
        st.badge("They changed it", color="blue", icon=":material/group:")
    else:
        st.badge("You changed it", color="violet", icon=":material/person:")


def _value(column: DeltaGenerator, title: str, difference: Difference, side: Side) -> None:
    held = difference.theirs if side is Side.THEIRS else difference.mine
    shown = value(difference.field, held, zone=viewer_zone()) or "(nothing)"
    column.caption(title)
    column.text(shown if len(shown) <= SHOWN_CHARACTERS else f"{shown[:SHOWN_CHARACTERS]}…")
