"""The end of a run gets to the catalogue, whatever it is and whatever goes wrong on the way."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, cast
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from db import logs, loops, partitions, runs, sync, tasks
from db.claims import Claimed, Offer
from db.engine import Catalogue
from db.logs import Line
from db.loops import records as loop_records
from db.specs import parse_task
from db.states import Level, RunState, Stream, Trigger
from db.tables import Run
from db.texts import fit
from flows.attempts import Result
from flows.ends import UNSTORABLE, ClaimIsVoid, End
from flows.holdings import FORGOTTEN, Holdings
from flows.logbook import UNSTORABLE as UNSTORABLE_LINE
from flows.logbook import Logbook
from flows.prefect_server import PrefectServer
from flows.records import Records, now
from flows.telling import Teller
from tests.flows.conftest import until

ANYTHING = st.text(st.characters(), max_size=60)


class Told:
    """What Prefect is told, kept."""

    def __init__(self) -> None:
        self.reports: list[tuple[RunState, str]] = []

    def tell(self, _: Any, state: RunState, message: str = "", *, at: Any = None) -> None:  # noqa: ARG002
        self.reports.append((state, message))


@dataclass
class Desk:
    """A worker's records and logbook, on a real catalogue; Prefect takes everything."""

    catalogue: Catalogue
    records: Records
    logbook: Logbook
    told: Told
    deployment_id: Any

    async def claim(self) -> Claimed:
        offer = Offer(uuid4(), self.deployment_id, now(), Trigger.PREFECT)
        answer = await self.records.claim(offer, held_at=now())
        assert isinstance(answer, Claimed)
        return answer

    def end(self, claimed: Claimed) -> End:
        teller = cast("Teller", self.told)
        return End(claimed, self.records.claimant, records=self.records, logbook=self.logbook, teller=teller)

    def run(self, claimed: Claimed) -> Run:
        with self.catalogue.transaction() as session:
            return runs.get_run(session, claimed.key.id)

    def lines(self, claimed: Claimed) -> list[str]:
        with self.catalogue.transaction() as session:
            return [line.message for line in logs.list_lines(session, claimed.key.id)]


class NoPrefect:
    """Takes what it is sent."""

    async def post_logs(self, _: Any) -> None:
        return


Story = Callable[[Desk], Awaitable[None]]


@pytest.fixture
def play(catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Story], None]]:
    """Plays a story at a desk, in an event loop that all stories of the test share."""
    monkeypatch.setattr(loop_records, "FIRST_PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(loop_records, "LONGEST_PAUSE_SECONDS", 0.05)
    deployment_id, present = uuid4(), datetime.now(UTC)
    action = {"name": "x", "kind": "shell", "action": {"command": "true"}, "schedule": {"kind": "manual"}}
    with catalogue.transaction() as session:
        task_id = tasks.create_task(session, parse_task(action | {"overlap": "allow"}), actor="test", now=present)
        sync.record_synced(session, task_id, version=1, deployment_id=deployment_id, applied={})
    records = Records(catalogue.url, name="w1", work_pool="default")
    with asyncio.Runner() as runner:
        logbook = Logbook(records, cast("PrefectServer", NoPrefect()))
        desk = Desk(catalogue, records, logbook, Told(), deployment_id)
        runner.run(records.register())
        yield lambda story: runner.run(asyncio.wait_for(story(desk), 60))
        runner.run(records.close())


def alter(desk: Desk, statement: str) -> None:
    with desk.catalogue.transaction() as session:
        session.execute(text(statement))


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ANYTHING, st.lists(ANYTHING, max_size=3))
@example("ValueError: a\0b", ["a\0b"])
@example("No such file: caf\udce9.csv", ["\udcff", "\x1b[0m", ""])
def test_a_run_that_failed_with_any_text_is_failed_and_all_that_it_printed_is_there(
    play: Callable[[Story], None], error: str, printed: list[str]
) -> None:
    async def story(desk: Desk) -> None:
        claimed = await desk.claim()
        for line in printed:
            desk.logbook.output_of(claimed.key.id, to_prefect=True).write(line, stream=Stream.STDOUT)
        end = desk.end(claimed)
        end.came(Result(RunState.FAILED, 1, error))
        await end.note()
        run = desk.run(claimed)
        assert (run.state, run.exit_code, run.error) == (RunState.FAILED, 1, fit(error))
        assert desk.lines(claimed) == [fit(line) for line in printed]

    play(story)


def test_an_end_that_postgresql_will_never_take_is_noted_in_plain_words(play: Callable[[Story], None]) -> None:
    async def story(desk: Desk) -> None:
        alter(desk, "ALTER TABLE runs ADD CONSTRAINT c CHECK (error NOT LIKE '%poison%')")
        poisoned, well = await desk.claim(), await desk.claim()
        ends = [(poisoned, Result(RunState.FAILED, 1, "poison")), (well, Result(RunState.FAILED, 3, "no"))]
        await asyncio.gather(*(noted(desk.end(claimed), result) for claimed, result in ends))
        run = desk.run(poisoned)
        assert (run.state, run.error) == (RunState.FAILED, UNSTORABLE.format("IntegrityError"))
        assert (desk.run(well).exit_code, desk.run(well).error) == (3, "no")
        assert sorted(desk.told.reports) == [(RunState.FAILED, run.error), (RunState.FAILED, "no")]

    play(story)


async def noted(end: End, result: Result) -> None:
    end.came(result)
    await end.note()


def test_an_end_is_kept_and_its_slot_is_free_while_nobody_knows_why_it_cannot_be_noted(
    play: Callable[[Story], None],
) -> None:
    async def story(desk: Desk) -> None:
        claimed = await desk.claim()
        end = desk.end(claimed)
        alter(desk, "ALTER TABLE runs RENAME COLUMN exit_code TO away")
        await noted(end, Result(RunState.COMPLETED, 0))
        at_last = asyncio.ensure_future(end.note_at_last())
        tried = loops.failures()["worker.ends"]
        await until(lambda: loops.failures()["worker.ends"] >= tried + 3, "some more tries")
        assert desk.told.reports == []
        alter(desk, "ALTER TABLE runs RENAME COLUMN away TO exit_code")
        await at_last
        assert desk.run(claimed).state == RunState.COMPLETED
        assert desk.told.reports == [(RunState.COMPLETED, "")]

    play(story)


def test_the_end_of_a_run_that_somebody_else_has_decided_is_void(play: Callable[[Story], None]) -> None:
    async def story(desk: Desk) -> None:
        claimed = await desk.claim()
        await noted(desk.end(claimed), Result(RunState.COMPLETED, 0))
        with pytest.raises(ClaimIsVoid):
            await noted(desk.end(claimed), Result(RunState.FAILED, 1))
        assert desk.run(claimed).state == RunState.COMPLETED

    play(story)


def test_a_line_that_postgresql_will_never_take_is_replaced_and_the_others_are_written(
    play: Callable[[Story], None],
) -> None:
    async def story(desk: Desk) -> None:
        alter(desk, "ALTER TABLE run_logs ADD CONSTRAINT c CHECK (message <> 'poison')")
        claimed = await desk.claim()
        output = desk.logbook.output_of(claimed.key.id, to_prefect=False)
        for line in ("a", "b", "poison", "c", "poison", "d"):
            output.write(line, stream=Stream.STDOUT)
        await noted(desk.end(claimed), Result(RunState.COMPLETED, 0))
        lines = desk.lines(claimed)
        assert [line for line in lines if not line.startswith(UNSTORABLE_LINE)] == ["a", "b", "c", "d"]
        assert [line.startswith(UNSTORABLE_LINE) for line in lines] == [False, False, True, False, True, False]
        assert desk.run(claimed).state == RunState.COMPLETED

    play(story)


def test_lines_wait_for_the_table_of_their_month_and_no_run_waits_for_them(play: Callable[[Story], None]) -> None:
    async def story(desk: Desk) -> None:
        claimed = await desk.claim()
        alter(desk, f"DROP TABLE run_logs_{now():%Y_%m}")
        desk.logbook.output_of(claimed.key.id, to_prefect=False).write("kept", stream=Stream.STDOUT)
        await noted(desk.end(claimed), Result(RunState.COMPLETED, 0))
        assert (desk.run(claimed).state, desk.lines(claimed)) == (RunState.COMPLETED, [])
        with desk.catalogue.transaction() as session:
            partitions.ensure_partitions(session, now=now())
        await desk.logbook.flush()
        assert desk.lines(claimed) == ["kept"]

    play(story)


@pytest.mark.parametrize("years", [-20, 20])
def test_a_line_of_a_day_for_which_there_is_no_table_is_set_aside(play: Callable[[Story], None], years: int) -> None:
    async def story(desk: Desk) -> None:
        claimed = await desk.claim()
        far = now() + timedelta(days=365 * years)
        for at, message in ((now(), "a"), (far, "far"), (now(), "b")):
            desk.logbook._lines.append(Line(claimed.key.id, at, Level.INFO, Stream.STDOUT, message))
        await desk.logbook.flush()
        first, second, third = desk.lines(claimed)
        assert (first, third) == ("a", "b")
        assert second.startswith(UNSTORABLE_LINE)

    play(story)


def test_a_run_that_its_worker_has_lost_gets_an_end(play: Callable[[Story], None]) -> None:
    async def story(desk: Desk) -> None:
        lost, ended = await desk.claim(), await desk.claim()
        holdings = Holdings(
            records=desk.records,
            logbook=desk.logbook,
            teller=cast("Teller", desk.told),
            slots=1,
            room_made=lambda: None,
        )
        assert await desk.records.beat()
        await noted(desk.end(ended), Result(RunState.COMPLETED, 0))
        await holdings.end_forgotten()
        assert (desk.run(lost).state, desk.run(lost).error) == (RunState.CRASHED, FORGOTTEN)
        assert desk.run(ended).state == RunState.COMPLETED
        assert desk.told.reports == [(RunState.COMPLETED, ""), (RunState.CRASHED, FORGOTTEN)]

    play(story)
