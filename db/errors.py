"""What can go wrong with the catalogue, each with its cure. Raised here, caught at the doors only."""

from uuid import UUID


class CatalogueError(Exception):
    """The base of everything below; its message is fit to be shown to a person."""


class TaskNotFound(CatalogueError):
    def __init__(self, task_id: UUID | str) -> None:
        super().__init__(f"There is no task {task_id}. It may have been removed for good.")


class RunNotFound(CatalogueError):
    def __init__(self, run_id: UUID | str) -> None:
        super().__init__(f"There is no run {run_id}. Runs older than the retention time are removed.")


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


class MonthsInUse(CatalogueError):
    def __init__(self) -> None:
        super().__init__(
            "Old months cannot be dropped: something reads the tables all the time. Look for it in pg_stat_activity, "
            "and try again."
        )


class CatalogueUnavailable(CatalogueError):
    def __init__(self) -> None:
        super().__init__("PostgreSQL does not answer. Nothing is lost: try again when it is back.")
