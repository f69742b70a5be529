"""Results survive an interruption, and their table counts what it should."""

from dataclasses import replace
from pathlib import Path

from tests.faults.disturbances.measuring.healing import Healing
from tests.faults.disturbances.measuring.results import Result, ResultsFile, still_to_make
from tests.faults.disturbances.measuring.table import table
from tests.faults.disturbances.plan import Trial
from tests.faults.verdict import Fault

FIRST, SECOND, OTHER = (Trial("read_only", 7, 1), Trial("read_only", 7, 2), Trial("disk_full", 7, 1))
WELL = Result(
    FIRST,
    "abc",
    what="ReadOnly(12)",
    due_times=90,
    healing=Healing(2.0, 3.0, 4.0),
    decided_seconds=5.0,
    took_seconds=60,
)
UNWELL = replace(
    WELL,
    trial=SECOND,
    healing=Healing(9.0, None, 8.0),
    decided_seconds=7.0,
    faults={Fault.TWICE: 2},
    discrepancies=["executed twice: a task, 2 due times, such as ..."],
    complaints=["not well again"],
    busy_loops={"worker-1: a callback": 0.12, "reconciler: another": 0.06},
)
LEFT_OUT = Result(OTHER, "abc", left_out="A small disk cannot be mounted here")


def test_what_was_written_is_read_again(tmp_path: Path) -> None:
    file = ResultsFile(tmp_path / "trials.jsonl")
    assert file.read() == []
    for result in (WELL, UNWELL, LEFT_OUT):
        file.add(result)
    assert file.read() == [WELL, UNWELL, LEFT_OUT]


def test_a_line_that_was_cut_is_no_result_and_spoils_no_other(tmp_path: Path) -> None:
    file = ResultsFile(tmp_path / "trials.jsonl")
    file.add(WELL)
    file.path.write_text(file.path.read_text() + UNWELL.as_line()[:40])
    assert file.read() == [WELL]
    file.add(LEFT_OUT)
    assert file.read() == [WELL, LEFT_OUT]


def test_what_has_a_result_of_this_version_is_not_made_again() -> None:
    trials, results = [FIRST, SECOND, OTHER], [WELL, replace(UNWELL, commit="older")]
    assert still_to_make(trials, results, commit="abc") == [SECOND, OTHER]


def test_the_table_has_a_line_for_each_kind_with_the_worst_of_its_trials() -> None:
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table([WELL, UNWELL, LEFT_OUT]).splitlines()]
    assert len({len(row) for row in rows}) == 1
    both = ["2", "180", "0", "2", "1", "2.0 s", "9.0 s", "never", "8.0 s", "7.0 s", "120 ms"]
    assert rows[2][:2] == ["disk_full", "0: A small disk cannot be mounted here"]
    assert rows[3:] == [["read_only", *both], ["**all**", *both]]
