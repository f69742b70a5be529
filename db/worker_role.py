"""The PostgreSQL role of workers: it claims runs, reports on them and logs, and nothing else.

A worker runs what others have written, as the same user: so whatever it may do, a task may do that goes looking for its
credentials. What it may do stands here, as grants, and is granted anew whenever the databases are brought up to date.
"""

from collections.abc import Sequence
from contextlib import suppress
from urllib.parse import quote, unquote, urlsplit

import psycopg
from psycopg import errors, sql

from db.connections import PATIENT, connect

LOCK = 7_463_004  # any number that nobody else locks in these databases
ATTEMPTS = 10
WRITTEN_MEANWHILE = (errors.InternalError_, errors.UniqueViolation, errors.DuplicateObject)
"""The first is "tuple concurrently updated", which has no class of its own."""
CATALOGUE = (
    "GRANT SELECT ON tasks, task_status, due_times, runs, run_requests, workers, housekeeping_requests TO {role}",
    "GRANT SELECT (name, sealed) ON secrets TO {role}",
    # Whoever locks a row has to be allowed to change some column: this one is generated, so nobody can.
    "GRANT UPDATE (kind) ON tasks TO {role}",
    "GRANT UPDATE (planned_until, last_run_id, last_due_at, last_state) ON task_status TO {role}",
    "GRANT INSERT, UPDATE ON due_times, runs TO {role}",
    "GRANT INSERT ON run_logs, run_requests TO {role}",
    "GRANT USAGE ON SEQUENCE run_logs_line TO {role}",
    "GRANT INSERT, UPDATE (heartbeat_at, stopped_at, holds, claims_fail_since, claims_fail_why, loop_lag_seconds)"
    " ON workers TO {role}",
    "GRANT SELECT, INSERT, UPDATE ON loop_failures TO {role}",
    "GRANT INSERT (id, requested_at, kept) ON housekeeping_requests TO {role}",
)
PREFECT = (
    # What the accelerator reads and writes (flows/accelerator_writes.py, accelerator_reads.py, accelerator_facts.py).
    "GRANT SELECT ON alembic_version, flow, deployment, work_queue, work_pool, flow_run, flow_run_state TO {role}",
    "GRANT INSERT ON flow_run_state TO {role}",
    "GRANT UPDATE (state_id, state_type, state_name, state_timestamp, run_count, start_time, end_time, total_run_time,"
    " next_scheduled_start_time, updated) ON flow_run TO {role}",
)


class RoleRefused(Exception):
    """The role cannot be made or given its rights; the message says the cure."""


def role_of(catalogue_url: str) -> str:
    """`duetime_worker` beside the database `duetime`: roles belong to the whole server, which may have several."""
    return f"{unquote(urlsplit(catalogue_url).path.strip('/'))}_worker"[:63]


def url_of(database_url: str, *, role: str, password: str) -> str:
    """The address of a database as this role comes to it."""
    parts = urlsplit(database_url)
    host = parts.netloc.rpartition("@")[2]
    return parts._replace(netloc=f"{quote(role, safe='')}:{quote(password, safe='')}@{host}").geturl()


def prepare(catalogue_url: str, prefect_url: str | None, *, password: str, role: str | None = None) -> bool:
    """Makes the role, with this password and these rights alone; its name is the catalogue's if not given.

    False where Prefect's tables are others than those known here: then it may do nothing with them.

    Raises:
        RoleRefused: the owner of the catalogue may not make roles, or PostgreSQL does not answer.
    """
    role = role or role_of(catalogue_url)
    try:
        _grant(catalogue_url, CATALOGUE, role=role, password=password)
        if prefect_url is not None:
            _grant(prefect_url, PREFECT, role=role, password=password)
    except (errors.UndefinedTable, errors.UndefinedColumn):
        return False
    except errors.InsufficientPrivilege as error:
        raise RoleRefused(
            f"The role {role} cannot be made: {str(error).strip()}. Let the owner of the catalogue make roles (ALTER "
            "ROLE ... CREATEROLE), or unset DUETIME_WORKER_PASSWORD_FILE: then workers come as the owner."
        ) from error
    except psycopg.OperationalError as error:
        raise RoleRefused(f"PostgreSQL does not answer: {str(error).strip()}.") from error
    return True


def _grant(url: str, rights: Sequence[str], *, role: str, password: str) -> None:
    # Roles belong to the whole server and the lock to one database: from another one, the same role may be written too.
    for _ in range(ATTEMPTS - 1):
        with suppress(*WRITTEN_MEANWHILE):
            return _grant_once(url, rights, role=role, password=password)
    return _grant_once(url, rights, role=role, password=password)


def _grant_once(url: str, rights: Sequence[str], *, role: str, password: str) -> None:
    name = sql.Identifier(role)
    with connect(url, application_name="duetime-migrate", limits=PATIENT) as connection:
        connection.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK])
        there = connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [role]).fetchone()
        verb = sql.SQL("ALTER" if there else "CREATE")
        connection.execute(sql.SQL("{} ROLE {} LOGIN PASSWORD {}").format(verb, name, sql.Literal(password)))
        for kind in ("TABLES", "SEQUENCES"):
            what = sql.SQL("REVOKE ALL ON ALL {} IN SCHEMA public FROM {}")
            connection.execute(what.format(sql.SQL(kind), name))
        connection.execute(sql.SQL("GRANT USAGE ON SCHEMA public TO {}").format(name))
        for right in rights:
            connection.execute(sql.SQL(right).format(role=name))
