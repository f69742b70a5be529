"""The kinds of disturbance, each with the way to draw one."""

import random
from collections.abc import Callable, Mapping

from tests.faults.disturbances.disturbance import Disturbance
from tests.faults.disturbances.kinds.disk import FullDisk
from tests.faults.disturbances.kinds.locks import LockedRows, OpenBeside, OpenTransaction
from tests.faults.disturbances.kinds.months import MissingMonth
from tests.faults.disturbances.kinds.network import LostInCommit, SomeConnectionsLost, ToPostgres, ToPrefect
from tests.faults.disturbances.kinds.prefect import Answering, SlowServer
from tests.faults.disturbances.kinds.read_only import ReadOnly
from tests.faults.disturbances.kinds.rows import SpoiledRow
from tests.faults.disturbances.kinds.sessions import EndedSessions
from tests.faults.disturbances.kinds.strays import StrayRuns
from tests.faults.disturbances.kinds.values import HugeNumber, PoisonedRuns
from tests.faults.disturbances.kinds.webhooks import SilentWebhooks

KINDS: Mapping[str, Callable[[random.Random], Disturbance]] = {
    "read_only": ReadOnly.drawn,
    "sessions_ended": EndedSessions.all_of_them,
    "some_sessions_ended": EndedSessions.some,
    "postgres_held": ToPostgres.held,
    "postgres_lost": ToPostgres.lost,
    "postgres_lost_for_a_part": ToPostgres.part_lost,
    "postgres_reset": ToPostgres.reset,
    "postgres_refused": ToPostgres.refused,
    "postgres_slow": ToPostgres.slow,
    "some_connections_lost": SomeConnectionsLost.drawn,
    "lost_in_commit": LostInCommit.drawn,
    "rows_locked": LockedRows.drawn,
    "table_locked": OpenTransaction.on_a_table,
    "advisory_locks": OpenBeside.with_advisory_locks,
    "transaction_open": OpenBeside.with_writes,
    "disk_full": FullDisk.drawn,
    "zone_unknown": SpoiledRow.zone,
    "schedule_unreadable": SpoiledRow.schedule,
    "action_unreadable": SpoiledRow.action,
    "number_stored": SpoiledRow.number,
    "number_sent": HugeNumber.drawn,
    "exception_poisoned": PoisonedRuns.raising,
    "output_poisoned": PoisonedRuns.returning,
    "stray_runs": StrayRuns.drawn,
    "month_missing": MissingMonth.drawn,
    "webhooks_silent": SilentWebhooks.drawn,
    "prefect_held": ToPrefect.held,
    "prefect_lost": ToPrefect.lost,
    "prefect_refused": ToPrefect.refused,
    "prefect_delayed": ToPrefect.slow,
    "prefect_slow": SlowServer.drawn,
    "prefect_errors": Answering.errors,
    "prefect_garbage": Answering.garbage,
    "prefect_huge": Answering.huge,
}
