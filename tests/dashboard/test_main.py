"""`python -m dashboard` as a process: what it needs, and what it is told whatever the current directory is."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from dashboard.__main__ import CANNOT_START, port_in
from dashboard.index import content_security_policy, index_html

ROOT = Path(__file__).parents[2]
ASK_FOR_OPTIONS = """
from streamlit import config
from dashboard.asgi import create_app
from dashboard.context import catalogue
from dashboard.live import hub

create_app(catalogue(), hub(), host="127.0.0.1", port=3000)
names = ("runner.postScriptGC", "browser.gatherUsageStats", "client.showErrorDetails", "theme.font")
print([config.get_option(name) for name in names])
"""


def python(*words: str, folder: Path, **variables: str) -> "subprocess.CompletedProcess[str]":
    environ = {name: value for name, value in os.environ.items() if not name.startswith("DUETIME_")}
    environ |= {"PYTHONPATH": str(ROOT), **variables}
    command = [sys.executable, *words]
    return subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, timeout=60, check=False)


def test_without_a_database_it_says_what_to_set(tmp_path: Path) -> None:
    done = python("-m", "dashboard", folder=tmp_path)
    assert done.returncode == CANNOT_START
    assert "DUETIME_DATABASE_URL is not set. Set it to postgresql://" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_unprotected_address_is_refused(tmp_path: Path) -> None:
    url = "postgresql://nobody@127.0.0.1:9/nothing"
    done = python("-m", "dashboard", folder=tmp_path, DUETIME_DATABASE_URL=url, DUETIME_HOST="0.0.0.0")  # noqa: S104
    assert done.returncode == CANNOT_START
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("text", ["http", "0", "65536", "-1", "3_000", "٣"])
def test_a_port_is_a_number_of_a_port(text: str) -> None:
    with pytest.raises(ValueError, match="DUETIME_PORT"):
        port_in({"DUETIME_PORT": text})


def test_a_port_that_is_not_named_is_3000() -> None:
    assert port_in({}) == 3000
    assert port_in({"DUETIME_PORT": "8080"}) == 8080


def test_the_settings_hold_whatever_the_current_directory_is(tmp_path: Path) -> None:
    url = "postgresql://nobody@127.0.0.1:9/nothing"
    done = python("-c", ASK_FOR_OPTIONS, folder=tmp_path, DUETIME_DATABASE_URL=url)
    assert done.stdout.strip() == "[False, False, 'none', 'Inter, system-ui, sans-serif']", done.stderr


def test_the_policy_names_every_script_of_the_page() -> None:
    assert index_html().count("<script>") == content_security_policy().count("'sha256-")
    assert "fonts.g" not in index_html()
