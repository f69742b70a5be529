"""Everything that a button does, for every role: a command without a rule fails here."""

import inspect
from collections.abc import Callable
from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest
import streamlit as st

from dashboard import admin_commands, commands, doing
from dashboard.bulk import By
from db import channels, tasks, webhooks
from db.access import Role, Visitor
from db.engine import Catalogue
from db.errors import NotAllowed
from db.specs import as_document, parse_task
from db.states import After, Mark
from tests.dashboard.task_documents import example

RULES: dict[str, tuple[Role, Callable[[UUID], object]]] = {
    "run_now": (Role.OPERATOR, lambda task: commands.run_now(task)),
    "create": (Role.EDITOR, lambda _: commands.create(as_document(parse_task(example("shell", name=str(uuid4())))))),
    "try_out": (Role.EDITOR, lambda _: commands.try_out(parse_task(example("shell", name="tried")))),
    "pause": (Role.OPERATOR, lambda task: commands.pause(task)),
    "resume": (Role.OPERATOR, lambda task: commands.resume(task)),
    "delete": (Role.EDITOR, lambda task: commands.delete(task)),
    "restore": (Role.EDITOR, lambda task: commands.restore(task)),
    "roll_back": (Role.EDITOR, lambda task: commands.roll_back(task, 1)),
    "cancel": (Role.OPERATOR, lambda _: commands.cancel(uuid4())),
    "drain": (Role.OPERATOR, lambda _: commands.drain(uuid4(), on=True)),
    "mark": (Role.OPERATOR, lambda _: commands.mark(["failed:x"], Mark.MUTED)),
    "reopen": (Role.OPERATOR, lambda _: commands.reopen(["failed:x"])),
    "add_account": (
        Role.ADMIN,
        lambda _: admin_commands.add_account(str(uuid4()), role=Role.VIEWER, tags=None, password="correct horse"),
    ),
    "change_account": (
        Role.ADMIN,
        lambda _: admin_commands.change_account(uuid4(), role=Role.VIEWER, tags=None, disabled=False),
    ),
    "set_password": (Role.ADMIN, lambda _: admin_commands.set_password(uuid4(), "correct horse battery")),
    "remove_account": (Role.ADMIN, lambda _: admin_commands.remove_account(uuid4())),
    "change_own_password": (
        Role.VIEWER,
        lambda _: admin_commands.change_own_password(Visitor("x", Role.VIEWER), "x", "correct horse battery"),
    ),
    "make_key": (Role.VIEWER, lambda _: admin_commands.make_key("k", role=Role.VIEWER, tags=None, expires_at=None)),
    "save_webhook": (
        Role.ADMIN,
        lambda _: admin_commands.save_webhook(uuid4(), webhooks.Wish("w", "https://x.example")),
    ),
    "remove_webhook": (Role.ADMIN, lambda _: admin_commands.remove_webhook(uuid4())),
    "ping_webhook": (Role.ADMIN, lambda _: admin_commands.ping_webhook(uuid4())),
    "send_again": (Role.ADMIN, lambda _: admin_commands.send_again(uuid4(), 1)),
    "save_channel": (Role.ADMIN, lambda _: admin_commands.save_channel(uuid4(), channels.Wish("c", "json://x"))),
    "remove_channel": (Role.ADMIN, lambda _: admin_commands.remove_channel(uuid4())),
    "test_channel": (Role.ADMIN, lambda _: admin_commands.test_channel(uuid4())),
    "chain": (Role.EDITOR, lambda task: commands.chain(task, "nobody", After.SUCCEEDED)),
    "unchain": (Role.EDITOR, lambda task: commands.unchain(task, uuid4())),
    "put_secret": (Role.ADMIN, lambda _: admin_commands.put_secret("TOKEN", "correct horse")),
    "remove_secret": (Role.ADMIN, lambda _: admin_commands.remove_secret("TOKEN")),
    "save_calendar": (Role.ADMIN, lambda _: admin_commands.save_calendar(str(uuid4()), (), seen_version=None)),
    "remove_calendar": (Role.ADMIN, lambda _: admin_commands.remove_calendar("none")),
    "revoke_key": (Role.VIEWER, lambda _: admin_commands.revoke_key(uuid4())),
}
A_TEST = "run_now with something changed"


class Page:
    """Somebody who presses buttons, and what they are told."""

    def __init__(self, catalogue: Catalogue) -> None:
        self.catalogue, self.visitor, self.said = catalogue, Visitor("ada", Role.VIEWER), ""

    def task(self, *tags: str) -> UUID:
        spec = parse_task(example("shell", name=f"task {uuid4()}", tags=list(tags)))
        with self.catalogue.transaction() as session:
            return tasks.create_task(session, spec, actor="ada", now=datetime.now(UTC))

    def press(self, role: Role, act: Callable[[UUID], object], task: UUID, tags: frozenset[str] | None = None) -> str:
        self.visitor, self.said = Visitor("ada", role, tags), ""
        act(task)
        return self.said


@pytest.fixture
def page(catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch) -> Page:
    found = Page(catalogue)
    for module in (doing, admin_commands):
        monkeypatch.setattr(module, "visitor", lambda: found.visitor)
    monkeypatch.setattr(doing, "address", lambda: "10.0.0.7")
    monkeypatch.setattr(doing, "catalogue", lambda: catalogue)
    monkeypatch.setattr(st, "toast", lambda text, **_: setattr(found, "said", text))
    monkeypatch.setattr(st, "session_state", {})
    return found


def test_every_command_has_a_rule() -> None:
    public = {
        name
        for module in (commands, admin_commands)
        for name, one in inspect.getmembers(module, inspect.isfunction)
        if one.__module__ == module.__name__ and not name.startswith("_")
    }
    assert public == set(RULES)


@pytest.mark.parametrize("name", [*RULES, A_TEST])
def test_a_command_is_done_for_whoever_may(page: Page, name: str) -> None:
    least, act = RULES.get(name, (Role.EDITOR, lambda task: commands.run_now(task, {"command": "false"})))
    for role in Role:
        said = page.press(role, act, page.task())
        assert ("takes the role" in said) == (role.rank < least.rank), f"{role}: {said}"


@pytest.mark.parametrize("name", ["run_now", "pause", "resume", "delete", "restore", "roll_back"])
def test_whoever_is_limited_to_tags_changes_no_other_task(page: Page, name: str) -> None:
    _, act = RULES[name]
    assert "these tags only" in page.press(Role.EDITOR, act, page.task("shop"), frozenset({"ops"}))
    assert "these tags only" not in page.press(Role.EDITOR, act, page.task("ops"), frozenset({"ops"}))


@pytest.mark.parametrize("takes", Role)
def test_many_at_once_take_what_one_takes(catalogue: Catalogue, page: Page, takes: Role) -> None:
    mine, other = page.task("ops"), page.task("shop")
    for role in Role:
        by = By(Visitor("ada", role, frozenset({"ops"})), takes, "10.0.0.7")
        with catalogue.transaction() as session:
            if role.rank < takes.rank:
                with pytest.raises(NotAllowed, match="takes the role"):
                    by.check(session, mine)
            else:
                by.check(session, mine)
                with pytest.raises(NotAllowed, match="tags"):
                    by.check(session, other)
