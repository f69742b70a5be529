"""The function of the campaign's Python task: it writes the same lines as the commands do."""

import os
import time


def witness(lines: str, mark: str, spread_seconds: int) -> None:
    """Writes that it started, works for a moment, and writes that it ended."""
    _write(lines, "start", mark)
    time.sleep(os.getpid() % (spread_seconds + 1))
    _write(lines, "end", mark)


def _write(lines: str, word: str, mark: str) -> None:
    told = [os.environ[f"DUETIME_{name}"] for name in ("TASK", "DUE_AT", "RUN_ID", "ATTEMPT")]
    file = os.open(lines, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.write(file, f"{word} {' '.join(told)} {mark} {time.time()}\n".encode())
    os.close(file)
