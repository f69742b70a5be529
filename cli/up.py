"""`duetime up`: the whole system in the foreground, from the first check to the last process stopped."""

import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from cli.census import end_leftovers
from cli.console import Refused, say
from cli.data_folder import DataFolder
from cli.doors import invitation, there_is_an_admin
from cli.kept import fernet_key, kept, password, prefect_auth
from cli.parts import (
    PREFECT_AUTH,
    PREFECT_AUTH_FILE,
    SECRET_KEY_FILE,
    SECRET_KEYS,
    WORKER_PASSWORD_FILE,
    WORKER_URL,
    Part,
    always_asks,
    arrivals,
    migrations,
    parts,
)
from cli.ports import port_problem
from cli.postgres import EmbeddedPostgres, ensure_database
from cli.readiness import Readiness
from cli.settings import CATALOGUE, Settings
from cli.stopping import Stopping, StopRequested
from cli.supervision import Supervisor
from cli.worker_user import WorkerUser, settled, worker_user
from dashboard.binding import PASSWORD, PROVIDER, UnsafeBinding, check_binding
from db.worker_role import role_of, url_of

STARTING_PAUSE_SECONDS = 0.1
PAUSE_SECONDS = 0.5


def up(settings: Settings, environ: Mapping[str, str]) -> int:
    """Returns 0 when it was told to stop and has stopped everything.

    Raises:
        Refused, PostgresUnavailable: it can't be started like this; nothing is left running.
    """
    folder = DataFolder(settings.data_dir)
    # Where there is no catalogue yet, there is no account in it.
    has_catalogue = settings.database_url is not None or folder.postgres.exists()
    _check_binding(settings, environ, has_way_in=has_catalogue)
    embedded = settings.database_url is None
    user = worker_user(settings.worker_user, postgres_data=folder.postgres / "data" if embedded else None)
    stopping = Stopping()
    stopping.listen()
    with folder.held(with_postgres=embedded, workers=user.account):
        if left := end_leftovers(folder.births):
            say(f"Ended {left} processes that a killed `duetime up` had left behind")
        _check_ports(settings)
        _System(settings, environ, stopping, folder, user).run()
    return 0


def _check_binding(settings: Settings, environ: Mapping[str, str], *, has_way_in: bool) -> None:
    try:
        check_binding(settings.host, environ, has_way_in=has_way_in or bool(environ.get(PROVIDER)))
    except UnsafeBinding as error:
        raise Refused(str(error)) from error


def _check_ports(settings: Settings) -> None:
    wanted = ((settings.host, settings.port, "--port"), ("127.0.0.1", settings.prefect_port, "--prefect-port"))
    problems = [found for one in wanted if (found := port_problem(*one)) is not None]
    if problems:
        raise Refused("\n".join(problems))


class _System:
    def __init__(
        self,
        settings: Settings,
        environ: Mapping[str, str],
        stopping: Stopping,
        folder: DataFolder,
        user: WorkerUser,
    ) -> None:
        self._user = user
        self._settings, self._environ, self._stopping, self._folder = settings, environ, stopping, folder
        embedded = settings.database_url is None
        self._postgres = EmbeddedPostgres(folder.postgres, _limits(settings), ends_with_us=True) if embedded else None
        self._supervisor = Supervisor(folder, stopping, self._postgres)
        self._readiness = Readiness(settings, logs=str(folder.logs))

    def run(self) -> None:
        try:
            self._watch(self._start())
        except StopRequested:
            pass
        finally:
            say("Stopping")
            self._supervisor.stop()
        say("Stopped")

    def _start(self) -> Part:
        """What is going to end when everybody has arrived."""
        catalogue_url = self._settings.database_url or self._start_postgres()
        self._readiness.tell("bringing the databases up to date")
        workers = self._workers(catalogue_url)
        self._supervisor.run_to_end(migrations(self._settings, catalogue_url, {**self._environ, **workers}))
        _check_binding(self._settings, self._environ, has_way_in=there_is_an_admin(catalogue_url))
        told = {**self._environ, **workers, **self._kept()}
        self._tell_of_doors(catalogue_url, told)
        everything = parts(self._settings, catalogue_url, told, self._settled(told))
        awaited = arrivals(catalogue_url, self._environ, since=datetime.now(UTC))
        self._readiness.tell(f"starting {', '.join(part.name for part in everything)}")
        self._supervisor.keep([*everything, awaited])
        return awaited

    def _workers(self, catalogue_url: str) -> dict[str, str]:
        """How workers come to the catalogue: to an embedded one by a role of their own."""
        if self._postgres is None:
            return {}
        kept_password, file = kept(self._folder.worker_password, password), os.fspath(self._folder.worker_password)
        url = url_of(catalogue_url, role=role_of(catalogue_url), password=kept_password)
        return {WORKER_PASSWORD_FILE: file, WORKER_URL: url}

    def _kept(self) -> dict[str, str]:
        """The keys that this folder keeps, where the environment has none."""
        found = {}
        if not any(name in self._environ for name in (SECRET_KEYS, SECRET_KEY_FILE)):
            kept(self._folder.secret_keys, fernet_key)
            found[SECRET_KEY_FILE] = os.fspath(self._folder.secret_keys)
        if not self._environ.get(PREFECT_AUTH):
            found[PREFECT_AUTH] = kept(self._folder.prefect_auth, prefect_auth)
            found[PREFECT_AUTH_FILE] = os.fspath(self._folder.prefect_auth)
        return found

    def _settled(self, told: Mapping[str, str]) -> WorkerUser:
        """The workers' user, who gets the keys themselves: their file is not theirs to read."""
        keys, file = told.get(SECRET_KEYS, ""), told.get(SECRET_KEY_FILE)
        try:
            if self._user.name and not keys and file:
                keys = Path(file).read_text().strip()
            return settled(self._user, self._folder.worker_home, secret_keys=keys)
        except OSError as error:
            raise Refused(f"Workers cannot run as {self._user.name}: {error}") from error

    def _people_sign_in(self, catalogue_url: str) -> bool:
        by_environment = any(self._environ.get(name) for name in (PASSWORD, PROVIDER))
        return by_environment or there_is_an_admin(catalogue_url)

    def _tell_of_doors(self, catalogue_url: str, told: Mapping[str, str]) -> None:
        """Where people sign in: what Prefect asks for. Where they do not: the way to accounts."""
        people_sign_in = self._people_sign_in(catalogue_url)
        if people_sign_in or always_asks(told):
            say(f"Prefect asks for the string in {told.get(PREFECT_AUTH_FILE) or PREFECT_AUTH}")
        token = None if people_sign_in else invitation(catalogue_url)
        if token is not None:
            say(f"Nobody has to sign in here. To change that, once: {self._settings.url}/sign-in/first?link={token}")

    def _start_postgres(self) -> str:
        assert self._postgres is not None
        self._readiness.tell("starting PostgreSQL")
        server_url = self._supervisor.start_postgres(self._postgres)
        ensure_database(server_url, CATALOGUE)
        return self._postgres.url(CATALOGUE)

    def _watch(self, awaited: Part) -> None:
        def look() -> float:
            ready = self._readiness.look(everybody_is_here=not self._supervisor.keeps(awaited))
            return PAUSE_SECONDS if ready else STARTING_PAUSE_SECONDS

        self._supervisor.watch(look)


def _limits(settings: Settings) -> tuple[tuple[str, str], ...]:
    """Connections for Prefect's pool of 30, the dashboard's, the reconciler's, each worker's, and people's."""
    return (("max_connections", str(max(200, 120 + 20 * settings.workers))),)
