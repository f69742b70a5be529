"""The program's side of such a conversation, for programs with an asyncio loop."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from bench.work import Kind, Work

LINE_BYTES = 1 << 22


@dataclass(frozen=True, slots=True)
class Request:
    verb: str
    works: list[Work]
    document: dict[str, Any]


def parse(line: str | bytes) -> Request:
    document = json.loads(line)
    works = [Work(work["task"], Kind(work["kind"]), work["pipe"], work["url"]) for work in document["works"]]
    return Request(document["verb"], works, document)


def answer() -> None:
    print("ok", flush=True)


async def requests() -> AsyncIterator[Request]:
    """Each is answered when the next one is asked for; says first that the program is ready."""
    reader = asyncio.StreamReader(limit=LINE_BYTES)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    answer()
    while line := await reader.readline():
        yield parse(line)
        answer()
