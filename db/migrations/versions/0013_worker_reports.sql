ALTER TABLE workers
    ADD COLUMN holds UUID[],
    ADD COLUMN claims_fail_since TIMESTAMP WITH TIME ZONE,
    ADD COLUMN claims_fail_why TEXT,
    ADD CONSTRAINT workers_claims_fail_for_a_reason CHECK ((claims_fail_since IS NULL) = (claims_fail_why IS NULL));
