"""Which process is which part, and what changes in its environment."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults.disturbances.network.wiring import install, part_of, rewired

WORDS = {
    "prefect": "python -P -m uvicorn --factory flows.prefect_app:create_app --host 127.0.0.1 --port 4200",
    "dashboard": "python -P -m dashboard",
    "reconciler": "python -P -m reconciler",
    "worker-2": "python -P -m prefect worker start --pool default --type warm --name machine-2",
    None: "python -P -m cli.arrivals 2026-11-24T12:00:00+00:00",
}
ENVIRONMENT = {
    "DUETIME_DATABASE_URL": "postgresql://duetime_worker:a%40127.0.0.1@127.0.0.1:20001/duetime",
    "PREFECT_SERVER_DATABASE_CONNECTION_URL": "postgresql+asyncpg://postgres:secret@127.0.0.1:20001/duetime_prefect",
    "PREFECT_API_URL": "http://127.0.0.1:4200/api",
    "HOME": "/root",
}


@pytest.mark.parametrize(("part", "words"), WORDS.items())
def test_a_part_is_known_by_its_command(part: str | None, words: str) -> None:
    assert part_of(words.split()) == part


def test_ports_change_and_nothing_else() -> None:
    assert rewired(ENVIRONMENT, {"postgres": 1, "prefect": 2}) == {
        "DUETIME_DATABASE_URL": "postgresql://duetime_worker:a%40127.0.0.1@127.0.0.1:1/duetime",
        "PREFECT_SERVER_DATABASE_CONNECTION_URL": "postgresql+asyncpg://postgres:secret@127.0.0.1:1/duetime_prefect",
        "PREFECT_API_URL": "http://127.0.0.1:2/api",
    }
    assert "PREFECT_API_URL" not in rewired(ENVIRONMENT, {"postgres": 1})


def test_a_python_with_the_folder_in_its_path_has_the_other_address(tmp_path: Path) -> None:
    install(tmp_path / "wiring", {"reconciler": {"postgres": 1, "prefect": 2}})
    (tmp_path / "reconciler.py").write_text("import os; print(os.environ['PREFECT_API_URL'])")
    environment = {**ENVIRONMENT, "PATH": os.defpath, "PYTHONPATH": f"{tmp_path / 'wiring'}:{tmp_path}"}
    command = [sys.executable, "-P", "-m", "reconciler"]
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "http://127.0.0.1:2/api"
