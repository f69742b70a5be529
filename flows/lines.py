"""Lines: what a process prints, cut into lines as it comes, and no more of it than an attempt may keep."""

import asyncio
import codecs

from db.logs import MAX_LINE
from db.states import Level, Stream
from flows.attempts import Output
from flows.masks import NOTHING, Mask, Masking

MAX_BYTES = 10_000_000
MAX_LINES = 100_000
PARTIAL_AFTER_SECONDS = 1.0
"""How long a line that is not ended yet, such as a prompt or a progress bar, is held back."""


class Allowance:
    """What one attempt may write, whatever the number of its streams; the rest is counted and dropped."""

    def __init__(
        self, output: Output, *, mask: Mask = NOTHING, max_bytes: int = MAX_BYTES, max_lines: int = MAX_LINES
    ) -> None:
        """`mask`: what is hidden in the streams, before these are cut into lines."""
        self._output, self.mask = output, mask
        self._max_bytes, self._max_lines = max_bytes, max_lines
        self._bytes = self._lines = 0
        self.dropped_bytes = self.dropped_lines = 0

    def write(self, message: str, *, stream: Stream, level: Level = Level.INFO) -> None:
        """One line to the output, or to nowhere."""
        size = len(message.encode("utf-8", "replace")) + 1
        if self.exhausted or self._bytes + size > self._max_bytes or self._lines >= self._max_lines:
            self.drop(size, lines=1)
            return
        self._bytes += size
        self._lines += 1
        self._output.write(message, stream=stream, level=level)

    @property
    def exhausted(self) -> bool:
        """Whether everything that follows is dropped."""
        return self.dropped_bytes > 0

    @property
    def is_full(self) -> bool:
        """Whether whoever writes should wait a moment."""
        return self._output.is_full

    def close(self) -> None:
        """Says how much was dropped, if anything was."""
        if self.exhausted:
            said = f"{self.dropped_lines} lines ({self.dropped_bytes} bytes) were dropped."
            self._output.write(said, stream=Stream.SYSTEM, level=Level.WARNING)

    def drop(self, size: int, *, lines: int) -> None:
        """Counts what is not kept, and says so the first time."""
        if not self.exhausted:
            limits = f"{self._max_bytes // 1_000_000} MB or {self._max_lines:,} lines"
            said = f"This attempt printed more than {limits}: what follows is dropped. Send it to a file to keep it."
            self._output.write(said, stream=Stream.SYSTEM, level=Level.WARNING)
        self.dropped_lines += lines
        self.dropped_bytes += size


class Lines:
    """The lines of one stream of bytes.

    What cannot be decoded is replaced, what is to be hidden is hidden, and only then a long line is cut into several.
    """

    def __init__(self, allowance: Allowance, stream: Stream, *, encoding: str = "utf-8") -> None:
        self._allowance, self._stream = allowance, stream
        self._decoder = codecs.getincrementaldecoder(encoding)("replace")
        self._masking = Masking(allowance.mask)
        self._partial = ""
        self._timer: asyncio.TimerHandle | None = None

    def feed(self, data: bytes) -> None:
        """What was read, in pieces of any size."""
        if self._allowance.exhausted:
            # Nothing is decoded that nobody will see: a process that prints without end costs little.
            begun, self._partial = self._partial.encode(errors="replace"), ""
            self._allowance.drop(len(begun) + len(data), lines=data.count(b"\n"))
            return
        *whole, self._partial = (self._partial + self._masking.feed(self._decoder.decode(data))).split("\n")
        for line in whole:
            self._write(line.removesuffix("\r"))
        while len(self._partial) > MAX_LINE:
            self._write(self._partial[:MAX_LINE])
            self._partial = self._partial[MAX_LINE:]
        self._show_partial_later()

    @property
    def is_full(self) -> bool:
        """Whether whoever feeds it should wait a moment."""
        return self._allowance.is_full

    def close(self) -> None:
        """Writes what is left when the stream ended without a line break."""
        rest = self._masking.feed(self._decoder.decode(b"", final=True)) + self._masking.close()
        *whole, self._partial = (self._partial + rest).split("\n")
        for line in whole:
            self._write(line.removesuffix("\r"))
        self._show_partial()

    def _write(self, line: str) -> None:
        for start in range(0, len(line) or 1, MAX_LINE):
            self._allowance.write(line[start : start + MAX_LINE], stream=self._stream)

    def _show_partial_later(self) -> None:
        self._forget_timer()
        if self._partial:
            self._timer = asyncio.get_running_loop().call_later(PARTIAL_AFTER_SECONDS, self._show_waiting)

    def _show_waiting(self) -> None:
        if self.is_full:
            self._show_partial_later()  # its rest was not read yet
        else:
            self._show_partial()

    def _show_partial(self) -> None:
        self._forget_timer()
        partial, self._partial = self._partial.removesuffix("\r"), ""
        if partial:
            self._write(partial)

    def _forget_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
