"""Roles: each may do all that the one before may, and tags narrow what is changed."""

from itertools import product

import pytest

from db.access import Role, Visitor
from db.errors import NotAllowed

ORDER = [Role.VIEWER, Role.OPERATOR, Role.EDITOR, Role.ADMIN]


@pytest.mark.parametrize(("mine", "needed"), list(product(ORDER, ORDER)))
def test_a_role_includes_those_before_it(mine: Role, needed: Role) -> None:
    if ORDER.index(mine) >= ORDER.index(needed):
        Visitor("ada", mine).require(needed)
        return
    with pytest.raises(NotAllowed, match=needed):
        Visitor("ada", mine).require(needed)


def test_tags_narrow_what_may_be_changed() -> None:
    limited = Visitor("ada", Role.EDITOR, frozenset({"ops", "web"}))
    limited.require_tags(["shop", "web"])
    with pytest.raises(NotAllowed, match="ops, web"):
        limited.require_tags(["shop"])
    with pytest.raises(NotAllowed):
        limited.require_tags([])
    Visitor("ben", Role.EDITOR).require_tags([])


@pytest.mark.parametrize(
    ("role", "tags", "left"),
    [
        (Role.VIEWER, None, (Role.VIEWER, {"ops", "web"})),
        (Role.ADMIN, ["ops", "shop"], (Role.EDITOR, {"ops"})),
        (Role.EDITOR, [], (Role.EDITOR, set())),
    ],
)
def test_nobody_gives_more_than_they_have(role: Role, tags: list[str] | None, left: tuple[Role, set[str]]) -> None:
    found = Visitor("ada", Role.EDITOR, frozenset({"ops", "web"})).limited_to(role, tags)
    assert (found.role, set(found.tags or ())) == left
    assert Visitor("ben", Role.ADMIN).limited_to(role, tags).tags == (None if tags is None else frozenset(tags))
