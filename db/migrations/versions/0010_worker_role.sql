-- With the rights of the catalogue's owner: whoever changes a run may not write events of their own.
ALTER FUNCTION tell_of_run() SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp;
ALTER FUNCTION tell_of_due_time() SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp;

CREATE TABLE housekeeping_requests (
    id UUID NOT NULL,
    requested_at TIMESTAMP WITH TIME ZONE NOT NULL,
    kept JSONB NOT NULL,
    done_at TIMESTAMP WITH TIME ZONE,
    removed JSONB,
    refused TEXT,
    CONSTRAINT housekeeping_requests_pkey PRIMARY KEY (id),
    CONSTRAINT housekeeping_requests_done_or_refused CHECK (num_nonnulls(removed, refused) = CASE WHEN done_at IS NULL THEN 0 ELSE 1 END)
);
CREATE INDEX housekeeping_requests_open ON housekeeping_requests (requested_at) WHERE done_at IS NULL;
