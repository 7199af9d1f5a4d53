-- Runs before the new code.
-- The outbox: callbacks to clients, written in the transaction that decided them, and every attempt to deliver one.

CREATE TABLE callback (
    id                    bigint      NOT NULL,
    slot                  smallint    NOT NULL,
    client_id             integer     NOT NULL,  -- no foreign key: its row lock would tie all writers to one client row
    bet_id                bigint,
    n                     smallint    NOT NULL,  -- place among the callbacks of its bet, from 1
    transaction_id        text        NOT NULL COLLATE "C",
    action                text        NOT NULL CHECK (action IN ('bet', 'result', 'rollback')),
    target_id             text        COLLATE "C",
    user_id               text        NOT NULL COLLATE "C",
    currency              text        NOT NULL,
    amount                numeric(38, 0) NOT NULL CHECK (amount >= 0),  -- minor units
    path                  text        NOT NULL,
    body                  bytea       NOT NULL,
    state                 text        NOT NULL CHECK (state IN ('blocked', 'due', 'sending', 'answered', 'parked', 'final')),
    due_at                timestamptz,           -- when a worker may claim it; while `sending`, the end of the lease
    leased_by             text,
    attempts              integer     NOT NULL DEFAULT 0,  -- attempts begun: the fence of a lease
    schedule_start        integer     NOT NULL DEFAULT 0,  -- attempts before the present run through the schedule
    last_reason           text,
    client_transaction_id text,
    created_at            timestamptz NOT NULL,
    answered_at           timestamptz,
    PRIMARY KEY (id, slot),
    -- The workers look at due_at alone: it must say the same as the state. A bet is never claimed.
    CONSTRAINT due_at_agrees_with_state
        CHECK ((due_at IS NOT NULL) = (state = 'due' OR (state = 'sending' AND action <> 'bet'))),
    CONSTRAINT bets_are_never_queued CHECK (action <> 'bet' OR state IN ('sending', 'answered', 'final'))
) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_insert_scale_factor = 0.1, autovacuum_analyze_scale_factor = 0.05);

CREATE UNIQUE INDEX callback_transaction ON callback (transaction_id, client_id, slot);
CREATE UNIQUE INDEX callback_of_bet ON callback (bet_id, n, slot) WHERE bet_id IS NOT NULL;
-- The queue: what may be claimed now or later, by client.
CREATE INDEX callback_queue ON callback (client_id, due_at) WHERE due_at IS NOT NULL;
-- What is unanswered and not in the queue: behind another, parked, or a bet in flight.
CREATE INDEX callback_held ON callback (client_id, state) WHERE due_at IS NULL AND state NOT IN ('answered', 'final');

CREATE TABLE callback_attempt (
    callback_id           bigint      NOT NULL,
    slot                  smallint    NOT NULL,
    n                     integer     NOT NULL,
    at                    timestamptz NOT NULL,
    ms                    integer     NOT NULL,
    address               text,
    status                integer,
    outcome               text        NOT NULL CHECK (outcome IN ('accepted', 'declined', 'undecided', 'unclear', 'no_answer', 'not_sent')),
    reason                text,
    client_transaction_id text,
    answer                bytea       NOT NULL CHECK (length(answer) <= 4096),
    PRIMARY KEY (callback_id, n, slot)
) WITH (autovacuum_vacuum_insert_scale_factor = 0.1);

GRANT SELECT, INSERT, UPDATE ON callback TO stakewire_sportsbook_app;
GRANT SELECT, INSERT ON callback_attempt TO stakewire_sportsbook_app;
GRANT SELECT ON callback, callback_attempt TO stakewire_sportsbook_read;
