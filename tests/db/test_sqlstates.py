"""What errors of PostgreSQL mean, every one that it knows, and that the catalogue is itself again after each."""

import psycopg
import pytest
from psycopg import errors
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from db.engine import Catalogue
from db.errors import CatalogueUnavailable
from db.sqlstates import Meaning, is_missing_partition, meaning_of, unavailable, wants_another_connection

CODES = {
    Meaning.AWAY: """
        08000 08003 08006 25006 25P03 25P04 26000 42P05 53000 53100 53200 53300 53400 57000 57014 57P01 57P02 57P03
        57P05 40001 40003 40P01 55P03 55006 58000 58030 28000 28P01 3D000 XX000 XX001 XX002""",
    Meaning.REFUSED: "22000 22001 22003 22007 22021 22P02 22P05 23502 23503 23505 23514 23P01 54000 54001",
    Meaning.MISTAKE: "42P01 42703 42501 42601",
}
MEANINGS = [(state, meaning) for meaning, states in CODES.items() for state in states.split()]
AWAY = CODES[Meaning.AWAY].split()
EVERY_STATE = sorted(errors._sqlcodes)


def raised(state: str) -> psycopg.Error:
    """As psycopg would raise it."""
    return errors.lookup(state)("it failed")


@pytest.mark.parametrize(("state", "meaning"), MEANINGS)
def test_a_state_is_away_refused_or_a_mistake(state: str, meaning: Meaning) -> None:
    assert meaning_of(raised(state)) is meaning


def test_every_state_that_psycopg_knows_has_a_meaning_and_a_sentence() -> None:
    assert len(EVERY_STATE) > 200
    for state in EVERY_STATE:
        error = raised(state)
        assert meaning_of(DBAPIError("SELECT 1", None, error)) is meaning_of(error)
        assert str(unavailable(error)).endswith("Nothing is lost: try again when it is back.")


@pytest.mark.parametrize("value", ["a\0b", "a\udcffb"], ids=["NUL", "surrogate"])
def test_values_that_cannot_even_be_sent_are_refused(catalogue: Catalogue, value: str) -> None:
    with pytest.raises((DBAPIError, ValueError)) as failure, catalogue.transaction() as session:
        session.execute(text("INSERT INTO heartbeats (part, at) VALUES (:value, now())"), {"value": value})
    assert meaning_of(failure.value) is Meaning.REFUSED


def test_a_month_without_a_table_is_told_from_other_checks(catalogue: Catalogue) -> None:
    line = "INSERT INTO run_logs (run_id, at, level, stream, message) VALUES (gen_random_uuid(), :at, :level, 'x', '')"
    with pytest.raises(DBAPIError) as failure, catalogue.transaction() as session:
        session.execute(text(line), {"at": "1999-01-01T00:00:00Z", "level": "info"})
    assert is_missing_partition(failure.value)
    with pytest.raises(DBAPIError) as failure, catalogue.transaction() as session:
        session.execute(
            text("INSERT INTO accounts (id, name, role, created_at) VALUES (gen_random_uuid(), '', '', now())")
        )
    assert not is_missing_partition(failure.value)


@pytest.mark.parametrize("state", AWAY)
def test_the_next_transaction_goes_well_after_any_of_them(catalogue: Catalogue, state: str) -> None:
    """Raised by PostgreSQL itself, within a transaction of a pool that does not look first."""
    once = Catalogue(catalogue.url, pool_size=1, same_statements=True)
    raise_it = f"DO $$ BEGIN RAISE EXCEPTION 'it failed' USING ERRCODE = '{state}'; END $$"
    with pytest.raises(CatalogueUnavailable), once.transaction() as session:
        session.execute(text(raise_it))
    with once.transaction() as session:
        assert session.scalar(text("SELECT 1")) == 1
    once.close()


def test_a_catalogue_that_became_read_only_is_written_to_again_over_new_connections(catalogue: Catalogue) -> None:
    write = text("INSERT INTO heartbeats (part, at) VALUES ('x', now()) ON CONFLICT DO NOTHING")
    for setting in ("on", "off"):
        # What a failover leaves: connections that still answer, and take no writes.
        with catalogue.transaction() as session:
            session.execute(text(f"SET SESSION default_transaction_read_only = {setting}"))
        if setting == "on":
            with pytest.raises(CatalogueUnavailable, match="takes no writes"), catalogue.transaction() as session:
                session.execute(write)
        with catalogue.transaction() as session:
            session.execute(write)


def test_a_plan_that_a_migration_has_made_void_is_made_anew(catalogue: Catalogue) -> None:
    once = Catalogue(catalogue.url, pool_size=1, same_statements=True)
    with catalogue.transaction() as session:
        session.execute(text("CREATE TABLE t (a int)"))
    for _ in range(3):
        with once.transaction() as session:
            session.execute(text("SELECT * FROM t"))
    with catalogue.transaction() as session:
        session.execute(text("ALTER TABLE t ADD b int"))
    with pytest.raises(CatalogueUnavailable) as failure, once.transaction() as session:
        session.execute(text("SELECT * FROM t"))
    assert wants_another_connection(failure.value.__cause__ or failure.value)
    with once.transaction() as session:
        session.execute(text("SELECT * FROM t"))
    once.close()


def test_a_wrong_password_is_told_as_one(catalogue: Catalogue) -> None:
    head, _, host = catalogue.url.rpartition("@")
    wrong = Catalogue(f"{head.rpartition(':')[0]}:wrong@{host}")
    with pytest.raises(CatalogueUnavailable, match="does not let this user in"), wrong.transaction() as session:
        session.execute(text("SELECT 1"))
    wrong.close()
