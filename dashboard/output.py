"""The output of a run to a page: over a socket while it is printed, and as a text file."""

import json
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any
from uuid import UUID

import anyio
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.websockets import WebSocket

from dashboard.live import POLICY_VIOLATION, Hub, Subscription, hello, while_connected
from db import logs, run_requests
from db.engine import Catalogue
from db.errors import CatalogueUnavailable, RunNotFound
from db.notifications import Topic, of
from db.tables import RunLog

FIRST_LINES = 5000
LINES_AT_ONCE = 1000
MESSAGE_CHARACTERS, ROW_CHARACTERS = 100_000, 60
"""Of a message to a page, and of a line besides its text: messages are compressed in the event loop, one at a time."""
GATHER_SECONDS = 0.15
"""After lines were sent: many small writes of a run become few messages."""
NEWEST_LINE = 2**63 - 1
LOOK_SECONDS = 10.0
"""A hint may be lost, so the log is looked at this often anyway."""


def output_routes(catalogue: Catalogue, hub: Hub) -> list[BaseRoute]:
    """`/live/logs/{run}`, a socket; `/logs/{run}/before/{line}`, what is older; `/logs/{run}.txt`, the whole log."""

    async def live(websocket: WebSocket) -> None:
        run_id: UUID = websocket.path_params["run_id"]
        await websocket.accept()
        asked = await hello(websocket)
        after = asked.get("after") if isinstance(asked, dict) else "?"
        if after is not None and not isinstance(after, int):
            await websocket.close(POLICY_VIOLATION)
            return
        with hub.subscription([of(Topic.LOGS, run_id)]) as subscription:
            follower = _Follower(catalogue, websocket, run_id, after)
            await while_connected(websocket, "output page", partial(follower.step, subscription))

    def download(request: Request) -> Response:
        run_id: UUID = request.path_params["run_id"]
        try:
            with catalogue.transaction() as session:
                name = run_requests.resolve(session, run_id).task_name
        except RunNotFound as error:
            return PlainTextResponse(f"{error}\n", 404)
        except CatalogueUnavailable as error:
            return PlainTextResponse(f"{error}\n", 503)
        safe = "".join(letter if letter.isascii() and (letter.isalnum() or letter in "-_.") else "_" for letter in name)
        headers = {"Content-Disposition": f'attachment; filename="{safe[:80]}-{str(run_id)[:8]}.txt"'}
        return StreamingResponse(_as_text(catalogue, run_id), media_type="text/plain; charset=utf-8", headers=headers)

    return [
        WebSocketRoute("/live/logs/{run_id:uuid}", live),
        Route("/logs/{run_id:uuid}.txt", download),
        Route("/logs/{run_id:uuid}/before/{line_id:int}", partial(_older, catalogue)),
    ]


def _older(catalogue: Catalogue, request: Request) -> Response:
    run_id, line_id = request.path_params["run_id"], request.path_params["line_id"]
    try:
        with catalogue.transaction() as session:
            lines = logs.last_lines(session, run_id, before=min(line_id, NEWEST_LINE), limit=FIRST_LINES)
    except CatalogueUnavailable as error:
        return PlainTextResponse(f"{error}\n", 503)
    return JSONResponse(_as_message(lines))


class _Follower:
    """Sends what is new after the last line that it sent."""

    def __init__(self, catalogue: Catalogue, websocket: WebSocket, run_id: UUID, after: int | None) -> None:
        self._catalogue, self._websocket, self._run_id, self._after = catalogue, websocket, run_id, after

    async def step(self, subscription: Subscription) -> None:
        messages = await anyio.to_thread.run_sync(self._read, abandon_on_cancel=True)
        for message in messages:
            await self._websocket.send_text(message)
        if messages:
            await anyio.sleep(GATHER_SECONDS)
        else:
            await subscription.changes(within_seconds=LOOK_SECONDS)

    def _read(self) -> list[str]:
        """The messages of the lines that are new."""
        is_first = self._after is None
        with self._catalogue.transaction() as session:
            if self._after is None:
                lines = logs.last_lines(session, self._run_id, limit=FIRST_LINES)
            else:
                lines = logs.list_lines(session, self._run_id, after=self._after, limit=LINES_AT_ONCE)
        self._after = lines[-1].id if lines else self._after
        return as_messages(lines, is_first=is_first)


def as_messages(lines: Sequence[RunLog], *, is_first: bool) -> list[str]:
    """The lines as JSON, in parts; the first part of the first lines says whether there may be older ones."""
    parts: list[dict[str, Any]] = []
    size = MESSAGE_CHARACTERS
    for line in lines:
        if size >= MESSAGE_CHARACTERS:
            parts.append({"lines": []})
            size = 0
        parts[-1]["lines"].append(_as_row(line))
        size += len(line.message) + ROW_CHARACTERS
    if parts and is_first:
        parts[0]["older"] = len(lines) == FIRST_LINES
    return [json.dumps(part, separators=(",", ":"), ensure_ascii=False) for part in parts]


def _as_message(lines: Sequence[RunLog]) -> dict[str, Any]:
    """Lines up to some point, and whether there may be older ones."""
    return {"lines": [_as_row(line) for line in lines], "older": len(lines) == FIRST_LINES}


def _as_row(line: RunLog) -> tuple[int, int, str, str, str]:
    return line.id, round(line.at.timestamp() * 1000), line.level, line.stream, line.message


def _as_text(catalogue: Catalogue, run_id: UUID) -> Iterator[str]:
    after = 0
    while lines := _lines_after(catalogue, run_id, after):
        after = lines[-1].id
        yield "".join(f"{line.at.isoformat(timespec='milliseconds')} {line.level:7} {line.message}\n" for line in lines)


def _lines_after(catalogue: Catalogue, run_id: UUID, after: int) -> Sequence[RunLog]:
    with catalogue.transaction() as session:
        return logs.list_lines(session, run_id, after=after, limit=LINES_AT_ONCE)
