"""What the child of a flow task does: loads the flow, runs it with Prefect's engine, and says how it ended."""

import asyncio
import contextlib
import json
import logging
import os
import signal
import sys
from collections.abc import Callable
from typing import Any, TextIO
from uuid import UUID

from prefect import Flow
from prefect._internal import control_listener
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import FlowRun, State
from prefect.deployments.steps.core import run_steps
from prefect.events.worker import EventsWorker
from prefect.flow_engine import run_flow
from prefect.flows import load_flow_from_entrypoint
from prefect.logging.configuration import setup_logging
from prefect.logging.handlers import APILogWorker
from prefect.logging.loggers import flow_run_logger
from prefect.states import Cancelled, Pending
from prefect.utilities.asyncutils import run_coro_as_sync

from db import tracebacks
from db.logs import MAX_LINE
from db.texts import fit
from flows.attempts import CANCEL_SIGNAL
from flows.masks import Mask
from flows.secrets import replaced

DELIVER_WITHIN_SECONDS = 5
MAX_ERROR = 2000
MAX_LOGGED = 100_000
SUSPENDED = "The flow suspended itself, which cannot be resumed here. Use pause_flow_run instead of suspend_flow_run."


def main(request: dict[str, Any], report: TextIO) -> int:
    """Always 0; the report gets the lines of the log, and at the end `state` and `message`, or `error`."""
    os.environ["PREFECT__FLOW_RUN_ID"] = request["run_id"]
    _log_to(report)
    _leave_sigterm_to_worker()
    run_id = UUID(request["run_id"])
    mask = Mask.of(request["secrets"])
    _say_cleanly(mask)
    with get_client(sync_client=True) as client:
        ending = _ending(client, run_id, lambda: _execute(client, run_id, request), mask)
    report.write(json.dumps(ending) + "\n")
    # What was logged and not sent yet would be lost with this process.
    APILogWorker.drain_all(timeout=DELIVER_WITHIN_SECONDS)
    EventsWorker.drain_all(timeout=DELIVER_WITHIN_SECONDS)
    return 0


def _ending(client: SyncPrefectClient, run_id: UUID, execute: Callable[[], None], mask: Mask) -> dict[str, Any]:
    """What came of it, as Prefect has it."""
    error = "Prefect's engine left the run before its end."
    try:
        execute()
    except BaseException as raised:  # noqa: BLE001 - what the engine raises, it has told Prefect before
        error = tracebacks.message(raised, mask)
    # The end is known: who would end this process now has only to wait.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    with contextlib.suppress(Exception):
        state = client.read_flow_run(run_id).state
        if state is not None and state.is_final():
            return {"state": [state.type.value, state.name], "message": mask(state.message or "")[:MAX_ERROR] or None}
        if state is not None and state.is_paused():
            return {"error": SUSPENDED}
    return {"error": error}


def _execute(client: SyncPrefectClient, run_id: UUID, request: dict[str, Any]) -> None:
    flow_run = client.read_flow_run(run_id)
    if flow_run.state is not None and (flow_run.state.is_cancelling() or flow_run.state.is_cancelled()):
        client.set_flow_run_state(run_id, Cancelled(), force=True)
        return
    # By force, because the attempt before may have left the run in a final state.
    client.set_flow_run_state(run_id, Pending(), force=True)
    if flow_run.parameters != request["parameters"]:
        client.update_flow_run(run_id, parameters=request["parameters"])
        flow_run.parameters = request["parameters"]
    parameters = None
    if request["secrets"]:
        parameters = replaced(flow_run.parameters, request["secrets"])
    try:
        flow = _load(client, flow_run, request["entrypoint"])
    except Exception:
        flow_run_logger(flow_run).exception("The flow %s could not be loaded", request["entrypoint"])
        raise
    _drive(flow, flow_run, parameters)


def _load(client: SyncPrefectClient, flow_run: FlowRun, entrypoint: str) -> Flow[..., Any]:
    if flow_run.deployment_id is not None:
        deployment = client.read_deployment(flow_run.deployment_id)
        if deployment.pull_steps:
            logger = flow_run_logger(flow_run)
            steps = run_steps(
                deployment.pull_steps,
                print_function=logger.info,
                deployment=deployment,
                flow_run=flow_run,
                logger=logger,
            )
            _enter(run_coro_as_sync(steps))
    return load_flow_from_entrypoint(entrypoint, use_placeholder_flow=False)


def _enter(pulled: Any) -> None:
    if directory := (pulled or {}).get("directory"):
        os.chdir(directory)
        sys.path.insert(0, os.getcwd())


def _drive(flow: Flow[..., Any], flow_run: FlowRun, parameters: dict[str, Any] | None) -> None:
    running: Any = run_flow(flow, flow_run=flow_run, parameters=parameters)
    if flow.isasync:
        asyncio.run(_awaited(running, is_generator=flow.isgenerator))
    elif flow.isgenerator:
        for _ in running:
            pass


async def _awaited(running: Any, *, is_generator: bool) -> None:
    if is_generator:
        async for _ in running:
            pass
    else:
        await running


def _leave_sigterm_to_worker() -> None:
    """The worker tells Prefect what its SIGTERM means, but a cancellation is the engine's, with the flow's hooks."""
    control_listener._set_intent("relinquish")
    signal.signal(CANCEL_SIGNAL, _cancel)


def _cancel(*_: object) -> None:
    control_listener._set_intent("cancel")
    # From here, because of two signals that the worker sends the second may arrive first, at another thread.
    os.killpg(0, signal.SIGTERM)


def _say_cleanly(mask: Mask) -> None:
    """Has what is logged here, and what the engine tells Prefect, without the secrets, and as it can be stored."""
    record_of = logging.getLogRecordFactory()

    def clean_record(*args: Any, **more: Any) -> logging.LogRecord:
        record = record_of(*args, **more)
        with contextlib.suppress(Exception):  # what cannot be put together is logging's affair
            record.msg, record.args = fit(mask(record.getMessage()), at_most=MAX_LOGGED), ()
            if record.exc_info and (error := record.exc_info[1]) is not None:
                record.exc_text, record.exc_info = fit(tracebacks.bounded(error, mask)), None
        return record

    logging.setLogRecordFactory(clean_record)
    make = State.__init__

    def make_clean(self: State, **data: Any) -> None:
        if data.get("message"):
            data["message"] = fit(mask(str(data["message"])))
        make(self, **data)

    State.__init__ = make_clean  # type: ignore[method-assign]


def _log_to(report: TextIO) -> None:
    """Has everything that would be shown on a console reported instead."""
    setup_logging()
    logging.getLogger().handlers = [_ReportHandler(report)]


class _ReportHandler(logging.Handler):
    """Log records as lines of the report."""

    def __init__(self, report: TextIO) -> None:
        super().__init__()
        self._report = report

    def emit(self, record: logging.LogRecord) -> None:
        try:
            level = _level(record.levelno)
            for line in self.format(record).splitlines() or [""]:
                for start in range(0, len(line) or 1, MAX_LINE):
                    document = {"line": line[start : start + MAX_LINE], "level": level}
                    self._report.write(json.dumps(document) + "\n")
        except Exception:  # noqa: BLE001 - what cannot be logged is logging's affair
            self.handleError(record)


def _level(number: int) -> str:
    known = (logging.ERROR, logging.WARNING, logging.INFO)
    return next((logging.getLevelName(level).lower() for level in known if number >= level), "debug")
