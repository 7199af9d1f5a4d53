-- Every invariant of the ledger, recomputed from the rows. Each query gives the rows that break it, as text, at most
-- $1 of them (null: all), and how many there are in all. An empty answer is a kept promise.

-- name: entry_sums
-- The postings of an entry sum to zero in each currency.
SELECT format('entry %s %s', entry_id, currency) AS row, format('its postings sum to %s', sum(delta)) AS detail,
    count(*) OVER () AS total
FROM wallet.posting GROUP BY entry_id, currency HAVING sum(delta) <> 0 ORDER BY 1 LIMIT $1

-- name: currency_sums
-- All postings of a currency sum to zero.
SELECT format('currency %s', currency) AS row, format('all postings sum to %s', sum(delta)) AS detail,
    count(*) OVER () AS total
FROM wallet.posting GROUP BY currency HAVING sum(delta) <> 0 ORDER BY 1 LIMIT $1

-- name: balances
-- An account's balance is the sum of its postings, and its seq the number of its transactions.
SELECT format('account %s of %s in %s', a.id, p.user_id, a.currency) AS row,
    format('balance %s and seq %s, but %s transactions sum to %s', a.balance, a.seq, t.n, t.sum) AS detail,
    count(*) OVER () AS total
FROM wallet.account AS a
LEFT JOIN wallet.player AS p ON p.id = a.player_id AND p.slot = a.slot
LEFT JOIN (
    SELECT account_id, sum(delta) AS sum, count(*) AS n FROM wallet.transaction GROUP BY account_id
) AS t ON t.account_id = a.id
WHERE a.balance <> coalesce(t.sum, 0) OR a.seq <> coalesce(t.n, 0)
ORDER BY a.id LIMIT $1

-- name: running_balances
-- Each transaction's balance is the one before it plus its own delta, in the order of seq without a gap.
SELECT format('transaction %s of operator %s, account %s seq %s', tx_id, operator_id, account_id, seq) AS row,
    format('balance after it is %s, but %s (seq %s) %s makes another', balance_after, before, seq_before, delta)
        AS detail,
    count(*) OVER () AS total
FROM (
    SELECT tx_id, operator_id, account_id, seq, delta, balance_after,
        lag(balance_after, 1, 0::numeric) OVER account AS before, lag(seq, 1, 0::bigint) OVER account AS seq_before
    FROM wallet.transaction WHERE account_id IS NOT NULL
    WINDOW account AS (PARTITION BY account_id ORDER BY seq)
) AS t
WHERE balance_after <> before + delta OR seq <> seq_before + 1
ORDER BY account_id, seq LIMIT $1

-- name: one_effect_per_id
-- An operator's id stands once, though the key that says so were lost.
SELECT format('transaction %s of operator %s', tx_id, operator_id) AS row, format('stored %s times', count(*)) AS detail,
    count(*) OVER () AS total
FROM wallet.transaction GROUP BY tx_id, operator_id HAVING count(*) > 1 ORDER BY 1 LIMIT $1

-- name: own_ids
-- The wallet's own ids are unique.
SELECT format('own id %s', own_id) AS row, format('given to %s transactions', count(*)) AS detail,
    count(*) OVER () AS total
FROM wallet.transaction GROUP BY own_id HAVING count(*) > 1 ORDER BY 1 LIMIT $1

-- name: one_reversal_per_target
SELECT format('target %s of operator %s', target_tx_id, operator_id) AS row,
    format('undone %s times', count(*)) AS detail, count(*) OVER () AS total
FROM wallet.reversal GROUP BY target_tx_id, operator_id HAVING count(*) > 1 ORDER BY 1 LIMIT $1

-- name: reversals
-- A reversal undoes an accepted bet or result, exactly, on the same account, by a rollback that names it.
SELECT format('reversal of %s by %s, operator %s', r.target_tx_id, r.by_tx_id, r.operator_id) AS row,
    format('target: kind %s, delta %s, account %s; rollback: kind %s of %s, delta %s, account %s', t.kind, t.delta,
        t.account_id, b.kind, b.target_tx_id, b.delta, b.account_id) AS detail,
    count(*) OVER () AS total
FROM wallet.reversal AS r
LEFT JOIN wallet.transaction AS t ON t.tx_id = r.target_tx_id AND t.operator_id = r.operator_id
LEFT JOIN wallet.transaction AS b ON b.tx_id = r.by_tx_id AND b.operator_id = r.operator_id
WHERE (t.kind IN (1, 2) AND t.verdict IS NULL AND b.kind = 3 AND b.verdict IS NULL
    AND b.target_tx_id = r.target_tx_id AND b.delta = -t.delta AND b.account_id = t.account_id) IS NOT TRUE
ORDER BY 1 LIMIT $1

-- name: deltas
-- A bet or withdrawal takes its amount, a result or deposit gives it; what was declined, a tombstone, and a rollback
-- without a reversal move nothing.
SELECT format('transaction %s of operator %s', t.tx_id, t.operator_id) AS row,
    format('kind %s, amount %s %s, verdict %s: delta %s', t.kind, t.amount, t.currency, coalesce(t.verdict, 'accepted'),
        t.delta) AS detail,
    count(*) OVER () AS total
FROM wallet.transaction AS t
LEFT JOIN unnest($2::text[], $3::int[]) AS c (code, exponent) ON c.code = t.currency
WHERE (CASE
    WHEN t.verdict IS NOT NULL OR t.kind = 6 THEN t.delta = 0
    WHEN t.kind IN (1, 5) THEN t.delta = -t.amount * 10::numeric ^ c.exponent
    WHEN t.kind IN (2, 4) THEN t.delta = t.amount * 10::numeric ^ c.exponent
    ELSE t.delta = 0 OR EXISTS (SELECT FROM wallet.reversal AS r WHERE r.target_tx_id = t.target_tx_id
        AND r.operator_id = t.operator_id AND r.by_tx_id = t.tx_id)
    END) IS NOT TRUE
ORDER BY 1 LIMIT $1

-- name: bets_below_zero
-- No bet and no withdrawal takes an account below zero.
SELECT format('transaction %s of operator %s, account %s seq %s', tx_id, operator_id, account_id, seq) AS row,
    format('kind %s of %s left %s', kind, delta, balance_after) AS detail, count(*) OVER () AS total
FROM wallet.transaction WHERE kind IN (1, 5) AND delta < 0 AND balance_after < 0
ORDER BY 1 LIMIT $1

-- name: accounts
-- A transaction that has an account has one that exists, in its own currency and of its own player.
SELECT format('transaction %s of operator %s', t.tx_id, t.operator_id) AS row,
    format('names %s, %s, slot %s, but account %s is of %s, %s, slot %s', t.user_id, t.currency, t.slot, t.account_id,
        p.user_id, a.currency, a.slot) AS detail,
    count(*) OVER () AS total
FROM wallet.transaction AS t
LEFT JOIN wallet.account AS a ON a.id = t.account_id
LEFT JOIN wallet.player AS p ON p.id = a.player_id
WHERE t.account_id IS NOT NULL
    AND (p.user_id = t.user_id AND a.currency = t.currency AND a.slot = t.slot AND p.slot = t.slot) IS NOT TRUE
ORDER BY 1 LIMIT $1

-- name: tombstones
-- A tombstone was made by a stored rollback that names its id, and a late arrival stands under a tombstone.
SELECT row, detail, count(*) OVER () AS total FROM (
    SELECT format('tombstone %s of operator %s', t.tx_id, t.operator_id) AS row,
        format('no rollback %s names it', t.target_tx_id) AS detail
    FROM wallet.transaction AS t
    LEFT JOIN wallet.transaction AS b ON b.tx_id = t.target_tx_id AND b.operator_id = t.operator_id
    WHERE t.kind = 6 AND (b.kind = 3 AND b.target_tx_id = t.tx_id) IS NOT TRUE
    UNION ALL
    SELECT format('late arrival %s of operator %s', l.tx_id, l.operator_id), 'it stands under no tombstone'
    FROM wallet.late_arrival AS l
    LEFT JOIN wallet.transaction AS t ON t.tx_id = l.tx_id AND t.operator_id = l.operator_id
    WHERE (t.kind = 6) IS NOT TRUE
) AS broken ORDER BY 1 LIMIT $1

-- name: days
-- What limits count is what a recount gives, for every day that a running window reaches.
SELECT format('account %s on %s', account_id, day) AS row,
    format('counted %s staked and %s won, recounted %s and %s', d.stakes, d.results, t.stakes, t.results) AS detail,
    count(*) OVER () AS total
FROM (
    SELECT t.account_id, (t.at AT TIME ZONE $3)::date AS day,
        coalesce(-sum(t.delta) FILTER (WHERE t.kind = 1), 0) AS stakes,
        coalesce(sum(t.delta) FILTER (WHERE t.kind = 2), 0) AS results
    FROM wallet.transaction AS t JOIN wallet.account AS a ON a.id = t.account_id AND a.limited
    WHERE t.kind IN (1, 2) AND t.delta <> 0 AND (t.at AT TIME ZONE $3)::date >= $2 AND NOT EXISTS (
        SELECT FROM wallet.reversal AS r WHERE r.target_tx_id = t.tx_id AND r.operator_id = t.operator_id)
    GROUP BY 1, 2
) AS t
FULL JOIN (
    SELECT account_id, day, stakes, results FROM wallet.account_day
    WHERE day >= $2 AND (stakes <> 0 OR results <> 0)
) AS d USING (account_id, day)
WHERE (d.stakes = t.stakes AND d.results = t.results) IS NOT TRUE
ORDER BY 1 LIMIT $1

-- name: size
SELECT (SELECT count(*) FROM wallet.transaction) AS transactions, (SELECT count(*) FROM wallet.account) AS accounts
