-- What the pages over all tasks ask for.
CREATE INDEX due_times_not_run_by_time ON due_times (outcome, due_at DESC, task_id DESC) WHERE outcome IN ('cancelled', 'missed', 'skipped', 'unknown');
CREATE INDEX due_times_late ON due_times (due_at DESC, task_id DESC) WHERE started_at - due_at >= interval '1 second';
CREATE INDEX tasks_by_pool ON tasks ((spec ->> 'work_pool')) WHERE deleted_at IS NULL;

CREATE TABLE problem_marks (
    key TEXT NOT NULL,
    mark TEXT NOT NULL,
    marked_at TIMESTAMP WITH TIME ZONE NOT NULL,
    until TIMESTAMP WITH TIME ZONE,
    actor TEXT NOT NULL,
    CONSTRAINT problem_marks_pkey PRIMARY KEY (key),
    CONSTRAINT problem_marks_mark_known CHECK (mark IN ('acknowledged', 'muted', 'snoozed')),
    CONSTRAINT problem_marks_only_a_snooze_ends CHECK ((until IS NOT NULL) = (mark = 'snoozed'))
);

-- Test runs: asked for with an action of their own.
ALTER TABLE runs DROP CONSTRAINT runs_trigger_known;
ALTER TABLE runs ADD CONSTRAINT runs_trigger_known CHECK (trigger IN ('catch_up', 'manual', 'prefect', 'rerun', 'schedule', 'test'));
ALTER TABLE run_requests ADD COLUMN action JSONB;
ALTER TABLE run_requests DROP CONSTRAINT run_requests_only_a_rerun_goes_on_with_a_run;
ALTER TABLE run_requests ADD CONSTRAINT run_requests_only_a_rerun_goes_on_with_a_run CHECK ((rerun_of IS NULL) = (trigger <> 'rerun'));
ALTER TABLE run_requests ADD CONSTRAINT run_requests_only_a_test_has_an_action CHECK ((action IS NULL) = (trigger <> 'test'));

ALTER TABLE workers ADD COLUMN version TEXT, ADD COLUMN slots INTEGER, ADD COLUMN draining_at TIMESTAMP WITH TIME ZONE;
