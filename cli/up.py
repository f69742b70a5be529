"""`duetime up`: the whole system in the foreground, from the first check to the last process stopped."""

from collections.abc import Mapping
from datetime import UTC, datetime

from cli.census import end_leftovers
from cli.console import Refused, say
from cli.data_folder import DataFolder
from cli.parts import Part, arrivals, migrations, parts
from cli.ports import port_problem
from cli.postgres import EmbeddedPostgres, ensure_database
from cli.readiness import Readiness
from cli.settings import CATALOGUE, Settings
from cli.stopping import Stopping, StopRequested
from cli.supervision import Supervisor
from dashboard.gate import UnsafeBinding, check_binding

STARTING_PAUSE_SECONDS = 0.1
PAUSE_SECONDS = 0.5


def up(settings: Settings, environ: Mapping[str, str]) -> int:
    """Returns 0 when it was told to stop and has stopped everything.

    Raises:
        Refused, PostgresUnavailable: it can't be started like this; nothing is left running.
    """
    try:
        check_binding(settings.host, environ)
    except UnsafeBinding as error:
        raise Refused(str(error)) from error
    stopping = Stopping()
    stopping.listen()
    folder = DataFolder(settings.data_dir)
    with folder.held(with_postgres=settings.database_url is None):
        if left := end_leftovers(folder.births):
            say(f"Ended {left} processes that a killed `duetime up` had left behind")
        _check_ports(settings)
        _System(settings, environ, stopping, folder).run()
    return 0


def _check_ports(settings: Settings) -> None:
    wanted = ((settings.host, settings.port, "--port"), ("127.0.0.1", settings.prefect_port, "--prefect-port"))
    problems = [found for one in wanted if (found := port_problem(*one)) is not None]
    if problems:
        raise Refused("\n".join(problems))


class _System:
    def __init__(self, settings: Settings, environ: Mapping[str, str], stopping: Stopping, folder: DataFolder) -> None:
        self._settings, self._environ, self._stopping = settings, environ, stopping
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
        self._supervisor.run_to_end(migrations(self._settings, catalogue_url, self._environ))
        everything = parts(self._settings, catalogue_url, self._environ)
        awaited = arrivals(catalogue_url, self._environ, since=datetime.now(UTC))
        self._readiness.tell(f"starting {', '.join(part.name for part in everything)}")
        self._supervisor.keep([*everything, awaited])
        return awaited

    def _start_postgres(self) -> str:
        assert self._postgres is not None
        self._readiness.tell("starting PostgreSQL")
        server_url = self._supervisor.start_postgres(self._postgres)
        ensure_database(server_url, CATALOGUE)
        return self._postgres.url(CATALOGUE)

    def _watch(self, awaited: Part) -> None:
        while not self._stopping.requested:
            self._supervisor.one_pass()
            ready = self._readiness.look(everybody_is_here=not self._supervisor.keeps(awaited))
            self._stopping.wait(PAUSE_SECONDS if ready else STARTING_PAUSE_SECONDS)


def _limits(settings: Settings) -> tuple[tuple[str, str], ...]:
    """Connections for Prefect's pool of 30, the dashboard's, the reconciler's, each worker's, and people's."""
    return (("max_connections", str(max(200, 120 + 20 * settings.workers))),)
