"""A running system whose connections to PostgreSQL and to Prefect lead through proxies, to be disturbed."""

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

import httpx
import psycopg

from tests.faults.auditing import catalogue_url
from tests.faults.disturbances.measuring import busy
from tests.faults.disturbances.network import wiring
from tests.faults.disturbances.network.manners import Pass
from tests.faults.disturbances.network.proxy import Network, Proxy
from tests.system import System
from tests.waiting import wait_until

PARTS = ("worker-1", "worker-2", "reconciler", "dashboard", "prefect")
CLIENTS_OF_PREFECT = ("worker-1", "worker-2", "reconciler")
INSIST_SECONDS = 30.0


class Stage:
    """`duetime up` with two workers, in a folder of its own."""

    def __init__(self, home: Path, *, accelerator: str = "on") -> None:
        self.home, self.network = home, Network()
        self.to_postgres = {part: self.network.proxy(self._postgres) for part in PARTS}
        self.to_prefect = {part: self.network.proxy(self._prefect) for part in CLIENTS_OF_PREFECT}
        environment = {
            "PYTHONPATH": str(home / "wiring"),
            "DUETIME_ACCELERATOR": accelerator,
            **busy.ENVIRONMENT,
            "DUETIME_PREFECT_HOSTS": ",".join(f"127.0.0.1:{proxy.port}" for proxy in self.to_prefect.values()),
        }
        self.system = System(home / "data", options=("--workers", "2"), environment=environment)
        wiring.install(home / "wiring", self._ports())

    def _postgres(self) -> tuple[str, int]:
        return ("127.0.0.1", int((self.home / "data/postgres/port").read_text()))

    def _prefect(self) -> tuple[str, int]:
        return ("127.0.0.1", self.system.prefect_port)

    def _ports(self) -> wiring.Ports:
        kinds = {wiring.POSTGRES: self.to_postgres, wiring.PREFECT: self.to_prefect}
        return {
            part: {kind: proxies[part].port for kind, proxies in kinds.items() if part in proxies} for part in PARTS
        }

    def start(self) -> Self:
        """Returns when everything is ready, and each part came by its proxies, or else nobody would be disturbed."""
        self.system.start()
        proxies = [proxy for each in self._all() for proxy in each.values()]
        wait_until(lambda: all(proxy.accepted for proxy in proxies), "every part to come by its proxies", seconds=120)
        return self

    @property
    def logs(self) -> Path:
        """The folder of the parts' logs."""
        return self.home / "data/logs"

    def stop(self) -> None:
        self.system.kill_everything()
        self.network.close()

    def calm_down(self) -> None:
        """The network works again, and what it lost is closed on both sides."""
        for proxies in self._all():
            for proxy in proxies.values():
                proxy.treat(Pass())
                proxy.forget_lost()

    def _all(self) -> tuple[Mapping[str, Proxy], Mapping[str, Proxy]]:
        return (self.to_postgres, self.to_prefect)

    # Past the proxies.

    @contextmanager
    def connection(self, database: str | None = None) -> Iterator[psycopg.Connection]:
        """To the catalogue, or another database of its server, as their owner; each statement for itself."""
        url = catalogue_url(self.system)
        if database is not None:
            url = urlsplit(url)._replace(path=f"/{database}").geturl()
        with psycopg.connect(url, autocommit=True, connect_timeout=10) as connection:
            yield connection

    def sql(self, statement: str, *values: Any, database: str | None = None) -> list[Any]:
        """The rows, where there are some."""
        with self.connection(database) as connection:
            # What is executed is written in the modules here, and nowhere else.
            done = connection.execute(statement.encode(), values)
            return done.fetchall() if done.description else []

    def prefect(self, method: str, path: str, document: Any) -> Any:
        """The answer of Prefect's API, which asks for its string, since other names lead to it here."""
        user, _, password = (self.home / "data/prefect-auth").read_text().strip().partition(":")
        url = f"{self.system.prefect_url}{path}"
        answer = httpx.request(method, url, json=document, auth=(user, password), timeout=30)
        return answer.raise_for_status().json()

    def insist(self, method: str, path: str, document: Any = None) -> Any:
        """The answer's document. What fails is tried again for half a minute: a disturbance may be going on."""
        key = {"Idempotency-Key": str(time.monotonic_ns())} if method == "POST" else {}
        deadline = time.monotonic() + INSIST_SECONDS
        while True:
            why = "no answer"
            try:
                url = f"{self.system.url}/api{path}"
                answer = httpx.request(method, url, json=document, headers=key, timeout=10)
                if answer.is_success:
                    return json.loads(answer.content) if answer.content else None
                why = f"{answer.status_code} {answer.text[:500]}"
            except httpx.TransportError as error:
                why = repr(error)
            assert time.monotonic() < deadline, f"{method} {path} failed for {INSIST_SECONDS:.0f} s: {why}"
            time.sleep(1.0)
