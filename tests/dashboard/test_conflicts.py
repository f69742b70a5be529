"""Of two edits of the same task, neither is lost: every field says who changed it, and one value is kept."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboard.conflicts import Difference, Side, differences, merge
from tests.dashboard.task_documents import documents, example

DAILY = {"kind": "cron", "cron": "0 3 * * *", "timezone": "UTC"}
WEEKLY = {"kind": "cron", "cron": "0 0 * * 1", "timezone": "UTC"}


def merged(theirs: dict[str, Any], mine: dict[str, Any], **choices: Side) -> dict[str, Any]:
    differing = differences(base=example(), theirs=theirs, mine=mine)
    return merge(theirs, differing, choices)


@pytest.mark.parametrize(
    ("base", "theirs", "mine", "suggested", "both"),
    [
        ("a", "b", "a", Side.THEIRS, False),
        ("a", "a", "b", Side.MINE, False),
        ("a", "b", "c", Side.MINE, True),
        (None, "b", None, Side.THEIRS, False),
        ("a", None, "c", Side.MINE, True),
    ],
)
def test_a_field_is_kept_as_the_one_who_changed_it_wants(
    base: Any, theirs: Any, mine: Any, suggested: Side, both: bool
) -> None:
    difference = Difference("name", base, theirs, mine)
    assert (difference.suggested, difference.changed_by_both) == (suggested, both)


def test_edits_of_different_fields_are_both_kept() -> None:
    theirs, mine = example(description="theirs", schedule=DAILY), example(tags=["mine"], retries=3)
    assert merged(theirs, mine) == {**theirs, "tags": ["mine"], "retries": 3}


def test_edits_of_different_members_of_the_action_are_both_kept() -> None:
    theirs = example(action={"command": "pg_dump shop", "cwd": "/theirs"})
    mine = example(action={"command": "pg_dump all"})
    assert merged(theirs, mine)["action"] == {**theirs["action"], "command": "pg_dump all"}


def test_the_same_edit_by_both_is_no_difference() -> None:
    both = example(description="both", schedule=DAILY)
    assert differences(base=example(), theirs=both, mine=both) == []


def test_a_schedule_is_never_made_of_halves() -> None:
    theirs, mine = example(schedule=DAILY), example(schedule=WEEKLY)
    [difference] = differences(base=example(), theirs=theirs, mine=mine)
    assert difference.field == "schedule"
    assert difference.changed_by_both
    assert merge(theirs, [difference], {})["schedule"] == WEEKLY
    assert merge(theirs, [difference], {"schedule": Side.THEIRS})["schedule"] == DAILY


def test_a_request_never_gets_two_bodies() -> None:
    def request(**body: Any) -> dict[str, Any]:
        return example("http", action={"url": "https://example.org/hook", **body})

    [difference] = differences(base=request(), theirs=request(body="theirs"), mine=request(json={"mine": 1}))
    assert difference.field == "action.body"
    assert merge(request(body="theirs"), [difference], {}) == request(json={"mine": 1})


def test_another_kind_is_taken_with_its_action_or_not_at_all() -> None:
    theirs, mine = example(action={"command": "theirs"}), example("http")
    [difference] = differences(base=example(), theirs=theirs, mine=mine)
    assert difference.field == "action"
    assert merge(theirs, [difference], {"action": Side.MINE}) == mine
    assert merge(theirs, [difference], {"action": Side.THEIRS}) == theirs


def test_a_pause_by_somebody_else_survives_an_edit() -> None:
    assert merged(example(paused=True), example(description="mine"))["paused"] is True


def test_merging_leaves_their_document_alone() -> None:
    theirs = example(action={"command": "theirs"})
    merge(theirs, differences(base=example(), theirs=theirs, mine=example()), {"action.command": Side.MINE})
    assert theirs["action"]["command"] == "theirs"


@given(documents(), documents(), documents())
def test_choosing_one_side_everywhere_gives_that_side(
    base: dict[str, Any], theirs: dict[str, Any], mine: dict[str, Any]
) -> None:
    differing = differences(base=base, theirs=theirs, mine=mine)
    assert merge(theirs, differing, dict.fromkeys([each.field for each in differing], Side.THEIRS)) == theirs
    assert merge(theirs, differing, dict.fromkeys([each.field for each in differing], Side.MINE)) == mine


@given(documents(), documents(), st.data())
def test_what_only_one_of_them_changed_is_kept(
    base: dict[str, Any], edited: dict[str, Any], data: st.DataObject
) -> None:
    unchanged_first = data.draw(st.booleans())
    theirs, mine = (base, edited) if unchanged_first else (edited, base)
    assert merge(theirs, differences(base=base, theirs=theirs, mine=mine), {}) == edited
