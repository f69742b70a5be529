import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, cast
from uuid import UUID, uuid4

import pytest

from db.errors import CatalogueUnavailable
from db.loops import records as loop_records
from db.prefect_answers import PrefectRefused, PrefectUnavailable
from db.runs import RunKey
from db.states import RunState
from flows.prefect_server import PrefectServer, Verdict
from flows.records import Records
from flows.telling import Report, Teller, coalesced, with_times

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
KEY = RunKey(uuid4(), NOON)


def report(state: RunState, *, seconds: float = 0, message: str = "") -> Report:
    return Report(KEY, state, message, NOON + timedelta(seconds=seconds))


def test_what_goes_on_is_told_in_its_order() -> None:
    running, retrying = report(RunState.RUNNING), report(RunState.RETRYING)
    assert coalesced([running, retrying]) == (running, ())


def test_an_end_is_told_instead_of_all_that_came_before_it() -> None:
    running, retrying, failed = report(RunState.RUNNING), report(RunState.RETRYING), report(RunState.FAILED)
    assert coalesced([running, retrying, running, failed]) == (failed, [running, retrying, running])
    assert coalesced([failed]) == (failed, [])


def test_an_end_that_is_told_in_time_is_told_as_it_is() -> None:
    failed = report(RunState.FAILED, message="Exited with code 7.")
    assert with_times(failed, (), now=NOON + timedelta(seconds=0.5)) is failed


def test_an_end_that_is_told_late_or_alone_says_its_true_times() -> None:
    failed = report(RunState.FAILED, message="Exited with code 7.", seconds=2.5)
    late = with_times(failed, (), now=NOON + timedelta(minutes=1))
    assert late.message == "Exited with code 7. Ended at 2026-03-01 12:00:02.500 UTC."
    alone = with_times(report(RunState.COMPLETED, seconds=2.5), [report(RunState.RUNNING, seconds=0.007)], now=NOON)
    assert alone.message == "Began at 2026-03-01 12:00:00.007, ended at 2026-03-01 12:00:02.500 UTC."


def test_a_state_that_goes_on_has_no_times_to_say() -> None:
    running = report(RunState.RUNNING)
    assert with_times(running, (), now=NOON + timedelta(minutes=1)) is running


class Server:
    """A Prefect server that fails in some ways first; it remembers what it was told."""

    def __init__(self, *failures: Exception) -> None:
        self.failures = list(failures)
        self.told: list[tuple[UUID, str, str]] = []

    async def set_state(self, run_id: UUID, *, kind: str, name: str, message: str, **_: Any) -> Verdict:
        await asyncio.sleep(0)
        if self.failures:
            raise self.failures.pop(0)
        self.told.append((run_id, name, message))
        return Verdict(accepted=True, state_type=kind, wait_seconds=0)


class Marks:
    """The catalogue, in which it cannot be noted that something is told."""

    async def mark_reported(self, *_: Any) -> None:
        raise CatalogueUnavailable


class Broken:
    """An accelerator with a mistake in it."""

    async def tell(self, reports: Mapping[UUID, Sequence[Report]]) -> set[UUID]:
        raise KeyError(reports)


def told(server: Server, *reports: Report, accelerator: Broken | None = None) -> list[tuple[UUID, str, str]]:
    """What the server was told in the end of these reports."""

    async def story() -> None:
        teller = Teller(cast("PrefectServer", server), cast("Records", Marks()), stopped_in_prefect=lambda _: None)
        teller.accelerator = accelerator
        for one in reports:
            teller.tell(one.key, one.state, one.message)
        await teller.settle(20)
        assert teller.untold == set()

    asyncio.run(story())
    return server.told


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop_records, "FIRST_PAUSE_SECONDS", 0.001)
    monkeypatch.setattr(loop_records, "LONGEST_PAUSE_SECONDS", 0.005)


@pytest.mark.usefixtures("quick")
def test_a_report_is_told_again_until_prefect_takes_it_whatever_went_wrong() -> None:
    away = (PrefectUnavailable("away"), PrefectUnavailable("500", answered=True))
    failures = [*away, KeyError("nobody thought of it"), OSError()]
    failed = report(RunState.FAILED, message="No.")
    assert told(Server(*failures), failed) == [(KEY.id, "Failed", "No.")]
    assert told(Server(*failures), failed, accelerator=Broken()) == [(KEY.id, "Failed", "No.")]


@pytest.mark.usefixtures("quick")
def test_a_report_that_prefect_refuses_is_left_out_and_the_others_are_told() -> None:
    other = Report(RunKey(uuid4(), NOON), RunState.COMPLETED, "", NOON)
    found = told(Server(PrefectRefused("no", status=422)), report(RunState.FAILED), other)
    assert found == [(other.key.id, "Completed", "")]


def test_prefect_is_told_only_what_it_can_store() -> None:
    [(_, _, message)] = told(Server(), report(RunState.FAILED, message="a\0b\udcff" + "x" * 10_000_000))
    assert message.startswith("a\ufffdb?xxx")
    assert len(message) < 20_000
