"""What kept an event loop busy is read from the logs of a system as it writes them."""

import logging
from pathlib import Path

import pytest

from db import journal, loop_lag
from tests.faults.disturbances.measuring.busy import BusyLoops


def test_what_a_part_says_from_now_on_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "worker-1.log"
    handler = logging.FileHandler(path)
    handler.setFormatter(journal._formatter(as_json=False))
    monkeypatch.setattr(loop_lag.log, "handlers", [handler])
    monkeypatch.setattr(loop_lag.log, "propagate", False)
    loop_lag._report(loop_lag.Slow("before", 0.5))
    busy = BusyLoops(tmp_path)
    for seconds in (0.06, 0.25, 0.1):
        loop_lag._report(loop_lag.Slow("Worker.poll at line 3 (worker.poll)", seconds))
    handler.close()
    assert busy.longest() == {"worker-1: Worker.poll at line 3 (worker.poll)": 0.25}
