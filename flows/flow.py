"""Flow tasks: any Prefect flow, run by Prefect's own engine on the flow run that exists, in a forked process."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from db.actions import FlowAction
from db.states import IN_PREFECT, RunState
from flows import children, environment, forks, processes
from flows.attempts import CANCEL_SIGNAL, Attempt, Output, Result


async def perform(attempt: Attempt, output: Output, cancel: asyncio.Event) -> Result:
    """Runs the flow; the state that it leaves in Prefect decides."""
    action = attempt.action
    assert isinstance(action, FlowAction)
    request = {
        "run_id": str(attempt.run_id),
        "entrypoint": action.entrypoint,
        "parameters": action.parameters,
        "secrets": dict(attempt.secrets),
        "environment": environment.for_flow(attempt, with_catalogue=is_ours(action.entrypoint)),
    }

    def judge(ending: processes.Ending, said: Mapping[str, Any]) -> Result:
        return result_of(ending, said, attempt)

    return await forks.perform(
        children.PREFECT, request, attempt, output, cancel, judge=judge, cancel_signal=CANCEL_SIGNAL
    )


def is_ours(entrypoint: str) -> bool:
    """Whether an entrypoint is in this package, whose flows may see the catalogue. Pure."""
    return entrypoint.startswith("flows.") and ".py:" not in entrypoint


def result_of(ending: processes.Ending, said: Mapping[str, Any], attempt: Attempt) -> Result:
    """What the child's end means; the state that it says counts, since Prefect has it. Pure."""
    if "state" in said:
        state = _run_state(*said["state"])
        return Result(state, error=None if state is RunState.COMPLETED else said["message"], told_prefect=True)
    result = processes.result_of(ending, attempt, success=lambda _: False)
    if result.state is not RunState.FAILED:
        return result
    return replace(result, error=said.get("error") or f"{result.error} The flow had not ended.")


def _run_state(kind: str, name: str) -> RunState:
    """The final state that Prefect calls so; flows can give any name to one."""
    if (kind, name) == IN_PREFECT[RunState.TIMED_OUT]:
        return RunState.TIMED_OUT
    return RunState(kind.lower())
