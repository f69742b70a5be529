CREATE TABLE webhooks (
    id UUID NOT NULL,
    name TEXT NOT NULL,
    url TEXT NOT NULL,
    types TEXT[] NOT NULL,
    task_id UUID,
    signing_key BYTEA NOT NULL,
    enabled BOOLEAN DEFAULT true NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    xid BIGINT NOT NULL,
    number BIGINT NOT NULL,
    CONSTRAINT webhooks_pkey PRIMARY KEY (id),
    CONSTRAINT webhooks_name_key UNIQUE (name),
    CONSTRAINT webhooks_task_id_fkey FOREIGN KEY (task_id) REFERENCES tasks (id) ON DELETE CASCADE
);

CREATE TABLE deliveries (
    id BIGINT GENERATED ALWAYS AS IDENTITY,
    webhook_id UUID NOT NULL,
    event_id TEXT NOT NULL,
    type TEXT NOT NULL,
    body TEXT NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    attempts INTEGER DEFAULT 0 NOT NULL,
    next_at TIMESTAMP WITH TIME ZONE,
    delivered_at TIMESTAMP WITH TIME ZONE,
    status INTEGER,
    error TEXT,
    CONSTRAINT deliveries_pkey PRIMARY KEY (id),
    CONSTRAINT deliveries_webhook_id_fkey FOREIGN KEY (webhook_id) REFERENCES webhooks (id) ON DELETE CASCADE
);
CREATE INDEX deliveries_waiting ON deliveries (next_at) WHERE next_at IS NOT NULL;
CREATE INDEX deliveries_of_webhook ON deliveries (webhook_id, id DESC);
CREATE INDEX deliveries_by_age ON deliveries (created_at);

CREATE TABLE channels (
    id UUID NOT NULL,
    name TEXT NOT NULL,
    address BYTEA NOT NULL,
    about TEXT[] NOT NULL,
    after_failures INTEGER DEFAULT 1 NOT NULL,
    late_seconds INTEGER DEFAULT 60 NOT NULL,
    tags TEXT[],
    quiet_from TIME WITHOUT TIME ZONE,
    quiet_to TIME WITHOUT TIME ZONE,
    timezone TEXT DEFAULT 'UTC' NOT NULL,
    enabled BOOLEAN DEFAULT true NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    xid BIGINT NOT NULL,
    number BIGINT NOT NULL,
    retry_at TIMESTAMP WITH TIME ZONE,
    sent_at TIMESTAMP WITH TIME ZONE,
    error TEXT,
    test_asked_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT channels_pkey PRIMARY KEY (id),
    CONSTRAINT channels_name_key UNIQUE (name),
    CONSTRAINT channels_failures_count_from_one CHECK (after_failures >= 1),
    CONSTRAINT channels_quiet_hours_have_both_ends CHECK ((quiet_from IS NULL) = (quiet_to IS NULL))
);
