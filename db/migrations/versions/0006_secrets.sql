CREATE TABLE secrets (
    name TEXT NOT NULL,
    sealed BYTEA NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE NOT NULL,
    updated_by TEXT NOT NULL,
    CONSTRAINT secrets_pkey PRIMARY KEY (name)
);
