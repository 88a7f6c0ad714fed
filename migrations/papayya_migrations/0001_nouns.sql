-- The nouns: who the work is for, what was submitted, who is working on it, what came of it.
-- Narrow rows, bigint keys inside, people's names outside. Payloads lie apart. Every invariant
-- that one row can carry is a constraint here; the ones that span rows are in 0002 and the audit.

CREATE SCHEMA papayya;

CREATE TABLE papayya.migration (
    name       text PRIMARY KEY,
    checksum   text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
);

-- The clock of the contract. Tests replace this function to travel in time.
CREATE FUNCTION papayya.now() RETURNS timestamptz
    LANGUAGE sql VOLATILE PARALLEL SAFE
    AS $$ SELECT clock_timestamp() $$;

-- Domains rather than CHECKs where one column says it all: a table's CHECK is parsed anew by every
-- statement that writes a row.
CREATE DOMAIN papayya.name AS text COLLATE "C" CHECK (length(VALUE) BETWEEN 1 AND 500);
CREATE DOMAIN papayya.amount AS bigint CHECK (VALUE >= 0);
CREATE DOMAIN papayya.number AS int CHECK (VALUE >= 0);

CREATE TYPE papayya.item_state AS ENUM
    ('queued', 'running', 'paused', 'waiting', 'completed', 'failed', 'cancelled');
CREATE TYPE papayya.outcome AS ENUM ('ok', 'degraded', 'failed');
CREATE TYPE papayya.severity AS ENUM ('note', 'degraded', 'failed');
CREATE TYPE papayya.step_state AS ENUM ('started', 'completed', 'failed', 'unstored');
-- step: what a step holds for costs that it reports itself
CREATE TYPE papayya.call_kind AS ENUM ('llm', 'embedding', 'tool', 'retrieval', 'step');
-- pending: sent, no end known · answered: whole, and in the journal · failed: refused, nothing is billed · void: never sent ·
-- uncertain: nobody knows what became of it · broken: its stream ended early · replayed: answered from the journal
CREATE TYPE papayya.call_state AS ENUM ('pending', 'answered', 'failed', 'void', 'uncertain', 'broken', 'replayed');
CREATE TYPE papayya.pauser AS ENUM ('budget', 'hand', 'code');
CREATE TYPE papayya.ending AS ENUM
    ('completed', 'failed', 'cancelled', 'paused', 'waiting', 'released', 'lost');
CREATE TYPE papayya.unit AS ENUM ('usd', 'tokens');       -- amounts in usd are nano-dollars
CREATE TYPE papayya.period AS ENUM ('ever', 'day', 'month');
-- What a call holds on a budget, in the window that began then.
CREATE TYPE papayya.held AS (budget_id bigint, since timestamptz, amount bigint, unit papayya.unit);
CREATE TYPE papayya.account AS (tenant_id bigint, run_id bigint, agent_id bigint, key_id bigint);

CREATE TABLE papayya.tenant (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name       papayya.name NOT NULL UNIQUE,
    weight     numeric NOT NULL DEFAULT 1 CHECK (weight > 0),
    settings   jsonb NOT NULL DEFAULT '{}',
    paused_at  timestamptz,                 -- by hand: none of its items is begun
    created_at timestamptz NOT NULL DEFAULT papayya.now()
);

CREATE TABLE papayya.agent (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name       papayya.name NOT NULL UNIQUE,
    created_at timestamptz NOT NULL DEFAULT papayya.now()
);

-- An agent's definition as it was: code fingerprint, prompt, limits.
CREATE TABLE papayya.agent_version (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    agent_id     bigint NOT NULL REFERENCES papayya.agent,
    version      text NOT NULL,
    entrypoint   text,
    model        text,
    instructions text,
    tools        jsonb NOT NULL DEFAULT '[]',
    max_steps    int CHECK (max_steps > 0),
    max_seconds  double precision CHECK (max_seconds > 0),
    budget_nusd  bigint CHECK (budget_nusd >= 0),
    created_at   timestamptz NOT NULL DEFAULT papayya.now(),
    UNIQUE (agent_id, version)
);

-- A run is open until its input was read to the end (sealed_at). It is completed when it is
-- sealed and every item is terminal; that is derived, see papayya.run_summary.
CREATE TABLE papayya.run (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name         papayya.name NOT NULL UNIQUE,
    label        text,
    carrier      text NOT NULL,
    expect_count bigint CHECK (expect_count >= 0),
    expect_keys  text[],
    draining     boolean NOT NULL DEFAULT false,
    created_at   timestamptz NOT NULL DEFAULT papayya.now(),
    sealed_at    timestamptz,
    paused_at    timestamptz,               -- by hand: none of its items is begun
    cancelled_at timestamptz
);

CREATE TABLE papayya.item (
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    run_id        bigint NOT NULL REFERENCES papayya.run,
    tenant_id     bigint NOT NULL REFERENCES papayya.tenant,
    agent_id      bigint NOT NULL REFERENCES papayya.agent,
    key           papayya.name NOT NULL,
    ordinal       papayya.number NOT NULL DEFAULT 1,
    state         papayya.item_state NOT NULL DEFAULT 'queued',
    outcome       papayya.outcome,
    reason        text,                     -- why it is paused, waiting or failed, in one line
    input_hash    bytea,                    -- payload; NULL: the input could not be stored
    input_digest  bytea,                    -- what makes it the same submission again: of its input, or of its message's id
    output_hash   bytea,                    -- payload
    envelope_hash bytea,                    -- payload: how the carrier sends it again
    carrier       text,                     -- who sends it; NULL: its run's
    version_id    bigint REFERENCES papayya.agent_version,
    parent_id     bigint,
    replay_of     bigint,
    deliveries    papayya.number NOT NULL DEFAULT 0,
    dispatch_no   int NOT NULL DEFAULT 0,   -- of its envelope; what was sent with an earlier one is stale
    sends         papayya.number NOT NULL DEFAULT 0, -- of this envelope, the publisher's own included
    paused_by     papayya.pauser,           -- while it runs: it is asked to pause at its next step
    parked_at     timestamptz,              -- since when it is paused
    parked        interval NOT NULL DEFAULT '0', -- how long it was paused before
    parked_on     bigint,                   -- the budget that it is paused by
    wants         bigint,                   -- what it was refused: of that budget, or tokens of the limit that it waits for
    rate_id       bigint,                   -- the rate limit that it waits for
    passes        bigint[],                 -- rate limits that have let it pass, for its next call
    throttled_at  timestamptz,              -- since when it waits for a rate limit
    throttled     interval NOT NULL DEFAULT '0', -- how long it waited for such before
    throttles     papayya.number NOT NULL DEFAULT 0, -- how often
    cost_nusd     papayya.amount NOT NULL DEFAULT 0,
    tokens        papayya.amount NOT NULL DEFAULT 0,
    steps         int NOT NULL DEFAULT 0,
    calls         int NOT NULL DEFAULT 0,
    unpriced      int NOT NULL DEFAULT 0,   -- of its calls; their cost is in no sum
    uncertain_nusd papayya.amount NOT NULL DEFAULT 0, -- what calls without a known end may have cost at most
    created_at    timestamptz NOT NULL DEFAULT papayya.now(),
    started_at    timestamptz,
    finished_at   timestamptz,
    due_at        timestamptz,
    send_at       timestamptz,              -- when the pump sends it (again); of an ended item: so that its carrier learns the end
    UNIQUE (run_id, agent_id, tenant_id, key, ordinal),
    CONSTRAINT outcome_is_for_ended_items
        CHECK ((outcome IS NOT NULL) = (state IN ('completed', 'failed'))),
    CONSTRAINT failed_items_failed CHECK (state <> 'failed' OR outcome = 'failed'),
    CONSTRAINT ended_items_have_an_end
        CHECK ((finished_at IS NOT NULL) = (state IN ('completed', 'failed', 'cancelled'))),
    CONSTRAINT waiting_items_are_due CHECK ((due_at IS NOT NULL) = (state = 'waiting')),
    CONSTRAINT paused_items_say_by_whom CHECK (state <> 'paused' OR (paused_by IS NOT NULL AND parked_at IS NOT NULL))
) WITH (fillfactor = 70);
CREATE INDEX item_open ON papayya.item (run_id, id)
    WHERE state IN ('queued', 'running', 'paused', 'waiting');
CREATE INDEX item_due ON papayya.item (due_at) WHERE state = 'waiting';
CREATE INDEX item_send ON papayya.item (send_at) WHERE send_at IS NOT NULL;
CREATE INDEX item_key ON papayya.item (key);
CREATE INDEX item_parent ON papayya.item (parent_id) WHERE parent_id IS NOT NULL;
CREATE INDEX item_parked ON papayya.item (parked_on, tenant_id, id) WHERE state = 'paused' AND paused_by = 'budget';
CREATE INDEX item_room ON papayya.item (rate_id, tenant_id, id) WHERE state = 'waiting' AND rate_id IS NOT NULL;
CREATE INDEX item_waits ON papayya.item (tenant_id, agent_id) WHERE state = 'waiting' AND rate_id IS NOT NULL;
CREATE INDEX item_ended ON papayya.item (finished_at) WHERE finished_at IS NOT NULL;

-- One delivery of an item to a worker. Its id is the fence: what a worker writes counts only
-- while its dispatch has not ended. One live dispatch per item and lane; lanes are for carriers
-- that run parts of one item in parallel.
CREATE TABLE papayya.dispatch (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    item_id      bigint NOT NULL,
    lane         text COLLATE "C" NOT NULL DEFAULT '',
    version_id   bigint,
    token        bigint NOT NULL,           -- of the request that opened it
    locked_by    text COLLATE "C" NOT NULL,
    locked_until timestamptz NOT NULL,
    deadline     timestamptz,               -- max_seconds: the lease is not renewed past it
    started_at   timestamptz NOT NULL DEFAULT papayya.now(),
    ended_at     timestamptz,
    ending       papayya.ending,
    CONSTRAINT an_end_has_a_kind CHECK ((ended_at IS NULL) = (ending IS NULL))
) WITH (fillfactor = 70);
CREATE UNIQUE INDEX dispatch_live ON papayya.dispatch (item_id, lane) WHERE ended_at IS NULL;
CREATE INDEX dispatch_owner ON papayya.dispatch (locked_by) WHERE ended_at IS NULL;
CREATE INDEX dispatch_lost ON papayya.dispatch (item_id) WHERE ending = 'lost';

-- One checkpoint. No foreign keys: they would lock the item row at every step.
CREATE TABLE papayya.step (
    item_id     bigint NOT NULL,
    label       papayya.name NOT NULL,
    args_hash   bytea NOT NULL,             -- of the explicit arguments; empty when there are none
    ordinal     int NOT NULL,               -- which call of this label with these arguments
    n           int NOT NULL,               -- numbered at start; 0 is code outside any step
    parent_n    int,
    dispatch_id bigint NOT NULL,
    kind        text NOT NULL DEFAULT 'task',
    state       papayya.step_state NOT NULL,
    result      json,                       -- json, not jsonb: the text must come back unchanged
    result_hash bytea,                      -- payload, when it is not small
    error       json,
    attempts    int NOT NULL DEFAULT 1,
    cost_nusd   papayya.amount NOT NULL DEFAULT 0, -- as reported; what its calls cost stands with them
    tokens      papayya.amount NOT NULL DEFAULT 0,
    started_at  timestamptz NOT NULL,
    finished_at timestamptz,
    PRIMARY KEY (item_id, label, args_hash, ordinal)
);
CREATE INDEX step_spent ON papayya.step (coalesce(finished_at, started_at)) WHERE cost_nusd > 0 OR tokens > 0;

-- What calls of a step have in common: the step's key, short.
CREATE FUNCTION papayya.scope_v1(p_label text, p_args_hash bytea, p_ordinal int) RETURNS bytea
    LANGUAGE sql IMMUTABLE
    AS $$ SELECT substr(sha256(convert_to(p_label, 'UTF8') || '\x00' || p_args_hash || '\x00' || convert_to(p_ordinal::text, 'UTF8')), 1, 16) $$;

-- One exchange with a model provider, a tool or a retriever; every attempt is one. Written before it is sent (its hold)
-- and after it ended (its settlement). Its answer is the journal: the same request of the same step is answered from it.
CREATE TABLE papayya.call (
    id             bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    item_id        bigint NOT NULL,
    run_id         bigint NOT NULL,
    tenant_id      bigint NOT NULL,
    dispatch_id    bigint NOT NULL,
    n              int NOT NULL,            -- its step's number in that dispatch; 0: outside any
    scope          bytea NOT NULL,          -- of its step, see scope_v1; empty: outside any
    key            bytea NOT NULL,          -- of the request, without its volatile fields
    ordinal        int NOT NULL,            -- which answer to this request in this step
    attempt        int NOT NULL DEFAULT 1,
    token          bigint NOT NULL,         -- of the statement that made it
    kind           papayya.call_kind NOT NULL,
    state          papayya.call_state NOT NULL DEFAULT 'pending',
    provider       text,
    schema         text,                    -- the wire format
    url            text,                    -- host and path
    model          text NOT NULL,           -- as asked for; a tool's or retriever's name
    answered_by    text,
    response_id    text,
    request_id     text,
    status         int,
    retry_after    double precision,        -- seconds
    sdk_retries    int NOT NULL DEFAULT 0,
    finish         text,
    streamed       boolean NOT NULL DEFAULT false,
    samples        int NOT NULL DEFAULT 1,
    tools          text[],                  -- offered
    tool_calls     text[],                  -- asked for
    tokens_input   papayya.amount,
    tokens_cache_read papayya.amount,
    tokens_cache_write papayya.amount,
    tokens_cache_write_1h papayya.amount,
    tokens_output  papayya.amount,          -- with those of reasoning
    tokens_reasoning papayya.amount,
    estimated      boolean NOT NULL DEFAULT false, -- the provider did not say how many
    cost_nusd      papayya.amount,          -- NULL: not known
    price_source   text,
    held_nusd      papayya.amount,          -- what it may cost, or may have cost beyond cost_nusd, at most; NULL: no bound
    held_tokens    papayya.amount,          -- the same in tokens
    holds          papayya.held[] NOT NULL DEFAULT '{}', -- on budgets
    key_id         bigint,                  -- the provider key that it was sent with
    guess          int,                     -- tokens that its rate limits were charged when it was held; NULL: it does not count
    unbounded      text,                    -- why there is no bound
    request_hash   bytea,                   -- payload
    response_hash  bytea,                   -- payload
    headers        json,
    error          text,
    replay_of      bigint,
    resampled      boolean NOT NULL DEFAULT false, -- asked anew, because the answer before was no good
    rejected       boolean NOT NULL DEFAULT false, -- its answer was no good: it is not given again
    started_at     timestamptz NOT NULL DEFAULT papayya.now(),
    seconds        double precision,
    first_seconds  double precision,        -- to the first piece of the answer
    finished_at    timestamptz,
    reconciled_at  timestamptz,             -- by hand
    -- what it adds to sums, said once
    tokens         bigint NOT NULL GENERATED ALWAYS AS (coalesce(tokens_input::bigint + tokens_cache_read::bigint
                       + tokens_cache_write::bigint + tokens_cache_write_1h::bigint + tokens_output::bigint, 0)) STORED,
    counted        boolean NOT NULL GENERATED ALWAYS AS (state NOT IN ('pending', 'replayed') AND kind <> 'step') STORED,
    unpriced       boolean NOT NULL GENERATED ALWAYS AS (state IN ('answered', 'broken') AND cost_nusd IS NULL) STORED,
    uncertain      boolean NOT NULL GENERATED ALWAYS AS
                       (state IN ('answered', 'broken', 'uncertain') AND coalesce(held_nusd::bigint, 1) > 0) STORED,
    CONSTRAINT an_ended_call_has_an_end CHECK ((finished_at IS NULL) = (state = 'pending'))
) WITH (fillfactor = 80);
CREATE INDEX call_item ON papayya.call (item_id, scope, key, ordinal);
CREATE INDEX call_run ON papayya.call (run_id);
CREATE INDEX call_pending ON papayya.call (dispatch_id) WHERE state = 'pending';
CREATE INDEX call_holding ON papayya.call (id) WHERE holds <> '{}';
CREATE INDEX call_uncertain ON papayya.call (id) WHERE uncertain;
CREATE INDEX call_started ON papayya.call USING brin (started_at) WITH (autosummarize = on);

-- What was spent for a tenant in a run, in shards, so that concurrent workers do not queue for one row.
-- Written in the transaction that writes the call or the report.
CREATE TABLE papayya.spend (
    run_id         bigint NOT NULL,
    tenant_id      bigint NOT NULL,
    shard          smallint NOT NULL,
    cost_nusd      bigint NOT NULL DEFAULT 0,
    tokens         bigint NOT NULL DEFAULT 0,
    calls          bigint NOT NULL DEFAULT 0,
    unpriced       bigint NOT NULL DEFAULT 0,
    uncertain      bigint NOT NULL DEFAULT 0,
    uncertain_nusd bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (run_id, tenant_id, shard)
) WITH (fillfactor = 30);
CREATE INDEX spend_tenant ON papayya.spend (tenant_id);

CREATE TABLE papayya.payload (
    tenant_id  bigint NOT NULL,
    hash       bytea NOT NULL,
    codec      smallint NOT NULL,           -- 0: as it is, 1: zlib, 2: encrypted
    size       int NOT NULL,                -- bytes before compression
    body       bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT papayya.now(),
    PRIMARY KEY (tenant_id, hash)
);
ALTER TABLE papayya.payload ALTER body SET STORAGE EXTERNAL;

CREATE TABLE papayya.finding (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    item_id     bigint NOT NULL,
    run_id      bigint NOT NULL,
    dispatch_id bigint,
    n           int,                        -- the step it is about
    check_name  text NOT NULL,
    severity    papayya.severity NOT NULL,
    reason      text NOT NULL,
    evidence    json,
    fingerprint bytea NOT NULL,
    at          timestamptz NOT NULL DEFAULT papayya.now(),
    retired_at  timestamptz                 -- a retry made it history
);
CREATE INDEX finding_item ON papayya.finding (item_id);
CREATE INDEX finding_cluster ON papayya.finding (run_id, fingerprint) WHERE retired_at IS NULL;

-- What was submitted, counted at entry and never derived from the items: the audit's own memory.
CREATE TABLE papayya.intake (
    id        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    run_id    bigint NOT NULL REFERENCES papayya.run,
    tenant_id bigint NOT NULL REFERENCES papayya.tenant,
    agent_id  bigint NOT NULL REFERENCES papayya.agent,
    source    text NOT NULL,
    count     int NOT NULL CHECK (count > 0),
    keys      text[] NOT NULL,
    ordinals  int[] NOT NULL,
    keys_hash bytea NOT NULL,               -- sha256 of the keys and ordinals, see papayya.keys_hash
    at        timestamptz NOT NULL DEFAULT papayya.now(),
    CONSTRAINT count_is_of_keys CHECK (count = cardinality(keys) AND count = cardinality(ordinals))
);
CREATE INDEX intake_run ON papayya.intake (run_id);

-- A key of a provider, known by its fingerprint.
CREATE TABLE papayya.provider_key (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    provider   text NOT NULL,
    print      text NOT NULL,
    name       papayya.name UNIQUE,
    created_at timestamptz NOT NULL DEFAULT papayya.now(),
    UNIQUE (provider, print)
);

-- A cap on an account: all of tenant, run, agent and provider key that are given must fit.
CREATE TABLE papayya.budget (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_id  bigint REFERENCES papayya.tenant,
    run_id     bigint REFERENCES papayya.run,
    agent_id   bigint REFERENCES papayya.agent,
    key_id     bigint REFERENCES papayya.provider_key,
    unit       papayya.unit NOT NULL DEFAULT 'usd',
    period     papayya.period NOT NULL DEFAULT 'ever',
    timezone   text NOT NULL DEFAULT 'UTC',
    amount     papayya.amount NOT NULL,
    declared   papayya.amount,              -- by the program, last: it counts again when the program says something else
    version    int NOT NULL DEFAULT 1,
    changed_at timestamptz NOT NULL DEFAULT papayya.now(),
    created_at timestamptz NOT NULL DEFAULT papayya.now(),
    UNIQUE NULLS NOT DISTINCT (tenant_id, run_id, agent_id, key_id, unit, period),
    CONSTRAINT a_budget_is_somebodys CHECK (num_nonnulls(tenant_id, run_id, agent_id, key_id) > 0)
);
-- Where a budget's amount is, in each of its windows: free, held by calls under way, spent. Row 0 is the pool. The others are
-- slots that have drawn from it, so that concurrent workers do not queue for one row; only the pool may be overdrawn.
-- Of one slot alone held may be negative: what another one has taken was settled here.
CREATE TABLE papayya.budget_slot (
    budget_id  bigint NOT NULL REFERENCES papayya.budget ON DELETE CASCADE,
    since      timestamptz NOT NULL,        -- -infinity: for ever
    slot       smallint NOT NULL,
    amount     bigint NOT NULL DEFAULT 0,   -- of the pool: the budget's, in this window
    free       bigint NOT NULL DEFAULT 0,
    held       bigint NOT NULL DEFAULT 0,
    spent      bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (budget_id, since, slot),
    CONSTRAINT only_the_pool_is_overdrawn CHECK (free >= 0 OR slot = 0),
    CONSTRAINT only_the_pool_has_an_amount CHECK (amount = 0 OR slot = 0)
) WITH (fillfactor = 30);

-- A rate limit. Shared among tenants where none is named. Two buckets that leak, each as the moment at which it will be empty.
CREATE TABLE papayya.rate (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_id  bigint REFERENCES papayya.tenant,
    key_id     bigint REFERENCES papayya.provider_key,
    provider   text COLLATE "C",
    model      text COLLATE "C",            -- a pattern
    requests   double precision CHECK (requests > 0), -- per minute
    tokens     double precision CHECK (tokens > 0),   -- per minute
    burst      double precision NOT NULL DEFAULT 6 CHECK (burst > 0), -- seconds of the limit that may come at once
    learned    boolean NOT NULL DEFAULT false, -- from the provider's own words, not set by anybody
    requests_at timestamptz NOT NULL DEFAULT '-infinity',
    tokens_at  timestamptz NOT NULL DEFAULT '-infinity',
    cool_until timestamptz,                 -- the provider asked to wait
    reason     text,                        -- in its words
    vtime      double precision NOT NULL DEFAULT 0, -- of the one that was let in last
    served_at  timestamptz,
    created_at timestamptz NOT NULL DEFAULT papayya.now(),
    changed_at timestamptz NOT NULL DEFAULT papayya.now(),
    UNIQUE NULLS NOT DISTINCT (tenant_id, key_id, provider, model, learned)
) WITH (fillfactor = 30);
-- How much of a shared limit a tenant has had, in tokens (or requests) by its weight.
CREATE TABLE papayya.share (
    rate_id    bigint NOT NULL REFERENCES papayya.rate ON DELETE CASCADE,
    tenant_id  bigint NOT NULL REFERENCES papayya.tenant,
    vtime      double precision NOT NULL DEFAULT 0,
    tokens     bigint NOT NULL DEFAULT 0,
    requests   bigint NOT NULL DEFAULT 0,
    served_at  timestamptz,
    PRIMARY KEY (rate_id, tenant_id)
) WITH (fillfactor = 30);

-- Items that something else waits for: when all have ended it starts, once (a chord and its callback).
CREATE TABLE papayya.cohort (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name       papayya.name NOT NULL UNIQUE,
    carrier    text NOT NULL,
    size       int CHECK (size >= 0),       -- NULL: not all of it was submitted yet
    created_at timestamptz NOT NULL DEFAULT papayya.now(),
    checked_at timestamptz,
    fired_at   timestamptz
);
CREATE INDEX cohort_open ON papayya.cohort (created_at) WHERE fired_at IS NULL;
CREATE TABLE papayya.cohort_part (
    cohort_id bigint NOT NULL REFERENCES papayya.cohort,
    item_id   bigint NOT NULL,
    place     int,
    PRIMARY KEY (cohort_id, item_id),
    UNIQUE (cohort_id, place)               -- an item that replaces another takes its place
);

CREATE TABLE papayya.leader (
    role         text PRIMARY KEY,
    locked_by    text NOT NULL,
    locked_until timestamptz NOT NULL
) WITH (fillfactor = 30);
