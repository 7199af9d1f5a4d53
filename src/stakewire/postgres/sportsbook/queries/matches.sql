-- name: any_match
SELECT EXISTS (SELECT FROM match)

-- name: find_sources
-- The matches that files named before, by league, date and home team; locked until the import commits.
SELECT m.id, m.league, m.source_date, m.home, m.away, m.kickoff, m.state, m.home_goals, m.away_goals
FROM match m
JOIN unnest($1::text[], $2::date[], $3::text[]) AS k (league, source_date, home)
  ON m.league = k.league AND m.source_date = k.source_date AND m.home = k.home
WHERE m.simulated IS NULL
ORDER BY m.id
FOR NO KEY UPDATE OF m

-- name: add_matches
INSERT INTO match (league, source_date, home, away, kickoff, state, changed_at)
SELECT league, source_date, home, away, kickoff, 'scheduled', $6
FROM unnest($1::text[], $2::date[], $3::text[], $4::text[], $5::timestamptz[])
    AS f (league, source_date, home, away, kickoff)
ON CONFLICT (league, source_date, home) WHERE simulated IS NULL DO NOTHING
RETURNING id, league, source_date, home

-- name: add_simulated_match
INSERT INTO match (league, source_date, home, away, kickoff, state, simulated, changed_at)
VALUES ($1, $2, $3, $4, $5, 'scheduled', $6, $7)
ON CONFLICT (simulated) DO NOTHING
RETURNING id

-- name: move_kickoffs
UPDATE match m SET kickoff = k.kickoff, changed_at = $3
FROM unnest($1::int[], $2::timestamptz[]) AS k (id, kickoff)
WHERE m.id = k.id AND m.state = 'scheduled'

-- name: set_odds
-- Offer these outcomes at these odds; unchanged ones are not written.
INSERT INTO outcome (match_id, market, name, odds)
SELECT match_id, market, name, odds
FROM unnest($1::int[], $2::text[], $3::text[], $4::numeric[]) AS o (match_id, market, name, odds)
ON CONFLICT (match_id, market, name) DO UPDATE SET odds = excluded.odds, active = true
WHERE outcome.odds <> excluded.odds OR NOT outcome.active

-- name: list_board
-- What a player may look at: matches to come, live ones, and those decided a little while ago. A match that
-- was decided before its kick-off stays no longer than the others.
(SELECT id, league, home, away, kickoff, state, home_goals, away_goals, simulated, ruling
 FROM match WHERE state = 'scheduled' AND kickoff > $1::timestamptz - $3::interval ORDER BY kickoff, id LIMIT $2)
UNION ALL
(SELECT id, league, home, away, kickoff, state, home_goals, away_goals, simulated, ruling
 FROM match WHERE state <> 'scheduled' AND changed_at > $1::timestamptz - $4::interval ORDER BY changed_at DESC, id LIMIT $2)

-- name: list_outcomes
SELECT id, match_id, market, name, odds, active FROM outcome WHERE match_id = ANY($1::int[]) ORDER BY id

-- name: list_matches
-- For people at a shell, by kick-off; with what is still to be settled.
SELECT id, league, home, away, kickoff, state, home_goals, away_goals, simulated, ruling, paid_ruling
FROM match
WHERE ($1::text IS NULL OR state = $1) AND ($2::text IS NULL OR league = $2)
ORDER BY kickoff DESC, id DESC
LIMIT $3

-- name: lock_match
-- Waits for bets that are being written on it; bets that come later see what is decided here.
SELECT id, league, home, away, kickoff, state, home_goals, away_goals, simulated, ruling, paid_ruling
FROM match WHERE id = $1
FOR NO KEY UPDATE

-- name: rule_match
UPDATE match
SET state = $3, home_goals = $4, away_goals = $5, ruling = ruling + 1, changed_at = $6
WHERE id = $1 AND ruling = $2
RETURNING ruling

-- name: record_ruling
INSERT INTO ruling (match_id, number, kind, home_goals, away_goals, reason, at) VALUES ($1, $2, $3, $4, $5, $6, $7)

-- name: due_simulated
-- Simulated matches whose end has come.
SELECT id FROM match WHERE state = 'scheduled' AND simulated IS NOT NULL AND kickoff <= $1 ORDER BY kickoff LIMIT $2

-- name: open_simulated
-- Simulated matches that still take bets.
SELECT id FROM match WHERE state = 'scheduled' AND simulated IS NOT NULL AND kickoff > $1 ORDER BY kickoff LIMIT $2

-- name: touch_match
UPDATE match SET changed_at = $2 WHERE id = $1
