-- Runs before the new code.
--
-- The sportsbook's own tables. Money is in minor units, numeric(38,0); times are UTC; secrets are sealed by
-- the application, tokens and passwords only hashed. Nothing on the path of a bet uses a sequence or a
-- trigger: bet ids are writer << 40 | counter, where a process takes a fresh writer number at its start.

CREATE TABLE sportsbook.writer (
    number     integer PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    purpose    text NOT NULL,
    taken_at   timestamptz NOT NULL
);

-- Where the sportsbook that started last can be reached: what clients are told as their API_URL.
CREATE TABLE sportsbook.public_url (
    only_row   boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    url        text NOT NULL,
    changed_at timestamptz NOT NULL
);

CREATE TABLE sportsbook.client (
    id            integer PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    name          text COLLATE "C" NOT NULL UNIQUE,
    username      text COLLATE "C" NOT NULL UNIQUE,
    password_hash text NOT NULL,
    callback_url  text NOT NULL,
    origins       text[] NOT NULL,
    currencies    text[] NOT NULL CHECK (cardinality(currencies) > 0),
    profile       text NOT NULL,
    state         text NOT NULL CHECK (state IN ('active', 'disabled')),
    created_at    timestamptz NOT NULL,
    changed_at    timestamptz NOT NULL
);

-- The newest secret whose `signs_from` has come signs; the others are kept as history.
CREATE TABLE sportsbook.client_secret (
    id         integer PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    client_id  integer NOT NULL REFERENCES sportsbook.client,
    sealed     bytea NOT NULL,
    signs_from timestamptz NOT NULL,
    created_at timestamptz NOT NULL
);
CREATE INDEX client_secret_current ON sportsbook.client_secret (client_id, signs_from DESC, id DESC);

-- Admin acts on clients and matches: who asked, what for. Append-only.
CREATE TABLE sportsbook.admin_act (
    id      bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    act     text NOT NULL,
    subject text NOT NULL,
    detail  jsonb NOT NULL,
    at      timestamptz NOT NULL
);

CREATE TABLE sportsbook.api_token (
    token_hash bytea PRIMARY KEY,
    client_id  integer NOT NULL REFERENCES sportsbook.client,
    expires_at timestamptz NOT NULL
);
CREATE INDEX api_token_expiry ON sportsbook.api_token (expires_at);

CREATE TABLE sportsbook.launch_token (
    token_hash bytea PRIMARY KEY,
    client_id  integer NOT NULL REFERENCES sportsbook.client,
    user_id    text COLLATE "C" NOT NULL,
    currency   text NOT NULL,
    lang       text NOT NULL,
    expires_at timestamptz NOT NULL
);
CREATE INDEX launch_token_expiry ON sportsbook.launch_token (expires_at);

CREATE TABLE sportsbook.page_session (
    token_hash bytea PRIMARY KEY,
    client_id  integer NOT NULL REFERENCES sportsbook.client,
    user_id    text COLLATE "C" NOT NULL,
    currency   text NOT NULL,
    lang       text NOT NULL,
    started_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL
);
CREATE INDEX page_session_expiry ON sportsbook.page_session (expires_at);

-- `ruling` counts the decisions on a match (result, correction, void), `paid_ruling` the last one whose bets
-- are all dealt with: while they differ, there is settlement to do, whoever started it. A scheduled match whose
-- kick-off has passed is live: nobody needs to write that down.
CREATE TABLE sportsbook.match (
    id          integer PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    league      text NOT NULL,
    source_date date NOT NULL,
    home        text NOT NULL,
    away        text NOT NULL,
    kickoff     timestamptz NOT NULL,
    state       text NOT NULL CHECK (state IN ('scheduled', 'finished', 'void')),
    home_goals  smallint,
    away_goals  smallint,
    ruling      integer NOT NULL DEFAULT 0,
    paid_ruling integer NOT NULL DEFAULT 0,
    simulated   bigint UNIQUE,
    changed_at  timestamptz NOT NULL,
    CHECK (paid_ruling <= ruling),
    CHECK ((state = 'finished') = (home_goals IS NOT NULL AND away_goals IS NOT NULL))
);
COMMENT ON COLUMN sportsbook.match.simulated IS 'number of a simulated match in its endless schedule; null for others';
CREATE UNIQUE INDEX match_source ON sportsbook.match (league, source_date, home) WHERE simulated IS NULL;
CREATE INDEX match_changed ON sportsbook.match (changed_at);
CREATE INDEX match_unpaid ON sportsbook.match (id) WHERE paid_ruling < ruling;
CREATE INDEX match_open ON sportsbook.match (kickoff) WHERE state = 'scheduled';

-- Every decision on a match, kept for ever. Append-only.
CREATE TABLE sportsbook.ruling (
    match_id   integer NOT NULL REFERENCES sportsbook.match,
    number     integer NOT NULL,
    kind       text NOT NULL CHECK (kind IN ('result', 'correction', 'void')),
    home_goals smallint,
    away_goals smallint,
    reason     text NOT NULL,
    at         timestamptz NOT NULL,
    PRIMARY KEY (match_id, number)
);

CREATE TABLE sportsbook.outcome (
    id       integer PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    match_id integer NOT NULL REFERENCES sportsbook.match,
    market   text NOT NULL CHECK (market IN ('1x2', 'ou2.5')),
    name     text NOT NULL,
    odds     numeric NOT NULL CHECK (odds >= 1.01 AND odds <= 10000),
    active   boolean NOT NULL DEFAULT true,
    UNIQUE (match_id, market, name)
);

-- A bet keeps the odds it was taken at. `applied_ruling` is the last ruling of its match that it has seen;
-- `results_sent` numbers its result callbacks. A slip is one bet, however often the page sends it. No foreign keys:
-- each would lock the client's and the match's row once more for every bet, and those rows are never deleted.
CREATE TABLE sportsbook.bet (
    id             bigint NOT NULL,
    slot           smallint NOT NULL,
    client_id      integer NOT NULL,
    user_id        text COLLATE "C" NOT NULL,
    currency       text NOT NULL,
    match_id       integer NOT NULL,
    outcome_id     integer NOT NULL,
    stake          numeric(38,0) NOT NULL CHECK (stake > 0),
    odds           numeric NOT NULL,
    slip_id        uuid NOT NULL,
    state          text NOT NULL CHECK (state IN ('pending', 'accepted', 'refused', 'won', 'lost', 'void')),
    refusal        text,
    payout         numeric(38,0),
    stake_returned boolean NOT NULL DEFAULT false,
    results_sent   smallint NOT NULL DEFAULT 0,
    applied_ruling integer NOT NULL DEFAULT 0,
    placed_at      timestamptz NOT NULL,
    answer_by      timestamptz NOT NULL,
    changed_at     timestamptz NOT NULL,
    PRIMARY KEY (id, slot),
    UNIQUE (client_id, user_id, slip_id, slot),
    CHECK ((state = 'refused') = (refusal IS NOT NULL)),
    CHECK ((state IN ('won', 'lost')) = (payout IS NOT NULL))
);
COMMENT ON COLUMN sportsbook.bet.stake_returned IS 'the rollback of the stake has been decided and queued';
CREATE INDEX bet_of_player ON sportsbook.bet (client_id, user_id, placed_at DESC, id DESC);
CREATE INDEX bet_of_match ON sportsbook.bet (match_id, applied_ruling) WHERE state IN ('pending', 'accepted', 'won', 'lost');
CREATE INDEX bet_unanswered ON sportsbook.bet (answer_by) WHERE state = 'pending';
CREATE INDEX bet_open ON sportsbook.bet (currency) WHERE state IN ('pending', 'accepted');

GRANT USAGE ON SCHEMA sportsbook TO stakewire_sportsbook_app, stakewire_sportsbook_read;
GRANT SELECT ON ALL TABLES IN SCHEMA sportsbook TO stakewire_sportsbook_read;
REVOKE SELECT ON sportsbook.client_secret, sportsbook.client, sportsbook.api_token, sportsbook.launch_token,
    sportsbook.page_session FROM stakewire_sportsbook_read;
GRANT SELECT (id, name, callback_url, origins, currencies, profile, state, created_at, changed_at)
    ON sportsbook.client TO stakewire_sportsbook_read;

GRANT SELECT, INSERT ON sportsbook.writer, sportsbook.client_secret, sportsbook.admin_act, sportsbook.ruling
    TO stakewire_sportsbook_app;
GRANT SELECT, INSERT, UPDATE ON sportsbook.public_url, sportsbook.client, sportsbook.match, sportsbook.outcome, sportsbook.bet
    TO stakewire_sportsbook_app;
GRANT SELECT, INSERT, DELETE ON sportsbook.api_token, sportsbook.launch_token, sportsbook.page_session
    TO stakewire_sportsbook_app;
