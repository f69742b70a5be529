"""What every page says of the ledger: a quiet line below it while all is well, a loud one above it when it is not."""

from datetime import datetime

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from dashboard import components, ledger_audit, navigation
from dashboard.components import Column
from dashboard.context import catalogue, now
from dashboard.ledger_audit import NAMED, Audit
from dashboard.moments import clock
from dashboard.viewer import viewer_zone
from db.errors import CatalogueUnavailable

EVERY_SECONDS = 60
"""As often as the ledger is audited."""


def above() -> DeltaGenerator:
    """The place above the page, to be kept before the page is drawn."""
    return st.container()


def show(place_above: DeltaGenerator) -> None:
    """Says it, once the page is there: it must not keep anybody waiting."""
    with place_above:
        _loud()
    _quiet()


@st.fragment(key="ledger_alarm", run_every=EVERY_SECONDS)
def _loud() -> None:
    moment = now()
    audit = _audit()
    if audit is None or audit.is_well(now=moment):
        return
    if audit.is_old(now=moment):
        st.warning(ledger_audit.in_words(audit, now=moment), icon=":material/schedule:")
    else:
        _alarm(audit, zone=viewer_zone())


@st.fragment(key="ledger_line", run_every=EVERY_SECONDS)
def _quiet() -> None:
    moment = now()
    audit = _audit()
    if audit is not None and audit.is_well(now=moment):
        st.caption(f":material/fact_check: {_line(audit, now=moment)}", width="content")


def _audit() -> Audit | None:
    """The last one; None also while nobody can tell, which the page says itself."""
    try:
        with catalogue().transaction() as session:
            return ledger_audit.last_audit(session)
    except CatalogueUnavailable:
        return None


def _line(audit: Audit, *, now: datetime) -> str:
    seconds = audit.age(now=now).total_seconds()
    checked = "just now" if seconds < 60 else f"{seconds // 60:.0f} min ago"
    return f"{ledger_audit.findings(audit)} Checked {checked}."


def _alarm(audit: Audit, *, zone: str) -> None:
    more = audit.discrepancy_count - len(audit.discrepancies[:NAMED])
    rest = f", {more:,} of which {'is' if more == 1 else 'are'} not listed here" if more > 0 else ""
    st.error(f"{ledger_audit.headline(audit)}{rest}.", icon=":material/error:")
    with st.container(border=True, gap=None):
        components.grid(
            [
                {
                    "id": f"{one.task_id} {one.due_at.isoformat()}",
                    "task": {"text": one.task_name, "href": f"task?id={one.task_id}"},
                    "due": clock(one.due_at, zone),
                    "what": one.what,
                }
                for one in audit.discrepancies[:NAMED]
            ],
            [Column("task", "Task", "title"), Column("due", f"Due, {zone}"), Column("what", "What disagrees", "prose")],
            key="discrepancies",
            label="Due times that are not accounted for",
            dense=True,
            cards=True,
            on_open=lambda opened: navigation.go("task", id=opened.partition(" ")[0]),
        )
