-- The catalogue as it began. See db/tables.py for what the tables mean.
-- pg_trgm is trusted since PostgreSQL 13: the owner of the database may create it.
CREATE EXTENSION IF NOT EXISTS pg_trgm;

CREATE SEQUENCE run_logs_line;

CREATE TABLE audit (
    id BIGINT GENERATED ALWAYS AS IDENTITY,
    at TIMESTAMP WITH TIME ZONE NOT NULL,
    actor TEXT NOT NULL,
    change TEXT NOT NULL,
    task_id UUID,
    task_name TEXT,
    version INTEGER,
    details JSONB DEFAULT '{}' NOT NULL,
    CONSTRAINT audit_pkey PRIMARY KEY (id)
);
CREATE INDEX audit_of_task ON audit (task_id, id DESC);

CREATE TABLE due_times (
    task_id UUID NOT NULL,
    due_at TIMESTAMP WITH TIME ZONE NOT NULL,
    task_version INTEGER NOT NULL,
    outcome TEXT NOT NULL,
    reason TEXT,
    run_id UUID,
    started_at TIMESTAMP WITH TIME ZONE,
    decided_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT due_times_pkey PRIMARY KEY (task_id, due_at),
    CONSTRAINT due_times_outcome_known CHECK (outcome IN ('cancelled', 'missed', 'pending', 'ran', 'running', 'skipped', 'unknown')),
    CONSTRAINT due_times_decided_iff_final CHECK ((decided_at IS NULL) = (outcome IN ('pending', 'running'))),
    CONSTRAINT due_times_only_what_ran_has_a_run CHECK ((outcome IN ('running', 'ran', 'unknown')) = (run_id IS NOT NULL)),
    CONSTRAINT due_times_what_ran_was_started CHECK ((started_at IS NULL) = (run_id IS NULL)),
    CONSTRAINT due_times_not_run_for_a_reason CHECK (outcome NOT IN ('skipped', 'missed') OR reason IS NOT NULL)
) PARTITION BY RANGE (due_at);
CREATE INDEX due_times_by_time ON due_times (due_at);
CREATE INDEX due_times_not_run ON due_times (task_id, outcome, due_at) WHERE outcome IN ('cancelled', 'missed', 'skipped', 'unknown');
CREATE INDEX due_times_open ON due_times (due_at, task_id) WHERE outcome IN ('pending', 'running');
CREATE INDEX due_times_open_of_task ON due_times (task_id, due_at) WHERE outcome IN ('pending', 'running');

CREATE TABLE heartbeats (
    part TEXT NOT NULL,
    at TIMESTAMP WITH TIME ZONE NOT NULL,
    details JSONB DEFAULT '{}' NOT NULL,
    CONSTRAINT heartbeats_pkey PRIMARY KEY (part)
);

CREATE TABLE idempotency_keys (
    scope TEXT NOT NULL,
    key TEXT NOT NULL,
    request_hash TEXT NOT NULL,
    answer JSONB,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT idempotency_keys_pkey PRIMARY KEY (scope, key)
);
CREATE INDEX idempotency_keys_by_age ON idempotency_keys (created_at);

CREATE TABLE run_logs (
    run_id UUID NOT NULL,
    id BIGINT DEFAULT nextval('run_logs_line') NOT NULL,
    at TIMESTAMP WITH TIME ZONE NOT NULL,
    level TEXT NOT NULL,
    stream TEXT NOT NULL,
    message TEXT NOT NULL,
    CONSTRAINT run_logs_pkey PRIMARY KEY (run_id, id, at),
    CONSTRAINT run_logs_level_known CHECK (level IN ('debug', 'error', 'info', 'warning')),
    CONSTRAINT run_logs_stream_known CHECK (stream IN ('stderr', 'stdout', 'system'))
) PARTITION BY RANGE (at);

CREATE TABLE runs (
    id UUID NOT NULL,
    due_at TIMESTAMP WITH TIME ZONE NOT NULL,
    task_id UUID NOT NULL,
    task_name TEXT NOT NULL,
    task_version INTEGER NOT NULL,
    trigger TEXT NOT NULL,
    state TEXT NOT NULL,
    attempt INTEGER DEFAULT 1 NOT NULL,
    started_at TIMESTAMP WITH TIME ZONE,
    ended_at TIMESTAMP WITH TIME ZONE,
    noted_at TIMESTAMP WITH TIME ZONE,
    worker_id UUID,
    worker TEXT,
    held_at TIMESTAMP WITH TIME ZONE,
    retry_at TIMESTAMP WITH TIME ZONE,
    rerun_of UUID,
    exit_code INTEGER,
    error TEXT,
    cancel_requested_at TIMESTAMP WITH TIME ZONE,
    reported BOOLEAN DEFAULT true NOT NULL,
    CONSTRAINT runs_pkey PRIMARY KEY (id, due_at),
    CONSTRAINT runs_state_known CHECK (state IN ('cancelled', 'completed', 'crashed', 'failed', 'pending', 'retrying', 'running', 'scheduled', 'timed_out')),
    CONSTRAINT runs_trigger_known CHECK (trigger IN ('catch_up', 'manual', 'prefect', 'rerun', 'schedule')),
    CONSTRAINT runs_ended_iff_final CHECK ((ended_at IS NOT NULL) = (state IN ('cancelled', 'completed', 'crashed', 'failed', 'timed_out'))),
    CONSTRAINT runs_ends_after_it_starts CHECK (ended_at >= started_at),
    CONSTRAINT runs_attempts_count_from_one CHECK (attempt >= 1),
    CONSTRAINT runs_a_worker_has_a_name CHECK ((worker_id IS NULL) = (worker IS NULL))
) PARTITION BY RANGE (due_at);
CREATE INDEX runs_by_state ON runs (state, due_at DESC, id DESC);
CREATE INDEX runs_newest ON runs (due_at DESC, id DESC);
CREATE INDEX runs_of_task ON runs (task_id, due_at DESC, id DESC);
CREATE INDEX runs_open ON runs (task_id, worker_id) WHERE ended_at IS NULL;
CREATE INDEX runs_unreported ON runs (due_at) WHERE NOT reported;

CREATE TABLE tasks (
    id UUID NOT NULL,
    spec JSONB NOT NULL,
    name TEXT GENERATED ALWAYS AS (spec ->> 'name') STORED NOT NULL,
    kind TEXT GENERATED ALWAYS AS (spec ->> 'kind') STORED NOT NULL,
    paused BOOLEAN GENERATED ALWAYS AS ((spec ->> 'paused')::boolean) STORED NOT NULL,
    pause_reason TEXT,
    paused_until TIMESTAMP WITH TIME ZONE,
    version INTEGER NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE NOT NULL,
    deleted_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT tasks_pkey PRIMARY KEY (id),
    CONSTRAINT tasks_kind_known CHECK (kind IN ('flow', 'http', 'python', 'shell')),
    CONSTRAINT tasks_version_counts_from_one CHECK (version >= 1),
    CONSTRAINT tasks_name_length CHECK (char_length(name) BETWEEN 1 AND 200),
    CONSTRAINT tasks_pause_has_a_reason_only_if_paused CHECK (paused OR (pause_reason IS NULL AND paused_until IS NULL))
);
CREATE INDEX tasks_by_name ON tasks (name, id) INCLUDE (kind, paused, deleted_at);
CREATE INDEX tasks_by_tag ON tasks USING gin ((spec -> 'tags'));
CREATE UNIQUE INDEX tasks_name_taken ON tasks (name) WHERE deleted_at IS NULL;
CREATE INDEX tasks_in_trash ON tasks (deleted_at) WHERE deleted_at IS NOT NULL;
CREATE INDEX tasks_to_resume ON tasks (paused_until) WHERE paused_until IS NOT NULL;
CREATE INDEX tasks_search ON tasks USING gin (name gin_trgm_ops);

CREATE TABLE workers (
    id UUID NOT NULL,
    name TEXT NOT NULL,
    work_pool TEXT NOT NULL,
    queues TEXT[] DEFAULT '{}' NOT NULL,
    host TEXT NOT NULL,
    pid INTEGER NOT NULL,
    started_at TIMESTAMP WITH TIME ZONE NOT NULL,
    heartbeat_at TIMESTAMP WITH TIME ZONE NOT NULL,
    stopped_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT workers_pkey PRIMARY KEY (id)
);
CREATE INDEX workers_present ON workers (heartbeat_at) WHERE stopped_at IS NULL;

CREATE TABLE revisions (
    task_id UUID NOT NULL,
    version INTEGER NOT NULL,
    at TIMESTAMP WITH TIME ZONE NOT NULL,
    actor TEXT NOT NULL,
    change TEXT NOT NULL,
    spec JSONB NOT NULL,
    pause_reason TEXT,
    paused_until TIMESTAMP WITH TIME ZONE,
    CONSTRAINT revisions_pkey PRIMARY KEY (task_id, version),
    CONSTRAINT revisions_task_id_fkey FOREIGN KEY(task_id) REFERENCES tasks (id) ON DELETE CASCADE
);

CREATE TABLE run_requests (
    id UUID NOT NULL,
    task_id UUID NOT NULL,
    requested_at TIMESTAMP WITH TIME ZONE NOT NULL,
    actor TEXT NOT NULL,
    trigger TEXT NOT NULL,
    due_at TIMESTAMP WITH TIME ZONE NOT NULL,
    not_before TIMESTAMP WITH TIME ZONE NOT NULL,
    attempt INTEGER NOT NULL,
    rerun_of UUID,
    run_id UUID,
    refused TEXT,
    CONSTRAINT run_requests_pkey PRIMARY KEY (id),
    CONSTRAINT run_requests_only_a_rerun_goes_on_with_a_run CHECK ((rerun_of IS NULL) = (trigger = 'manual')),
    CONSTRAINT run_requests_task_id_fkey FOREIGN KEY(task_id) REFERENCES tasks (id) ON DELETE CASCADE
);
CREATE INDEX run_requests_by_run ON run_requests (run_id);
CREATE INDEX run_requests_of_task ON run_requests (task_id, due_at);
CREATE UNIQUE INDEX run_requests_one_rerun ON run_requests (rerun_of);
CREATE INDEX run_requests_open ON run_requests (not_before) WHERE run_id IS NULL AND refused IS NULL;

CREATE TABLE task_status (
    task_id UUID NOT NULL,
    wanted_version INTEGER NOT NULL,
    deployment_id UUID,
    synced_version INTEGER,
    sync_error TEXT,
    applied JSONB,
    synced BOOLEAN GENERATED ALWAYS AS (NOT (synced_version IS DISTINCT FROM wanted_version)) STORED NOT NULL,
    planned_until TIMESTAMP WITH TIME ZONE,
    last_run_id UUID,
    last_due_at TIMESTAMP WITH TIME ZONE,
    last_state TEXT,
    CONSTRAINT task_status_last_state_known CHECK (last_state IN ('cancelled', 'completed', 'crashed', 'failed', 'pending', 'retrying', 'running', 'scheduled', 'timed_out')),
    CONSTRAINT task_status_all_of_the_last_run_or_nothing CHECK (num_nulls(last_run_id, last_due_at, last_state) IN (0, 3)),
    CONSTRAINT task_status_pkey PRIMARY KEY (task_id),
    CONSTRAINT task_status_task_id_fkey FOREIGN KEY(task_id) REFERENCES tasks (id) ON DELETE CASCADE
);
CREATE UNIQUE INDEX task_status_by_deployment ON task_status (deployment_id);
CREATE INDEX task_status_by_last_state ON task_status (last_state);
CREATE INDEX task_status_refused ON task_status (task_id) WHERE sync_error IS NOT NULL;
CREATE INDEX task_status_by_plan ON task_status (planned_until);
CREATE INDEX task_status_unsynced ON task_status (task_id) WHERE NOT synced;
