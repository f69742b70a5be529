"""Whether what is due now starts, as far as the catalogue tells: part by part, and for what is not well, why."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy.orm import Session

from dashboard import ledger_audit
from dashboard.ledger_audit import Audit
from db import heartbeats, loop_failures, notification_queue, overdue, pools, workers
from db.overdue import Overdue
from db.pools import Pool
from db.tables import LoopFailure, Worker

FRESH = timedelta(seconds=15)
"""A part that did its work longer ago is not well."""
UNDECIDED = timedelta(seconds=60)
NO_ROOM = timedelta(seconds=10)
"""What waits for longer waits because every slot is taken, not for its turn."""
FAILING = timedelta(seconds=2)
"""A claim that fails once is made again: it is told when it goes on failing."""
NAMED = 3
PASSES: Mapping[str, timedelta] = {
    "write_ahead": timedelta(seconds=60),
    "requested": timedelta(seconds=60),
    "deploy": timedelta(seconds=90),
    "follow": timedelta(seconds=90),
    "resume": timedelta(seconds=60),
    "chains": timedelta(seconds=60),
    "lost_workers": timedelta(seconds=60),
}
"""The passes of the reconciler without which something does not start, and how long ago each may have been made."""


@dataclass(frozen=True, slots=True)
class State:
    """How a part is, in a sentence or some."""

    ok: bool
    detail: str
    since: datetime | None = None
    """Since when it is not well."""
    required: bool = True
    """Whether the system is not ready without it."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What the catalogue tells."""

    beats: Mapping[str, datetime]
    leads_since: datetime | None
    passes: Mapping[str, datetime]
    """When each pass was last made to its end."""
    failures: Sequence[LoopFailure]
    present: Sequence[Worker]
    pools: Mapping[str, Pool]
    """Those that have workers, or for which something waits."""
    stopped: Sequence[Pool]
    """Those that take no runs, though something is due there."""
    waiting: Sequence[Overdue]
    """What has been due for longer than NO_ROOM."""
    audit: Audit | None = None
    queue_share: float = 0.0


def read(session: Session, *, now: datetime) -> Facts:
    """All of it."""
    names = (heartbeats.PREFECT, heartbeats.RECONCILER)
    found = {name: heartbeats.last(session, name) for name in names}
    waiting = overdue.overdue(session, before=now - NO_ROOM, now=now)
    return Facts(
        beats={name: beat.at for name, beat in found.items() if beat is not None},
        leads_since=heartbeats.held_since(session, heartbeats.RECONCILER, now=now),
        passes=heartbeats.passes_made(session),
        failures=loop_failures.all_of(session),
        present=workers.present(session, now=now),
        pools={name: pools.one_of(session, name, now=now) for name in {one.pool for one in waiting}}
        | pools.all_of(session, now=now),
        stopped=pools.stopped(session, now=now, due_before=now),
        waiting=waiting,
        audit=ledger_audit.last_audit(session),
        queue_share=notification_queue.usage(session),
    )


def states(facts: Facts, *, now: datetime) -> dict[str, State]:
    """Each part by its name. Pure."""
    return {
        "prefect": _heartbeat(facts.beats.get(heartbeats.PREFECT), now=now),
        "reconciler": _heartbeat(facts.beats.get(heartbeats.RECONCILER), now=now),
        "passes": _passes(facts, now=now),
        "workers": _workers(facts),
        "pools": _pools(facts),
        "claims": _claims(facts.present),
        "due_times": _due_times(facts, now=now),
        "ledger": _ledger(facts.audit, now=now),
        "notifications": _notifications(facts.queue_share),
    }


def _heartbeat(at: datetime | None, *, now: datetime) -> State:
    if at is None:
        return State(False, "It was not heard of yet.")
    age = max(timedelta(0), now - at)
    return State(age <= FRESH, f"Last heard of {age.total_seconds():.0f} s ago.", at if age > FRESH else None)


def _passes(facts: Facts, *, now: datetime) -> State:
    """The passes that are not made, each with the last error of its loop."""
    errors = {row.loop: row.last_error for row in facts.failures if row.part == heartbeats.RECONCILER}
    behind = dict(_behind(facts, now=now))
    if not behind:
        return State(True, "Each was made lately.")
    told = []
    for name, at in sorted(behind.items(), key=lambda one: one[1]):
        why = errors.get(f"reconciler.{name}")
        told.append(f"{name} was last made {(now - at).total_seconds():.0f} s ago{f' ({why})' if why else ''}")
    return State(False, f"{'; '.join(told)}.", min(behind.values()))


def _behind(facts: Facts, *, now: datetime) -> Iterator[tuple[str, datetime]]:
    if facts.leads_since is None or not facts.passes:
        return  # nobody makes them: that is told of the reconciler
    for name, patience in PASSES.items():
        at = facts.passes.get(name, facts.leads_since)
        if now - max(at, facts.leads_since) > patience:
            yield name, at


def _workers(facts: Facts) -> State:
    """Whether there is any that takes runs, now or when one of its own has ended."""
    if not facts.present:
        return State(False, "There is no worker. Start one: prefect worker start --pool default --type warm")
    served = [pool for pool in facts.pools.values() if pool.members]
    if any(not pool.is_stopped for pool in served):
        return State(True, f"{len(facts.present)} present.")
    return State(False, _why_not(served), _earliest(pool.since for pool in served))


def _pools(facts: Facts) -> State:
    """Whether each takes what is due there."""
    full = {one.pool: facts.pools[one.pool] for one in facts.waiting if not facts.pools[one.pool].takes_runs}
    found = list(({pool.name: pool for pool in facts.stopped} | full).values())
    if not found:
        return State(True, "Each takes what is due there.")
    waiting = (one.due_at for one in facts.waiting if one.pool in full)
    return State(False, _why_not(found), _earliest([*(pool.since for pool in found), *waiting]))


def _why_not(found: Sequence[Pool]) -> str:
    return _some([why for pool in found if (why := pool.why_not()) is not None], "pool")


def _earliest(instants: Iterable[datetime | None]) -> datetime | None:
    return min((at for at in instants if at is not None), default=None)


def _claims(present: Sequence[Worker]) -> State:
    """Whether workers can claim: they say so with their heartbeats."""
    failing = [
        (one.claims_fail_since, f"Worker {one.name} cannot claim: {one.claims_fail_why}.")
        for one in present
        if one.claims_fail_since is not None and one.heartbeat_at - one.claims_fail_since >= FAILING
    ]
    if not failing:
        return State(True, "None fails.")
    return State(False, _some([words for _, words in failing], "worker"), min(since for since, _ in failing))


def _due_times(facts: Facts, *, now: datetime) -> State:
    found = [one for one in facts.waiting if now - one.due_at > UNDECIDED]
    if not found:
        return State(True, "None has waited for longer than a minute.")
    count = sum(one.count for one in found)
    told = [f"{one.task_name}, due at {one.due_at.astimezone(UTC):%H:%M:%S} UTC: {_why(one, facts)}" for one in found]
    headline = f"{count:,} due {'time waits' if count == 1 else 'times wait'} for longer than a minute."
    return State(False, f"{headline} {_some(told, 'task')}", found[0].due_at)


def _why(one: Overdue, facts: Facts) -> str:
    return facts.pools[one.pool].why_not() or "No worker has taken it."


def _ledger(audit: Audit | None, *, now: datetime) -> State:
    """A discrepancy about what is past is no reason to send no more work here."""
    well = audit is not None and audit.is_well(now=now)
    return State(well, ledger_audit.in_words(audit, now=now), None if well or audit is None else audit.at, False)


def _notifications(share: float) -> State:
    if share < notification_queue.ALARM_SHARE:
        return State(True, f"PostgreSQL's queue of notifications is {share * 100:.0f} % full.", required=False)
    return State(False, notification_queue.in_words(share), required=False)


def _some(told: Sequence[str], noun: str) -> str:
    more = len(told) - NAMED
    rest = [f"And {more:,} more {noun}{'' if more == 1 else 's'}."] if more > 0 else []
    return " ".join([*told[:NAMED], *rest])
