-- name: find_slip
-- What this player's slip became, if it was sent before.
SELECT id, slot, outcome_id, stake, odds, currency, state FROM bet
WHERE client_id = $1 AND user_id = $2 AND slip_id = $3 AND slot = $4

-- name: find_offer
-- The outcome as it can be bet on now. The share lock on its match holds off a ruling until the bet is written,
-- so that no bet is ever accepted after its result is known.
SELECT o.id, o.market, o.name, o.odds, o.active, m.id AS match_id, m.kickoff, m.state
FROM outcome o JOIN match m ON m.id = o.match_id
WHERE o.id = $1
FOR SHARE OF m

-- name: add_bet
INSERT INTO bet (id, slot, client_id, user_id, currency, match_id, outcome_id, stake, odds, slip_id, state,
                 placed_at, answer_by, changed_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 'pending', $11, $12, $11)

-- name: accept_bet
UPDATE bet SET state = 'accepted', changed_at = $3 WHERE id = $1 AND slot = $2 AND state = 'pending'
RETURNING id

-- name: refuse_bet
UPDATE bet SET state = 'refused', refusal = $3, stake_returned = $4, changed_at = $5
WHERE id = $1 AND slot = $2 AND state = 'pending'
RETURNING id

-- name: overdue_bets
-- Bets whose answer can no longer come in time. Locked rows are being decided by somebody else.
SELECT id, slot, client_id, user_id, currency, stake FROM bet
WHERE state = 'pending' AND answer_by <= $1
ORDER BY answer_by LIMIT $2
FOR UPDATE SKIP LOCKED

-- name: refuse_overdue_bets
UPDATE bet b SET state = 'refused', refusal = 'UNKNOWN', stake_returned = true, changed_at = $3
FROM unnest($1::bigint[], $2::smallint[]) AS o (id, slot)
WHERE b.id = o.id AND b.slot = o.slot AND b.state = 'pending'
RETURNING b.id

-- name: bets_of_player
SELECT b.id, b.slip_id, b.client_id, b.user_id, b.currency, b.stake, b.odds, b.state, b.refusal, b.payout, b.stake_returned,
       b.placed_at, b.changed_at, o.market, o.name AS outcome, m.id AS match_id, m.league, m.home, m.away, m.kickoff,
       m.state AS match_state, m.home_goals, m.away_goals, m.simulated
FROM bet b JOIN outcome o ON o.id = b.outcome_id JOIN match m ON m.id = b.match_id
WHERE b.client_id = $1 AND b.user_id = $2 AND b.currency = $3
ORDER BY b.placed_at DESC, b.id DESC LIMIT $4

-- name: find_bet
SELECT b.id, b.slip_id, b.client_id, b.user_id, b.currency, b.stake, b.odds, b.state, b.refusal, b.payout, b.stake_returned,
       b.placed_at, b.changed_at, o.market, o.name AS outcome, m.id AS match_id, m.league, m.home, m.away, m.kickoff,
       m.state AS match_state, m.home_goals, m.away_goals, m.simulated
FROM bet b JOIN outcome o ON o.id = b.outcome_id JOIN match m ON m.id = b.match_id
WHERE b.id = $1 AND b.slot = $2

-- name: changed_bets
-- The latest bets of players who are looking, as far as they changed since a moment.
SELECT b.id, b.slip_id, b.client_id, b.user_id, b.currency, b.stake, b.odds, b.state, b.refusal, b.payout, b.stake_returned,
       b.placed_at, b.changed_at, o.market, o.name AS outcome, m.id AS match_id, m.league, m.home, m.away, m.kickoff,
       m.state AS match_state, m.home_goals, m.away_goals, m.simulated
FROM unnest($1::int[], $2::text[]) AS p (client_id, user_id)
CROSS JOIN LATERAL (
    SELECT * FROM bet WHERE client_id = p.client_id AND user_id = p.user_id
    ORDER BY placed_at DESC, id DESC LIMIT $4
) b
JOIN outcome o ON o.id = b.outcome_id JOIN match m ON m.id = b.match_id
WHERE b.changed_at > $3

-- name: money_at_risk
-- Per currency: stakes held on bets without a result, and what those bets would pay.
SELECT currency, count(*) AS bets, sum(stake) AS stakes, sum(round(stake * odds)) AS payouts
FROM bet WHERE state IN ('pending', 'accepted')
GROUP BY currency

-- name: oldest_pending
SELECT min(placed_at) FROM bet WHERE state = 'pending'
