-- Messages between the processes of a hub.

-- name: make_channel
-- The first process makes it, and again after a crash of the server emptied the table.
INSERT INTO channel (name, epoch, position) VALUES ($1, $2, 0) ON CONFLICT DO NOTHING

-- name: publish
-- One statement, hence one transaction that the server ends by itself: a publisher that is stopped or killed
-- meanwhile holds nobody up. Gives no row, and writes nothing, where the channel is missing.
WITH moved AS (
    UPDATE channel SET position = position + cardinality($2::bytea[]) WHERE name = $1
    RETURNING position - cardinality($2::bytea[]) AS before
), written AS (
    INSERT INTO message (channel, position, body)
    SELECT $1, moved.before + sent.n, sent.body
    FROM moved, unnest($2::bytea[]) WITH ORDINALITY AS sent (body, n)
)
SELECT before, pg_notify('stakewire_hub', $1) FROM moved

-- name: where_it_stands
SELECT epoch, position FROM channel WHERE name = $1

-- name: read
-- Epoch, newest position and the next messages as of one moment.
SELECT c.epoch, c.position AS newest, m.position, m.body
FROM channel AS c
LEFT JOIN LATERAL (
    SELECT position, body FROM message WHERE channel = c.name AND position > $2 ORDER BY position LIMIT $3
) AS m ON true
WHERE c.name = $1
ORDER BY m.position

-- name: sweep
-- Take away what is older than $3 or more than $4 messages back, of the $5 oldest; rows that another process
-- is taking away are passed over. $2: everything up to there was gone before, so the index is not read from
-- its dead beginning.
WITH old AS (
    SELECT m.position, m.sent_at FROM message AS m
    WHERE m.channel = $1 AND m.position > $2
    ORDER BY m.position LIMIT $5 FOR UPDATE SKIP LOCKED
)
DELETE FROM message AS m USING old, channel AS c
WHERE c.name = $1 AND m.channel = $1 AND m.position = old.position
    AND (old.sent_at < clock_timestamp() - $3::interval OR old.position <= c.position - $4::bigint)
RETURNING m.position
