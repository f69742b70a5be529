"""The parts of a running system: which command each is, what it may know, and what it waits for."""

import os
import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from cli.settings import Settings, for_prefect, prefect_database
from cli.worker_user import AS_STARTED, WorkerUser
from dashboard.binding import PASSWORD, PROVIDER
from db.proxies import asked_directly

# Of the environment of whoever starts the system; the rest may hold keys that are nobody's business here.
INHERITED = frozenset(
    {"PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "TZ", "TMPDIR", "VIRTUAL_ENV", "PYTHONPATH"}
    | {"SSL_CERT_FILE", "SSL_CERT_DIR", "LD_LIBRARY_PATH", "DUETIME_LOG_FORMAT", "DUETIME_DEBUG_LOOP"}
    | {"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"}
)
WORKER_GRACE_SECONDS = 3
# -P: a folder named `dashboard` where the system is started must not be taken for ours.
PYTHON = (sys.executable, "-P", "-m")
CONNECTIONS = "db.http_connections:BoundedConnection"
"""How uvicorn is to serve Prefect: whoever sends nothing, or without an end, is not waited for."""
CLIENT = {
    "DO_NOT_TRACK": "1",
    "PREFECT_CLIENT_CSRF_SUPPORT_ENABLED": "false",
    "PREFECT_CLIENT_SERVER_VERSION_CHECK_ENABLED": "false",
    "PREFECT_TELEMETRY_ENABLE_RESOURCE_METRICS": "false",
}
SERVER = {
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect.server.concurrency.lease_storage.filesystem",
    "PREFECT_SERVER_DATABASE_MIGRATE_ON_START": "false",
    "PREFECT_SERVER_DATABASE_SQLALCHEMY_POOL_SIZE": "30",
    "PREFECT_SERVER_LOGGING_LEVEL": "WARNING",
    "PREFECT_SERVER_SERVICES_DB_VACUUM_ENABLED": "events,flow_runs",
    "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
}


SECRET_KEYS, SECRET_KEY_FILE = "DUETIME_SECRET_KEYS", "DUETIME_SECRET_KEY_FILE"
PREFECT_AUTH, PREFECT_AUTH_FILE = "DUETIME_PREFECT_AUTH", "DUETIME_PREFECT_AUTH_FILE"
"""`user:password`, which Prefect's server asks for, and where people find it, unless they chose it themselves."""
PREFECT_HOSTS = "DUETIME_PREFECT_HOSTS"
"""More names under which Prefect's server is reached."""

WORKER_PASSWORD_FILE, WORKER_URL = "DUETIME_WORKER_PASSWORD_FILE", "DUETIME_WORKER_DATABASE_URL"
"""The password of the workers' role in PostgreSQL, and the catalogue's address as workers come to it."""
ADDRESSES = ("DUETIME_HTTP_ALLOW", "DUETIME_HTTP_DENY")
"""To which addresses tasks and webhooks may send requests."""


class Role(StrEnum):
    """The names of the parts in processes.json."""

    UP = "up"
    POSTGRES = "postgres"
    PREFECT = "prefect"
    RECONCILER = "reconciler"
    WORKER = "worker"
    DASHBOARD = "dashboard"


@dataclass(frozen=True, slots=True)
class Part:
    """One process to be started, and started again when it dies."""

    name: str
    role: Role
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(repr=False)  # it holds passwords
    needs: str | None = None
    """An address that has to answer before it makes sense to start it."""
    once: bool = False
    """It does its work and ends; with exit code 0 it is done and is not started again."""
    user: WorkerUser = AS_STARTED
    """Whom it runs as."""


def migrations(settings: Settings, catalogue_url: str, environ: Mapping[str, str]) -> Part:
    """It brings both databases up to date."""
    environment = _plain(environ) | _databases(settings, catalogue_url) | _home(settings)
    environment |= {name: environ[name] for name in (WORKER_PASSWORD_FILE,) if name in environ}
    return Part("migrations", Role.UP, (*PYTHON, "cli.main", "migrate"), environment, once=True)


def arrivals(catalogue_url: str, environ: Mapping[str, str], *, since: datetime) -> Part:
    """It is done when the other parts have given signs of life."""
    environment = _plain(environ) | {"DUETIME_DATABASE_URL": catalogue_url}
    return Part("arrivals", Role.UP, (*PYTHON, "cli.arrivals", since.isoformat()), environment, once=True)


def parts(
    settings: Settings, catalogue_url: str, environ: Mapping[str, str], user: WorkerUser = AS_STARTED
) -> list[Part]:
    """Everything beside PostgreSQL, in the order in which it is started."""
    plain = _plain(environ)
    client = plain | CLIENT | _home(settings) | {"PREFECT_API_URL": f"{settings.prefect_url}/api"}
    client |= _auth("PREFECT_API_AUTH_STRING", environ)
    server = _server(settings, catalogue_url) | _auth("PREFECT_SERVER_API_AUTH_STRING", environ)
    server |= _guard(catalogue_url, environ)
    catalogue = {"DUETIME_DATABASE_URL": catalogue_url}
    reconciler = {"DUETIME_PUBLIC_URL": settings.url} | _of_reconciler(environ)
    return [
        Part("prefect", Role.PREFECT, _prefect_command(settings), plain | server),
        Part("dashboard", Role.DASHBOARD, (*PYTHON, "dashboard"), client | _door(settings, environ) | catalogue),
        Part("reconciler", Role.RECONCILER, (*PYTHON, "reconciler"), client | catalogue | reconciler),
        *_workers(settings, client | _workers_databases(settings, catalogue_url, environ) | _of_workers(environ), user),
    ]


def _of_reconciler(environ: Mapping[str, str]) -> dict[str, str]:
    """Who is told that all is well, and what it takes to tell others what is not."""
    names = ("DUETIME_DEAD_MAN_URL", "DUETIME_PUBLIC_URL", SECRET_KEYS, SECRET_KEY_FILE, *ADDRESSES)
    return {name: environ[name] for name in names if name in environ}


def _of_workers(environ: Mapping[str, str]) -> dict[str, str]:
    """What a person may turn off in the workers, and what opens secrets."""
    names = ("DUETIME_ACCELERATOR", SECRET_KEYS, SECRET_KEY_FILE, *ADDRESSES)
    return {name: environ[name] for name in names if name in environ}


def always_asks(environ: Mapping[str, str]) -> bool:
    """Whether Prefect asks in any case: others reach it, people sign in all the same, or somebody chose the string."""
    others = any(environ.get(name) for name in (PREFECT_HOSTS, PASSWORD, PROVIDER))
    return others or not environ.get(PREFECT_AUTH_FILE)


def _guard(catalogue_url: str, environ: Mapping[str, str]) -> dict[str, str]:
    """What Prefect's guard has to know: names, and where to ask whether people have accounts, unless it always asks."""
    names = environ.get(PREFECT_HOSTS)
    asked = {} if always_asks(environ) else {"DUETIME_DATABASE_URL": catalogue_url}
    return asked | ({PREFECT_HOSTS: names} if names else {})


def _auth(variable: str, environ: Mapping[str, str]) -> dict[str, str]:
    return {variable: environ[PREFECT_AUTH]} if environ.get(PREFECT_AUTH) else {}


def _workers(settings: Settings, environment: Mapping[str, str], user: WorkerUser) -> list[Part]:
    host, needs = socket.gethostname(), f"{settings.prefect_url}/api/ready"
    command = (*PYTHON, "prefect", "worker", "start", "--pool", "default", "--type", "warm", "--name")
    own = user.environment({**environment, "DUETIME_STOP_GRACE_SECONDS": str(WORKER_GRACE_SECONDS)})
    return [
        Part(f"worker-{n}", Role.WORKER, (*command, f"{host}-{n}"), own, needs, user=user)
        for n in range(1, settings.workers + 1)
    ]


def _prefect_command(settings: Settings) -> tuple[str, ...]:
    """Half of the time that `prefect server start` takes, and as clean a stop."""
    address = ("--host", "127.0.0.1", "--port", str(settings.prefect_port))
    patience = ("--timeout-graceful-shutdown", "2", "--log-level", "warning", "--http", CONNECTIONS)
    return (*PYTHON, "uvicorn", "--factory", "flows.prefect_app:create_app", *address, *patience)


def _server(settings: Settings, catalogue_url: str) -> dict[str, str]:
    address = {"PREFECT_SERVER_API_HOST": "127.0.0.1", "PREFECT_SERVER_API_PORT": str(settings.prefect_port)}
    database = _databases(settings, catalogue_url)["DUETIME_PREFECT_DATABASE_URL"]
    own = {"PREFECT_SERVER_DATABASE_CONNECTION_URL": for_prefect(database)}
    return SERVER | _home(settings) | address | own | {"PREFECT_UI_API_URL": "/api"}


def _door(settings: Settings, environ: Mapping[str, str]) -> dict[str, str]:
    """The dashboard's own variables, among them its credentials, which nobody else is to see."""
    own = {name: value for name, value in environ.items() if name.startswith("DUETIME_")}
    for others in ("DUETIME_PREFECT_DATABASE_URL", PREFECT_AUTH, WORKER_PASSWORD_FILE, WORKER_URL):
        own.pop(others, None)
    address = {"DUETIME_HOST": settings.host, "DUETIME_PORT": str(settings.port)}
    return own | address | {"DUETIME_PREFECT_URL": settings.prefect_url}


def _databases(settings: Settings, catalogue_url: str) -> dict[str, str]:
    prefect = settings.prefect_database_url or prefect_database(catalogue_url)
    return {"DUETIME_DATABASE_URL": catalogue_url, "DUETIME_PREFECT_DATABASE_URL": prefect}


def _workers_databases(settings: Settings, catalogue_url: str, environ: Mapping[str, str]) -> dict[str, str]:
    return _databases(settings, environ.get(WORKER_URL) or catalogue_url)


def _home(settings: Settings) -> dict[str, str]:
    """Prefect's profiles, results and leases: never those of the person who starts the system."""
    return {"PREFECT_HOME": os.fspath(settings.data_dir / "prefect")}


def _plain(environ: Mapping[str, str]) -> dict[str, str]:
    inherited = {name: value for name, value in environ.items() if name in INHERITED or name.startswith("LC_")}
    return inherited | asked_directly(inherited)
