"""The folder of all state is one system's alone."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cli.console import Refused
from cli.data_folder import LOG_BYTES, DataFolder

HOLD = "import sys; from pathlib import Path; from cli.data_folder import DataFolder as F\n"
HOLD += "with F(Path(sys.argv[1])).held(with_postgres=False): print('held', flush=True); sys.stdin.read()"


def test_a_folder_that_a_living_process_holds_is_refused_and_free_once_it_is_killed(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path / "data")
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, folder.path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(Refused, match=rf"pid {holder.pid}\).*--data-dir"), folder.held(with_postgres=False):
            pass
        holder.kill()
    with folder.held(with_postgres=False):
        pass


def test_what_is_inside_is_for_its_owner_only(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path / "new" / "data")
    with folder.held(with_postgres=False):
        os.close(folder.open_log("part"))
    for path in (folder.path, folder.logs, folder.log_of("part")):
        assert path.stat().st_mode & 0o077 == 0, path


def test_a_folder_that_cannot_be_made_is_refused_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(Refused, match=r"(?s)file/data can't be used: .*Not a directory.*--data-dir"),
        DataFolder(tmp_path / "file" / "data").held(with_postgres=False),
    ):
        pass


def test_a_full_disk_is_said_so(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path / "data")
    with folder.held(with_postgres=False):
        pass
    (folder.path / "lock").unlink()
    (folder.path / "lock").symlink_to("/dev/full")
    with pytest.raises(Refused, match=r"No space left on device.*free some space"), folder.held(with_postgres=False):
        pass


def test_a_log_goes_on_where_it_ended_and_is_put_aside_when_it_is_too_long(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path / "data")
    with folder.held(with_postgres=False):
        for text in (b"one\n\n", b"two\n"):
            write(folder, text)
        assert folder.last_lines("part") == ["one", "two"]
        assert folder.last_lines("part", since_byte=5) == ["two"]
        write(folder, b"x" * LOG_BYTES)
        write(folder, b"new\n")
        assert folder.last_lines("part") == ["new"]
        assert folder.log_of("part").with_suffix(".log.1").stat().st_size > LOG_BYTES


def write(folder: DataFolder, text: bytes) -> None:
    log = folder.open_log("part")
    os.write(log, text)
    os.close(log)
