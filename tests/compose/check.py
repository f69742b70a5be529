"""The journey of a stack of containers: it starts, runs tasks, loses a worker, goes down and comes up again."""

import os
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import httpx

from tests.compose.client import (
    DASHBOARD,
    FINAL,
    PREFECT,
    api,
    create_task,
    every,
    output_of,
    run_of,
    workers_online,
)
from tests.compose.engine import Engine, engine, say
from tests.foreign_pages import NAMES, PLANTED, chromium, dashboard, prefect, somebody_elses_site
from tests.waiting import wait_until

ONE_SHOT = {"password", "migrate"}
LATE_SECONDS = 2.0


@dataclass
class Journey:
    """The checks, in their order: each goes on from where the one before it stopped."""

    engine: Engine

    def the_image_is_built(self) -> None:
        self.engine.prepare()

    def everything_starts_and_is_healthy(self) -> None:
        self.engine.up(workers=2)
        for container in self.engine.containers():
            service = self.engine.inspect(container, '{{index .Config.Labels "com.docker.compose.service"}}')
            if service not in ONE_SHOT:
                health = self.engine.inspect(container, "{{if .State.Health}}{{.State.Health.Status}}{{end}}")
                assert health == "healthy", f"{service} is {health or 'without a health check'}"

    def ports_are_published_on_loopback_only(self) -> None:
        template = "{{range .NetworkSettings.Ports}}{{range .}}{{.HostIp}}:{{.HostPort}} {{end}}{{end}}"
        published = {port for each in self.engine.containers() for port in self.engine.inspect(each, template).split()}
        assert published == {"127.0.0.1:3000", "127.0.0.1:4200"}, published

    def no_password_is_in_a_container_s_configuration_and_none_of_ours_is_root(self) -> None:
        password = self.engine.compose("exec", "-T", "reconciler", "cat", "/secrets/password").strip()
        for kept in (password, self._auth()):
            assert len(kept) >= 32, f"a password of {len(kept)} characters"
        seen_by_workers = self.engine.compose("exec", "-T", "worker", "sh", "-c", "cat /secrets/*")
        assert "duetime_worker" in seen_by_workers
        assert password not in seen_by_workers
        for container in self.engine.containers():
            configuration = self.engine.docker("inspect", container)
            assert password not in configuration
            assert self._auth() not in configuration
            if self.engine.inspect(container, "{{.Config.Image}}") == "duetime":
                assert self.engine.inspect(container, "{{.Config.User}}") == "duetime"

    def the_page_the_api_and_prefect_answer(self) -> None:
        for address in (f"{DASHBOARD}/", f"{PREFECT}/"):
            page = httpx.get(address, headers={"Accept": "text/html"}, follow_redirects=True, timeout=10)
            assert page.is_success, f"{address}: {page}"
            assert "<html" in page.text, f"{address}: {page.text[:200]}"
        wait_until(lambda: httpx.get(f"{DASHBOARD}/api/readyz", timeout=10).is_success, "readyz to be well")
        assert every("/tasks") == []
        name, _, password = self._auth().partition(":")
        pool = httpx.get(f"{PREFECT}/api/work_pools/default", auth=(name, password), timeout=10)
        assert pool.raise_for_status().json()["type"] == "warm", pool.text
        # Where the browser of whoever looks at Prefect's page finds its API, and that it asks for a password.
        settings = httpx.get(f"{PREFECT}/ui-settings", timeout=10).json()
        assert (settings["api_url"], settings["auth"]) == ("/api", "BASIC"), settings

    def prefect_asks_for_its_string_which_its_own_cli_has(self) -> None:
        for auth in (None, httpx.BasicAuth("duetime", "wrong")):
            with httpx.Client(auth=auth, timeout=10) as client:
                answer = client.post(f"{PREFECT}/api/flows/", json={"name": "planted"})
                assert answer.status_code == 401, answer
        deployed = self.engine.compose("exec", "-T", "worker", "prefect", "--no-prompt", "deploy", "--all", seconds=180)
        assert "disk-space" in deployed, deployed
        names = {"disk-space", "housekeeping", "python-greeting"}
        wait_until(lambda: names <= {task["name"] for task in every("/tasks")}, "the deployed tasks", seconds=60)
        for task in every("/tasks"):
            api("DELETE", f"/tasks/{task['id']}")

    def what_comes_from_elsewhere_by_way_of_a_browser_is_refused_on_both_ports(self) -> None:
        for address, port in ((f"{DASHBOARD}/api/tasks", 3000), (f"{PREFECT}/api/flows/", 4200)):
            for headers in (
                {"Host": f"rebound.example:{port}"},
                {"Origin": "https://evil.example"},
                {"Origin": "http://localhost:8000", "Sec-Fetch-Site": "same-site"},
                {"Sec-Fetch-Site": "cross-site"},
            ):
                for content in ("application/json", "text/plain"):
                    headers = {**headers, "Content-Type": content}
                    answer = httpx.post(address, content='{"name": "planted"}', headers=headers, timeout=10)
                    assert answer.status_code == 403, (address, headers, answer)
                    assert "access-control-allow-origin" not in answer.headers

    def pages_of_other_origins_in_a_real_browser_do_nothing(self) -> None:
        targets = [dashboard("http://127.0.0.1:3000"), prefect("http://127.0.0.1:4200")]
        with chromium() as browser, somebody_elses_site() as site:
            for target, name in product(targets, NAMES):
                found = target.attacked_by(browser, f"http://{name}:{site}/")
                assert found == {"read": "", "opened": False}, (target.origin, name, found)
            for target in targets:
                found = target.attacked_by_name(browser)
                assert not found["opened"], target.origin
                assert "is not known here" in found["read"], (target.origin, found)
        assert every(f"/tasks?search={PLANTED}") == []
        name, _, password = self._auth().partition(":")
        flows = httpx.post(f"{PREFECT}/api/flows/filter", json={}, auth=(name, password), timeout=10)
        assert PLANTED not in flows.raise_for_status().text

    def scaled_workers_are_online_under_their_containers_names(self) -> None:
        names = {container[:12] for container in self.engine.containers("worker")}
        assert len(names) == 2, names
        wait_until(lambda: workers_online(self._auth()) == names, f"the workers {names} to be online", seconds=60)

    def a_task_runs_at_its_time_with_its_output_in_the_log(self) -> None:
        task = create_task("on-time", 'echo "hello from $DUETIME_TASK"', in_seconds=5)
        run = run_of(task, states=FINAL, seconds=60)
        assert run["state"] == "completed", run
        assert 0 <= run["lateness_seconds"] < LATE_SECONDS, run
        assert "hello from on-time" in output_of(run)

    def a_killed_worker_s_run_is_decided_and_a_new_task_runs(self) -> None:
        long = create_task("long", "sleep 600", in_seconds=None)
        api("POST", f"/tasks/{long['id']}/run", {})
        running = run_of(long, states={"running"}, seconds=60)
        victim = next(each for each in self.engine.containers("worker") if each.startswith(running["worker"]))
        os.kill(int(self.engine.inspect(victim, "{{.State.Pid}}")), signal.SIGKILL)
        run = run_of(create_task("beside", "echo done", in_seconds=3), states=FINAL, seconds=60)
        assert run["state"] == "completed", run
        assert run_of(long, states=FINAL, seconds=120)["state"] == "crashed"
        expected = "1 healthy"
        wait_until(
            lambda: self.engine.inspect(victim, "{{.RestartCount}} {{.State.Health.Status}}") == expected,
            "the killed worker to be restarted and healthy",
            seconds=90,
            every=1,
        )

    def tasks_and_history_outlive_the_containers_and_what_was_due_meanwhile_runs_once(self) -> None:
        meanwhile = create_task("meanwhile", "echo late", in_seconds=6)
        tasks, runs = self._wanted(), every("/runs")
        self.engine.down()
        self.engine.up(workers=1)
        assert self._wanted() == tasks, f"not the tasks of before: {tasks}"
        run = run_of(meanwhile, states=FINAL, seconds=90)
        assert run["state"] == "completed", run
        assert [each for each in every("/runs") if each["task_id"] != meanwhile["id"]] == [
            each for each in runs if each["task_id"] != meanwhile["id"]
        ]

    def workers_can_be_added_while_it_runs(self) -> None:
        self.engine.up(workers=3)
        names = {container[:12] for container in self.engine.containers("worker")}
        assert len(names) == 3, names
        wait_until(lambda: names <= workers_online(self._auth()), f"the workers {names} to be online", seconds=60)

    def _auth(self) -> str:
        """The string that Prefect asks for, from where people are told that it is."""
        return self.engine.compose("exec", "-T", "worker", "cat", "/secrets/prefect-auth").strip()

    def _wanted(self) -> list[dict[str, Any]]:
        """What people asked for, without what became of it."""
        wanted = ("id", "version", "name", "kind", "action", "schedule", "created_at")
        return [{name: task[name] for name in wanted} for task in every("/tasks")]

    def checks(self) -> list[Callable[[], None]]:
        return [
            self.the_image_is_built,
            self.everything_starts_and_is_healthy,
            self.ports_are_published_on_loopback_only,
            self.no_password_is_in_a_container_s_configuration_and_none_of_ours_is_root,
            self.the_page_the_api_and_prefect_answer,
            self.what_comes_from_elsewhere_by_way_of_a_browser_is_refused_on_both_ports,
            self.pages_of_other_origins_in_a_real_browser_do_nothing,
            self.prefect_asks_for_its_string_which_its_own_cli_has,
            self.scaled_workers_are_online_under_their_containers_names,
            self.a_task_runs_at_its_time_with_its_output_in_the_log,
            self.a_killed_worker_s_run_is_decided_and_a_new_task_runs,
            self.tasks_and_history_outlive_the_containers_and_what_was_due_meanwhile_runs_once,
            self.workers_can_be_added_while_it_runs,
        ]


def travel(checks: list[Callable[[], None]]) -> int:
    """Makes the checks up to the first that fails; returns how many passed."""
    for passed, check in enumerate(checks):
        began = time.monotonic()
        try:
            check()
        except Exception:  # noqa: BLE001 - whatever it is, the check failed, and the rest has to be cleaned up
            traceback.print_exc()
            say(f"FAILED  {check.__name__}")
            for other in checks[passed + 1 :]:
                say(f"not reached, counted as failed: {other.__name__}")
            return passed
        say(f"passed  {check.__name__}: {time.monotonic() - began:.0f} s")
    return len(checks)


def taken_ports() -> list[int]:
    """Those of the stack's ports on which something listens already."""
    taken = []
    for port in (3000, 4200):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                taken.append(port)
    return taken


def main() -> int:
    """0 when every check passed."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the engine is stopped, too
    if taken := taken_ports():
        say(f"Port {taken[0]} is taken. The containers publish it: stop what listens there, for example `duetime up`.")
        say("compose: 0 passed, 1 failed", to=sys.stdout)
        return 1
    with engine(Path(sys.argv[1])) as own:
        checks = Journey(own).checks()
        passed = travel(checks)
        if passed < len(checks):
            own.show_logs()
    say(f"compose: {passed} passed, {len(checks) - passed} failed", to=sys.stdout)
    return 0 if passed == len(checks) else 1


if __name__ == "__main__":
    sys.exit(main())
