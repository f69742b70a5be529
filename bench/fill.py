"""A catalogue as it is after a year: fills an empty database with tasks, due times, runs and log lines.

    python -m bench.fill --database-url postgresql://... [--scale 0.05]
      [--tasks 100000] [--runs 10000000] [--due-times 50000000] [--lines 50000000]

Tasks of every kind, in several time zones, some paused, deleted or failing; a few are due every minute. What is due
agrees with the schedules, so that an audit finds nothing. Each month is made as a table of its own, filled in the order
of time, and attached, which builds its indexes. Where the server has `wal_level=minimal`, nothing of that is logged.
"""

import argparse
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, LiteralString

import psycopg
from psycopg import sql
from psycopg.types.json import Jsonb

from db.engine import Catalogue
from db.migrate import migrate
from db.partitions import PARTITIONED, first_of_month
from db.specs import as_document, parse_task

MONTHS_KEPT = 12
MONTHS_TO_COME = 3
COMPLETE = timedelta(days=7)
"""So long all runs are there; of those before, a part, as if the others had been removed."""
SHARES = {"minute": 0.05, "five": 0.10, "hour": 0.30, "four": 0.25, "day": 0.25, "week": 0.05}
"""Of the due times, by how often their tasks are due."""
PER_DAY = {"minute": 1440.0, "five": 288.0, "hour": 24.0, "four": 6.0, "day": 1.0, "week": 1 / 7}

ACTIONS: Mapping[str, Any] = {
    "shell": {"command": "pg_dump --format=custom $SOURCE | gzip > /backups/$(date +%F).gz", "env": {"SOURCE": "shop"}},
    "http": {"url": "https://intranet.example.com/hooks/refresh", "headers": {"Accept": "application/json"}},
    "python": {"callable": "reports.monthly:build", "kwargs": {"region": "emea", "currency": "EUR"}},
    "flow": {"entrypoint": "flows/etl.py:load", "parameters": {"table": "orders"}},
}

PLAN = """
CREATE TEMP TABLE plan AS
SELECT number, md5('task ' || number)::uuid AS id, how, zone, minute, hour, dow,
  CASE how WHEN 'minute' THEN '* * * * *' WHEN 'five' THEN format('%%s-59/5 * * * *', minute %% 5)
    WHEN 'hour' THEN format('%%s * * * *', minute) WHEN 'four' THEN format('%%s %%s-23/4 * * *', minute, hour %% 4)
    WHEN 'day' THEN format('%%s %%s * * *', minute, hour)
    WHEN 'week' THEN format('%%s %%s * * %%s', minute, hour, dow) END AS cron,
  CASE how WHEN 'minute' THEN interval '1 min' WHEN 'five' THEN interval '5 min'
    WHEN 'hour' THEN interval '1 hour' WHEN 'four' THEN interval '4 hours' END AS every,
  CASE how WHEN 'minute' THEN interval '0' WHEN 'five' THEN interval '1 min' * (minute %% 5)
    WHEN 'hour' THEN interval '1 min' * minute
    WHEN 'four' THEN interval '1 hour' * (hour %% 4) + interval '1 min' * minute END AS phase,
  CASE WHEN how = 'once' THEN %(since)s + interval '1 day' * (number %% 430) + interval '1 min' * minute END AS once_at,
  %(since)s - interval '1 day' * (number %% 400 + 1) AS born,
  CASE WHEN number = 1 THEN 1500 WHEN number %% 5 = 0 THEN 2 + number %% 4 ELSE 1 END AS edits,
  CASE WHEN number %% 33 = 7 THEN %(now)s - interval '3 days' - interval '1 hour' * (number %% 400) END AS paused_at,
  CASE WHEN number %% 100 = 9 THEN %(now)s - interval '3 days' - interval '1 hour' * (number %% 500) END AS deleted_at,
  number %% 50 = 3 AS failing,
  (ARRAY['shell', 'shell', 'shell', 'shell', 'shell', 'shell', 'http', 'http', 'python', 'flow'])[number %% 10 + 1]
    AS kind,
  format('%%s %%s for %%s %%s',
    (ARRAY['Export', 'Sync', 'Back up', 'Sync', 'Clean', 'Sync', 'Check', 'Sync', 'Send', 'Sync', 'Refresh'])
      [1 + number * 7 %% 11],
    (ARRAY['invoices', 'orders', 'the warehouse', 'certificates', 'reports', 'mailboxes', 'sessions', 'prices',
           'stock levels', 'payments', 'thumbnails', 'search index', 'Überweisungen'])[1 + number * 11 %% 13],
    (ARRAY['billing', 'sales', 'Berlin', 'Tōkyō', 'support', 'legal', 'logistics', 'marketing', 'the web shop'])
      [1 + number * 5 %% 9], number) AS name
FROM (
  SELECT number, how, number * 13 %% 60 AS minute, 1 + number %% 6 AS dow,
    CASE WHEN how = 'day' AND number %% 10 = 0 THEN 4 ELSE 4 + number * 17 %% 20 END AS hour,
    (ARRAY['UTC', 'Europe/Berlin', 'America/New_York', 'Asia/Kolkata', 'UTC', 'Australia/Sydney'])
      [CASE WHEN how IN ('day', 'week') THEN 1 + number %% 6 ELSE 1 END] AS zone
  FROM generate_series(1, %(tasks)s) number
  CROSS JOIN LATERAL (SELECT CASE
    WHEN number <= %(minute)s THEN 'minute' WHEN number <= %(five)s THEN 'five' WHEN number <= %(hour)s THEN 'hour'
    WHEN number <= %(four)s THEN 'four' WHEN number <= %(day)s THEN 'day' WHEN number <= %(week)s THEN 'week'
    WHEN number %% 8 = 0 THEN 'once' ELSE 'manual' END AS how) which
) chosen;
CREATE UNIQUE INDEX ON plan (id);
ANALYZE plan
"""

TASKS = """
INSERT INTO tasks (id, spec, pause_reason, version, created_at, updated_at, deleted_at)
SELECT id, kinds.spec || jsonb_build_object(
    'name', name, 'paused', paused_at IS NOT NULL,
    'description', CASE WHEN number %% 3 = 0 THEN repeat('Ask the team before you change it. ', 4) ELSE '' END,
    'overlap', CASE WHEN number %% 4 = 1 THEN 'allow' WHEN number %% 40 = 2 THEN 'queue' ELSE 'skip' END,
    'on_crash', CASE WHEN number %% 2 = 0 THEN 'rerun' ELSE 'fail' END,
    'tags', (SELECT coalesce(jsonb_agg(tag ORDER BY tag), '[]'::jsonb) FROM (
        SELECT 'production' AS tag WHERE number %% 2 = 0
        UNION SELECT 'team-' || lpad((number %% 40)::text, 2, '0') WHERE number %% 3 > 0
        UNION SELECT 'critical' WHERE number %% 97 = 0 UNION SELECT 'only-here' WHERE number = 4711 %% %(tasks)s) tags),
    'schedule', CASE how WHEN 'manual' THEN jsonb_build_object('kind', 'manual')
        WHEN 'once' THEN jsonb_build_object('kind', 'once', 'at', to_char(once_at, 'YYYY-MM-DD"T"HH24:MI:SS"Z"'),
                                            'run_if_past', false)
        ELSE jsonb_build_object('kind', 'cron', 'cron', cron, 'timezone', zone) END),
  CASE WHEN paused_at IS NOT NULL THEN 'The source is moving.' END,
  edits + (paused_at IS NOT NULL)::int + (deleted_at IS NOT NULL)::int, born,
  coalesce(deleted_at, paused_at, CASE WHEN edits > 1 THEN %(now)s - interval '40 days' END, born), deleted_at
FROM plan JOIN kinds USING (kind)
"""

REVISIONS = """
INSERT INTO revisions (task_id, version, at, actor, change, spec, pause_reason)
SELECT p.id, v, CASE WHEN v = 1 THEN born WHEN v <= edits THEN born + (%(now)s - interval '40 days' - born) * v / edits
    WHEN v = edits + 1 AND paused_at IS NOT NULL THEN paused_at ELSE greatest(p.deleted_at, paused_at) END,
  (ARRAY['dashboard', 'api:anna', 'api', 'api:deploy'])[1 + (number + v) %% 4],
  CASE WHEN v = 1 THEN 'created' WHEN v <= edits THEN 'edited'
    WHEN v = edits + 1 AND paused_at IS NOT NULL THEN 'paused' ELSE 'deleted' END,
  CASE WHEN v <= edits THEN spec || '{"paused": false}' ELSE spec END,
  CASE WHEN v > edits THEN pause_reason END
FROM plan p JOIN tasks t USING (id) CROSS JOIN LATERAL generate_series(1, t.version) v
"""

AUDIT = """
INSERT INTO audit (at, actor, change, task_id, task_name, version)
SELECT r.at, r.actor, 'task.' || r.change, r.task_id, name, r.version
FROM revisions r JOIN plan ON id = r.task_id ORDER BY r.at
"""

WORKERS = """
INSERT INTO workers (id, name, work_pool, host, pid, started_at, heartbeat_at, stopped_at)
SELECT md5('worker ' || day || ' ' || k)::uuid, 'worker-' || k, 'default', 'node-' || k, 1000 + day %% 30000,
  greatest(to_timestamp(day * 86400.0), %(since)s), least(%(now)s, to_timestamp((day + 1) * 86400.0)),
  CASE WHEN day < %(today)s THEN to_timestamp((day + 1) * 86400.0) END
FROM generate_series(%(first_day)s::int, %(today)s::int) day, generate_series(0, 3) k
"""

MONTH_OF_DUE_TIMES = """
INSERT INTO {due_times} (task_id, due_at, task_version, outcome, reason, run_id, started_at, decided_at)
SELECT task_id, at, version, outcome,
  CASE WHEN paused THEN 'paused' WHEN outcome = 'skipped' THEN 'overlap' WHEN outcome = 'missed' THEN 'late'
    WHEN outcome = 'cancelled' THEN 'cancelled' WHEN outcome = 'unknown' THEN 'worker_lost' END,
  CASE WHEN outcome IN ('ran', 'running', 'unknown') THEN gen_random_uuid() END,
  CASE WHEN outcome IN ('ran', 'running', 'unknown') THEN started END,
  CASE WHEN outcome = 'ran' THEN least(started + interval '1 s' * exp(4 * random()), %(now)s)
    WHEN outcome = 'running' THEN NULL ELSE started END
FROM (
  SELECT id AS task_id, at, version, at >= paused_at IS TRUE AS paused,
    at + interval '1 s' * (0.004 + 2 * greatest(luck, 0.5) ^ 40) AS started,
    CASE WHEN at >= paused_at THEN 'skipped'
      WHEN at > %(now)s - interval '1 min' AND (luck < 0.5 OR how = 'minute') THEN 'running'
      WHEN at > %(now)s - interval '2 days' THEN 'ran' WHEN luck < 0.01 THEN 'skipped' WHEN luck < 0.012 THEN 'missed'
      WHEN luck < 0.0125 THEN 'cancelled' WHEN luck < 0.0128 THEN 'unknown' ELSE 'ran' END AS outcome
  FROM (
    SELECT id, how, paused_at, deleted_at, edits + (paused_at IS NOT NULL)::int AS version, at, random() AS luck
      FROM plan CROSS JOIN LATERAL generate_series(%(start)s + phase, %(end)s - interval '1 us', every) at
      WHERE every IS NOT NULL
    UNION ALL
    SELECT id, how, paused_at, deleted_at, edits + (paused_at IS NOT NULL)::int, at, random()
      FROM generate_series(%(start)s - interval '1 day', %(end)s, interval '1 day') day
      JOIN plan ON how = 'day' OR (how = 'week' AND dow = extract(dow FROM day AT TIME ZONE 'UTC'))
      CROSS JOIN LATERAL (SELECT ((day AT TIME ZONE 'UTC')::date + make_time(hour, minute, 0)) AT TIME ZONE zone AS at)
    UNION ALL
    SELECT id, how, paused_at, deleted_at, edits + (paused_at IS NOT NULL)::int, once_at, random()
      FROM plan WHERE how = 'once'
  ) due
  WHERE at >= %(start)s AND at < %(end)s AND at <= %(now)s AND (deleted_at IS NULL OR at < deleted_at)
  ORDER BY at
) decided
"""

PENDING = """
INSERT INTO due_times (task_id, due_at, task_version, outcome)
SELECT id, at, edits, 'pending' FROM plan CROSS JOIN LATERAL (
  SELECT at FROM (
    SELECT %(now)s::timestamptz + interval '1 us' * n AS at FROM generate_series(1, 0) n
    UNION ALL SELECT date_bin(every, %(now)s, %(today_start)s + phase) + every * n FROM generate_series(1, 60) n
      WHERE every IS NOT NULL AND (n <= 3 OR every * n <= interval '10 min')
    UNION ALL SELECT ((%(now)s AT TIME ZONE 'UTC')::date + n + make_time(hour, minute, 0)) AT TIME ZONE zone
      FROM generate_series(-1, 30) n WHERE how IN ('day', 'week')
        AND (how = 'day' OR dow = extract(dow FROM (%(now)s AT TIME ZONE 'UTC')::date + n))
    UNION ALL SELECT once_at
  ) ahead WHERE at > %(now)s AND at < %(newest)s ORDER BY at LIMIT CASE WHEN every < interval '4 min' THEN 10 ELSE 3 END
) next WHERE deleted_at IS NULL ORDER BY at
"""

MONTH_OF_RUNS = """
INSERT INTO {runs} (id, due_at, task_id, task_name, task_version, trigger, state, attempt, started_at, ended_at,
                    worker_id, worker, held_at, exit_code, error, reported)
SELECT id, due_at, task_id, name, version, 'schedule', state, CASE WHEN luck < 0.01 THEN 2 ELSE 1 END,
  started_at, decided_at,
  md5('worker ' || floor(extract(epoch FROM started_at) / 86400) || ' ' || k)::uuid, 'worker-' || k,
  due_at - interval '8 s', CASE state WHEN 'completed' THEN 0 WHEN 'failed' THEN 1 END,
  CASE state WHEN 'failed' THEN 'The command ended with exit code 1.' WHEN 'timed_out' THEN 'Timed out after 3600 s.'
    WHEN 'crashed' THEN 'The worker was lost.' END,
  started_at < %(now)s - interval '1 min'
FROM (
  SELECT d.run_id AS id, d.due_at, d.task_id, d.task_version AS version, d.started_at, d.decided_at, p.name, luck,
    floor(random() * 4)::int AS k,
    CASE WHEN outcome = 'running' THEN 'running' WHEN outcome = 'unknown' THEN 'crashed' WHEN failing THEN 'failed'
      WHEN luck < 0.02 THEN 'failed' WHEN luck < 0.0205 THEN 'timed_out' ELSE 'completed' END AS state
  FROM (SELECT *, random() AS luck FROM {due_times} WHERE run_id IS NOT NULL) d JOIN plan p ON p.id = d.task_id
  WHERE d.due_at >= %(complete)s OR how = 'minute' OR luck < %(kept)s OR outcome = 'unknown'
) made
"""

REQUESTS = """
CREATE TEMP TABLE asked AS
SELECT gen_random_uuid() AS id, gen_random_uuid() AS run_id, p.id AS task_id, name, edits AS version,
  %(now)s - (%(now)s - %(since)s) * random() AS at
FROM plan p, generate_series(1, 4) WHERE how = 'manual' AND number %% 10 < 9 AND deleted_at IS NULL;
INSERT INTO run_requests (id, task_id, requested_at, actor, trigger, due_at, not_before, attempt, run_id)
SELECT id, task_id, at, 'dashboard', 'manual', at, at, 1, run_id FROM asked;
INSERT INTO run_requests (id, task_id, requested_at, actor, trigger, due_at, not_before, attempt)
SELECT gen_random_uuid(), id, %(now)s, 'api', 'manual', %(now)s, %(now)s, 1 FROM plan WHERE number IN (11, 12, 13)
"""

MONTH_OF_ASKED_RUNS = """
INSERT INTO {runs} (id, due_at, task_id, task_name, task_version, trigger, state, started_at, ended_at, worker_id,
                    worker, held_at, exit_code)
SELECT run_id, at, task_id, name, version, 'manual', 'completed', at + interval '80 ms', at + interval '9 s',
  md5('worker ' || floor(extract(epoch FROM at) / 86400) || ' 0')::uuid, 'worker-0', at + interval '60 ms', 0
FROM asked WHERE at >= %(start)s AND at < %(end)s
"""

MONTH_OF_RERUNS = """
WITH lost AS (
  SELECT r.*, gen_random_uuid() AS next_id FROM {runs} r JOIN plan p ON p.id = r.task_id
  WHERE state = 'crashed' AND number %% 2 = 0),
made AS (
  INSERT INTO {runs} (id, due_at, task_id, task_name, task_version, trigger, state, attempt, started_at, ended_at,
                      worker_id, worker, held_at, rerun_of, exit_code)
  SELECT next_id, due_at, task_id, task_name, task_version, 'rerun', 'completed', 2, ended_at + interval '31 s',
    ended_at + interval '40 s', worker_id, worker, ended_at, id, 0 FROM lost),
asked AS (
  INSERT INTO run_requests (id, task_id, requested_at, actor, trigger, due_at, not_before, attempt, rerun_of, run_id)
  SELECT gen_random_uuid(), task_id, ended_at, 'duetime', 'rerun', due_at, ended_at, 2, id, next_id FROM lost)
UPDATE {due_times} d SET outcome = 'ran', reason = NULL, run_id = next_id, decided_at = l.ended_at + interval '40 s'
FROM lost l WHERE d.task_id = l.task_id AND d.due_at = l.due_at
"""

MONTH_OF_LINES = """
INSERT INTO {run_logs} (id, at, run_id, level, stream, message)
SELECT %(first_line)s + row_number() OVER (), started_at + interval '10 ms' * n, id,
  CASE WHEN n = count AND state = 'failed' THEN 'error' ELSE 'info' END,
  CASE WHEN n = count THEN 'system' WHEN n %% 7 = 6 THEN 'stderr' ELSE 'stdout' END,
  CASE WHEN n = count THEN state WHEN n = 1 THEN 'Connecting to db-3.internal ...'
    ELSE 'Copied ' || n * 1000 || ' rows of public.orders in 0.8 s (batch ' || n || ')' END
FROM (
  SELECT id, started_at, state, CASE WHEN luck < 0.00001 THEN 2000 ELSE ceil(random() * (2 * %(each)s - 1)) END AS count
  FROM (SELECT id, started_at, state, random() AS luck FROM {runs}) r WHERE started_at IS NOT NULL
) ran CROSS JOIN LATERAL generate_series(1, count::int) n WHERE started_at + interval '10 ms' * n < %(end)s
"""

LONG_LOG = """
INSERT INTO run_logs (at, run_id, level, stream, message)
SELECT started_at + interval '100 us' * n, r.id, 'info', 'stdout', 'Copied ' || n || ' rows' FROM (
  SELECT runs.* FROM runs JOIN plan p ON p.id = task_id WHERE how = 'minute' AND ended_at IS NOT NULL
  ORDER BY due_at DESC LIMIT 1) r CROSS JOIN LATERAL generate_series(1, %(long)s) n
"""

STATUS = """
INSERT INTO task_status (task_id, wanted_version, deployment_id, synced_version, sync_error, applied, planned_until,
                         last_run_id, last_due_at, last_state)
SELECT t.id, t.version, CASE WHEN t.deleted_at IS NULL THEN md5('deployment ' || number)::uuid END,
  CASE WHEN number %% 5000 = 17 THEN version - 1 ELSE version END,
  CASE WHEN number %% 3000 = 18 THEN 'Prefect would not take it: the flow is not there.' END,
  jsonb_build_object('schedule', t.spec -> 'schedule' ->> 'cron', 'schedule_id', md5('schedule ' || number)::uuid,
                     'name', t.name, 'tags', t.spec -> 'tags', 'work_pool', 'default', 'paused', t.paused),
  CASE WHEN how IN ('manual', 'once') THEN '9999-01-01' ELSE greatest(%(now)s + interval '10 min', ahead) END,
  r.id, r.due_at, r.state
FROM plan p JOIN tasks t USING (id)
LEFT JOIN LATERAL (SELECT max(due_at) AS ahead FROM due_times d WHERE d.task_id = p.id AND due_at > %(now)s) f ON true
LEFT JOIN LATERAL (
  SELECT id, due_at, state FROM runs WHERE task_id = p.id ORDER BY due_at DESC, runs.id DESC LIMIT 1) r ON true
"""

HEARTBEATS = """
INSERT INTO heartbeats (part, at, details) VALUES ('reconciler', %(now)s, '{}'), ('prefect', %(now)s, '{}'),
  ('audit', %(now)s, '{"due_times": 0, "accounted": 0, "waiting": 0, "discrepancy_count": 0, "discrepancies": []}')
"""


@dataclass(frozen=True, slots=True)
class Size:
    """How much to make; what comes out is about that."""

    tasks: int
    runs: int
    due_times: int
    lines: int


class Filler:
    """Fills one database, step by step, each in one transaction."""

    def __init__(self, connection: psycopg.Connection, size: Size, now: datetime) -> None:
        self._connection = connection
        self._size = size
        since = first_of_month(now, months_later=-MONTHS_KEPT)
        self._months = [first_of_month(now, months_later=m) for m in range(-MONTHS_KEPT, MONTHS_TO_COME + 1)]
        day = int(now.timestamp()) // 86400
        self._known: dict[str, Any] = {
            "now": now,
            "since": since,
            "newest": self._months[-1],
            "complete": now - COMPLETE,
            "first_day": int(since.timestamp()) // 86400,
            "today": day,
            "today_start": datetime.fromtimestamp(day * 86400, UTC),
            "tasks": size.tasks,
            "each": max(1, round(size.lines / size.runs)),
            "long": max(1000, size.lines // 250),
            "first_line": 0,
            **_last_numbers(size, days=(now - since).total_seconds() / 86400),
        }

    def fill(self) -> None:
        """All of it, the newest month last."""
        with self._step("tasks, their versions, workers"):
            self._make_kinds()
            for statement in (PLAN, TASKS, REVISIONS, AUDIT, WORKERS, REQUESTS, HEARTBEATS):
                self._run(statement)
        self._known["kept"] = self._part_of_runs()
        self._tell("DISABLE")  # nobody listened a year ago
        for start, end in zip(self._months, self._months[1:], strict=False):
            with self._step(f"{start:%B %Y}"):
                self._fill_month(start, end)
        with self._step("what is to come, and what is known of each task"):
            for statement in (PENDING, LONG_LOG, STATUS):
                self._run(statement)
        self._tell("ENABLE")
        self._connection.autocommit = True
        for statement in ("VACUUM", "ANALYZE"):
            with self._step(statement):
                self._connection.execute(statement)

    def _tell(self, how: str) -> None:
        for table in ("runs", "due_times"):
            self._connection.execute(f"ALTER TABLE {table} {how} TRIGGER USER")
        self._connection.commit()

    def _make_kinds(self) -> None:
        self._connection.execute("CREATE TEMP TABLE kinds (kind text PRIMARY KEY, spec jsonb)")
        for kind, action in ACTIONS.items():
            task = parse_task({"name": "x", "kind": kind, "action": action, "schedule": {"kind": "manual"}})
            self._connection.execute("INSERT INTO kinds VALUES (%s, %s)", [kind, Jsonb(as_document(task))])

    def _part_of_runs(self) -> float:
        """Which part of the runs before the last days is kept, so that their number comes out right."""
        per_day: float = self._size.due_times / (self._known["now"] - self._known["since"]).total_seconds() * 86400
        all_kept = per_day * COMPLETE.days + self._size.due_times * SHARES["minute"]
        part: float = (self._size.runs - all_kept) / max(1.0, self._size.due_times - all_kept)
        return max(0.0, min(1.0, part))

    def _fill_month(self, start: datetime, end: datetime) -> None:
        names = {table: sql.Identifier(f"{table}_{start:%Y_%m}") for table in PARTITIONED}
        for table, name in names.items():
            self._make_apart(table, name, start, end)
        if start <= self._known["now"]:
            month = {**self._known, "start": start, "end": end}
            for statement in (MONTH_OF_DUE_TIMES, MONTH_OF_RUNS, MONTH_OF_ASKED_RUNS, MONTH_OF_LINES):
                self._run(statement, month, names)
            self._number_lines(names["run_logs"])
        for table, name in names.items():
            self._attach(table, name, start, end)
        self._run(MONTH_OF_RERUNS, names=names)

    def _make_apart(self, table: str, name: sql.Identifier, start: datetime, end: datetime) -> None:
        whole, at = sql.Identifier(table), sql.Identifier(_time_of(table))
        self._connection.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(name))
        copy = sql.SQL("CREATE TABLE {} (LIKE {} INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING STORAGE)")
        self._connection.execute(copy.format(name, whole))
        # With it PostgreSQL need not read the table again to attach it.
        bounds = sql.SQL("ALTER TABLE {} ADD CONSTRAINT within_month CHECK ({at} >= {} AND {at} < {})")
        self._connection.execute(bounds.format(name, sql.Literal(start), sql.Literal(end), at=at))

    def _attach(self, table: str, name: sql.Identifier, start: datetime, end: datetime) -> None:
        whole = sql.Identifier(table)
        attach = sql.SQL("ALTER TABLE {} ATTACH PARTITION {} FOR VALUES FROM ({}) TO ({})")
        self._connection.execute(attach.format(whole, name, sql.Literal(start), sql.Literal(end)))
        self._connection.execute(sql.SQL("ALTER TABLE {} DROP CONSTRAINT within_month").format(name))

    def _number_lines(self, month: sql.Identifier) -> None:
        last = self._connection.execute(sql.SQL("SELECT max(id) FROM {}").format(month)).fetchone()
        if last is not None and last[0] is not None:
            self._known["first_line"] = last[0]
            self._connection.execute("SELECT setval('run_logs_line', %s)", [last[0]])

    def _run(
        self,
        statement: LiteralString,
        known: Mapping[str, Any] | None = None,
        names: Mapping[str, sql.Identifier] | None = None,
    ) -> None:
        # Written into the text, because a statement with parameters cannot be several.
        values = {name: sql.Literal(value).as_string() for name, value in (known or self._known).items()}
        for each in statement.split(";\n"):
            text = sql.SQL(each).format(**names).as_string() if names else each
            self._connection.execute(sql.SQL(text % values))

    @contextmanager
    def _step(self, what: str) -> Iterator[None]:
        began = time.monotonic()
        yield
        if not self._connection.autocommit:
            self._connection.commit()
        print(f"  {time.monotonic() - began:7.1f} s  {what}", flush=True)


def _time_of(table: str) -> str:
    return "at" if table == "run_logs" else "due_at"


def _last_numbers(size: Size, *, days: float) -> dict[str, int]:
    """The number of the last task that is due so often; those after the last are due once, or by hand."""
    found: dict[str, int] = {}
    last = 0
    for how, share in SHARES.items():
        last = min(size.tasks, last + max(1, round(size.due_times * share / (PER_DAY[how] * days))))
        found[how] = last
    return found


def made(connection: psycopg.Connection) -> Iterator[str]:
    """What is there, and what it takes on the disk."""
    for table in ("tasks", "revisions", "audit", "run_requests", "workers", *PARTITIONED):
        row = connection.execute(
            "SELECT sum(greatest(reltuples, 0))::bigint, sum(pg_table_size(oid)), sum(pg_indexes_size(oid)), count(*)"
            " FROM pg_class WHERE relkind = 'r' AND relname ~ ('^' || %s || '(_\\d{4}_\\d\\d)?$')",
            [table],
        ).fetchone()
        assert row is not None
        yield f"  {table:13} {row[0]:>12,} rows  {row[1] / 2**20:>8,.0f} MB + {row[2] / 2**20:>8,.0f} MB of indexes"
    row = connection.execute("SELECT pg_database_size(current_database())").fetchone()
    assert row is not None
    yield f"  all           {row[0] / 2**30:.1f} GB"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--database-url", required=True, help="an empty database")
    for name, number in (("tasks", 100_000), ("runs", 10_000_000), ("due-times", 50_000_000), ("lines", 50_000_000)):
        parser.add_argument(f"--{name}", type=int, default=number)
    parser.add_argument("--scale", type=float, default=1.0, help="a part of all of it, such as 0.05")
    chosen = parser.parse_args()
    size = Size(*(max(100, int(n * chosen.scale)) for n in (chosen.tasks, chosen.runs, chosen.due_times, chosen.lines)))
    now = (datetime.now(UTC) - timedelta(minutes=1)).replace(second=30, microsecond=0)
    began = time.monotonic()
    migrate(chosen.database_url)
    with psycopg.connect(chosen.database_url) as connection:
        if connection.execute("SELECT FROM tasks LIMIT 1").fetchone() is not None:
            parser.error("There are tasks in this database. Name an empty one.")
        connection.execute("SET work_mem = '512MB'; SET maintenance_work_mem = '512MB'; SET timezone = 'UTC'")
        connection.execute("SET max_parallel_workers_per_gather = 0; SET max_parallel_maintenance_workers = 0")
        connection.execute("SET jit = off")
        connection.commit()
        Filler(connection, size, now).fill()
        print(f"Filled in {time.monotonic() - began:.0f} s, as it was at {now:%Y-%m-%d %H:%M:%S} UTC:")
        print("\n".join(made(connection)))
    Catalogue(chosen.database_url).close()


if __name__ == "__main__":
    main()
