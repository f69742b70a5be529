"""Reports: what a forked child says about itself, as lines of JSON in a pipe of its own."""

import contextlib
import json
from typing import Any

from db.states import Level, Stream
from flows.lines import Allowance

MAX_DOCUMENT = 1_000_000


class Report:
    """Documents from a child: `line` and `level` are a line of its log, everything else is kept, the last one wins."""

    def __init__(self, allowance: Allowance) -> None:
        self._allowance = allowance
        self._partial = b""
        self.said: dict[str, Any] = {}

    @property
    def is_full(self) -> bool:
        """Whether whoever feeds it should wait a moment."""
        return self._allowance.is_full

    def feed(self, data: bytes) -> None:
        """What was read, in pieces of any size."""
        *whole, self._partial = (self._partial + data).split(b"\n")
        for line in whole:
            # A child can write what it likes to its descriptors.
            with contextlib.suppress(Exception):
                self._take(json.loads(line))
        if len(self._partial) > MAX_DOCUMENT:
            self._partial = b""

    def close(self) -> None:
        """A line that has no end was cut by the child's death."""

    def _take(self, document: Any) -> None:
        if not isinstance(document, dict):
            return
        if "line" not in document:
            self.said.update(document)
            return
        for line in self._allowance.mask(str(document["line"])).splitlines() or [""]:
            self._allowance.write(line, stream=Stream.STDOUT, level=Level(document["level"]))
