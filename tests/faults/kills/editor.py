"""Somebody who changes tasks all the time over REST, whether it answers or not."""

import threading
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from tests.faults.kills.plan import Change, ChangeKind
from tests.faults.tasks import ONCE, PERIODIC, Template, document, every, name_of, once, with_mark

ANSWER_SECONDS = 5.0
LEAST_AHEAD = timedelta(seconds=2)
"""A one-shot that could not be made is tried again up to so long before it is due."""


class Editor(threading.Thread):
    """Makes one change after the other until it is stopped; `acknowledged` are the names of tasks that were made."""

    def __init__(self, url: str, changes: Iterator[Change], *, ids: dict[str, str], lines: str) -> None:
        super().__init__(name="editor", daemon=True)
        self._api = httpx.Client(base_url=f"{url}/api", timeout=ANSWER_SECONDS)
        self._changes, self._ids, self._lines = changes, ids, lines
        self._paused: set[str] = set()
        self._deleted: set[str] = set()
        self._stop_asked = threading.Event()
        self.answers: Counter[str] = Counter()
        self.acknowledged: set[str] = set()
        self.last_once_at = datetime.min.replace(tzinfo=UTC)
        self.broken: str | None = None

    def run(self) -> None:
        try:
            for change in self._changes:
                if self._stop_asked.wait(change.wait_seconds):
                    return
                self._make(change)
        except Exception as error:  # noqa: BLE001 - told by the campaign, which must not go on as if all were well
            self.broken = repr(error)

    def stop(self) -> None:
        self._stop_asked.set()
        self.join(60)
        self._api.close()

    def _make(self, change: Change) -> None:
        try:
            answer = self._send(change)
        except httpx.TransportError:
            self.answers[f"{change.kind}: no answer"] += 1
            return
        if answer is not None:
            self.answers[f"{change.kind}: {answer.status_code}"] += 1

    def _send(self, change: Change) -> httpx.Response | None:
        """The answer; None where there is nothing to change in this way."""
        match change.kind:
            case ChangeKind.ONCE:
                return self._make_once(change)
            case ChangeKind.RESUME:
                return self._bring_back(change, self._paused, "resume", {"missed": change.missed})
            case ChangeKind.RESTORE:
                return self._bring_back(change, self._deleted, "restore", {})
        template = PERIODIC[int(change.choice * len(PERIODIC))]
        match change.kind:
            case ChangeKind.PAUSE:
                return self._pause(change, template.name)
            case ChangeKind.DELETE:
                # Asked or answered: it may have been done.
                self._deleted.add(template.name)
                return self._api.delete(f"/tasks/{self._ids[template.name]}")
        return self._edit(change, template)

    def _pause(self, change: Change, name: str) -> httpx.Response:
        self._paused.add(name)
        until = None if change.until_resumed else datetime.now(UTC) + timedelta(seconds=change.ahead_seconds)
        body = {"reason": f"m{change.number}", "until": until.isoformat() if until else None}
        return self._api.post(f"/tasks/{self._ids[name]}/pause", json=body)

    def _bring_back(self, change: Change, away: set[str], command: str, body: dict[str, Any]) -> httpx.Response | None:
        if not away:
            return None
        name = sorted(away)[int(change.choice * len(away))]
        answer = self._api.post(f"/tasks/{self._ids[name]}/{command}", json=body)
        if answer.status_code in (200, 409):
            away.discard(name)
        return answer

    def _edit(self, change: Change, template: Template) -> httpx.Response:
        path = f"/tasks/{self._ids[template.name]}"
        found = self._api.get(path)
        if not found.is_success:
            return found
        task: dict[str, Any] = with_mark(found.json(), f"m{change.number}")
        if change.kind is ChangeKind.SCHEDULE:
            # Drawn once more from what is left of the choice.
            rest = change.choice * len(PERIODIC) % 1
            task["schedule"] = every(template.periods[int(rest * len(template.periods))])
        return self._api.put(path, json=task, headers={"If-Match": found.headers["ETag"]})

    def _make_once(self, change: Change) -> httpx.Response:
        template = ONCE[int(change.choice * len(ONCE))]
        name, at = (
            name_of(f"{template.name}-{change.number}"),
            datetime.now(UTC) + timedelta(seconds=change.ahead_seconds),
        )
        task = document(template, name, once(at), lines=self._lines, mark=f"m{change.number}")
        self.last_once_at = max(self.last_once_at, at)
        answer = self._insist_on_creating(name, task, at)
        if answer.status_code == httpx.codes.CREATED:
            self.acknowledged.add(name)
        return answer

    def _insist_on_creating(self, name: str, task: dict[str, Any], at: datetime) -> httpx.Response:
        """Repeats what was not answered, under the same key, as clients are told to."""
        while True:
            try:
                return self._api.post("/tasks", json=task, headers={"Idempotency-Key": name})
            except httpx.TransportError:
                if at - datetime.now(UTC) < LEAST_AHEAD or self._stop_asked.wait(0.5):
                    raise
