ALTER TABLE webhooks
    ADD COLUMN failures INTEGER NOT NULL DEFAULT 0,
    ADD COLUMN failing_since TIMESTAMP WITH TIME ZONE,
    ADD COLUMN probe_at TIMESTAMP WITH TIME ZONE,
    ADD COLUMN error TEXT;
DROP INDEX deliveries_waiting;
CREATE INDEX deliveries_waiting ON deliveries (webhook_id, next_at, id) WHERE next_at IS NOT NULL;
