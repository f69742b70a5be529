"""Shell tasks: a command for `/bin/sh`, in a process group of its own."""

import asyncio
import os
from collections.abc import Sequence

from prefect import State, flow

from db.actions import ShellAction
from db.states import Backoff, RunState
from flows import children, environment, processes
from flows.attempts import Attempt, Output, Result
from flows.flow_runs import Policy, attempt_in_flow
from flows.lines import Allowance

SHELL = "/bin/sh"


async def perform(attempt: Attempt, output: Output, cancel: asyncio.Event) -> Result:
    """Runs the command; its exit code decides."""
    action = attempt.action
    assert isinstance(action, ShellAction)
    allowance = Allowance(output, mask=attempt.mask)
    try:
        with processes.pipes_to(*processes.output_sinks(allowance)) as pipes:
            stdout, stderr = pipes.writing
            process = processes.start(
                [SHELL, "-c", action.command],
                environment=environment.for_shell(attempt, action.env),
                directory=action.cwd,
                stdout=stdout,
                stderr=stderr,
            )
            pipes.handed_over()
            with children.PLAIN.guarding(process.pid):
                ending = await processes.follow(process, pipes, timeout_seconds=attempt.timeout_seconds, cancel=cancel)
    except (OSError, ValueError) as error:  # a NUL in the environment is a ValueError
        return Result(RunState.FAILED, error=_why_not(action, error))
    finally:
        allowance.close()
    return processes.result_of(ending, attempt, success=lambda code: code in action.success_exit_codes)


def _why_not(action: ShellAction, error: Exception) -> str:
    directory = action.cwd
    if directory is None or os.access(directory, os.X_OK):
        return f"The shell could not be started: {processes.reason(error)}."
    if not os.path.isdir(directory):
        return f"The directory {directory} does not exist on this worker. Make it, or change the task's cwd."
    return f"The directory {directory} may not be entered by this worker's user. Allow it, or change the task's cwd."


@flow(name="shell")
def shell(
    command: str,
    env: dict[str, str] | None = None,
    cwd: str | None = None,
    success_exit_codes: Sequence[int] = (0,),
    timeout_seconds: int | None = 3600,
    retries: int = 0,
    retry_delay_seconds: int = 10,
    retry_backoff: Backoff = Backoff.CONSTANT,
) -> State | None:
    """Runs a command, until an attempt succeeds or none is left."""
    action = ShellAction(command=command, env=env or {}, cwd=cwd, success_exit_codes=list(success_exit_codes))
    policy = Policy(
        timeout_seconds=timeout_seconds,
        retries=retries,
        retry_delay_seconds=retry_delay_seconds,
        retry_backoff=retry_backoff,
    )
    return attempt_in_flow(perform, action, policy)
