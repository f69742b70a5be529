"""The whole system as its user starts it: `duetime up` as a process, spoken to over its ports."""

import json
import os
import random
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any, Self

import httpx
import psutil

from tests.waiting import wait_until

DUETIME = Path(sys.executable).with_name("duetime")
READY_SECONDS = 300
STOP_SECONDS = 20


def free_port() -> int:
    """One that the system gives to nobody who asks for any port: it is taken only some seconds later."""
    while True:
        port = random.randint(10_000, 19_999)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


@dataclass
class System:
    """One `duetime up` with its own folder and ports; it may be stopped, killed and started again."""

    data_dir: Path
    options: tuple[str, ...] = ()
    port: int = field(default_factory=free_port)
    prefect_port: int = field(default_factory=free_port)
    environment: Mapping[str, str] = field(default_factory=dict)
    """Variables that it gets besides."""
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def prefect_url(self) -> str:
        return f"http://127.0.0.1:{self.prefect_port}/api"

    @property
    def output(self) -> str:
        """What `duetime up` printed since it was started last."""
        return (self.data_dir.parent / f"{self.data_dir.name}.out").read_text()

    def start(self) -> Self:
        """Returns when the ready line is there."""
        words = ["up", "--port", str(self.port), "--prefect-port", str(self.prefect_port)]
        words += ["--data-dir", str(self.data_dir), *self.options]
        with (self.data_dir.parent / f"{self.data_dir.name}.out").open("wb") as out:
            environment = {**_plain_environment(), **self.environment}
            self.process = subprocess.Popen(
                [DUETIME, *words], stdout=out, stderr=out, start_new_session=True, env=environment
            )
        wait_until(self._ready, "the ready line", seconds=READY_SECONDS)
        return self

    def _ready(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, f"duetime up ended with {self.process.returncode}:\n{self.output}"
        return "duetime ready: " in self.output

    def stop(self) -> int:
        """SIGTERM, as Ctrl-C would; returns the exit code."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(STOP_SECONDS + 5)
        finally:
            self.kill_everything()

    def processes(self) -> dict[str, list[int]]:
        """The pids of each part, as the system itself tells."""
        return json.loads((self.data_dir / "processes.json").read_text())  # type: ignore[no-any-return]

    def kill_everything(self) -> None:
        """SIGKILL to the supervisor and everything below it at once, as a power cut would."""
        if self.process is None or self.process.poll() is not None:
            return
        doomed = _with_children([self.process.pid, *self._listed()])
        for each in doomed:
            try:
                each.kill()
            except psutil.NoSuchProcess:
                continue
        self.process.wait(60)
        psutil.wait_procs(doomed, timeout=60)

    def _listed(self) -> list[int]:
        try:
            return list(chain.from_iterable(self.processes().values()))
        except FileNotFoundError:
            return []

    def api(self, method: str, path: str, json: Any = None, headers: dict[str, str] | None = None) -> Any:
        """The answer's document; fails with the problem that was answered."""
        answer = httpx.request(method, f"{self.url}/api{path}", json=json, headers=headers or {}, timeout=30)
        assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json() if answer.content else None

    def runs_of(self, task_id: str) -> list[dict[str, Any]]:
        """The task's runs, newest first."""
        return self.api("GET", f"/runs?task_id={task_id}")["items"]  # type: ignore[no-any-return]

    def logs_of(self, run_id: str) -> list[str]:
        return [line["message"] for line in self.api("GET", f"/runs/{run_id}/logs")["items"]]

    def prefect(self, *words: str) -> str:
        """What the prefect CLI prints when it is pointed at this system."""
        environment = _plain_environment() | {"PREFECT_API_URL": self.prefect_url, "NO_COLOR": "1", "COLUMNS": "200"}
        environment["PREFECT_HOME"] = str(self.data_dir.parent / "prefect-cli")
        command = [str(DUETIME.with_name("prefect")), *words]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, f"prefect {' '.join(words)}: {done.stdout}{done.stderr}"
        return done.stdout


def _plain_environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith(("DUETIME_", "PREFECT_"))}


def _with_children(pids: list[int]) -> list[psutil.Process]:
    found: set[psutil.Process] = set()
    for pid in pids:
        try:
            process = psutil.Process(pid)
            found |= {process, *process.children(recursive=True)}
        except psutil.NoSuchProcess:
            continue
    return list(found)
