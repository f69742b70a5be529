"""Who may do what: four roles, each of which may do all that the one before may. Pure."""

from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

from db.errors import AdminWithTags, NotAllowed

MIN_PASSWORD = 12
"""Characters."""


class Role(StrEnum):
    """What somebody is trusted with, from the least to the most."""

    VIEWER = "viewer"
    """May look at everything."""
    OPERATOR = "operator"
    """May also run, cancel, pause and resume, and deal with problems and workers."""
    EDITOR = "editor"
    """May also say what is run, and when."""
    ADMIN = "admin"
    """May also say who may do what."""

    @property
    def rank(self) -> int:
        return list(Role).index(self)

    def includes(self, other: "Role") -> bool:
        """Whether this role may do all that the other one may."""
        return self.rank >= other.rank


@dataclass(frozen=True, slots=True)
class Visitor:
    """Somebody, or a program, at a door."""

    name: str
    """What the audit calls them; empty where nobody has to say who they are."""
    role: Role
    tags: frozenset[str] | None = None
    """Only tasks with one of these may be run or changed; None for all. Everything may be looked at."""
    account_id: UUID | None = None

    def require(self, role: Role) -> None:
        """Raises:
        NotAllowed: the visitor's role is a lesser one.
        """
        if not self.role.includes(role):
            raise NotAllowed(f"This takes the role {role}, and yours is {self.role}. Ask an admin for it.")

    def require_tags(self, tags: Collection[str]) -> None:
        """Raises:
        NotAllowed: none of a task's tags is one of the visitor's.
        """
        if self.tags is not None and not self.tags.intersection(tags):
            mine = ", ".join(sorted(self.tags)) or "none"
            raise NotAllowed(
                f"You may run and change tasks with one of these tags only: {mine}. Ask an admin for more."
            )

    def limited_to(self, role: Role, tags: Collection[str] | None) -> "Visitor":
        """The same visitor with no more rights than these."""
        mine = self.tags
        both = mine if tags is None else frozenset(tags) if mine is None else mine.intersection(tags)
        return Visitor(self.name, role if self.role.includes(role) else self.role, both, self.account_id)


def check_rights(role: Role, tags: Collection[str] | None) -> None:
    """Raises:
    AdminWithTags: an admin who is limited could undo it.
    """
    if role is Role.ADMIN and tags is not None:
        raise AdminWithTags
