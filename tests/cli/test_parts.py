"""What each part is told, and what is kept from it."""

import argparse
import shlex
from pathlib import Path

import yaml
from uvicorn.importer import import_from_string

from cli.parts import CONNECTIONS, Part, Role, migrations, parts
from cli.settings import Settings, add_up_options, settings_of
from db.http_connections import BoundedConnection

CATALOGUE = "postgresql://u:catalogue-key@h/duetime"
ENVIRON = {
    "PATH": "/bin",
    "LC_ALL": "C",
    "AWS_SECRET_ACCESS_KEY": "cloud-key",
    "PREFECT_API_KEY": "prefect-cloud-key",
    "PREFECT_API_URL": "https://elsewhere",
    "DUETIME_PASSWORD": "door-key",
    "DUETIME_PREFECT_DATABASE_URL": "postgresql://u:prefect-key@h/p",
    "DUETIME_SECRET_KEYS": "secret-key",
    "DUETIME_PREFECT_AUTH": "duetime:auth-key",
}


def settings(*words: str) -> Settings:
    parser = argparse.ArgumentParser()
    add_up_options(parser, {})
    return settings_of(parser.parse_args(words), ENVIRON)


def named(*words: str) -> dict[str, Part]:
    return {part.name: part for part in parts(settings(*words), CATALOGUE, ENVIRON)}


def told(part: Part, secret: str) -> bool:
    return any(secret in value for value in part.environment.values())


def test_there_is_one_of_each_and_as_many_workers_as_wanted() -> None:
    found = named("--workers", "3")
    assert list(found) == ["prefect", "dashboard", "reconciler", "worker-1", "worker-2", "worker-3"]
    names = {found[f"worker-{n}"].command[-1] for n in (1, 2, 3)}
    assert len(names) == 3
    assert {part.role for part in found.values()} == set(Role) - {Role.UP, Role.POSTGRES}


def test_nobody_inherits_a_key_and_each_is_told_only_its_own() -> None:
    who_knows = {
        secret: {name for name, part in named().items() if told(part, secret)}
        for secret in (
            *("cloud-key", "prefect-cloud-key", "elsewhere", "door-key"),
            *("catalogue-key", "prefect-key", "secret-key", "auth-key"),
        )
    }
    assert who_knows == {
        "cloud-key": set(),
        "prefect-cloud-key": set(),
        "elsewhere": set(),
        "door-key": {"dashboard"},
        "catalogue-key": {"dashboard", "reconciler", "worker-1"},
        "prefect-key": {"prefect", "worker-1"},
        "secret-key": {"dashboard", "reconciler", "worker-1"},
        "auth-key": {"prefect", "dashboard", "reconciler", "worker-1"},
    }


def test_prefect_asks_the_catalogue_for_accounts_only_where_it_may_do_without_the_string() -> None:
    alone = {"DUETIME_PREFECT_AUTH": "duetime:kept", "DUETIME_PREFECT_AUTH_FILE": "/data/prefect-auth"}
    for environ, may_be_open in (
        (alone, True),
        (alone | {"DUETIME_PASSWORD": "door-key"}, False),
        (alone | {"DUETIME_OIDC_ISSUER": "https://id.example"}, False),
        (alone | {"DUETIME_PREFECT_HOSTS": "prefect.example"}, False),
        ({"DUETIME_PREFECT_AUTH": "duetime:chosen"}, False),
    ):
        prefect = parts(settings(), CATALOGUE, environ)[0]
        assert told(prefect, CATALOGUE) == may_be_open
        assert prefect.environment["PREFECT_SERVER_API_AUTH_STRING"] == environ["DUETIME_PREFECT_AUTH"]


def test_further_names_of_prefect_are_for_its_guard() -> None:
    found = parts(settings(), CATALOGUE, {"DUETIME_PREFECT_HOSTS": "prefect.example"})
    assert [part.name for part in found if told(part, "prefect.example")] == ["prefect", "dashboard"]


def test_a_part_that_is_shown_does_not_show_its_keys() -> None:
    assert not any("key" in repr(part) for part in named().values())


def test_prefect_stays_on_loopback_wherever_the_dashboard_listens() -> None:
    found = named("--host", "10.0.0.1", "--prefect-port", "4999")
    command = found["prefect"].command
    assert command[command.index("--host") + 1] == "127.0.0.1"
    assert found["dashboard"].environment["DUETIME_HOST"] == "10.0.0.1"
    assert found["worker-1"].environment["PREFECT_API_URL"] == "http://127.0.0.1:4999/api"


def test_the_migrations_know_both_databases() -> None:
    part = migrations(settings(), CATALOGUE, ENVIRON)
    assert told(part, "catalogue-key")
    assert told(part, "prefect-key")
    assert not told(part, "door-key")


def test_where_a_proxy_is_named_every_part_asks_the_others_directly() -> None:
    environ = ENVIRON | {"HTTP_PROXY": "http://proxy:3128"}
    for part in (*parts(settings(), CATALOGUE, environ), migrations(settings(), CATALOGUE, environ)):
        assert part.environment["HTTP_PROXY"] == "http://proxy:3128"
        assert "127.0.0.1" in part.environment["NO_PROXY"].split(",")
        assert part.environment["NO_PROXY"] == part.environment["no_proxy"]


def test_prefect_is_served_alike_here_and_in_containers() -> None:
    compose = yaml.safe_load((Path(__file__).parents[2] / "docker-compose.yml").read_text())
    contained = shlex.split(compose["services"]["prefect-server"]["command"])
    here = list(named()["prefect"].command)
    for words in (here, contained):
        assert words[words.index("--http") + 1] == CONNECTIONS
    assert import_from_string(CONNECTIONS) is BoundedConnection
