"""Shell attempts: real commands, from their first line to the death of everything that they started."""

import asyncio
import os
import signal
import threading
from pathlib import Path
from typing import Any

import pytest

from db.actions import ShellAction
from db.logs import MAX_LINE
from db.states import Level, RunState, Stream
from flows import lines
from flows.attempts import Result
from tests.flows.conftest import DUE_AT, TASK_ID, Log, Under, attempt, attempt_and, begun, is_alive, nothing, until
from tests.waiting import wait_until


def run(command: str, *, timeout_seconds: float | None = 30, **action: Any) -> tuple[Result, Log]:
    return attempt(ShellAction(command=command, **action), timeout_seconds=timeout_seconds)


# What it starts with.


def test_it_inherits_no_descriptor_but_its_three() -> None:
    _, log = run("ls /proc/self/fd")
    # The fourth is that of ls itself, which reads the folder.
    assert log.stdout == ["0", "1", "2", "3"]


def test_its_end_is_seen_without_a_thread_for_each() -> None:
    async def ten_at_once() -> int:
        before = threading.active_count()
        waiting = [asyncio.create_task(begun(nothing, ShellAction(command="sleep 0.5"))) for _ in range(10)]
        await asyncio.sleep(0.2)
        more = threading.active_count() - before
        assert [(await one)[0].state for one in waiting] == [RunState.COMPLETED] * 10
        return more

    assert asyncio.run(ten_at_once()) == 0


# What it prints.


def test_both_streams_are_kept_apart_and_each_in_its_order() -> None:
    result, log = run("echo one; echo oops >&2; echo two; echo again >&2")
    assert result == Result(RunState.COMPLETED, 0)
    assert (log.stdout, log.stderr) == (["one", "two"], ["oops", "again"])


def test_while_nobody_can_keep_what_is_printed_the_command_waits_and_nothing_is_lost() -> None:
    printed = 100_000

    async def meanwhile(under: Under) -> None:
        under.log.is_full = True
        await until(lambda: under.log.stdout, "the first lines")
        kept = len(under.log.stdout)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.shield(under.task), 1)
        assert len(under.log.stdout) == kept < printed / 2
        under.log.is_full = False

    result, log = attempt_and(meanwhile, ShellAction(command=f"seq {printed}"))
    assert result.state is RunState.COMPLETED
    assert log.stdout == [str(number) for number in range(1, printed + 1)]


def test_a_line_is_there_as_soon_as_it_is_printed() -> None:
    async def meanwhile(under: Under) -> None:
        await until(lambda: under.log.stdout == ["first"], "the first line")
        assert not under.task.done()
        under.cancel.set()

    attempt_and(meanwhile, ShellAction(command="echo first; sleep 30; echo second"))


def test_a_prompt_that_has_no_line_break_is_shown_while_the_command_waits() -> None:
    async def meanwhile(under: Under) -> None:
        await until(lambda: under.log.stdout == ["Are you sure? "], "the prompt")
        under.cancel.set()

    attempt_and(meanwhile, ShellAction(command="printf 'Are you sure? '; sleep 30"))


@pytest.mark.parametrize(
    ("printed", "kept"),
    [
        (r"no end", ["no end"]),
        (r"caf\303\251 \342\202\254\n", ["café €"]),
        (r"bad \377 byte\n", ["bad � byte"]),
        (r"nul \000 inside\n", ["nul \0 inside"]),
        (r"windows\r\nlines\r\n", ["windows", "lines"]),
        (r"a\n\nb\n", ["a", "", "b"]),
        (r"", []),
    ],
)
def test_whatever_bytes_are_printed_become_lines_of_text(printed: str, kept: list[str]) -> None:
    result, log = run(f"printf '{printed}'")
    assert (result.state, log.stdout) == (RunState.COMPLETED, kept)


def test_a_character_that_comes_in_two_pieces_is_one() -> None:
    _, log = run(r"printf '\303'; sleep 0.1; printf '\251\n'")
    assert log.stdout == ["é"]


def test_a_very_long_line_is_cut_into_several_and_nothing_of_it_is_lost() -> None:
    _, log = run("head -c 100000 /dev/zero | tr '\\0' x; echo; echo end")
    assert "".join(log.stdout[:-1]) == "x" * 100_000
    assert max(len(line) for line in log.stdout) <= MAX_LINE
    assert log.stdout[-1] == "end"


def test_more_than_may_be_kept_is_dropped_with_a_note_and_the_command_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines.Allowance.__init__, "__kwdefaults__", {"max_bytes": 1_000_000, "max_lines": 1000})
    result, log = run("seq 5000; echo done >&2")
    assert result.state is RunState.COMPLETED
    assert log.stdout == [str(number) for number in range(1, 1001)]
    first, last = [line for line in log.lines if line.stream is Stream.SYSTEM]
    assert "more than 1 MB or 1,000 lines" in first.message
    assert first.level is Level.WARNING
    # The other stream shares the allowance, and its line may come before or after its end.
    assert last.message.startswith(f"{4001 - len(log.stderr)} lines (")


def test_endless_output_is_stopped_by_the_time_limit_and_not_by_memory() -> None:
    result, log = run("yes", timeout_seconds=20)
    assert result.state is RunState.TIMED_OUT
    assert len(log.stdout) == lines.MAX_LINES


def test_a_background_process_that_keeps_the_output_open_does_not_keep_the_attempt() -> None:
    result, log = run("echo $$; sleep 60 & echo $!")
    assert result.state is RunState.COMPLETED
    os.kill(int(log.stdout[1]), signal.SIGKILL)


# How it ends.


@pytest.mark.parametrize(
    ("command", "result"),
    [
        ("exit 3", Result(RunState.FAILED, 3, "Exited with code 3.")),
        ("nosuchcommand", Result(RunState.FAILED, 127, "Exited with code 127.")),
        ("kill -KILL $$", Result(RunState.FAILED, 137, "Ended by SIGKILL.")),
        ("kill -TERM $$", Result(RunState.FAILED, 143, "Ended by SIGTERM.")),
    ],
)
def test_an_exit_code_that_is_no_success_fails_the_attempt(command: str, result: Result) -> None:
    assert run(command)[0] == result


def test_the_task_says_which_exit_codes_are_successes() -> None:
    assert run("exit 2", success_exit_codes=[0, 2])[0] == Result(RunState.COMPLETED, 2)
    assert run("exit 0", success_exit_codes=[2])[0].state is RunState.FAILED


def test_nothing_can_be_typed_in() -> None:
    result, log = run("cat; echo done")
    assert (result.state, log.stdout) == (RunState.COMPLETED, ["done"])


# Where it runs.


def test_a_command_gets_what_it_is_told_of_its_task_its_own_variables_and_few_of_the_worker(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    secrets = ("DUETIME_DATABASE_URL", "PREFECT_API_KEY", "PREFECT_API_URL", "AWS_SECRET_ACCESS_KEY", "PYTHONPATH")
    for name in secrets:
        monkeypatch.setenv(name, "secret")
    monkeypatch.setenv("LANG", "de_DE.UTF-8")
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    _, log = attempt(ShellAction(command="env", env={"LANG": "C", "MINE": "1"}), number=2)
    given = dict(line.split("=", 1) for line in log.stdout)
    assert "secret" not in given.values()
    assert {name: given[name] for name in ("LANG", "TZ", "MINE")} == {"LANG": "C", "TZ": "Asia/Tokyo", "MINE": "1"}
    assert {name: text for name, text in given.items() if name.startswith("DUETIME_")} == {
        "DUETIME_TASK": "backup",
        "DUETIME_TASK_ID": str(TASK_ID),
        "DUETIME_RUN_ID": given["DUETIME_RUN_ID"],
        "DUETIME_DUE_AT": DUE_AT.isoformat().replace("+00:00", "Z"),
        "DUETIME_ATTEMPT": "2",
    }


def test_a_command_runs_in_its_directory(tmp_path: Path) -> None:
    _, log = run("pwd", cwd=str(tmp_path))
    assert log.stdout == [str(tmp_path)]


def test_a_directory_that_is_missing_fails_the_attempt_and_says_what_to_do(tmp_path: Path) -> None:
    result, _ = run("pwd", cwd=str(tmp_path / "gone"))
    assert result.state is RunState.FAILED
    assert result.error == (
        f"The directory {tmp_path}/gone does not exist on this worker. Make it, or change the task's cwd."
    )


# How it is stopped.

IGNORES_SIGTERM = "(trap '' TERM; sh -c 'echo $$; while :; do sleep 1; done') & echo $$; wait"


def test_a_timeout_ends_everything_that_was_started_even_what_ignores_sigterm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flows.processes.KILL_AFTER_SECONDS", 0.5)
    result, log = run(IGNORES_SIGTERM, timeout_seconds=3)
    assert (result.state, result.error) == (RunState.TIMED_OUT, "Timed out after 3 s.")
    pids = [int(line) for line in log.stdout]
    assert len(pids) == 2
    wait_until(lambda: not any(map(is_alive, pids)), "the end of both processes", seconds=20)


def test_a_command_that_is_cancelled_can_put_things_in_order_first() -> None:
    async def meanwhile(under: Under) -> None:
        await until(lambda: under.log.stdout, "the first line")
        under.cancel.set()

    command = "trap 'echo tidying; exit 0' TERM; echo started; while :; do sleep 0.1; done"
    result, log = attempt_and(meanwhile, ShellAction(command=command))
    assert result == Result(RunState.CANCELLED, 0, "Cancelled.")
    assert log.stdout == ["started", "tidying"]


def test_what_is_cancelled_before_it_starts_does_not_start(tmp_path: Path) -> None:
    async def meanwhile(under: Under) -> None:
        under.cancel.set()

    result, _ = attempt_and(meanwhile, ShellAction(command=f"touch {tmp_path}/started"))
    assert result.state is RunState.CANCELLED
    assert not list(tmp_path.iterdir())


def test_when_the_coroutine_is_cancelled_nothing_of_the_command_is_left() -> None:
    pids: list[int] = []

    async def meanwhile(under: Under) -> None:
        await until(lambda: len(under.log.stdout) == 2, "both pids")
        pids.extend(int(line) for line in under.log.stdout)
        under.task.cancel()

    with pytest.raises(asyncio.CancelledError):
        attempt_and(meanwhile, ShellAction(command=IGNORES_SIGTERM))
    wait_until(lambda: not any(map(is_alive, pids)), "the end of both processes", seconds=20)


def test_many_commands_at_once_do_not_mix_their_output() -> None:
    async def all_of_them() -> list[tuple[Result, Log]]:
        many = [ShellAction(command=f"for i in 1 2 3; do echo {n}; done; exit {n}") for n in range(20)]
        return await asyncio.gather(*(begun(nothing, action) for action in many))

    for number, (result, log) in enumerate(asyncio.run(all_of_them())):
        assert result.exit_code == number
        assert log.stdout == [str(number)] * 3
