"""BullMQ on Node and Redis: job schedulers for what repeats, delayed jobs for what is due once; it writes each result
to PostgreSQL."""

import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from bench.peers import redis
from bench.peers.face import PeerFailed
from bench.peers.programs import ProgramPeer

PROGRAM = Path(__file__).with_name("bullmq")
NODE_CURE = "No node and npm are on the PATH. On Debian: apt-get install nodejs npm"
INSTALL_SECONDS = 300


class Bullmq(ProgramPeer):
    title = "BullMQ"

    def missing(self) -> str | None:
        return redis.missing() or (None if shutil.which("node") and shutil.which("npm") else NODE_CURE)

    def start(self) -> None:
        self._installed = installed()
        folder = self._place.fresh_folder("bullmq")
        self._redis = self._running.enter_context(redis.running(folder))
        addresses = {"BENCH_REDIS_PORT": str(self._redis.port), "BENCH_DATABASE": self._place.database("bullmq")}
        self._start_program(["node", self._installed / "program.js"], folder, **addresses)

    def versions(self) -> Mapping[str, str]:
        packages = {name: self._installed / "node_modules" / name / "package.json" for name in ("bullmq", "ioredis")}
        node = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True).stdout.strip()
        found = {name: json.loads(path.read_text())["version"] for name, path in packages.items()}
        return {**found, "node": node, "Redis": redis.version()}

    def parts(self) -> Mapping[str, list[int]]:
        postgres = self._place.postgres_pids()
        return {"worker": [self._program.pid], "redis": [self._redis.pid], "postgres": postgres}


def installed() -> Path:
    """The program with its packages, of exactly the versions in package-lock.json, kept for the next time."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = cache / "duetime-bench" / "bullmq"
    folder.mkdir(parents=True, exist_ok=True)
    lock = PROGRAM / "package-lock.json"
    seen = folder / "package-lock.json"
    fresh = seen.exists() and seen.read_bytes() == lock.read_bytes() and (folder / "node_modules").exists()
    for file in PROGRAM.iterdir():
        shutil.copy(file, folder)
    if not fresh:
        words = ["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"]
        done = subprocess.run(words, cwd=folder, capture_output=True, text=True, timeout=INSTALL_SECONDS, check=False)
        if done.returncode != 0:
            seen.unlink()
            raise PeerFailed(f"npm ci failed, so BullMQ cannot be measured:\n{done.stderr}")
    return folder
