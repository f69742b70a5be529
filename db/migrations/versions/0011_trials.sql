CREATE TABLE trials (
    task_id UUID NOT NULL,
    CONSTRAINT trials_pkey PRIMARY KEY (task_id),
    CONSTRAINT trials_task_id_fkey FOREIGN KEY (task_id) REFERENCES tasks (id) ON DELETE CASCADE
);
