-- Runs before the new code.
--
-- Messages between the processes of a hub. They matter for seconds, so nothing here is written ahead: a server
-- that crashed comes back with both tables empty, and readers see by the missing epoch that they missed something.
-- A clean restart keeps them, and nobody missed anything.

-- One row per hub. It is locked from the statement that gives out positions to the commit of the messages, so
-- whoever sees a position sees all before it.
CREATE UNLOGGED TABLE hub.channel (
    name text COLLATE "C" NOT NULL PRIMARY KEY,
    epoch text NOT NULL,       -- another one: positions have begun anew
    position bigint NOT NULL   -- of the newest message
) WITH (fillfactor = 20, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);

CREATE UNLOGGED TABLE hub.message (
    channel text COLLATE "C" NOT NULL,
    position bigint NOT NULL,  -- from 1, without gaps
    sent_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    body bytea NOT NULL,
    PRIMARY KEY (channel, position)
) WITH (
    toast_tuple_target = 8160,  -- most bodies stay in their row; compressing them would cost more than it saves
    autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000,
    autovacuum_vacuum_insert_threshold = -1, autovacuum_analyze_threshold = 100000
);
ALTER TABLE hub.message ALTER COLUMN body SET STORAGE EXTERNAL;

GRANT SELECT, INSERT, UPDATE (position) ON hub.channel TO stakewire_hub_app;
GRANT SELECT, INSERT, DELETE, UPDATE (sent_at) ON hub.message TO stakewire_hub_app;  -- UPDATE: rows are locked to be deleted
GRANT SELECT ON hub.channel TO stakewire_hub_read;
GRANT SELECT (channel, position, sent_at) ON hub.message TO stakewire_hub_read;
