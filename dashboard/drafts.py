"""A task while somebody writes it: what the form holds, where it came from, and how it is saved.

Streamlit forgets a field that is not on the page; a draft does not, as long as its page is open.
"""

import logging
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from time import monotonic
from typing import Any
from uuid import UUID, uuid4

import streamlit as st
from sqlalchemy.orm import Session

from dashboard import conflicts, forms
from dashboard.api.repeats import once
from dashboard.conflicts import Difference, Side
from dashboard.context import catalogue, now
from dashboard.live import note_own_change
from dashboard.viewer import actor, address, viewer_zone, visitor
from db import audit, revisions, task_views, tasks
from db.access import Role
from db.errors import CatalogueError, IdempotencyKeyReused, StaleVersion, TaskNameTaken
from db.specs import AnyTask, InvalidTask, as_document, parse_task

log = logging.getLogger(__name__)

DRAFT, FORGET = "_draft", "_draft_forgotten"
SAME_RUN_SECONDS = 1.0
"""What is done in one run of the script is done within this time; people need longer to come back to the form."""
ON_EVERY_DRAW = "name"
"""A field that the page always shows: where it is gone, the page has been left since."""


@dataclass(frozen=True, slots=True)
class Conflict:
    """What somebody else saved meanwhile."""

    theirs: dict[str, Any]
    version: int
    actor: str
    at: datetime


@dataclass
class Draft:
    """One per session. `base` is the document that it started from, None for a new task."""

    source: str
    fields: dict[str, Any]
    task_id: UUID | None = None
    base: dict[str, Any] | None = None
    version: int = 0
    idempotency_key: str = field(default_factory=lambda: uuid4().hex)
    tried: bool = False
    refused: dict[str, tuple[Any, str]] = field(default_factory=dict)
    """What the catalogue said against a value of a field."""
    failure: str = ""
    conflict: Conflict | None = None
    saved: UUID | None = None
    saved_at: float = 0.0
    usual_read: bool = False
    usual_seconds: float | None = None
    """How long its runs take, nearly always; looked up once."""
    test: UUID | None = None
    """The request for the test run that was begun last."""
    is_new: bool = True
    """Whether the browser has not been asked yet what it kept of this form."""
    restored: bool = False
    """Whether it is what the browser had kept."""
    undrawn: bool = False
    """Whether the page does not show yet what became of a save."""
    broken: str | None = None
    """Why the task that it is an edit of cannot be read."""
    stored: Any = None
    """What is stored of it."""

    def collect(self) -> dict[str, Any]:
        """The fields as they are on the page now."""
        self.fields |= {name: st.session_state[key(name)] for name in self.fields if key(name) in st.session_state}
        return self.fields

    def saved_just_now(self) -> bool:
        """Whether this run began with a click on Save that was a success.

        The second click of two may arrive when the page has been left, and draws it again with another address.
        """
        return self.saved is not None and self.undrawn and monotonic() - self.saved_at < SAME_RUN_SECONDS

    def adopt(self, document: Mapping[str, Any], *, base: dict[str, Any], version: int) -> None:
        """Goes on with this document instead, as an edit of that version."""
        self.fields = forms.fields_of(document, zone=viewer_zone(), now=now())
        _show(self.fields)
        self.base, self.version, self.conflict = base, version, None
        self.refused, self.failure = {}, ""

    def problems(self) -> dict[str, str]:
        """What is wrong with each field, once somebody has tried to save it."""
        if not self.tried:
            return {}
        fields = self.collect()
        refused = {name: message for name, (value, message) in self.refused.items() if fields[name] == value}
        try:
            forms.read(fields, base=self.base)
        except InvalidTask as error:
            return refused | forms.problems(error)
        return refused

    def differences(self) -> list[Difference] | None:
        """Between what somebody else saved meanwhile and the form; None where the form cannot be read."""
        assert self.conflict is not None
        assert self.base is not None
        try:
            mine = as_document(forms.read(self.collect(), base=self.base))
        except InvalidTask:
            return None
        return conflicts.differences(base=self.base, theirs=self.conflict.theirs, mine=mine)


def collect_in_fragment(draft: Draft) -> dict[str, Any]:
    """As `collect`, for a fragment.

    A click on Save within a moment of typing in a fragment makes Streamlit run that fragment only, with the callback of
    the click: then the whole page has to follow.
    """
    if draft.undrawn:
        st.rerun()
    return draft.collect()


def key(name: str) -> str:
    """Under which Streamlit keeps a field of the form."""
    return f"edit_{name}"


def held(name: str) -> str:
    """The key of a field that is drawn now, with its value under it.

    Not earlier: a key that is written in one run and drawn in a later one keeps its first value beside the field's.
    """
    if key(name) not in st.session_state:
        st.session_state[key(name)] = st.session_state[DRAFT].fields[name]
    return key(name)


def choice_key(name: str) -> str:
    """Under which Streamlit keeps whose value a field gets."""
    return f"choice_{name.replace('.', '_')}"


def opened(source: str) -> Draft | None:
    """The draft that this page is about, if it is still open."""
    draft = st.session_state.get(DRAFT)
    if draft is not None and draft.saved_just_now():
        return draft  # type: ignore[no-any-return]
    if draft is None or draft.source != source or key(ON_EVERY_DRAW) not in st.session_state:
        return None
    draft.collect()
    return draft  # type: ignore[no-any-return]


def start(source: str, document: Mapping[str, Any], *, task: task_views.TaskView | None = None) -> Draft:
    """A draft with this document in its fields; an edit of the task, where one is given."""
    fields = forms.fields_of(document, zone=viewer_zone(), now=now())
    draft = Draft(source, fields)
    if task is not None:
        draft.task_id, draft.base, draft.version = task.id, as_document(task.spec), task.version
        draft.broken, draft.stored = task.broken, task.document
    _show(fields)
    st.session_state[DRAFT] = draft
    return draft


def as_kept(draft: Draft) -> dict[str, Any]:
    """What the browser keeps of it, and which draft this is: one that is new to it is always looked at."""
    fields = draft.fields | {"once_date": draft.fields["once_date"].isoformat() if draft.fields["once_date"] else None}
    whose = {"source": draft.source, "draft": draft.idempotency_key, "version": draft.version}
    return {**whose, "fields": fields, "is_new": draft.is_new}


def restore(draft: Draft, kept: Mapping[str, Any]) -> None:
    """Goes on with what the browser had kept, as an edit of the version that it was begun on."""
    fields = dict(kept["fields"])
    fields["once_date"] = date.fromisoformat(fields["once_date"]) if fields.get("once_date") else None
    if fields.keys() != draft.fields.keys():
        return  # an older form's
    if draft.task_id is not None and kept["version"] != draft.version:
        with catalogue().transaction() as session:
            found = {each.version: each for each in revisions.around(session, draft.task_id, int(kept["version"]))}
        if int(kept["version"]) not in found:
            return
        draft.base, draft.version = found[int(kept["version"])].spec, int(kept["version"])
    draft.fields, draft.restored = fields, True
    _show(fields)


def start_afresh() -> None:
    """Throws away what was brought back."""
    st.session_state.pop(DRAFT, None)
    st.session_state[FORGET] = True


def _show(fields: Mapping[str, Any]) -> None:
    """Replaces what is on the page; a field that is not on it gets its value when it is drawn."""
    st.session_state.update({key(name): fields[name] for name in fields if key(name) in st.session_state})


def save(draft: Draft) -> None:
    """Writes what the form holds, or notes why not; nothing is half saved."""
    draft.tried = draft.undrawn = True
    try:
        spec = forms.read(draft.collect(), base=draft.base)
    except InvalidTask:
        return
    _attempt(draft, spec, seen_version=draft.version)


def save_merged(draft: Draft) -> None:
    """Writes theirs with mine, as chosen, over the version that is current."""
    assert draft.conflict is not None
    theirs, version = draft.conflict.theirs, draft.conflict.version
    draft.tried = draft.undrawn = True
    differing = draft.differences()
    if differing is None:
        return
    merged = conflicts.merge(theirs, differing, _choices(differing))
    try:
        spec = parse_task(merged)
    except InvalidTask:
        # Each edit was valid and both together are not: the form shows them, and what is wrong.
        draft.adopt(merged, base=theirs, version=version)
        return
    _attempt(draft, spec, seen_version=version)


def _choices(differing: list[Difference]) -> dict[str, Side]:
    chosen = {each.field: st.session_state.get(choice_key(each.field)) for each in differing}
    return {name: Side(side) for name, side in chosen.items() if side}


def use_theirs(draft: Draft) -> None:
    """Gives mine up."""
    assert draft.conflict is not None
    draft.adopt(draft.conflict.theirs, base=draft.conflict.theirs, version=draft.conflict.version)
    draft.tried, draft.undrawn = False, True


def _attempt(draft: Draft, spec: AnyTask, *, seen_version: int) -> None:
    draft.refused, draft.failure = {}, ""
    try:
        with catalogue().transaction() as session:
            draft.saved = _write(session, draft, spec, seen_version=seen_version)
        draft.saved_at = monotonic()
        note_own_change()
    except InvalidTask as error:
        draft.refused = {name: (draft.fields[name], text) for name, text in forms.problems(error).items()}
    except TaskNameTaken as error:
        draft.refused = {"name": (draft.fields["name"], str(error))}
    except StaleVersion:
        _meet(draft)
    except IdempotencyKeyReused:
        draft.idempotency_key = uuid4().hex
        draft.failure = "An earlier attempt may have been saved. Look at the list of tasks before you save again."
    except CatalogueError as error:
        draft.failure = str(error)
    except Exception:
        reference = secrets.token_hex(4)
        log.exception("A task could not be saved, reference %s", reference)
        draft.failure = f"Something went wrong, nothing was saved. The log has the details under {reference}."


def _write(session: Session, draft: Draft, spec: AnyTask, *, seen_version: int) -> UUID:
    at, document, by = now(), as_document(spec), visitor()
    by.require(Role.EDITOR)
    by.require_tags(spec.tags)
    audit.ADDRESS.set(address())
    if draft.task_id is None:

        def create() -> dict[str, Any]:
            return {"id": str(tasks.create_task(session, spec, actor=actor(by), now=at))}

        answer = once(session, scope="page new", key=draft.idempotency_key, request=document, now=at, do=create)
        return UUID(answer["id"])
    if document != draft.base or seen_version != draft.version:
        if by.tags is not None:
            by.require_tags(tasks.tags_of(session, draft.task_id))
        tasks.replace_task(session, draft.task_id, spec, seen_version=seen_version, actor=actor(by), now=at)
    return draft.task_id


def _meet(draft: Draft) -> None:
    """Looks at what somebody else saved meanwhile; where it is the same as mine, there is nothing left to do."""
    assert draft.task_id is not None
    try:
        with catalogue().transaction() as session:
            current = task_views.get_task(session, draft.task_id, now=now())
            latest = revisions.list_revisions(session, draft.task_id, limit=1)[0]
    except CatalogueError as error:
        draft.failure = str(error)
        return
    draft.conflict = Conflict(as_document(current.spec), current.version, latest.actor, latest.at)
    differing = draft.differences() or []
    if not differing:
        draft.saved, draft.saved_at = draft.task_id, monotonic()
    for difference in differing:
        st.session_state[choice_key(difference.field)] = difference.suggested.value
