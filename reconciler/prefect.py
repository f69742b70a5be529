"""Prefect's REST API, as far as the reconciler needs it: one method a call, values instead of documents.

It is spoken to directly, because importing Prefect's own client costs seconds of CPU and its deployment calls do not
give the schedules the slugs that keep their ids (PATCH of schedules without them makes every waiting run twice).
"""

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any
from urllib.parse import quote
from uuid import UUID

import httpx

from db.proxies import asked_directly
from reconciler import answers
from reconciler.answers import AnswerTooLarge, PrefectRefused, PrefectUnavailable, garbage, of_kind
from reconciler.clock import counter
from reconciler.flow_run import NOT_AS_EXPECTED, FlowRun
from reconciler.transport import with_deadlines

__all__ = ["FlowRun", "Prefect", "PrefectRefused", "PrefectUnavailable"]

log = logging.getLogger(__name__)

MARKER = "duetime_catalogue"
"""The variable by which a server is known whose deployments are kept in agreement with a catalogue."""
PAGE = 200
BULK = 50
GOING_ON = frozenset({"SCHEDULED", "PENDING", "RUNNING", "PAUSED"})
"""The types of state from which a run can still be asked to end."""
READS = ("/filter", "/count")
"""How the paths of POSTs end that change nothing."""


class Prefect:
    """A connection to the server at `PREFECT_API_URL`, with its credentials."""

    def __init__(self, url: str, *, auth_string: str | None = None, api_key: str | None = None) -> None:
        user, _, password = (auth_string or "").partition(":")
        self._http = with_deadlines(
            httpx.Client(
                base_url=url.rstrip("/"),
                timeout=answers.CALL_SECONDS,
                auth=(user, password) if auth_string else None,
                headers={"Authorization": f"Bearer {api_key}"} if api_key else {},
            )
        )
        self.may_write: Callable[[], None] = lambda: None
        """Asked before each call that changes something; raises where this process may not."""
        self.unreadable: Callable[[str, Exception], None] = lambda _run_id, _error: None
        """Told of runs that cannot be read, which are left out."""
        self.silent_since: float | None = None
        """Since when it has not answered any call, by the counter."""

    @classmethod
    def from_environment(cls) -> "Prefect":
        """The server that Prefect's own variables name.

        Raises:
            RuntimeError: they name none.
        """
        url = os.environ.get("PREFECT_API_URL", "")
        if not url:
            raise RuntimeError("PREFECT_API_URL is not set. Set it to http://host:4200/api.")
        os.environ.update(asked_directly(os.environ, url))
        return cls(
            url,
            auth_string=os.environ.get("PREFECT_API_AUTH_STRING"),
            api_key=os.environ.get("PREFECT_API_KEY"),
        )

    def close(self) -> None:
        self._http.close()

    def _call(self, method: str, path: str, json: Any = None) -> Any:
        """Raises:
        PrefectUnavailable, PrefectRefused.
        """
        if not (method == "GET" or path.endswith(READS)):
            self.may_write()
        try:
            answer = answers.call(self._http, method, path, json)
        except PrefectUnavailable:
            self.silent_since = self.silent_since or counter()
            raise
        except PrefectRefused:
            self.silent_since = None
            raise
        self.silent_since = None
        return answer

    def _found(self, method: str, path: str, json: Any = None) -> Any:
        """The answer, or None where there is no such thing."""
        with _or_none():
            return self._call(method, path, json)
        return None

    def _pages(self, path: str, query: dict[str, Any], *, offset: int = 0) -> Iterator[dict[str, Any]]:
        """All documents; what is too large to be answered at once is asked for one by one, or left out."""
        limit = PAGE
        while limit:
            try:
                page = of_kind(list, self._call("POST", path, {**query, "limit": limit, "offset": offset}))
            except AnswerTooLarge:
                if limit == 1:
                    log.error("Prefect answers more than is read about one thing: number %d of %s", offset, path)
                    offset += 1
                limit = max(1, limit // 8)
                continue
            yield from (one for one in page if isinstance(one, dict))
            offset += len(page)
            limit = limit if len(page) >= limit else 0

    # The marker: which catalogue this server's deployments belong to.

    def variable(self, name: str) -> Any:
        """The value of a variable; None where it is not there."""
        found = self._found("GET", f"/variables/name/{name}")
        return of_kind(dict, found).get("value") if found else None

    def set_variable(self, name: str, value: str) -> None:
        if self._found("PATCH", f"/variables/name/{name}", {"value": value}) is None and self.variable(name) is None:
            self._call("POST", "/variables/", {"name": name, "value": value})

    # Work pools, flows and deployments.

    def has_work_pool(self, name: str) -> bool:
        return self._found("GET", f"/work_pools/{quote(name, safe='')}") is not None

    def ensure_work_pool(self, name: str, *, kind: str) -> None:
        """Makes the pool unless there is one of this name, whatever its type."""
        if not self.has_work_pool(name):
            try:
                self._call("POST", "/work_pools/", {"name": name, "type": kind})
            except PrefectRefused as error:
                if error.status != 409:
                    raise

    def flow_id(self, name: str) -> UUID:
        """The id of the flow of this name, which is made if it is not there."""
        with _as_expected("/flows/"):
            return UUID(self._call("POST", "/flows/", {"name": name})["id"])

    def flow_names(self, ids: set[UUID]) -> dict[UUID, str]:
        wanted = sorted(str(flow_id) for flow_id in ids)
        found: dict[UUID, str] = {}
        for start in range(0, len(wanted), PAGE):
            query = {"flows": {"id": {"any_": wanted[start : start + PAGE]}}}
            with _as_expected("/flows/filter"):
                found |= {UUID(flow["id"]): flow["name"] for flow in self._pages("/flows/filter", query)}
        return found

    def deployment(self, deployment_id: UUID) -> dict[str, Any] | None:
        found = self._found("GET", f"/deployments/{deployment_id}")
        return None if found is None else of_kind(dict, found)

    def deployments(self, *, offset: int = 0) -> Iterator[dict[str, Any]]:
        """All of them from a place on, in order of name."""
        return self._pages("/deployments/filter", {"sort": "NAME_ASC"}, offset=offset)

    def deployments_named(self, names: Sequence[str]) -> dict[tuple[UUID, str], dict[str, Any]]:
        """The deployments of these names, by the ids of their flows and their names."""
        found: dict[tuple[UUID, str], dict[str, Any]] = {}
        for start in range(0, len(names), PAGE):
            query = {"deployments": {"name": {"any_": list(names[start : start + PAGE])}}, "sort": "NAME_ASC"}
            with _as_expected("/deployments/filter"):
                listed = self._pages("/deployments/filter", query)
                found |= {(UUID(one["flow_id"]), one["name"]): one for one in listed}
        return found

    def create_deployment(self, document: dict[str, Any]) -> dict[str, Any]:
        return of_kind(dict, self._call("POST", "/deployments/", document))

    def update_deployment(self, deployment_id: UUID, changes: dict[str, Any]) -> None:
        self._call("PATCH", f"/deployments/{deployment_id}", changes)

    def delete_schedule(self, deployment_id: UUID, schedule_id: str) -> None:
        self._found("DELETE", f"/deployments/{deployment_id}/schedules/{schedule_id}")

    def delete_deployment(self, deployment_id: UUID) -> None:
        """Gone is gone: no error where it was deleted already."""
        self._found("DELETE", f"/deployments/{deployment_id}")

    # Runs.

    def flow_runs(self, filters: dict[str, Any], *, sort: str = "NEXT_SCHEDULED_START_TIME_ASC") -> list[FlowRun]:
        """The runs; one that cannot be read is left out."""
        listed = self._pages("/flow_runs/filter", {"flow_runs": filters, "sort": sort})
        return [run for run in map(self._readable, listed) if run is not None]

    def _readable(self, document: dict[str, Any]) -> FlowRun | None:
        try:
            return FlowRun.of(document)
        except NOT_AS_EXPECTED as error:
            self.unreadable(str(document.get("id")), error)
            return None

    def count_flow_runs(self, filters: dict[str, Any]) -> int:
        return of_kind(int, self._call("POST", "/flow_runs/count", {"flow_runs": filters}))

    def create_flow_run(
        self, deployment_id: UUID, *, at: datetime, key: str, parameters: dict[str, Any] | None = None
    ) -> FlowRun:
        """A run scheduled at an instant, with parameters of its own where some are given; a key gives one run."""
        state = {"type": "SCHEDULED", "state_details": {"scheduled_time": at.isoformat()}}
        body: dict[str, Any] = {"state": state, "idempotency_key": key}
        if parameters is not None:
            body["parameters"] = parameters
        with _as_expected("create_flow_run"):
            return FlowRun.of(self._call("POST", f"/deployments/{deployment_id}/create_flow_run", body))

    def schedule_runs(self, deployment_id: UUID, *, first: datetime, last: datetime, at_most: int) -> None:
        """Has Prefect make the runs of a deployment's schedule between two instants, as its scheduler would."""
        between = {"start_time": first.isoformat(), "end_time": last.isoformat(), "max_runs": at_most}
        self._found("POST", f"/deployments/{deployment_id}/schedule", between)

    def delete_waiting_run(self, key: str) -> None:
        """The run of this key, if it is still scheduled."""
        self.delete_waiting_runs([run.id for run in self.flow_runs({"idempotency_key": {"any_": [key]}})])

    def delete_waiting_runs(self, run_ids: Sequence[UUID]) -> None:
        """For good, those that are still scheduled."""
        for start in range(0, len(run_ids), BULK):
            ids = [str(run_id) for run_id in run_ids[start : start + BULK]]
            waiting = {"id": {"any_": ids}, "state": {"type": {"any_": ["SCHEDULED"]}}}
            self._call("POST", "/flow_runs/bulk_delete", {"flow_runs": waiting, "limit": BULK})

    def set_state(self, run_id: UUID, *, kind: str, name: str, message: str) -> None:
        """Forces the state; nothing happens to a run that is not there any more."""
        state = {"type": kind, "name": name, "message": message}
        self._found("POST", f"/flow_runs/{run_id}/set_state", {"state": state, "force": True})

    def ask_to_cancel(self, run_id: UUID) -> None:
        """Has whoever executes the run end it; a run that has ended stays as it is."""
        state = {"type": "CANCELLING", "name": "Cancelling", "message": "Cancelled in Duetime."}
        if (run := self._found("GET", f"/flow_runs/{run_id}")) is not None and run.get("state_type") in GOING_ON:
            self._found("POST", f"/flow_runs/{run_id}/set_state", {"state": state})


@contextmanager
def _or_none() -> Iterator[None]:
    try:
        yield
    except PrefectRefused as error:
        if error.status != 404:
            raise


@contextmanager
def _as_expected(what: str) -> Iterator[None]:
    """Raises:
    PrefectUnavailable: what was answered is not made as Prefect makes it.
    """
    try:
        yield
    except NOT_AS_EXPECTED as error:
        raise garbage(f"{what} ({type(error).__name__}: {error})") from error
