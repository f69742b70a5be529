CREATE TABLE loop_failures (
    part TEXT NOT NULL,
    loop TEXT NOT NULL,
    failures BIGINT NOT NULL,
    last_error TEXT NOT NULL,
    last_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT loop_failures_pkey PRIMARY KEY (part, loop)
);
