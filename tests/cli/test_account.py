"""`duetime account`: with the first one, people are told who else needs to know something now."""

import io
from pathlib import Path

import pytest

from cli.main import main
from db.engine import Catalogue

PASSWORD = "correct horse battery"


def test_the_first_account_tells_who_needs_prefects_string_and_where_it_is(
    catalogue: Catalogue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = tmp_path / "prefect-auth"
    kept.write_text("duetime:string\n")

    def add(name: str) -> str:
        monkeypatch.setattr("sys.stdin", io.StringIO(f"{PASSWORD}\n"))
        words = ["account", "add", name, "--role", "admin", "--database-url", catalogue.url]
        assert main([*words, "--data-dir", str(tmp_path)]) == 0
        return capsys.readouterr().out

    first, second = add("ada"), add("ben")
    assert "workers on other machines, the prefect CLI" in first
    assert f'export PREFECT_API_AUTH_STRING="$(cat {kept})"' in first
    assert "duetime:string" not in first
    assert second == "ben may sign in now, as admin.\n"
