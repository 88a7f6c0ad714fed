-- Prices that go before every plugin's: contracts, own models, corrections. A price is never changed in place: a change is a
-- new row with its own valid_from, so that what a call was priced by can be looked up for ever.

-- The classes of papayya_core.call.Tokens; reasoning is a part of output.
CREATE TYPE papayya.token_class AS ENUM ('input', 'cache_read', 'cache_write', 'cache_write_1h', 'output');

-- A pattern: * stands for any text, ? for one character, all else for itself. In lower case; names are compared so.
CREATE DOMAIN papayya.pattern AS text COLLATE "C" CHECK (length(VALUE) BETWEEN 1 AND 500 AND VALUE = lower(VALUE COLLATE "C"));

-- A pattern as LIKE understands it; nothing of it but * and ? can be a wildcard.
CREATE FUNCTION papayya.like_v1(p_pattern text) RETURNS text
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    AS $$ SELECT translate(replace(replace(replace(p_pattern, '\', '\\'), '%', '\%'), '_', '\_'), '*?', '%_') $$;

-- What a pattern begins with before its first wildcard: all of it when there is none.
CREATE FUNCTION papayya.literal_v1(p_pattern text) RETURNS text
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    AS $$ SELECT split_part(translate(p_pattern, '?', '*'), '*', 1) $$;

-- How narrow a pattern is, to be compared from left to right: has it no wildcard · how long is what comes before the first one ·
-- how long is all that is none · how few * it has.
CREATE FUNCTION papayya.narrowness_v1(p_pattern text) RETURNS int[]
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    AS $$ SELECT ARRAY[(p_pattern = papayya.literal_v1(p_pattern))::int, length(papayya.literal_v1(p_pattern)),
                       length(translate(p_pattern, '*?', '')), length(replace(p_pattern, '*', '')) - length(p_pattern)] $$;

CREATE TABLE papayya.price (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_id       bigint REFERENCES papayya.tenant,  -- NULL: everybody's
    provider        papayya.pattern NOT NULL DEFAULT '*',
    model           papayya.pattern NOT NULL,
    class           papayya.token_class NOT NULL,
    usd_per_million numeric(20, 9),                    -- NULL: the price ends here
    valid_from      timestamptz NOT NULL,
    source          text NOT NULL,                     -- who or what says so
    created_at      timestamptz NOT NULL DEFAULT papayya.now(),
    provider_like   text COLLATE "C" NOT NULL GENERATED ALWAYS AS (papayya.like_v1(provider)) STORED,
    provider_narrow int[] NOT NULL GENERATED ALWAYS AS (papayya.narrowness_v1(provider)) STORED,
    model_like      text COLLATE "C" NOT NULL GENERATED ALWAYS AS (papayya.like_v1(model)) STORED,
    model_literal   text COLLATE "C" NOT NULL GENERATED ALWAYS AS (papayya.literal_v1(model)) STORED,
    model_narrow    int[] NOT NULL GENERATED ALWAYS AS (papayya.narrowness_v1(model)) STORED,
    CONSTRAINT prices_are_sane CHECK (usd_per_million BETWEEN 0 AND 1000000)
);
CREATE INDEX price_model ON papayya.price (model_literal);

-- The prices that apply, in dollars per million tokens, with what stands in for a class that has none of its own.
-- A list is what one tenant (or nobody) has for one pair of patterns, each class as its newest valid row says; it counts when it
-- has input and output, and one list prices all of a call. Of several: the tenant's own before everybody's; one whose model
-- pattern is more than wildcards; that of the first name; the narrower pattern of the model, then of the provider.
-- p_models: two names of the model at most, the better one first. All NULL when no list applies.
CREATE FUNCTION papayya.rates_v1(
    p_tenant bigint, p_provider text, p_models text[], p_at timestamptz,
    OUT input numeric, OUT cache_read numeric, OUT cache_write numeric, OUT cache_write_1h numeric, OUT output numeric,
    OUT price_id bigint, OUT source text)
    LANGUAGE plpgsql STABLE
    SET enable_seqscan = off -- beginnings are looked up one by one, which the planner takes for dearer than it is
    AS $$
#variable_conflict use_column
DECLARE
    v_provider text := lower(coalesce(p_provider, '') COLLATE "C");
    v_models text[] := array_remove(array_remove(p_models, NULL), '');
    v_first text := lower(v_models[1] COLLATE "C");
    v_second text := lower(v_models[2] COLLATE "C");
    v_literals text[] := '{}'; v_list text[]; v_class papayya.token_class;
    p record;
BEGIN
    -- Whatever fits begins with a beginning of one of the names: that is how the index finds it.
    FOR n IN 0 .. least(greatest(length(v_first), length(v_second)), 500) LOOP
        v_literals := v_literals || left(v_first, n);
        IF v_second <> v_first THEN v_literals := v_literals || left(v_second, n); END IF;
    END LOOP;
    FOR p IN
        SELECT r.id, r.class, r.usd_per_million AS usd, r.source, ARRAY[r.tenant_id::text, r.provider, r.model] AS list
        FROM papayya.price r
        WHERE r.model_literal = ANY (v_literals) AND (v_first LIKE r.model_like OR v_second LIKE r.model_like)
          AND v_provider LIKE r.provider_like AND (r.tenant_id IS NULL OR r.tenant_id = p_tenant) AND r.valid_from <= p_at
        ORDER BY r.tenant_id IS NULL, r.model_narrow[3] = 0, v_first LIKE r.model_like DESC, r.model_narrow DESC,
                 r.provider_narrow DESC, r.model, r.provider, r.class, r.valid_from DESC, r.id DESC
    LOOP
        IF p.list IS DISTINCT FROM v_list THEN
            EXIT WHEN input IS NOT NULL AND output IS NOT NULL;
            v_list := p.list; v_class := NULL; price_id := NULL;
            input := NULL; cache_read := NULL; cache_write := NULL; cache_write_1h := NULL; output := NULL;
        END IF;
        CONTINUE WHEN p.class = v_class; -- an older row
        v_class := p.class;
        CONTINUE WHEN p.usd IS NULL;
        CASE p.class
            WHEN 'input' THEN input := p.usd;
            WHEN 'cache_read' THEN cache_read := p.usd;
            WHEN 'cache_write' THEN cache_write := p.usd;
            WHEN 'cache_write_1h' THEN cache_write_1h := p.usd;
            WHEN 'output' THEN output := p.usd;
        END CASE;
        IF price_id IS NULL OR p.id > price_id THEN
            price_id := p.id; source := p.source;
        END IF;
    END LOOP;
    IF input IS NULL OR output IS NULL THEN
        input := NULL; cache_read := NULL; cache_write := NULL; cache_write_1h := NULL; output := NULL; price_id := NULL; source := NULL;
        RETURN;
    END IF;
    cache_read := coalesce(cache_read, input);
    cache_write := coalesce(cache_write, input);
    cache_write_1h := coalesce(cache_write_1h, cache_write);
END $$;

-- Dollars per million tokens, times tokens, in nano-dollars. Rounded half up, once. NULL beyond what an amount can hold.
CREATE FUNCTION papayya.nano_v1(p_sum numeric) RETURNS bigint
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    AS $$ SELECT CASE WHEN p_sum < 4611686018427387 THEN round(p_sum * 1000)::bigint END $$;

-- What tokens cost by this table; both NULL when it does not say.
CREATE FUNCTION papayya.price_v1(
    p_tenant bigint, p_provider text, p_models text[], p_at timestamptz,
    p_input bigint, p_cache_read bigint, p_cache_write bigint, p_cache_write_1h bigint, p_output bigint,
    OUT nusd bigint, OUT source text)
    LANGUAGE plpgsql STABLE AS $$
DECLARE
    r record;
BEGIN
    IF NOT EXISTS (SELECT FROM papayya.price) THEN
        RETURN;
    END IF;
    r := papayya.rates_v1(p_tenant, p_provider, p_models, p_at);
    nusd := papayya.nano_v1(greatest(p_input, 0) * r.input + greatest(p_cache_read, 0) * r.cache_read
                            + greatest(p_cache_write, 0) * r.cache_write + greatest(p_cache_write_1h, 0) * r.cache_write_1h
                            + greatest(p_output, 0) * r.output);
    IF nusd IS NOT NULL THEN
        source := 'papayya prices #' || r.price_id || ': ' || r.source;
    END IF;
END $$;

-- What a prompt and an output of so many tokens cost at most by this table; NULL when it does not say.
CREATE FUNCTION papayya.bound_v1(
    p_tenant bigint, p_provider text, p_models text[], p_at timestamptz, p_prompt bigint, p_output bigint, OUT nusd bigint)
    LANGUAGE plpgsql STABLE AS $$
DECLARE
    r record;
BEGIN
    IF p_prompt IS NULL OR p_output IS NULL OR NOT EXISTS (SELECT FROM papayya.price) THEN
        RETURN; -- an output without a limit has no bound
    END IF;
    r := papayya.rates_v1(p_tenant, p_provider, p_models, p_at);
    nusd := papayya.nano_v1(greatest(p_prompt, 0) * greatest(r.input, r.cache_read, r.cache_write, r.cache_write_1h)
                            + greatest(p_output, 0) * r.output);
END $$;
