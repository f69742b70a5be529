"""The pure core of the reconciler: from what people want and what Prefect has, to the one thing to do."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from db.specs import AnyTask, parse_task
from db.sync import Desired
from reconciler.deployments import FOREIGN, Facts, applied_document, as_task, deployment_name, differing, wanted
from reconciler.plan import Action, AdoptDeletion, AdoptEdit, Confirm, Create, Delete, Replace, Update, plan

TASK_ID = UUID("12345678-0000-4000-8000-000000000000")
DEPLOYMENT_ID = UUID("87654321-0000-4000-8000-000000000000")
SHELL = {"command": "true"}


def task(**changes: Any) -> AnyTask:
    document = {
        "name": "backup",
        "kind": "shell",
        "action": SHELL,
        "schedule": {"kind": "cron", "cron": "0 2 * * *", "timezone": "Europe/Berlin"},
    }
    return parse_task(document | changes)


def desired(
    of: AnyTask,
    *,
    version: int = 3,
    synced: int | None = 3,
    agreed: AnyTask | None = None,
    seen: Facts | None = None,
    **more: Any,
) -> Desired:
    known = synced is not None
    values: dict[str, Any] = {
        "task_id": TASK_ID,
        "version": version,
        "task": of,
        "deleted": False,
        "deployment_id": DEPLOYMENT_ID if known else None,
        "synced_version": synced,
        "applied": applied_document(agreed, seen or facts(agreed), schedule_id="s") if agreed else None,
        "updated_at": datetime(2026, 1, 1, tzinfo=UTC),
        "sync_error": None,
    }
    return Desired(**values | more)


def facts(of: AnyTask) -> Facts:
    return wanted(TASK_ID, of)


def test_a_task_that_prefect_never_saw_is_created() -> None:
    assert plan(desired(task(), version=1, synced=None), None) == Create(
        desired(task(), version=1, synced=None), facts(task())
    )


def test_agreement_needs_nothing() -> None:
    assert plan(desired(task(), agreed=task()), facts(task())) is None


def test_an_edit_is_brought_down_with_just_what_changed() -> None:
    before, after = task(), task(action={"command": "false"}, tags=["new"])
    action = plan(desired(after, version=4, agreed=before), facts(before))
    assert isinstance(action, Update)
    assert action.changed == {"parameters", "tags"}
    assert action.overruled == frozenset()


def test_an_edit_that_changes_nothing_for_prefect_is_only_noted() -> None:
    before, after = task(), task(overlap="allow", misfire="all")
    assert isinstance(plan(desired(after, version=4, agreed=before), facts(before)), Confirm)


@pytest.mark.parametrize("change", [{"name": "other"}, {"kind": "http", "action": {"url": "http://x"}}])
def test_another_name_or_kind_makes_another_deployment(change: dict[str, Any]) -> None:
    before = task()
    assert isinstance(plan(desired(task(**change), version=4, agreed=before), facts(before)), Replace)


def test_a_pause_in_prefect_becomes_an_edit() -> None:
    seen = Facts(**{**facts(task()), "paused": True})
    action = plan(desired(task(), agreed=task()), seen)
    assert isinstance(action, AdoptEdit)
    assert action.task == task(paused=True)


def test_a_schedule_that_was_changed_in_prefect_becomes_an_edit() -> None:
    seen = Facts(**{**facts(task()), "schedule": {"cron": "5 * * * *", "timezone": "UTC"}})
    action = plan(desired(task(), agreed=task()), seen)
    assert isinstance(action, AdoptEdit)
    assert action.task.schedule == task(schedule={"kind": "cron", "cron": "5 * * * *"}).schedule


def test_a_schedule_that_no_cron_expression_says_is_taken_back() -> None:
    seen = Facts(**{**facts(task()), "schedule": FOREIGN})
    action = plan(desired(task(), agreed=task()), seen)
    assert isinstance(action, Update)
    assert action.overruled == {"schedule"}


def test_when_both_sides_changed_the_catalogue_wins_and_says_so() -> None:
    before, after = task(), task(paused=False, schedule={"kind": "cron", "cron": "1 1 * * *"})
    seen = Facts(**{**facts(before), "schedule": {"cron": "5 * * * *", "timezone": "UTC"}})
    action = plan(desired(after, version=4, agreed=before), seen)
    assert isinstance(action, Update)
    assert action.overruled == {"schedule"}


def test_a_deployment_deleted_in_prefect_sends_its_task_to_the_trash() -> None:
    assert isinstance(plan(desired(task(), agreed=task()), None), AdoptDeletion)


def test_a_deployment_deleted_in_prefect_comes_back_when_its_task_was_edited_meanwhile() -> None:
    assert isinstance(plan(desired(task(), version=4, agreed=task()), None), Create)


def test_a_task_in_the_trash_leaves_prefect() -> None:
    assert isinstance(plan(desired(task(), version=4, deleted=True), facts(task())), Delete)
    assert isinstance(plan(desired(task(), version=4, deleted=True), None), Confirm)
    assert plan(desired(task(), deleted=True), None) is None


@pytest.mark.parametrize("name", ["a/b", "50%", "x & y", "<b>", 'say "hi"'])
def test_names_that_prefect_refuses_are_made_unique_by_the_id(name: str) -> None:
    named = deployment_name(TASK_ID, name)
    assert not set(named) & set('/%&<>"')
    assert named.endswith("-12345678")


def test_a_deployment_of_ours_made_elsewhere_is_read_as_its_kind() -> None:
    seen = Facts(**{**facts(task()), "entrypoint": "flows/shell.py:shell", "name": "as-code"})
    assert as_task(seen, name="as-code") == task(name="as-code")


def test_a_deployment_that_somebody_named_otherwise_keeps_its_names() -> None:
    flow = task(kind="flow", action={"entrypoint": "pkg.mod:their_flow"})
    seen = Facts(**{**facts(flow), "flow": "Their Flow", "name": "theirs", "entrypoint": "pkg/mod.py:their_flow"})
    edited = task(kind="flow", action={"entrypoint": "pkg.mod:their_flow"}, tags=["x"])
    action = plan(desired(edited, version=4, agreed=flow, seen=seen), seen)
    assert isinstance(action, Update)
    assert action.changed == {"tags"}


TASKS = st.builds(
    task,
    paused=st.booleans(),
    tags=st.lists(st.sampled_from("ab"), max_size=2),
    description=st.sampled_from(["", "why"]),
    action=st.sampled_from([SHELL, {"command": "false"}]),
    schedule=st.sampled_from(
        [{"kind": "manual"}, {"kind": "cron", "cron": "* * * * *"}, {"kind": "once", "at": "2030-01-01T00:00:00Z"}]
    ),
)


@given(before=TASKS, now=TASKS, seen=TASKS, edited=st.booleans())
def test_doing_what_the_plan_says_leads_to_agreement(
    before: AnyTask, now: AnyTask, seen: AnyTask, edited: bool
) -> None:
    version = 4 if edited else 3
    wanted_now = now if edited else before
    state = desired(wanted_now, version=version, agreed=before)
    action = plan(state, facts(seen))
    task_after, prefect_after = _after(action, wanted_now, facts(seen))
    assert not differing(wanted(TASK_ID, task_after), prefect_after)
    assert edited is False or task_after == wanted_now, "an edit of the catalogue is never lost"


def _after(action: Action | None, task_now: AnyTask, prefect_now: Facts) -> tuple[AnyTask, Facts]:
    match action:
        case Update(_, given_facts, changed, _):
            merged = {name: given_facts[name] if name in changed else value for name, value in prefect_now.items()}  # type: ignore[literal-required]
            return task_now, Facts(**merged)  # type: ignore[typeddict-item]
        case Create(_, given_facts) | Replace(_, given_facts):
            return task_now, given_facts
        case AdoptEdit(_, adopted, _):
            return adopted, prefect_now
        case _:
            return task_now, prefect_now
