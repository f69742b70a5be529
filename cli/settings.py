"""What a person can choose of `duetime up`, from options and variables."""

import argparse
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

EVERY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - to be recognised, not listened on
MOST_WORKERS = 100
CATALOGUE = "duetime"
PREFECT_DRIVER = "postgresql+asyncpg"


@dataclass(frozen=True, slots=True)
class Settings:
    """Where the system listens, where its state is, and how many workers it has here."""

    host: str
    port: int
    prefect_port: int
    data_dir: Path
    workers: int
    database_url: str | None
    """The catalogue; None means the embedded PostgreSQL."""
    prefect_database_url: str | None
    """Prefect's own database; None means the one beside the catalogue."""
    worker_user: str = ""
    """Whom workers run as; empty for whoever starts the system."""

    @property
    def url(self) -> str:
        """Where this machine reaches the dashboard."""
        host = EVERY_ADDRESS.get(self.host, self.host)
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}"

    @property
    def prefect_url(self) -> str:
        """Whatever the dashboard's address is, Prefect's own is loopback."""
        return f"http://127.0.0.1:{self.prefect_port}"

    @property
    def ready_line(self) -> str:
        """What is printed when, and only when, a task created now would run."""
        return f"duetime ready: {self.url} (dashboard) {self.url}/api (API) {self.prefect_url} (Prefect)"


def add_up_options(parser: argparse.ArgumentParser, environ: Mapping[str, str]) -> None:
    """Each option has a variable of its name; the option wins."""

    def option(name: str, kind: Callable[[str], object], default: str | None, words: str) -> None:
        variable = "DUETIME_" + name.upper().replace("-", "_")
        shown = f"{words} (default: {default}; variable: {variable})" if default else f"{words} (variable: {variable})"
        # argparse reads a default that is a string as it reads what is typed, with the same errors.
        value = environ.get(variable) or default
        parser.add_argument(f"--{name}", type=_naming(variable, kind), default=value, metavar="...", help=shown)

    option("host", str, "127.0.0.1", "the address of the dashboard and the API")
    option("port", _port, "3000", "the port of the dashboard and the API")
    option("prefect-port", _port, "4200", "the port of Prefect, always on 127.0.0.1")
    option("data-dir", Path, ".duetime", "the folder of all state")
    option("workers", _workers, "1", "how many workers run here")
    option("worker-user", str, None, "started by root: the user whom workers, and so tasks, run as")
    option("database-url", database_url, None, "a PostgreSQL of your own, instead of the embedded one")


def settings_of(chosen: argparse.Namespace, environ: Mapping[str, str]) -> Settings:
    """The settings that were parsed; ValueError where they don't go together."""
    if chosen.port == chosen.prefect_port:
        raise ValueError(f"--port and --prefect-port are both {chosen.port}: choose two.")
    return Settings(
        host=chosen.host,
        port=chosen.port,
        prefect_port=chosen.prefect_port,
        data_dir=chosen.data_dir.expanduser().absolute(),
        workers=chosen.workers,
        database_url=chosen.database_url,
        prefect_database_url=environ.get("DUETIME_PREFECT_DATABASE_URL") or None,
        worker_user=chosen.worker_user or "",
    )


def database_url(text: str) -> str:
    """An address of a database; ValueError when it is none."""
    parts = urlsplit(text)
    if parts.scheme not in ("postgresql", "postgres") or not parts.path.strip("/"):
        raise ValueError("expected postgresql://user:password@host/database")
    return text


def prefect_database(catalogue_url: str) -> str:
    """The address of Prefect's database beside a catalogue: `duetime_prefect` beside `duetime`."""
    parts = urlsplit(catalogue_url)
    return urlunsplit(parts._replace(path=f"{parts.path}_prefect"))


def for_prefect(url: str) -> str:
    """The address in the words of Prefect's driver, which knows few of libpq's parameters."""
    parts = urlsplit(url)
    known = ("ssl", "host", "port", "passfile", "target_session_attrs", "krbsrvname")
    query = {"ssl" if name == "sslmode" else name: value for name, value in parse_qsl(parts.query)}
    words = urlencode({name: value for name, value in query.items() if name in known}, quote_via=quote)
    return urlunsplit(parts._replace(scheme=PREFECT_DRIVER, query=words))


def for_libpq(url: str) -> str:
    """The same address for everybody else, should it be given in the words of Prefect's driver."""
    parts = urlsplit(url)
    if parts.scheme != PREFECT_DRIVER:
        return url
    query = {"sslmode" if name == "ssl" else name: value for name, value in parse_qsl(parts.query)}
    return urlunsplit(parts._replace(scheme="postgresql", query=urlencode(query, quote_via=quote)))


def _naming(variable: str, kind: Callable[[str], object]) -> Callable[[str], object]:
    def read(text: str) -> object:
        try:
            return kind(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(f"{error}, not {text!r} (the variable {variable} sets it, too)") from error

    return read


def _port(text: str) -> int:
    return _number(text, 1, 65_535)


def _workers(text: str) -> int:
    return _number(text, 0, MOST_WORKERS)


def _number(text: str, least: int, most: int) -> int:
    if not (text.isascii() and text.isdigit() and least <= int(text) <= most):
        raise ValueError(f"expected a number from {least} to {most}")
    return int(text)
