-- The committer's statements. Everything that decides about money is read by these.

-- name: take_writer
-- A number that no process had before; two that take it at once meet in the key, and one tries again.
INSERT INTO wallet.writer (number, taken_by, taken_at)
SELECT coalesce(max(number), 0) + 1, $1, $2 FROM wallet.writer
RETURNING number

-- name: prepare_session
-- Plans made while tables are empty would scan them for ever after.
SET enable_seqscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off; SET jit = off

-- name: lock_accounts
-- In id order, before anything is read: what is read in later statements is what the last holder committed.
SELECT a.id
FROM unnest($1::text[], $2::smallint[]) AS q (user_id, slot)
JOIN wallet.player AS p ON p.user_id = q.user_id AND p.slot = q.slot
JOIN wallet.account AS a ON a.player_id = p.id AND a.slot = p.slot
ORDER BY a.id
FOR UPDATE OF a

-- name: read_players
-- One snapshot: an account's version vouches for the player's standing and limits read beside it.
SELECT p.user_id, p.slot, p.status, p.excluded_until, a.id, a.currency, a.balance::text, a.version, a.seq, a.limited,
    CASE WHEN a.limited THEN (
        SELECT string_agg(concat_ws(' ', l.kind, l.period, l.amount), ',' ORDER BY l.kind, l.period)
        FROM wallet.player_limit AS l WHERE l.account_id = a.id AND l.slot = a.slot) END AS limits,
    CASE WHEN a.limited THEN (
        SELECT string_agg(concat_ws(' ', d.day, d.stakes, d.results), ',' ORDER BY d.day)
        FROM wallet.account_day AS d WHERE d.account_id = a.id AND d.slot = a.slot AND d.day >= $3) END AS days
FROM unnest($1::text[], $2::smallint[]) AS q (user_id, slot)
JOIN wallet.player AS p ON p.user_id = q.user_id AND p.slot = q.slot
LEFT JOIN wallet.account AS a ON a.player_id = p.id AND a.slot = p.slot

-- name: read_known
-- Stored transactions by id. No slot is named: an id is the operator's, whatever player it names.
SELECT t.tx_id, t.operator_id, t.own_id, t.kind, t.user_id, t.currency, t.amount::text, t.delta::text, t.verdict,
    t.target_tx_id, t.fingerprint, t.slot, t.account_id, t.at,
    r.target_tx_id IS NOT NULL AS reversed,
    l.kind AS late_kind, l.verdict AS late_verdict, l.fingerprint AS late_fingerprint
FROM unnest($1::text[], $2::text::int[]) AS q (tx_id, operator_id)
JOIN wallet.transaction AS t ON t.tx_id = q.tx_id AND t.operator_id = q.operator_id
LEFT JOIN wallet.reversal AS r ON r.target_tx_id = t.tx_id AND r.operator_id = t.operator_id
LEFT JOIN wallet.late_arrival AS l ON t.kind = 6 AND l.tx_id = t.tx_id AND l.operator_id = t.operator_id

-- name: write_batch
-- See the function in the migrations. Arrays come as text, which costs the client far less than the binary form.
SELECT wallet.write_batch(
    $1, $2,
    $3::text::bigint[], $4::text::smallint[], $5::text::bigint[], $6::text::numeric[], $7::text::numeric[],
    $8::text::bigint[],
    $9::text::text[], $10::text::int[], $11::text::bigint[], $12::text::smallint[], $13::text::bigint[],
    $14::text::bigint[], $15::text::smallint[], $16::text::boolean[], $17::text::text[], $18::text::text[],
    $19::text::numeric[], $20::text::numeric[], $21::text::numeric[], $22::text::text[], $23::text::text[],
    $24, $25,
    $26::text::smallint[], $27::text::int[], $28::text::text[], $29::text::numeric[],
    $30::text::text[], $31::text::int[], $32::text::text[], $33::text::smallint[],
    $34)
