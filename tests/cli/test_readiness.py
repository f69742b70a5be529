"""What is told of a system that is not ready."""

import pytest

from cli.readiness import unwell


def test_the_parts_that_are_not_well_are_named_with_their_reason() -> None:
    document = (
        '{"ready": false, "parts": {"a": {"ok": true, "detail": "Fine."}, "b": {"ok": false, "detail": "Away."}}}'
    )
    assert unwell(document) == {"b": "Away."}


@pytest.mark.parametrize("document", ["<html>", "[]", '{"parts": 1}', '{"parts": {"a": 1}}', ""])
def test_an_answer_of_another_kind_is_shown_as_it_is(document: str) -> None:
    assert unwell(document) == {"dashboard": f"It answers: {document}"}


def test_no_answer_at_all_is_the_dashboards_own() -> None:
    assert list(unwell(None)) == ["dashboard"]


def test_a_part_that_a_new_task_does_not_need_is_not_waited_for() -> None:
    ledger = '{"ok": false, "detail": "One discrepancy.", "required": false}'
    assert unwell('{"parts": {"ledger": ' + ledger + ', "b": {"ok": false, "detail": "Away."}}}') == {"b": "Away."}


def test_what_was_due_before_the_start_is_not_waited_for() -> None:
    late = '{"ok": false, "detail": "3 due times wait."}'
    assert unwell('{"parts": {"due_times": ' + late + ', "pools": ' + late + "}}") == {}
