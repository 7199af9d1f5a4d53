-- name: unpaid_matches
SELECT id FROM match WHERE paid_ruling < ruling ORDER BY id LIMIT $1

-- name: ruling_in_force
-- Share lock: a correction waits until the chunk that applies the ruling before it is committed.
SELECT id, state, home_goals, away_goals, ruling, paid_ruling FROM match WHERE id = $1 FOR SHARE

-- name: count_unruled
SELECT count(*) FROM bet
WHERE match_id = $1 AND applied_ruling < $2 AND state IN ('pending', 'accepted', 'won', 'lost')

-- name: claim_unruled
-- A chunk of the bets that have not seen the ruling; another settler's chunk is skipped, not waited for.
SELECT b.id, b.slot, b.client_id, b.user_id, b.currency, b.stake, b.odds, b.state, b.payout, b.results_sent,
       o.market, o.name AS outcome
FROM bet b JOIN outcome o ON o.id = b.outcome_id
WHERE b.match_id = $1 AND b.applied_ruling < $2 AND b.state IN ('accepted', 'won', 'lost')
LIMIT $3
FOR UPDATE OF b SKIP LOCKED

-- name: apply_ruling
UPDATE bet b
SET state = r.state, payout = r.payout, results_sent = r.results_sent, stake_returned = r.state = 'void',
    applied_ruling = $6, changed_at = $7
FROM unnest($1::bigint[], $2::smallint[], $3::text[], $4::numeric[], $5::smallint[])
    AS r (id, slot, state, payout, results_sent)
WHERE b.id = r.id AND b.slot = r.slot AND b.applied_ruling < $6 AND b.state IN ('accepted', 'won', 'lost')

-- name: close_ruling
-- Done when no bet is left that has not seen it, those still waiting for their stake's answer included.
UPDATE match SET paid_ruling = ruling
WHERE id = $1 AND ruling = $2 AND NOT EXISTS (
    SELECT FROM bet WHERE match_id = $1 AND applied_ruling < $2 AND state IN ('pending', 'accepted', 'won', 'lost')
)
RETURNING id

-- name: close_rulings
-- The same for all matches at once; one that is being ruled on or settled is left for the next look.
WITH applied AS (
    SELECT m.id FROM match m
    WHERE m.paid_ruling < m.ruling AND NOT EXISTS (
        SELECT FROM bet b
        WHERE b.match_id = m.id AND b.applied_ruling < m.ruling AND b.state IN ('pending', 'accepted', 'won', 'lost')
    )
    ORDER BY m.id
    FOR NO KEY UPDATE SKIP LOCKED
)
UPDATE match SET paid_ruling = ruling FROM applied WHERE match.id = applied.id
