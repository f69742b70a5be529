CREATE TABLE calendars (
    name TEXT NOT NULL,
    entries JSONB NOT NULL,
    version INTEGER NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE NOT NULL,
    updated_by TEXT NOT NULL,
    CONSTRAINT calendars_pkey PRIMARY KEY (name),
    CONSTRAINT calendars_version_counts_from_one CHECK (version >= 1)
);
CREATE INDEX tasks_by_calendar ON tasks USING gin (((spec -> 'schedule') -> 'calendars'));
