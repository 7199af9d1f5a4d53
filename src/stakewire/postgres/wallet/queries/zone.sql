-- The ledger's time zone: one row, written once.

-- name: fix_zone
-- Whoever is first decides; the others read what was decided.
INSERT INTO wallet.ledger_zone (time_zone, fixed_at) VALUES ($1, $2) ON CONFLICT DO NOTHING

-- name: zone
SELECT time_zone FROM wallet.ledger_zone
