CREATE TABLE set_aside (
    what TEXT NOT NULL,
    key TEXT NOT NULL,
    task_id UUID,
    reason TEXT NOT NULL,
    times INTEGER NOT NULL,
    since TIMESTAMP WITH TIME ZONE NOT NULL,
    last_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT set_aside_pkey PRIMARY KEY (what, key)
);
CREATE INDEX set_aside_of_task ON set_aside (task_id);
