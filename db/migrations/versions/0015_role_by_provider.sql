ALTER TABLE accounts ADD COLUMN role_by_provider boolean NOT NULL DEFAULT false;

-- Whose role was not set by somebody here has it from the provider; where the audit does not reach back, that is assumed.
UPDATE accounts SET role_by_provider = true
WHERE subject IS NOT NULL AND coalesce((
    SELECT audit.actor FROM audit
    WHERE audit.change IN ('account.added', 'account.changed') AND audit.details ->> 'account' = accounts.name
    ORDER BY audit.id DESC LIMIT 1
), 'identity provider') = 'identity provider';
