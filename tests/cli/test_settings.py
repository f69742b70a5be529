"""What a person can choose, and how what is wrong is said."""

import argparse
from pathlib import Path

import pytest

from cli.settings import Settings, add_up_options, for_libpq, for_prefect, prefect_database, settings_of


def choose(*words: str, **environ: str) -> Settings:
    parser = argparse.ArgumentParser()
    add_up_options(parser, environ)
    return settings_of(parser.parse_args(words), environ)


def test_without_a_choice_everything_is_on_loopback_and_in_the_current_folder() -> None:
    assert choose() == Settings("127.0.0.1", 3000, 4200, Path(".duetime").absolute(), 1, None, None)


def test_every_option_has_a_variable_of_its_name_and_wins_over_it() -> None:
    environ = {
        "DUETIME_HOST": "10.0.0.1",
        "DUETIME_PORT": "1",
        "DUETIME_PREFECT_PORT": "2",
        "DUETIME_DATA_DIR": "/variable",
        "DUETIME_WORKERS": "3",
        "DUETIME_DATABASE_URL": "postgresql://variable/a",
    }
    by_variable = choose(**environ)
    assert by_variable == Settings("10.0.0.1", 1, 2, Path("/variable"), 3, "postgresql://variable/a", None)
    words = "--host ::1 --port 11 --prefect-port 12 --data-dir /option --workers 13 --database-url postgresql://o/b"
    assert choose(*words.split(), **environ) == Settings("::1", 11, 12, Path("/option"), 13, "postgresql://o/b", None)


def test_an_empty_variable_is_no_choice() -> None:
    assert choose(DUETIME_PORT="", DUETIME_DATABASE_URL="", DUETIME_PREFECT_DATABASE_URL="") == choose()


@pytest.mark.parametrize("value", ["0", "65536", "-1", "http", "80.5", "³"])
def test_a_port_that_is_none_is_refused_with_option_and_variable(
    value: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for words, environ in (((f"--port={value}",), {}), ((), {"DUETIME_PORT": value})):
        with pytest.raises(SystemExit) as ended:
            choose(*words, **environ)
        said = capsys.readouterr().err
        assert ended.value.code == 2
        assert "--port: expected a number from 1 to 65535" in said
        assert value in said
        assert "DUETIME_PORT" in said


@pytest.mark.parametrize("url", ["mysql://host/db", "host/db", "postgresql://host", "postgresql://host/"])
def test_a_database_url_that_names_no_postgresql_database_is_refused(
    url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        choose("--database-url", url)
    assert "postgresql://user:password@host/database" in capsys.readouterr().err


def test_one_port_for_two_doors_is_refused() -> None:
    with pytest.raises(ValueError, match="--port and --prefect-port are both 5"):
        choose("--port", "5", "--prefect-port", "5")


@pytest.mark.parametrize(
    ("host", "url"),
    [("127.0.0.1", "http://127.0.0.1:3000"), ("0.0.0.0", "http://127.0.0.1:3000"), ("::1", "http://[::1]:3000")],  # noqa: S104
)
def test_the_ready_line_names_addresses_that_work_here(host: str, url: str) -> None:
    ready = f"duetime ready: {url} (dashboard) {url}/api (API) http://127.0.0.1:4200 (Prefect)"
    assert choose("--host", host).ready_line == ready


def test_prefects_database_lies_beside_the_catalogue() -> None:
    assert prefect_database("postgresql://u:p%40@h:1/duetime?sslmode=require") == (
        "postgresql://u:p%40@h:1/duetime_prefect?sslmode=require"
    )


def test_an_address_is_put_into_the_words_of_prefects_driver_and_back() -> None:
    ours = "postgresql://u:p%40@h:1/d?sslmode=require&passfile=%2Fs%2Fpgpass&application_name=x"
    theirs = "postgresql+asyncpg://u:p%40@h:1/d?ssl=require&passfile=%2Fs%2Fpgpass"
    assert for_prefect(ours) == theirs
    assert for_prefect(theirs) == theirs
    assert for_libpq(theirs) == "postgresql://u:p%40@h:1/d?sslmode=require&passfile=%2Fs%2Fpgpass"
    assert for_libpq(ours) == ours
