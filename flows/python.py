"""Python tasks: a function that the worker can import, in a process forked from a warm interpreter."""

import asyncio
from dataclasses import replace

from db.actions import PythonAction
from db.states import RunState, Stream
from flows import children, environment, processes
from flows.attempts import Attempt, Output, Result
from flows.lines import Allowance
from flows.reports import Report

LOST = "The process that starts Python tasks died, and this one with it. Look into the worker's log for why."


async def perform(attempt: Attempt, output: Output, cancel: asyncio.Event) -> Result:
    """Calls the function; an exception fails the attempt, `sys.exit` sets the exit code."""
    action = attempt.action
    assert isinstance(action, PythonAction)
    request = {
        "callable": action.callable,
        "kwargs": action.kwargs,
        "environment": environment.for_python(attempt),
    }
    allowance = Allowance(output)
    report = Report(allowance)
    try:
        async with processes.pipes_to(*processes.output_sinks(allowance), report) as pipes:
            child = await children.PLAIN.spawn(request, pipes.writing)
            pipes.handed_over()
            ending = await processes.follow(child, pipes, timeout_seconds=attempt.timeout_seconds, cancel=cancel)
    except OSError as error:
        return Result(RunState.FAILED, error=f"The process could not be started: {error.strerror or error}.")
    except children.ZygoteDied:
        return Result(RunState.CRASHED, error=LOST)
    finally:
        allowance.close()
    if "returned" in report.said:
        output.write(f"Returned {report.said['returned']}", stream=Stream.SYSTEM)
    return _with_reason(processes.result_of(ending, attempt, success=lambda code: code == 0), report)


def _with_reason(result: Result, report: Report) -> Result:
    if result.state is RunState.FAILED and "error" in report.said:
        return replace(result, error=report.said["error"])
    return result
