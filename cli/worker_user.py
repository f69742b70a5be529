"""The user whom workers run as where root starts `duetime up`: one who reads nothing of what the data folder keeps."""

import os
import pwd
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from cli import os_account
from cli.console import Refused
from cli.os_account import Account
from cli.postgres_binaries import server_account

CODE = Path(__file__).parents[1]
PROBE_SECONDS = 60
# What a worker loads, without the seconds that Prefect takes.
PROBE = "from importlib.util import find_spec as find; import cli.leash, flows.environment; "
PROBE += "open(find('prefect').origin).close(); open(find('psycopg').origin).close()"
LEFT_OUT = ("TMPDIR", "DUETIME_SECRET_KEY_FILE")
"""Places of whoever starts the system."""


@dataclass(frozen=True, slots=True)
class WorkerUser:
    """Whom workers run as; without a name, as whoever starts them."""

    name: str = ""
    account: Account = os_account.AS_STARTED
    login_home: Path = Path("/")
    prefect_home: Path | None = None
    """Of the user's own, for what Prefect keeps."""
    secret_keys: str = field(default="", repr=False)

    def environment(self, own: Mapping[str, str]) -> dict[str, str]:
        """What a worker is told: its own places instead of somebody else's, and keys instead of their file."""
        if not self.name:
            return dict(own)
        told = {"HOME": os.fspath(self.login_home), "USER": self.name, "LOGNAME": self.name}
        told |= {"PREFECT_HOME": os.fspath(self.prefect_home)} if self.prefect_home else {}
        told |= {"DUETIME_SECRET_KEYS": self.secret_keys} if self.secret_keys else {}
        return {name: value for name, value in own.items() if name not in LEFT_OUT} | told

    @property
    def cwd(self) -> Path | None:
        """Where the system is started, as for everybody, if the user may be there."""
        if self.account.uid is None or not self.account.closed_at(Path.cwd()):
            return None
        may_go_home = self.login_home.is_dir() and not self.account.closed_at(self.login_home)
        return self.login_home if may_go_home else Path("/")


AS_STARTED = WorkerUser()


def worker_user(name: str, *, postgres_data: Path | None) -> WorkerUser:
    """The user of this name.

    Raises:
        Refused: workers cannot run as this user, or would gain nothing by it.
    """
    if not name:
        return AS_STARTED
    if os.geteuid() != 0:
        raise Refused("Only root can start workers as another user: start this as root, or leave out --worker-user.")
    try:
        found = pwd.getpwnam(name)
    except KeyError:
        raise Refused(f"There is no user {name!r} for --worker-user. Make one: useradd --system {name}") from None
    account = Account(found.pw_uid, found.pw_gid)
    if account.uid == 0:
        raise Refused(f"{name} is root itself, who reads everything. Name another user by --worker-user.")
    if postgres_data is not None and server_account(postgres_data).uid == account.uid:
        raise Refused(f"PostgreSQL runs as {name} here, who reads its files. Name another user by --worker-user.")
    _check_reach(name, account)
    return WorkerUser(name, account, Path(found.pw_dir))


def settled(user: WorkerUser, folder: Path, *, secret_keys: str) -> WorkerUser:
    """The user with a folder of its own, which is made, and with keys that it need not read from a file."""
    if user.account.uid is None or user.account.gid is None:
        return user
    folder.mkdir(mode=0o700, exist_ok=True)
    os.chown(folder, user.account.uid, user.account.gid)
    return replace(user, prefect_home=folder, secret_keys=secret_keys)


def _check_reach(name: str, account: Account) -> None:
    python = Path(sys.executable)
    closed = account.closed_at(python) or account.closed_at(CODE)
    why = f"may not enter {closed}: chmod o+x {closed}" if closed else _said_by_probe(account)
    if why:
        raise Refused(
            f"{name} cannot run workers: {name} {why}. Put Python and this code where every user may read "
            "them, for example below /opt or /usr/local, or name another user by --worker-user."
        )


def _said_by_probe(account: Account) -> str:
    """What keeps the account from loading a worker's code; nothing where it can."""
    # The code is not installed everywhere, and the folder in which this was started may be closed.
    program = f"import sys; sys.path.insert(0, {os.fspath(CODE)!r}); {PROBE}"
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-c", program],
            user=account.uid,
            group=account.gid,
            extra_groups=account.groups,
            cwd="/",
            env={"PATH": os.defpath},
            capture_output=True,
            text=True,
            timeout=PROBE_SECONDS,
            check=False,
        )
    except (OSError, subprocess.SubprocessError) as error:
        return f"cannot start {sys.executable}: {error}"
    last = done.stderr.strip().rpartition("\n")[2]
    return f"cannot read the code in {CODE} and {sys.prefix}: {last}" if done.returncode != 0 else ""
