-- name: take_writer
-- A writer number nobody had before; ids made with it can meet no others.
INSERT INTO writer (purpose, taken_at) VALUES ($1, $2) RETURNING number

-- name: add_client
INSERT INTO client (name, username, password_hash, callback_url, origins, currencies, profile, state, created_at, changed_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, 'active', $8, $8)
RETURNING id

-- name: set_client
-- Change what is given; null leaves a field as it is.
UPDATE client
SET callback_url = coalesce($2, callback_url),
    origins = coalesce($3, origins),
    currencies = coalesce($4, currencies),
    profile = coalesce($5, profile),
    state = coalesce($6, state),
    password_hash = coalesce($7, password_hash),
    changed_at = $8
WHERE id = $1

-- name: list_clients
-- Every client, with the sealed secret that signs for it now.
SELECT c.id, c.name, c.username, c.callback_url, c.origins, c.currencies, c.profile, c.state, c.created_at,
       s.id AS secret_id, s.sealed AS secret_sealed
FROM client c
JOIN LATERAL (
    SELECT id, sealed FROM client_secret
    WHERE client_id = c.id AND signs_from <= $1
    ORDER BY signs_from DESC, id DESC LIMIT 1
) s ON true
ORDER BY c.name

-- name: find_credentials
SELECT id, name, password_hash, state FROM client WHERE username = $1

-- name: add_secret
INSERT INTO client_secret (client_id, sealed, signs_from, created_at) VALUES ($1, $2, $3, $4)

-- name: record_act
INSERT INTO admin_act (act, subject, detail, at) VALUES ($1, $2, $3, $4)

-- name: record_public_url
INSERT INTO public_url (url, changed_at) VALUES ($1, $2)
ON CONFLICT (only_row) DO UPDATE SET url = excluded.url, changed_at = excluded.changed_at
WHERE public_url.url <> excluded.url

-- name: public_url
SELECT url FROM public_url
