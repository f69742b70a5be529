"""Workers as another user: who that can be, what a worker is told then, and what it can read."""

import json
import os
import pwd
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.child import Child
from cli.console import Refused
from cli.data_folder import DataFolder
from cli.kept import kept, password
from cli.os_account import Account
from cli.parts import Part, Role, parts
from cli.worker_user import AS_STARTED, CODE, WorkerUser, settled, worker_user
from tests.cli.test_parts import CATALOGUE, ENVIRON, settings
from tests.waiting import wait_until

OTHER = pwd.getpwnam("daemon")
ACCOUNT = Account(OTHER.pw_uid, OTHER.pw_gid)
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can start something as another user")
within_reach = pytest.mark.skipif(
    bool(ACCOUNT.closed_at(Path(sys.executable)) or ACCOUNT.closed_at(CODE)), reason="others cannot reach this Python"
)
# What it is, and which files below a folder it can read.
PROGRAM = """
import json, os, sys
def is_readable(path):
    try:
        open(path, "rb").close()
    except OSError:
        return False
    return True
found = [os.path.join(folder, name) for folder, _, names in os.walk(sys.argv[1]) for name in names]
print(json.dumps({
    "ids": [os.getresuid(), os.getresgid(), os.getgroups()],
    "home": os.environ["HOME"],
    "readable": [path for path in [*sys.argv[2:], *found] if is_readable(path)],
}), flush=True)
"""


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DataFolder]:
    """Held, with everything that is kept in one, where other users can pass."""
    tmp = tmp_path_factory.mktemp("open")
    tmp.chmod(0o711)
    for step in (tmp.parent, tmp.parent.parent):
        step.chmod(0o711)
    folder = DataFolder(tmp / "data")
    with folder.held(with_postgres=False, workers=ACCOUNT):
        for each in (folder.secret_keys, folder.prefect_auth, folder.worker_password):
            kept(each, password)
        yield folder


def refused(name: str, **given: Path | None) -> str:
    with pytest.raises(Refused) as why:
        worker_user(name, **{"postgres_data": None, **given})
    return str(why.value)


def test_without_a_name_workers_run_as_whoever_starts_them() -> None:
    assert worker_user("", postgres_data=None) == AS_STARTED
    assert AS_STARTED.environment({"HOME": "/root"}) == {"HOME": "/root"}
    assert AS_STARTED.cwd is None


def test_it_takes_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert "start this as root, or leave out --worker-user" in refused(OTHER.pw_name)


@as_root
def test_a_user_who_is_none_or_gains_nothing_is_refused(tmp_path: Path) -> None:
    assert "There is no user 'no such user'" in refused("no such user")
    assert "root itself" in refused("root")
    (tmp_path / "data").mkdir()
    os.chown(tmp_path / "data", OTHER.pw_uid, OTHER.pw_gid)
    assert "PostgreSQL runs as daemon here" in refused("daemon", postgres_data=tmp_path / "data")


@as_root
def test_a_user_who_cannot_read_the_code_is_refused_with_the_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    (closed / "python").symlink_to("/bin/true")
    monkeypatch.setattr("cli.worker_user.CODE", closed)
    said = refused("daemon")
    assert "daemon cannot run workers" in said
    assert "chmod o+x" in said


@as_root
@within_reach
def test_a_user_who_can_reach_everything_but_read_it_is_refused_with_what_python_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert worker_user("daemon", postgres_data=None).account == ACCOUNT
    monkeypatch.setattr("cli.worker_user.PROBE", "open('/etc/shadow')")
    assert "Permission denied: '/etc/shadow'" in refused("daemon")


def test_a_worker_is_told_its_own_places_and_keys_instead_of_their_file() -> None:
    user = WorkerUser("daemon", ACCOUNT, Path("/home/daemon"), Path("/data/worker"), "a key")
    environ = {**ENVIRON, "TMPDIR": "/root/tmp", "DUETIME_SECRET_KEY_FILE": "/data/secret-keys", "HOME": "/root"}
    environ.pop("DUETIME_SECRET_KEYS")
    found = {part.name: part for part in parts(settings(), CATALOGUE, environ, user)}
    told = found["worker-1"].environment
    assert {told[name] for name in ("HOME", "USER", "LOGNAME", "PREFECT_HOME", "DUETIME_SECRET_KEYS")} == {
        *("/home/daemon", "daemon", "/data/worker", "a key")
    }
    assert not {"TMPDIR", "DUETIME_SECRET_KEY_FILE"} & told.keys()
    assert [part.name for part in found.values() if part.user == user] == ["worker-1"]
    assert "a key" not in repr(found["worker-1"])
    assert found["reconciler"].environment["HOME"] == "/root"


def test_what_workers_cannot_pass_is_refused_and_what_exists_keeps_its_permissions(tmp_path: Path) -> None:
    closed = tmp_path / "data"
    closed.mkdir(mode=0o700)
    somebody = Account(os.geteuid() + 1, os.getegid() + 1)
    with (
        pytest.raises(Refused, match=r"a worker runs as uid .* chmod o\+x"),
        DataFolder(closed).held(with_postgres=False, workers=somebody),
    ):
        pass
    assert closed.stat().st_mode & 0o777 == 0o700


@as_root
@within_reach
def test_a_worker_runs_as_that_user_and_reads_nothing_that_the_folder_keeps(folder: DataFolder) -> None:
    user = settled(WorkerUser("daemon", ACCOUNT, Path(OTHER.pw_dir)), folder.worker_home, secret_keys="a key")
    (folder.worker_home / "profiles.toml").touch()
    os.chown(folder.worker_home / "profiles.toml", OTHER.pw_uid, OTHER.pw_gid)
    named = [folder.secret_keys, folder.prefect_auth, folder.worker_password, folder.logs / "worker-1.log"]
    command = (sys.executable, "-c", PROGRAM, str(folder.path), *map(str, named))
    environment = user.environment({"PATH": os.defpath, "HOME": "/root"})
    child = Child(Part("worker-1", Role.WORKER, command, environment, user=user), folder)
    child.start()
    wait_until(lambda: child.exit_code() is not None, "it to end")
    told = json.loads(folder.log_of("worker-1").read_text())
    assert told["ids"] == [[OTHER.pw_uid] * 3, [OTHER.pw_gid] * 3, []]
    assert told["home"] == OTHER.pw_dir
    assert told["readable"] == []


@as_root
@within_reach
def test_it_ends_with_whoever_started_it(folder: DataFolder) -> None:
    program = f"""
import os, sys, time
from pathlib import Path
from cli.child import Child
from cli.data_folder import DataFolder
from cli.os_account import Account
from cli.parts import Part, Role
from cli.worker_user import WorkerUser
user = WorkerUser("daemon", Account({OTHER.pw_uid}, {OTHER.pw_gid}))
part = Part("worker-1", Role.WORKER, ("/bin/sleep", "60"), {{}}, user=user)
child = Child(part, DataFolder(Path({str(folder.path)!r})))
child.start()
print(child.pid, flush=True)
time.sleep(60)
"""
    starter = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, cwd=CODE)
    assert starter.stdout is not None
    pid = int(starter.stdout.readline())
    status = Path(f"/proc/{pid}/comm")
    wait_until(lambda: status.read_text() == "sleep\n", "the command to run")
    starter.kill()
    starter.wait(10)
    starter.stdout.close()

    def is_gone() -> bool:
        try:
            return "Z" in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except FileNotFoundError:
            return True

    wait_until(is_gone, "the command to end")
