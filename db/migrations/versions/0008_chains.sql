ALTER TABLE runs DROP CONSTRAINT runs_trigger_known;
ALTER TABLE runs ADD CONSTRAINT runs_trigger_known CHECK (trigger IN ('catch_up', 'chain', 'manual', 'prefect', 'rerun', 'schedule', 'test'));

ALTER TABLE run_requests ADD COLUMN after_run_id UUID;
ALTER TABLE run_requests ADD COLUMN after_due_at TIMESTAMP WITH TIME ZONE;
ALTER TABLE run_requests ADD CONSTRAINT run_requests_what_follows_follows_a_run CHECK (trigger <> 'chain' OR after_run_id IS NOT NULL);
ALTER TABLE run_requests ADD CONSTRAINT run_requests_a_run_before_has_a_due_time CHECK ((after_run_id IS NULL) = (after_due_at IS NULL));
CREATE UNIQUE INDEX run_requests_one_follows ON run_requests (task_id, after_run_id) WHERE trigger = 'chain';

CREATE INDEX tasks_after ON tasks USING gin ((spec -> 'after')) WHERE deleted_at IS NULL;

CREATE TABLE chain_position (
    one BOOLEAN DEFAULT true NOT NULL,
    xid BIGINT NOT NULL,
    CONSTRAINT chain_position_pkey PRIMARY KEY (one),
    CONSTRAINT chain_position_is_one_row CHECK (one)
);
INSERT INTO chain_position (xid) VALUES (pg_snapshot_xmin(pg_current_snapshot())::text::bigint);
