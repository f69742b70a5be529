"""Celery: beat for what repeats, ETA for what is due once, a prefork worker, and Redis for queue and results."""

import importlib.metadata
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from bench.peers import redis
from bench.peers.face import Place, ended
from bench.peers.programs import ProgramPeer
from bench.work import Work

CELERY = (sys.executable, "-m", "celery", "-A", "bench.peers.celery_app")


class Celery(ProgramPeer):
    title = "Celery"

    def __init__(self, place: Place) -> None:
        super().__init__(place)
        self._beat: subprocess.Popen[bytes] | None = None
        self._idle = 0

    def missing(self) -> str | None:
        return redis.missing()

    def start(self) -> None:
        self._folder = self._place.fresh_folder("celery")
        self._redis = self._running.enter_context(redis.running(self._folder))
        self._idle = 0
        # Without gossip, mingle and heartbeat, which tell workers of one another: there is one.
        alone = ("--without-gossip", "--without-mingle", "--without-heartbeat")
        self._worker = self._celery("worker", "--pool", "prefork", *alone)
        self._running.callback(ended, self._worker)
        words = [sys.executable, "-m", "bench.peers.celery_program"]
        self._start_program(words, self._folder, BENCH_REDIS=self._redis.url)

    def stop(self) -> None:
        self.clear()
        super().stop()

    def versions(self) -> Mapping[str, str]:
        return {"Celery": importlib.metadata.version("celery"), "Redis": redis.version()}

    def parts(self) -> Mapping[str, list[int]]:
        beat = [] if self._beat is None else [self._beat.pid]
        client = [self._program.pid]
        return {"worker": [self._worker.pid], "beat": beat, "redis": [self._redis.pid], "client": client}

    def lead_seconds(self, count: int) -> float:
        return 8 + 0.01 * count + 0.002 * self._idle

    def every_second(self, works: Sequence[Work], *, since: int, until: int) -> None:
        """Beat reads its schedule when it starts, so it is started for each."""
        plan = {"since": since, "until": until, "works": [asdict(work) for work in works], "idle": self._idle}
        path = self._place.fresh_folder("beat") / "plan.json"
        path.write_text(json.dumps(plan))
        self._beat = self._celery("beat", "--schedule", str(path.with_name("schedule")), plan=path)

    def idle(self, count: int) -> None:
        self._idle = count

    def clear(self) -> None:
        ended(self._beat)
        self._beat = None

    def _celery(self, *words: str, plan: Path | None = None) -> "subprocess.Popen[bytes]":
        environment = {**os.environ, "BENCH_REDIS": self._redis.url, "BENCH_PLAN": str(plan or "")}
        with (self._folder / f"{words[0]}.log").open("ab") as log:
            return subprocess.Popen([*CELERY, *words], stdout=log, stderr=log, env=environment)
