from bench.arrivals import Arrival
from bench.figures import figures
from bench.measuring import numbered
from bench.prefect_records import Row, judged
from bench.recorder import asked, stamped
from bench.scenarios import BURSTS, broke, scenarios
from bench.work import Kind, Work

ALL = tuple(Kind)


def test_each_request_has_the_first_start_after_it() -> None:
    due, heard = numbered({"now": [10.0, 20.0]}, [Arrival("now", None, 10.5), Arrival("now", None, 20.25)])
    found = figures(due, heard)
    assert (found.started, found.min, found.max, found.doubled) == (2, 0.25, 0.5, 0)


def test_a_request_that_ran_twice_is_seen() -> None:
    heard = [Arrival("now", None, 10.5), Arrival("now", None, 11.0), Arrival("now", None, 20.25)]
    found = figures(*numbered({"now": [10.0, 20.0]}, heard))
    assert (found.started, found.lost, found.doubled) == (2, 0, 1)


def test_prefect_s_records_are_right_when_each_run_completed_at_sound_times() -> None:
    rows = [Row("COMPLETED", 50.0, 50.1, 50.2), Row("COMPLETED", 50.0, 50.3, 50.3)]
    found = judged(rows, [(50.0, 50.1), (50.0, 50.29)], expected=2, complete_seconds=1.0)
    assert (found.completed, found.wrong) == (2, 0)
    assert found.off_p99 is not None
    assert abs(found.off_p99 - 0.01) < 1e-6


def test_starts_are_compared_within_a_due_instant() -> None:
    rows = [Row("COMPLETED", 50.0, 54.0, 55.0), Row("COMPLETED", 51.0, 51.5, 52.0)]
    assert judged(rows, [(50.0, 54.0), (51.0, 51.5)], expected=2, complete_seconds=1.0).off_p99 == 0
    assert judged(rows, [(50.0, 54.0)], expected=2, complete_seconds=1.0).off_p99 is None


def test_prefect_s_records_are_wrong_when_a_run_is_missing_early_unfinished_or_ends_before_it_starts() -> None:
    sound = Row("COMPLETED", 50.0, 50.1, 50.2)
    wrong = [
        Row("RUNNING", 50.0, 50.1, None),
        Row("COMPLETED", 50.0, 49.9, 50.2),
        Row("COMPLETED", 50.0, 50.2, 50.1),
        Row("FAILED", 50.0, 50.1, 50.2),
    ]
    for row in wrong:
        assert judged([sound, row], [], expected=2, complete_seconds=None).wrong == 1
    assert judged([sound], [], expected=2, complete_seconds=None).wrong == 1
    assert judged([sound, sound], [], expected=1, complete_seconds=None).wrong == 1
    assert judged([sound, wrong[0]], [], expected=1, complete_seconds=None).wrong == 1


def test_the_recorder_stamps_what_comes_without_a_time() -> None:
    assert stamped("shell burst-1 50.000", 50.25) == "shell burst-1 50.000 50.250000"
    assert stamped("python burst-1 50.000 50.125000", 99.0) == "python burst-1 50.000 50.125000"


def test_the_recorder_reads_task_and_due_time_of_a_request() -> None:
    assert asked("GET /burst-1 HTTP/1.1\r\nHost: x\r\nIdempotency-Key: 7/2026-11-25T00:00:00+00:00") == (
        "burst-1",
        "2026-11-25T00:00:00+00:00",
    )
    assert asked("GET /burst-1 HTTP/1.1\r\nHost: x") == ("burst-1", "-")


def test_the_quick_form_leaves_the_largest_burst_out_unless_it_is_named() -> None:
    largest = f"due-{max(BURSTS)}"
    assert largest not in [each.name for each in scenarios(quick=True, up_to=30, kinds=ALL, only=[])]
    assert largest in [each.name for each in scenarios(quick=True, up_to=30, kinds=ALL, only=[largest])]
    assert largest in [each.name for each in scenarios(quick=False, up_to=30, kinds=ALL, only=[])]


def test_names_of_scenarios_are_told_apart() -> None:
    names = [each.name for each in scenarios(quick=False, up_to=300, kinds=ALL, only=[])]
    assert len(names) == len(set(names))


def test_only_keeps_what_begins_so_and_up_to_ends_the_rates() -> None:
    names = [each.name for each in scenarios(quick=False, up_to=20, kinds=ALL, only=["rate", "idle"])]
    assert names == ["rate-10", "rate-20", "idle-10000"]


def test_a_rate_is_kept_while_nothing_is_lost_and_little_is_late() -> None:
    assert not broke(0, 0.9)
    assert broke(1, 0.1)
    assert broke(0, 1.1)
    assert broke(0, None)


def test_the_command_is_one_line_for_the_shell_and_quotes_its_pipe() -> None:
    work = Work("burst-1", Kind.SHELL, "/a folder/pipe", "http://127.0.0.1:1")
    assert work.command() == "echo \"shell burst-1 $DUE\" >'/a folder/pipe'"
