-- name: add_api_token
INSERT INTO api_token (token_hash, client_id, expires_at) VALUES ($1, $2, $3)

-- name: find_api_token
SELECT client_id, expires_at FROM api_token WHERE token_hash = $1 AND expires_at > $2

-- name: drop_api_tokens
-- Called when a client's password changes or it is disabled: its tokens end with it.
DELETE FROM api_token WHERE client_id = $1

-- name: drop_client_sessions
DELETE FROM page_session WHERE client_id = $1

-- name: add_launch_token
INSERT INTO launch_token (token_hash, client_id, user_id, currency, lang, expires_at) VALUES ($1, $2, $3, $4, $5, $6)

-- name: use_launch_token
-- One use: of two requests at once, one gets the row.
DELETE FROM launch_token WHERE token_hash = $1 AND expires_at > $2
RETURNING client_id, user_id, currency, lang

-- name: add_page_session
INSERT INTO page_session (token_hash, client_id, user_id, currency, lang, started_at, expires_at)
VALUES ($1, $2, $3, $4, $5, $6, $7)

-- name: find_page_session
SELECT client_id, user_id, currency, lang, expires_at FROM page_session WHERE token_hash = $1 AND expires_at > $2

-- name: drop_expired_api_tokens
DELETE FROM api_token WHERE token_hash IN (SELECT token_hash FROM api_token WHERE expires_at <= $1 LIMIT $2)

-- name: drop_expired_launch_tokens
DELETE FROM launch_token WHERE token_hash IN (SELECT token_hash FROM launch_token WHERE expires_at <= $1 LIMIT $2)

-- name: drop_expired_page_sessions
DELETE FROM page_session WHERE token_hash IN (SELECT token_hash FROM page_session WHERE expires_at <= $1 LIMIT $2)
