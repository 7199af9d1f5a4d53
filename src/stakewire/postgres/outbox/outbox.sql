-- name: last_of_bets
-- How many callbacks each of these bets has had so far.
SELECT bet_id, max(n) AS n
FROM callback
WHERE bet_id = ANY($1::bigint[]) AND slot = ANY($2::smallint[])
GROUP BY bet_id

-- name: lock_open_of_bets
-- Which of these bets have a callback that has not ended. The lock makes a recording that is
-- under way finish first, or wait: it then sees what is enqueued behind it, and releases it.
SELECT bet_id
FROM callback
WHERE bet_id = ANY($1::bigint[]) AND slot = ANY($2::smallint[]) AND state NOT IN ('answered', 'final')
ORDER BY id
FOR UPDATE

-- name: insert_callbacks
INSERT INTO callback (id, slot, client_id, bet_id, n, transaction_id, action, target_id, user_id, currency,
                      amount, path, body, state, due_at, attempts, created_at)
SELECT id, slot, client_id, bet_id, n, transaction_id, action, target_id, user_id, currency,
       amount::numeric, path, body, state, CASE state WHEN 'due' THEN $15::timestamptz END,
       CASE action WHEN 'bet' THEN 1 ELSE 0 END, $15::timestamptz
FROM unnest($1::bigint[], $2::smallint[], $3::integer[], $4::bigint[], $5::smallint[], $6::text[], $7::text[],
            $8::text[], $9::text[], $10::text[], $11::text[], $12::text[], $13::bytea[], $14::text[])
     AS new(id, slot, client_id, bet_id, n, transaction_id, action, target_id, user_id, currency,
            amount, path, body, state)

-- name: announce
-- A hint that wakes the workers when this transaction commits; they look by themselves every second.
SELECT pg_notify('stakewire_outbox', '')

-- name: waiting_clients
-- Every client with something in the queue, and its earliest time: two index probes per client.
WITH RECURSIVE client AS (
    (SELECT client_id, due_at FROM callback WHERE due_at IS NOT NULL ORDER BY client_id, due_at LIMIT 1)
    UNION ALL
    SELECT next.client_id, next.due_at
    FROM client, LATERAL (
        SELECT client_id, due_at FROM callback
        WHERE due_at IS NOT NULL AND callback.client_id > client.client_id
        ORDER BY client_id, due_at LIMIT 1
    ) AS next
)
SELECT client_id, due_at FROM client

-- name: claim_due_callbacks
-- Lease callbacks whose time has come; rows another worker holds are skipped, not waited for.
-- A lease that has run out is a time that has come.
WITH due AS (
    SELECT id, slot FROM callback
    WHERE client_id = $1 AND due_at <= $2
    ORDER BY due_at
    LIMIT $4
    FOR UPDATE SKIP LOCKED
)
UPDATE callback
SET state = 'sending', due_at = $3, leased_by = $5, attempts = attempts + 1
FROM due
WHERE callback.id = due.id AND callback.slot = due.slot
RETURNING callback.id, callback.slot, action, path, body, attempts, schedule_start

-- name: record_attempts
-- Keep every attempt; take its step where the lease is still ours (the number of the attempt is the fence).
WITH attempt AS (
    SELECT *
    FROM unnest($1::bigint[], $2::smallint[], $3::integer[], $4::timestamptz[], $5::integer[], $6::text[],
                $7::integer[], $8::text[], $9::text[], $10::text[], $11::bytea[], $12::text[], $13::timestamptz[])
         AS attempt(id, slot, n, at, ms, address, status, outcome, reason, client_transaction_id, answer, state, due_at)
), kept AS (
    INSERT INTO callback_attempt (callback_id, slot, n, at, ms, address, status, outcome, reason,
                                  client_transaction_id, answer)
    SELECT id, slot, n, at, ms, address, status, outcome, reason, client_transaction_id, answer FROM attempt
    ON CONFLICT DO NOTHING
)
UPDATE callback
SET state = attempt.state, due_at = attempt.due_at, leased_by = NULL, last_reason = attempt.reason,
    client_transaction_id = attempt.client_transaction_id,
    answered_at = CASE attempt.state WHEN 'answered' THEN $14::timestamptz END
FROM attempt
WHERE callback.id = attempt.id AND callback.slot = attempt.slot
  AND callback.state = 'sending' AND callback.action <> 'bet' AND callback.attempts = attempt.n
RETURNING callback.bet_id, callback.n, callback.slot, callback.state

-- name: release_next
-- What waited behind callbacks that have ended is due. A statement of its own, after the one that
-- ended them: it must see what was enqueued while that one waited for a lock.
UPDATE callback
SET state = 'due', due_at = $4
FROM unnest($1::bigint[], $2::smallint[], $3::smallint[]) AS ended(bet_id, n, slot)
WHERE callback.bet_id = ended.bet_id AND callback.n = ended.n + 1 AND callback.slot = ended.slot
  AND callback.state = 'blocked'

-- name: give_back
-- Undo claims that were not used.
UPDATE callback
SET state = 'due', due_at = $4, leased_by = NULL, attempts = attempts - 1
FROM unnest($1::bigint[], $2::smallint[], $3::integer[]) AS claim(id, slot, n)
WHERE callback.id = claim.id AND callback.slot = claim.slot
  AND callback.state = 'sending' AND callback.action <> 'bet' AND callback.attempts = claim.n

-- name: keep_attempt
INSERT INTO callback_attempt (callback_id, slot, n, at, ms, address, status, outcome, reason,
                              client_transaction_id, answer)
SELECT id, slot, 1, $2, $3, $4, $5, $6, $7, $8, $9 FROM callback WHERE id = $1 AND action = 'bet'
ON CONFLICT DO NOTHING

-- name: end_bet
-- Only the first verdict counts: a bet that has ended stays as it is.
UPDATE callback
SET state = $2, last_reason = $3, client_transaction_id = $4,
    answered_at = CASE $2 WHEN 'answered' THEN $5::timestamptz END
WHERE id = $1 AND action = 'bet' AND state = 'sending'
RETURNING bet_id, n, slot, state

-- name: end_lost_bets
UPDATE callback
SET state = 'final', last_reason = $2
WHERE bet_id = ANY($1::bigint[]) AND action = 'bet' AND state = 'sending'
RETURNING bet_id, n, slot, state

-- name: show
SELECT callback.*, amount::text AS amount_minor FROM callback WHERE id = $1

-- name: find_by_transaction
SELECT id FROM callback WHERE transaction_id = $1 ORDER BY id LIMIT 2

-- name: attempts_of
SELECT n, at, ms, address, status, outcome, reason, client_transaction_id, answer
FROM callback_attempt WHERE callback_id = $1 ORDER BY n DESC LIMIT $2

-- name: list_newest
SELECT callback.*, amount::text AS amount_minor FROM callback
WHERE ($1::text IS NULL OR state = $1) AND ($2::integer IS NULL OR client_id = $2)
ORDER BY id DESC LIMIT $3

-- name: list_queued
-- The same for what is due or under lease, by the queue's index.
SELECT callback.*, amount::text AS amount_minor FROM callback
WHERE due_at IS NOT NULL AND state = $1 AND ($2::integer IS NULL OR client_id = $2)
ORDER BY id DESC LIMIT $3

-- name: list_held
-- The same for what is blocked or parked, by the index of what is held.
SELECT callback.*, amount::text AS amount_minor FROM callback
WHERE due_at IS NULL AND state NOT IN ('answered', 'final') AND state = $1 AND ($2::integer IS NULL OR client_id = $2)
ORDER BY id DESC LIMIT $3

-- name: retry
-- Send again on demand: a parked callback starts its schedule anew; one that waits, waits no longer.
UPDATE callback
SET state = 'due', due_at = $2, schedule_start = CASE state WHEN 'parked' THEN attempts ELSE schedule_start END
WHERE id = $1 AND state IN ('parked', 'due')
RETURNING id

-- name: retry_parked
UPDATE callback
SET state = 'due', due_at = $2, schedule_start = attempts
WHERE due_at IS NULL AND state NOT IN ('answered', 'final') AND state = 'parked'
  AND ($1::integer IS NULL OR client_id = $1)
RETURNING id

-- name: unanswered
-- The depth of the queue, its oldest callback and the money that waits for an answer.
SELECT client_id, action, state, currency, count(*) AS callbacks, min(created_at) AS oldest,
       sum(amount)::text AS amount_minor
FROM (
    SELECT client_id, action, state, currency, created_at, amount FROM callback WHERE due_at IS NOT NULL
    UNION ALL
    SELECT client_id, action, state, currency, created_at, amount FROM callback
    WHERE due_at IS NULL AND state NOT IN ('answered', 'final')
) AS open
GROUP BY client_id, action, state, currency
