"""The folder of all state is one system's alone."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from cli import logs
from cli.console import Refused
from cli.data_folder import DataFolder
from cli.logs import LOG_BYTES

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
        assert folder.last_lines("part") == folder.last_lines("part", since_byte=LOG_BYTES) == ["new"]
        assert folder.log_of("part").with_suffix(".log.1").stat().st_size == LOG_BYTES


def test_a_log_is_bounded_while_it_is_written_and_its_end_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "LOG_BYTES", 1000)
    folder = DataFolder(tmp_path / "data")
    with folder.held(with_postgres=False):
        log = folder.open_log("part")
        for number in range(300):
            os.write(log, b"line %d\n" % number)
            folder.bound_logs()
        os.close(log)
        sizes = {path.name: path.stat().st_size for path in folder.logs.iterdir()}
        assert set(sizes) == {"part.log", "part.log.1"}
        assert all(0 < size <= 1000 for size in sizes.values())
        kept = (folder.logs / "part.log.1").read_text() + folder.log_of("part").read_text()
        lines = kept.splitlines()[1:]
        assert lines == [f"line {number}" for number in range(300 - len(lines), 300)]
        assert (folder.logs / "part.log.1").stat().st_mode & 0o077 == 0


def test_a_log_is_bounded_on_a_disk_without_room_for_its_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(logs, "LOG_BYTES", 1000)
    monkeypatch.setattr("cli.logs.shutil.copyfileobj", full)
    folder = DataFolder(tmp_path / "data")
    with folder.held(with_postgres=False):
        write(folder, b"x" * 2000)
        folder.bound_logs()
        assert [(path.name, path.stat().st_size) for path in folder.logs.iterdir()] == [("part.log", 0)]


def test_where_no_log_can_be_opened_what_is_printed_is_dropped(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = DataFolder(tmp_path / "data")
    with folder.held(with_postgres=False):
        folder.log_of("part").mkdir()
        write(folder, b"lost\n")
    assert "so what part prints is lost: " in capsys.readouterr().err


def test_a_disk_without_room_for_a_log_keeps_no_part_from_starting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(logs, "free_bytes", lambda _folder: 4096)
    folder = DataFolder(tmp_path / "data")
    with folder.held(with_postgres=False):
        write(folder, b"lost\n")
    assert not folder.log_of("part").exists()
    assert "No space left on device" in capsys.readouterr().err


def write(folder: DataFolder, text: bytes) -> None:
    log = folder.open_log("part")
    os.write(log, text)
    os.close(log)
