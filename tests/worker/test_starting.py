"""How a worker is started and stopped from outside: by scripts, by Kubernetes."""

import signal
from datetime import timedelta

import httpx
import pytest

from tests.reconciler.conftest import now
from tests.system import free_port
from tests.waiting import wait_until
from tests.worker.conftest import Workplace

pytestmark = pytest.mark.xdist_group("prefect")
WINDOW_SECONDS = 3.0
"""For so long without a poll is a worker healthy: thirty times Prefect's setting."""


def test_a_worker_that_a_script_started_in_the_background_is_healthy_and_stops_at_sigterm(workplace: Workplace) -> None:
    port = free_port()
    worker = workplace.start_worker(
        options=["--with-healthcheck"],
        # As sh does for what it starts with &.
        preexec=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),
        PREFECT_WORKER_WEBSERVER_PORT=str(port),
        PREFECT_WORKER_QUERY_SECONDS=str(WINDOW_SECONDS / 30),
    )
    later = now() + timedelta(seconds=WINDOW_SECONDS + 1)
    wait_until(lambda: now() > later, "a window to pass")

    def is_healthy() -> bool:
        return httpx.get(f"http://127.0.0.1:{port}/health", timeout=10).status_code == 200

    wait_until(is_healthy, "the worker to be healthy", seconds=10)
    assert worker.terminate() == 0
