-- Players, their accounts and limits: what the admin side asks and does.

-- name: find_act
-- An act's id is used once; the same id with other content is a mistake of the caller.
SELECT kind, user_id, detail::text FROM wallet.admin_act WHERE act_id = $1

-- name: record_act
INSERT INTO wallet.admin_act (act_id, kind, user_id, slot, detail, at) VALUES ($1, $2, $3, $4, $5, $6)

-- name: lock_player
-- Acts on one player follow each other; the player's accounts are looked at only after this.
SELECT id, slot, status, excluded_until FROM wallet.player WHERE user_id = $1 AND slot = $2 FOR UPDATE

-- name: add_player
INSERT INTO wallet.player (id, slot, user_id, created_at) VALUES ($1, $2, $3, $4)
ON CONFLICT (user_id, slot) DO NOTHING
RETURNING id

-- name: add_account
INSERT INTO wallet.account (id, slot, player_id, currency, opened_at) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (player_id, currency, slot) DO NOTHING
RETURNING id

-- name: set_status
UPDATE wallet.player SET status = $3 WHERE id = $1 AND slot = $2

-- name: set_exclusion
UPDATE wallet.player SET excluded_until = $3 WHERE id = $1 AND slot = $2

-- name: bump_accounts
-- Decisions made from older copies of the player's accounts can no longer be written. Locked in id order, as the
-- committers do.
WITH held AS (
    SELECT id FROM wallet.account WHERE player_id = $1 AND slot = $2 ORDER BY id FOR UPDATE
)
UPDATE wallet.account AS a SET version = a.version + 1 FROM held WHERE a.id = held.id AND a.slot = $2

-- name: lock_account
SELECT id, limited FROM wallet.account WHERE player_id = $1 AND slot = $2 AND currency = $3 FOR UPDATE

-- name: put_limit
INSERT INTO wallet.player_limit (account_id, slot, kind, period, amount) VALUES ($1, $2, $3, $4, $5::text::numeric)
ON CONFLICT (account_id, kind, period, slot) DO UPDATE SET amount = excluded.amount

-- name: drop_limit
DELETE FROM wallet.player_limit WHERE account_id = $1 AND slot = $2 AND kind = $3 AND period = $4

-- name: has_limits
SELECT EXISTS (SELECT FROM wallet.player_limit WHERE account_id = $1 AND slot = $2)

-- name: set_limited
UPDATE wallet.account SET limited = $3, version = version + 1 WHERE id = $1 AND slot = $2

-- name: forget_days
DELETE FROM wallet.account_day WHERE account_id = $1 AND slot = $2

-- name: count_days
-- What the account's days come to, from its transactions: accepted, not rolled back, on their own day.
INSERT INTO wallet.account_day (account_id, slot, day, stakes, results)
SELECT t.account_id, t.slot, (t.at AT TIME ZONE $4)::date,
    coalesce(-sum(t.delta) FILTER (WHERE t.kind = 1), 0), coalesce(sum(t.delta) FILTER (WHERE t.kind = 2), 0)
FROM wallet.transaction AS t
WHERE t.account_id = $1 AND t.slot = $2 AND t.kind IN (1, 2) AND t.delta <> 0
    AND (t.at AT TIME ZONE $4)::date >= $3
    AND NOT EXISTS (SELECT FROM wallet.reversal AS r WHERE r.target_tx_id = t.tx_id AND r.operator_id = t.operator_id)
GROUP BY t.account_id, t.slot, (t.at AT TIME ZONE $4)::date

-- name: accounts_of
SELECT a.id, a.slot, a.currency, a.seq
FROM wallet.player AS p JOIN wallet.account AS a ON a.player_id = p.id AND a.slot = p.slot
WHERE p.user_id = $1 AND p.slot = $2
ORDER BY a.currency

-- name: history_after
-- An account's transactions after a place in its history, oldest first.
SELECT t.seq, t.own_id, t.operator_id, o.name AS operator, t.tx_id, t.kind, t.amount::text, t.delta::text,
    t.balance_after::text, t.verdict, t.target_tx_id, t.at, t.altered,
    (SELECT count(*) FROM wallet.altered_copy AS c WHERE c.tx_id = t.tx_id AND c.operator_id = t.operator_id) AS copies
FROM wallet.transaction AS t JOIN wallet.operator AS o ON o.id = t.operator_id
WHERE t.account_id = $1 AND t.slot = $2 AND t.seq > $3
ORDER BY t.seq
LIMIT $4

-- name: history_newest
-- An account's latest transactions, newest first.
SELECT t.seq, t.own_id, t.operator_id, o.name AS operator, t.tx_id, t.kind, t.amount::text, t.delta::text,
    t.balance_after::text, t.verdict, t.target_tx_id, t.at, t.altered,
    (SELECT count(*) FROM wallet.altered_copy AS c WHERE c.tx_id = t.tx_id AND c.operator_id = t.operator_id) AS copies
FROM wallet.transaction AS t JOIN wallet.operator AS o ON o.id = t.operator_id
WHERE t.account_id = $1 AND t.slot = $2
ORDER BY t.seq DESC
LIMIT $3

-- name: find_transactions
-- By an operator's id, or by the wallet's own; one id may belong to several operators.
SELECT t.own_id, t.operator_id, o.name AS operator, t.tx_id, t.kind, t.user_id, t.currency, t.amount::text,
    t.delta::text, t.balance_after::text, t.verdict, t.target_tx_id, t.at, t.altered, t.raw,
    r.by_tx_id AS reversed_by
FROM wallet.transaction AS t
JOIN wallet.operator AS o ON o.id = t.operator_id
LEFT JOIN wallet.reversal AS r ON r.target_tx_id = t.tx_id AND r.operator_id = t.operator_id
WHERE t.tx_id = $1 OR t.own_id = $2
ORDER BY t.operator_id
LIMIT $3

-- name: late_and_altered_copies
-- What else came under an id: the first request after a tombstone, and copies that asked for something else.
SELECT kind, user_id, currency, NULL AS amount, verdict, raw, at, true AS late
FROM wallet.late_arrival WHERE tx_id = $1 AND operator_id = $2
UNION ALL
SELECT kind, user_id, currency, amount::text, NULL, raw, at, false
FROM wallet.altered_copy WHERE tx_id = $1 AND operator_id = $2
ORDER BY at
