"""What can go wrong with the catalogue, each with its cure. Raised here, caught at the doors only."""

from datetime import datetime
from uuid import UUID


class CatalogueError(Exception):
    """The base of everything below; its message is fit to be shown to a person."""


class TryAgainLater(CatalogueError):
    """There is too much of something at this moment."""

    def __init__(self, why: str, *, wait_seconds: int) -> None:
        super().__init__(f"{why} Try again in {wait_seconds} second{'' if wait_seconds == 1 else 's'}.")
        self.wait_seconds = wait_seconds


class TaskNotFound(CatalogueError):
    def __init__(self, task_id: UUID | str) -> None:
        super().__init__(f"There is no task {task_id}. It may have been removed for good.")


class RunNotFound(CatalogueError):
    def __init__(self, run_id: UUID | str) -> None:
        super().__init__(f"There is no run {run_id}. Runs older than the retention time are removed.")


class WorkerIsGone(CatalogueError):
    def __init__(self) -> None:
        super().__init__("This worker has stopped meanwhile: there is nothing to drain.")


class TaskNameTaken(CatalogueError):
    def __init__(self, name: str) -> None:
        super().__init__(f"A task named {name!r} exists. Choose another name.")
        self.name = name


class StaleVersion(CatalogueError):
    """The task was changed since it was read: `current_version` is what it has now."""

    def __init__(self, *, seen: int, current_version: int) -> None:
        super().__init__(
            f"This task was changed meanwhile: you edited version {seen}, it is at {current_version}. "
            "Look at the current task and save again."
        )
        self.seen = seen
        self.current_version = current_version


class TaskIsDeleted(CatalogueError):
    def __init__(self, name: str) -> None:
        super().__init__(f"Task {name!r} is in the trash. Restore it first.")


class TaskIsNotDeleted(CatalogueError):
    def __init__(self, name: str) -> None:
        super().__init__(f"Task {name!r} is not in the trash: there is nothing to restore.")


class RunIsOver(CatalogueError):
    def __init__(self, state: str) -> None:
        super().__init__(f"This run is over ({state}), so it cannot be cancelled.")


class IdempotencyKeyReused(CatalogueError):
    def __init__(self, key: str) -> None:
        super().__init__(f"The Idempotency-Key {key!r} was used for a different request. Use a new key.")


class BadCursor(CatalogueError):
    def __init__(self) -> None:
        super().__init__("This cursor is not one of ours. Start again without it.")


class EventsForgotten(CatalogueError):
    def __init__(self, position: str) -> None:
        super().__init__(
            f"What happened after event {position} is not kept any more. Read the lists, and listen again without "
            "Last-Event-ID."
        )


class MonthsInUse(CatalogueError):
    def __init__(self) -> None:
        super().__init__(
            "Old months cannot be dropped: something reads the tables all the time. Look for it in pg_stat_activity, "
            "and try again."
        )


class MonthTooFar(CatalogueError):
    def __init__(self, at: datetime) -> None:
        super().__init__(f"{at:%Y-%m} is too far from now: nothing is noted of it.")


class NotAllowed(CatalogueError):
    """The visitor may not do this; the message says what it takes."""


class AccountNotFound(CatalogueError):
    def __init__(self) -> None:
        super().__init__("There is no such account. It may have been removed meanwhile.")


class AccountNameTaken(CatalogueError):
    def __init__(self, name: str) -> None:
        super().__init__(f"An account named {name!r} exists. Choose another name.")


class LastAdmin(CatalogueError):
    def __init__(self) -> None:
        super().__init__("This is the last admin: nobody could add or change accounts. Make somebody else admin first.")


class AdminWithTags(CatalogueError):
    def __init__(self) -> None:
        super().__init__("An admin may do everything, so the tags must be null.")


class WeakPassword(CatalogueError):
    def __init__(self, at_least: int) -> None:
        super().__init__(f"This password is too short. Take at least {at_least} characters.")


class WrongPassword(CatalogueError):
    def __init__(self) -> None:
        super().__init__("This is not your password. Those who sign in at an identity provider have none here.")


class KeyNotFound(CatalogueError):
    def __init__(self) -> None:
        super().__init__("There is no such key. It may have been revoked.")


class SecretNotFound(CatalogueError):
    def __init__(self, name: str) -> None:
        super().__init__(
            f"There is no secret {name}. An admin sets it, on the page Access or by PUT /api/secrets/{name}."
        )


class SecretsUnavailable(CatalogueError):
    """Secrets cannot be sealed or opened here; the message says the cure."""


class BadSecret(CatalogueError):
    """`field` of a secret is not valid; the message says why."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


class WebhookNotFound(CatalogueError):
    def __init__(self) -> None:
        super().__init__("There is no such webhook, or no such delivery of it. It may have been removed meanwhile.")


class ChannelNotFound(CatalogueError):
    def __init__(self) -> None:
        super().__init__("There is no such channel. It may have been removed meanwhile.")


class CalendarNotFound(CatalogueError):
    def __init__(self, name: str) -> None:
        super().__init__(f"There is no calendar named {name!r}. It may have been removed meanwhile.")


class CalendarChanged(CatalogueError):
    def __init__(self, name: str) -> None:
        super().__init__(f"Calendar {name!r} was changed meanwhile. Look at it as it is now, and save again.")


class CalendarInUse(CatalogueError):
    def __init__(self, name: str, tasks: int) -> None:
        listed = "1 task follows" if tasks == 1 else f"{tasks:,} tasks follow"
        super().__init__(f"{listed} calendar {name!r}, those in the trash included. Take it off them first.")


class NameTaken(CatalogueError):
    def __init__(self, name: str) -> None:
        super().__init__(f"{name!r} is taken. Choose another name.")


class Unavailable(Exception):
    """Something does not answer now and may later; the message says what, in a sentence.

    `details` are for the log of whoever runs the system: they may name machines and users.
    """

    details = ""


class CatalogueUnavailable(CatalogueError, Unavailable):
    """PostgreSQL does not do what was asked, and may later; `reason` is the beginning of a sentence that says why."""

    def __init__(self, reason: str = "PostgreSQL does not answer", details: str = "") -> None:
        super().__init__(f"{reason}. Nothing is lost: try again when it is back.")
        self.reason, self.details = reason, details
