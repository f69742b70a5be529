-- Keys that were made before there was any account are the first admin's.
WITH admin AS (
    SELECT id, name FROM accounts WHERE role = 'admin' AND NOT disabled ORDER BY created_at, id LIMIT 1
), given AS (
    UPDATE api_keys SET account_id = admin.id FROM admin
    WHERE api_keys.account_id IS NULL RETURNING api_keys.name AS key, admin.name AS account
)
INSERT INTO audit (at, actor, change, details)
SELECT now(), 'duetime', 'key.given', jsonb_build_object('key', key, 'account', account) FROM given;
