"""The month of now has no place in the catalogue, as after a machine slept into it or an old backup was restored."""

import random
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import ClassVar, Self

from db.partitions import PARTITIONED, first_of_month
from tests.faults.disturbances.disturbance import Disturbance, World
from tests.waiting import wait_until

_UNDER_WAY = (
    "SELECT (SELECT count(*) FROM runs WHERE ended_at IS NULL AND due_at <= now()) "
    "+ (SELECT count(*) FROM due_times WHERE outcome IN ('pending', 'running') AND due_at <= now())"
)


@dataclass
class MissingMonth(Disturbance):
    """Partitions of this month are taken away while no task is active; in the end their rows are put back."""

    begins_before_tasks: ClassVar[bool] = True
    tables: list[str]
    _month: datetime = field(default_factory=lambda: first_of_month(datetime.now(UTC)), repr=False, compare=False)

    @classmethod
    def drawn(cls, luck: random.Random) -> Self:
        return cls(15.0, luck.choice([list(PARTITIONED), *([table] for table in PARTITIONED)]))

    def begin(self, world: World) -> None:
        # What is under way would lose its rows by our doing.
        wait_until(lambda: world.stage.sql(_UNDER_WAY) == [(0,)], "all earlier runs to end", seconds=60, every=0.5)
        for table in self.tables:
            month = self._partition(table)
            world.stage.sql(f"ALTER TABLE {table} DETACH PARTITION {month}")
            world.stage.sql(f"ALTER TABLE {month} RENAME TO {month}_kept")

    def end(self, world: World) -> None:
        """Where nobody has made the month meanwhile, it comes back as it was."""
        for table in self.tables:
            month = self._partition(table)
            [(is_made, is_kept)] = world.stage.sql("SELECT to_regclass(%s), to_regclass(%s)", month, f"{month}_kept")
            if is_kept and is_made:
                columns = self._columns(world, table)
                rows = f"SELECT {columns} FROM {month}_kept ON CONFLICT DO NOTHING"  # noqa: S608 - names from here
                world.stage.sql(f"INSERT INTO {table} ({columns}) {rows}")
                world.stage.sql(f"DROP TABLE {month}_kept")
            elif is_kept:
                bounds = f"FROM ('{self._month}') TO ('{first_of_month(self._month, months_later=1)}')"
                world.stage.sql(f"ALTER TABLE {month}_kept RENAME TO {month}")
                world.stage.sql(f"ALTER TABLE {table} ATTACH PARTITION {month} FOR VALUES {bounds}")

    def _partition(self, table: str) -> str:
        return f"{table}_{self._month:%Y_%m}"

    def _columns(self, world: World, table: str) -> str:
        statement = "SELECT string_agg(column_name, ', ') FROM information_schema.columns WHERE table_name = %s"
        [(columns,)] = world.stage.sql(statement, table)
        return str(columns)
