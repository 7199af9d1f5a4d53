-- Operators and their sealed secrets. Never on the path of a callback: every process keeps them in memory.

-- name: load_operators
-- Everything a process keeps of the operators, oldest secrets first. The cashier (id 1) sends no callbacks.
SELECT o.id, o.name, o.profile, o.created_at,
    s.id AS secret_id, s.sealed, s.created_at AS secret_created_at, s.retire_at, s.retired_at, s.last_used_at,
    s.last_header
FROM operator AS o
LEFT JOIN operator_secret AS s ON s.operator_id = o.id
WHERE o.id > 1
ORDER BY o.name, s.id

-- name: next_secret_id
-- Known before the row is written, because the seal is bound to it.
SELECT nextval('operator_secret_id_seq')

-- name: insert_operator
INSERT INTO operator (name, profile, created_at) VALUES ($1, $2, $3) RETURNING id

-- name: insert_secret
INSERT INTO operator_secret (id, operator_id, sealed, created_at) VALUES ($1, $2, $3, $4)

-- name: lock_operator
-- Two rotations of one operator at once wait for each other.
SELECT id FROM operator WHERE name = $1 AND id > 1 FOR UPDATE

-- name: set_profile
UPDATE operator SET profile = $2 WHERE id = $1

-- name: live_secrets
-- Newest first.
SELECT id FROM operator_secret
WHERE operator_id = $1 AND retired_at IS NULL AND (retire_at IS NULL OR retire_at > $2)
ORDER BY id DESC

-- name: retire_later
-- A date that is nearer already stays.
UPDATE operator_secret SET retire_at = least(retire_at, $2) WHERE id = ANY ($1::int[])

-- name: retire_now
UPDATE operator_secret SET retired_at = $2 WHERE id = ANY ($1::int[])

-- name: note_uses
-- Skips a row that a rotation holds: the use is noted again a minute later.
UPDATE operator_secret AS s SET last_used_at = $3, last_header = u.header
FROM unnest($1::int[], $2::text[]) AS u (id, header)
WHERE s.id = u.id AND (s.last_used_at IS NULL OR s.last_used_at <= $3)
    AND s.id IN (SELECT id FROM operator_secret WHERE id = ANY ($1::int[]) ORDER BY id FOR UPDATE SKIP LOCKED)
