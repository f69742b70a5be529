"""The embedded PostgreSQL makes do with what it finds, or says what is wrong and what to do."""

import socket
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest

from cli.postgres import EmbeddedPostgres, PostgresUnavailable
from cli.postgres_errors import cure_of


def setting(server: EmbeddedPostgres, name: str) -> str:
    with psycopg.connect(server.url()) as connection:
        row = connection.execute("SELECT current_setting(%s)", [name]).fetchone()
    assert row is not None
    return str(row[0])


def port_of(url: str) -> int:
    port = urlsplit(url).port
    assert port is not None
    return port


def test_a_port_taken_meanwhile_is_replaced_and_then_kept(server: EmbeddedPostgres) -> None:
    first = port_of(server.start())
    server.stop()
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", first))
        other.listen()
        second = port_of(server.start())
        assert second != first
        server.stop()
    assert port_of(server.start()) == second


@pytest.mark.parametrize("scribble", ["", "x", "0", "99999999"])
def test_a_port_file_that_is_no_port_is_replaced(server: EmbeddedPostgres, scribble: str) -> None:
    server.start()
    server.stop()
    (server.home / "port").write_text(scribble)
    assert port_of(server.start()) in range(1, 65536)


def test_a_path_too_long_for_a_socket_does_with_tcp(folder: Path) -> None:
    server = EmbeddedPostgres(folder / ("long" * 30))
    server.start()
    assert setting(server, "unix_socket_directories") == ""


def test_any_character_may_be_in_the_path(folder: Path) -> None:
    server = EmbeddedPostgres(folder / "a, \"b'ü%$x")
    server.start()
    assert len(list((server.home / "data").glob(".s.PGSQL.*.lock"))) == 1


def test_data_is_flushed_and_time_is_utc_unless_settings_say_otherwise(folder: Path) -> None:
    server = EmbeddedPostgres(folder / "postgres")
    server.start()
    assert [setting(server, name) for name in ("fsync", "timezone", "max_connections")] == ["on", "UTC", "200"]
    server.stop()
    EmbeddedPostgres(server.home, settings=(("fsync", "off"), ("max_connections", "20"))).start()
    assert [setting(server, name) for name in ("fsync", "timezone", "max_connections")] == ["off", "UTC", "20"]


def test_a_log_grown_too_long_is_put_aside(server: EmbeddedPostgres) -> None:
    server.start()
    server.stop()
    log = server.home / "postgres.log"
    with log.open("ab") as file:
        file.truncate(10 * 1024 * 1024 + 1)
    server.start()
    assert log.stat().st_size < 100_000
    assert (server.home / "postgres.log.1").stat().st_size >= 10 * 1024 * 1024


def test_the_wrong_password_file_is_told_at_once(server: EmbeddedPostgres) -> None:
    server.start()
    (server.home / "password").write_text("wrong")
    with pytest.raises(PostgresUnavailable, match="put the right one back"):
        server.start(timeout_seconds=20)


def test_data_of_another_version_is_told_with_the_servers_own_words(server: EmbeddedPostgres) -> None:
    server.start()
    server.stop()
    (server.home / "data" / "PG_VERSION").write_text("12\n")
    with pytest.raises(PostgresUnavailable, match=r"(?s)another version.*initialized by PostgreSQL version 12"):
        server.start(timeout_seconds=20)


def test_a_home_that_is_a_file_is_told(folder: Path) -> None:
    (folder / "file").touch()
    with pytest.raises(PostgresUnavailable, match="not usable"):
        EmbeddedPostgres(folder / "file" / "home").start()


def test_there_is_no_url_before_the_first_start(server: EmbeddedPostgres) -> None:
    with pytest.raises(PostgresUnavailable, match="Start it first"):
        server.url()


def test_a_platform_without_the_wheel_is_told_to_name_a_server(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.path", [])
    with pytest.raises(PostgresUnavailable, match="--database-url"):
        EmbeddedPostgres(folder / "postgres").start()


@pytest.mark.parametrize(
    ("problem", "cure"),
    [
        ("FATAL: could not write lock file: No space left on device", "disk is full"),
        ("[Errno 30] Read-only file system: '/x'", "disk that can be written"),
        ("[Errno 13] Permission denied: '/x/lock'", "write access"),
    ],
)
def test_known_problems_have_a_cure(problem: str, cure: str) -> None:
    assert cure in cure_of(problem)
    assert cure_of("something unheard of") == ""
