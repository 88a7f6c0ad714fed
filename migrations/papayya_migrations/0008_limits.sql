-- Rate limits and a fair share of them. What is over the line waits here, with no worker and no message: the pump lets it in.
--
-- A limit is two buckets that leak (GCRA, ITU-T I.371): one of requests and one of tokens. Tokens of the prompt are charged when
-- a call is held, those of the answer when it settles. Of several tenants that wait for a shared limit, the one goes first that
-- has had least, in tokens by its weight (Virtual Token Counter: Sheng et al., OSDI 2024); who comes back after a while is lifted
-- to where the others are (start-time fair queueing: Goyal et al., SIGCOMM 1996).
-- Lock order: limits by id, after budgets; then share.

-- The limits that a call comes under, in the order in which they are locked.
CREATE FUNCTION papayya.rates_of_v1(p_tenant bigint, p_key bigint, p_provider text, p_model text) RETURNS SETOF papayya.rate
    LANGUAGE sql STABLE
    AS $$
    SELECT r.* FROM papayya.rate r
    WHERE (r.tenant_id IS NULL OR r.tenant_id = p_tenant) AND (r.key_id IS NULL OR r.key_id = p_key)
      AND (r.provider IS NULL OR r.provider = lower(p_provider)) AND (r.model IS NULL OR lower(p_model) LIKE papayya.like_v1(r.model))
    ORDER BY r.id
    $$;

-- Seconds until a bucket takes this much; 0: now. p_empty: when it will be empty; p_limit: what leaks a minute, NULL for no limit.
-- What is larger than the whole bucket goes when it is empty.
CREATE FUNCTION papayya.bucket_wait_v1(
    p_empty timestamptz, p_now timestamptz, p_limit double precision, p_burst double precision, p_amount double precision)
    RETURNS double precision LANGUAGE sql STABLE
    AS $$
    SELECT CASE WHEN p_limit IS NULL OR p_empty <= p_now THEN 0
                ELSE least(extract(epoch FROM p_empty - p_now), extract(epoch FROM p_empty - p_now) + p_amount * 60 / p_limit - p_burst) END
    $$;

-- When a bucket will be empty that takes this much now.
CREATE FUNCTION papayya.bucket_after_v1(p_empty timestamptz, p_now timestamptz, p_limit double precision, p_amount double precision)
    RETURNS timestamptz LANGUAGE sql STABLE
    AS $$
    SELECT CASE WHEN p_limit IS NULL THEN p_empty ELSE greatest(p_empty, p_now) + make_interval(secs => p_amount * 60 / p_limit) END
    $$;

-- Seconds until a limit takes a request of this many tokens; 0: now. What a provider said of a limit a minute ago says nothing of
-- it now.
CREATE FUNCTION papayya.rate_wait_v1(r papayya.rate, p_now timestamptz, p_tokens double precision) RETURNS double precision
    LANGUAGE sql STABLE
    AS $$
    SELECT greatest(
        extract(epoch FROM r.cool_until - p_now)::double precision,
        CASE WHEN r.learned AND r.changed_at < p_now - interval '1 minute' THEN 0
             ELSE greatest(papayya.bucket_wait_v1(r.requests_at, p_now, r.requests, r.burst, 1),
                           papayya.bucket_wait_v1(r.tokens_at, p_now, r.tokens, r.burst, p_tokens)) END, 0)
    $$;

-- Charge a limit.
CREATE FUNCTION papayya.rate_charge_v1(p_rate bigint, p_now timestamptz, p_requests int, p_tokens bigint, p_vtime double precision) RETURNS void
    LANGUAGE sql AS $$
    UPDATE papayya.rate r SET
        requests_at = papayya.bucket_after_v1(r.requests_at, p_now, r.requests, p_requests),
        tokens_at = papayya.bucket_after_v1(r.tokens_at, p_now, r.tokens, p_tokens),
        vtime = greatest(r.vtime, p_vtime), served_at = CASE WHEN p_requests > 0 THEN p_now ELSE r.served_at END
    WHERE r.id = p_rate
    $$;

-- What a call weighs in the counters of a limit: tokens, or one where only requests are limited.
CREATE FUNCTION papayya.rate_weight_v1(r papayya.rate, p_requests int, p_tokens bigint, p_weight numeric) RETURNS double precision
    LANGUAGE sql IMMUTABLE
    AS $$ SELECT (CASE WHEN r.tokens IS NULL THEN p_requests ELSE p_tokens END / p_weight)::double precision $$;

-- Count what a tenant has of a shared limit; returns where it began.
CREATE FUNCTION papayya.share_charge_v1(r papayya.rate, p_tenant bigint, p_now timestamptz, p_requests int, p_tokens bigint) RETURNS double precision
    LANGUAGE plpgsql AS $$
DECLARE
    v_cost double precision := papayya.rate_weight_v1(r, p_requests, p_tokens, (SELECT t.weight FROM papayya.tenant t WHERE t.id = p_tenant));
    v_began double precision;
BEGIN
    IF r.tenant_id IS NOT NULL THEN RETURN 0; END IF;
    INSERT INTO papayya.share AS s (rate_id, tenant_id, vtime, tokens, requests, served_at)
    VALUES (r.id, p_tenant, r.vtime + v_cost, p_tokens, p_requests, p_now)
    ON CONFLICT (rate_id, tenant_id) DO UPDATE SET
        vtime = CASE WHEN p_requests > 0 THEN greatest(s.vtime, r.vtime) ELSE s.vtime END + v_cost,
        tokens = s.tokens + p_tokens, requests = s.requests + p_requests,
        served_at = CASE WHEN p_requests > 0 THEN p_now ELSE s.served_at END
    RETURNING s.vtime - v_cost INTO v_began;
    RETURN v_began;
END $$;

-- Let a tenant wait for a limit: from now on its share is looked at.
CREATE FUNCTION papayya.join_room_v1(p_rate bigint, p_tenant bigint) RETURNS void
    LANGUAGE sql AS $$
    INSERT INTO papayya.share (rate_id, tenant_id) SELECT r.id, p_tenant FROM papayya.rate r WHERE r.id = p_rate FOR KEY SHARE
    ON CONFLICT DO NOTHING
    $$;

-- Whether somebody else waits at a shared limit who has had less. Where a tenant itself waits, its oldest item goes first.
CREATE FUNCTION papayya.is_behind_v1(r papayya.rate, p_tenant bigint) RETURNS boolean
    LANGUAGE sql STABLE
    AS $$
    SELECT EXISTS (SELECT FROM papayya.item i WHERE i.rate_id = r.id AND i.state = 'waiting') -- else all who ever had some are looked at
       AND EXISTS (
        SELECT FROM papayya.share s JOIN papayya.tenant t ON t.id = s.tenant_id AND t.paused_at IS NULL
        WHERE s.rate_id = r.id
          AND EXISTS (SELECT FROM papayya.item i WHERE i.rate_id = r.id AND i.tenant_id = s.tenant_id AND i.state = 'waiting')
          AND greatest(s.vtime, r.vtime) <= greatest(r.vtime, (SELECT m.vtime FROM papayya.share m WHERE m.rate_id = r.id AND m.tenant_id = p_tenant)))
    $$;

-- Pass all limits that a call comes under, or none. p_passes: those that have let it in already. p_force: whatever they say.
-- rate_id, delay, reason: what it has to wait for, and for how many seconds at least.
CREATE FUNCTION papayya.pass_rates_v1(
    p_tenant bigint, p_key bigint, p_provider text, p_model text, p_now timestamptz, p_tokens bigint, p_passes bigint[], p_force boolean,
    OUT rate_id bigint, OUT delay double precision, OUT reason text)
    LANGUAGE plpgsql AS $$
DECLARE
    r papayya.rate;
    v_rates papayya.rate[] := '{}';
    v_wait double precision;
BEGIN
    IF NOT EXISTS (SELECT FROM papayya.rate) THEN RETURN; END IF;
    FOR r IN SELECT l.* FROM papayya.rates_of_v1(p_tenant, p_key, p_provider, p_model) AS n
             JOIN papayya.rate l ON l.id = n.id ORDER BY l.id FOR NO KEY UPDATE OF l LOOP
        CONTINUE WHEN r.id = ANY (p_passes) AND coalesce(r.cool_until <= p_now, true);
        v_wait := papayya.rate_wait_v1(r, p_now, p_tokens);
        IF v_wait > 0 OR (r.tenant_id IS NULL AND papayya.is_behind_v1(r, p_tenant)) THEN
            rate_id := coalesce(rate_id, r.id); delay := greatest(delay, v_wait, 0.05);
            reason := coalesce(reason, papayya.rate_reason_v1(r, p_now));
        END IF;
        IF r.id <> ALL (coalesce(p_passes, '{}')) THEN v_rates := v_rates || r; END IF;
    END LOOP;
    IF rate_id IS NOT NULL AND NOT p_force THEN RETURN; END IF;
    FOREACH r IN ARRAY v_rates LOOP
        PERFORM papayya.rate_charge_v1(r.id, p_now, 1, p_tokens, papayya.share_charge_v1(r, p_tenant, p_now, 1, p_tokens));
    END LOOP;
END $$;

CREATE FUNCTION papayya.rate_text_v1(r papayya.rate) RETURNS text
    LANGUAGE sql STABLE
    AS $$
    SELECT coalesce(concat_ws(' and ', r.requests || ' requests', r.tokens || ' tokens') || ' a minute', 'the limit')
           || coalesce(' of ' || nullif(concat_ws(', ', 'tenant ' || (SELECT name FROM papayya.tenant WHERE id = r.tenant_id), r.provider,
                       'model ' || r.model, 'key ' || (SELECT coalesce(name, provider || '/' || print) FROM papayya.provider_key WHERE id = r.key_id)), ''), '')
    $$;

-- Why an item waits, in one line.
CREATE FUNCTION papayya.rate_reason_v1(r papayya.rate, p_now timestamptz) RETURNS text
    LANGUAGE sql STABLE
    AS $$
    SELECT 'throttled: ' || CASE WHEN r.cool_until > p_now THEN coalesce(r.reason, 'the provider asked to wait') ELSE 'over ' || papayya.rate_text_v1(r) END
    $$;

-- After a call: its limits are charged with what it used beyond the guess, and learn what the provider says of them: what is left
-- (p_limits: [[unit, limit, remaining]]), and how long it asks to wait (p_cool, after a refusal). Returns the limit that cools.
CREATE FUNCTION papayya.settle_rates_v1(c papayya.call, p_now timestamptz, p_limits json, p_cool double precision, p_reason text) RETURNS bigint
    LANGUAGE plpgsql AS $$
DECLARE
    r papayya.rate;
    v_more bigint := CASE WHEN c.state IN ('answered', 'broken') THEN c.tokens - c.guess WHEN c.state IN ('void', 'failed') THEN -c.guess ELSE 0 END;
BEGIN
    IF v_more <> 0 AND EXISTS (SELECT FROM papayya.rate) THEN
        FOR r IN SELECT l.* FROM papayya.rates_of_v1(c.tenant_id, c.key_id, c.provider, c.model) AS n
                 JOIN papayya.rate l ON l.id = n.id AND (l.tokens IS NOT NULL OR l.learned) ORDER BY l.id FOR NO KEY UPDATE OF l LOOP
            IF NOT r.learned THEN PERFORM papayya.rate_charge_v1(r.id, p_now, 0, v_more, 0); END IF; -- else the provider says it
            IF r.tokens IS NOT NULL THEN PERFORM papayya.share_charge_v1(r, c.tenant_id, p_now, 0, v_more); END IF;
        END LOOP;
    END IF;
    -- what was learned is locked by now; what is new comes last
    IF p_limits IS NOT NULL OR p_cool > 0 THEN RETURN papayya.learn_rate_v1(c, p_now, p_limits, p_cool, p_reason); END IF;
    RETURN NULL;
END $$;

-- What the provider says of the limit of a key and model. It is told a whole minute's amount, and what is left of it.
CREATE FUNCTION papayya.learn_rate_v1(c papayya.call, p_now timestamptz, p_limits json, p_cool double precision, p_reason text) RETURNS bigint
    LANGUAGE plpgsql AS $$
DECLARE
    v_id bigint;
    v_requests double precision; v_requests_left double precision; v_tokens double precision; v_tokens_left double precision;
BEGIN
    SELECT max(l) FILTER (WHERE u = 'requests'), max(n) FILTER (WHERE u = 'requests'), max(l) FILTER (WHERE u = 'tokens'), max(n) FILTER (WHERE u = 'tokens')
    INTO v_requests, v_requests_left, v_tokens, v_tokens_left
    FROM (SELECT x.u, CASE WHEN x.l > 0 AND x.l < 'infinity' THEN x.l END AS l, CASE WHEN x.n >= 0 THEN x.n END AS n -- some say -1 for no limit
          FROM (SELECT x ->> 0 AS u, (x ->> 1)::double precision AS l, (x ->> 2)::double precision AS n FROM json_array_elements(p_limits) AS x) AS x) AS told;
    IF p_cool > 0 THEN -- a refusal says when to come again, and not what there will be then
        v_requests := NULL; v_requests_left := NULL; v_tokens := NULL; v_tokens_left := NULL;
    -- what is far from its end is not worth a row that all calls would queue for
    ELSIF coalesce(v_requests_left > v_requests / 2, true) AND coalesce(v_tokens_left > v_tokens / 2, true)
          AND NOT EXISTS (SELECT FROM papayya.rate r WHERE r.learned AND (r.tenant_id, r.key_id, r.provider, r.model)
                          IS NOT DISTINCT FROM (NULL::bigint, c.key_id, lower(c.provider), lower(c.model))) THEN
        RETURN NULL;
    END IF;
    INSERT INTO papayya.rate AS r (key_id, provider, model, requests, tokens, burst, learned)
    VALUES (c.key_id, lower(c.provider), lower(c.model), v_requests, v_tokens, 60, true)
    ON CONFLICT (tenant_id, key_id, provider, model, learned) DO UPDATE SET
        requests = coalesce(v_requests, r.requests), tokens = coalesce(v_tokens, r.tokens),
        changed_at = CASE WHEN num_nonnulls(v_requests, v_tokens) > 0 THEN p_now ELSE r.changed_at END
    RETURNING id INTO v_id;
    UPDATE papayya.rate r SET
        requests_at = CASE WHEN v_requests IS NULL OR v_requests_left IS NULL THEN r.requests_at
                           ELSE p_now + make_interval(secs => greatest(v_requests - v_requests_left, 0) * 60 / v_requests) END,
        tokens_at = CASE WHEN v_tokens IS NULL OR v_tokens_left IS NULL THEN r.tokens_at
                         ELSE p_now + make_interval(secs => greatest(v_tokens - v_tokens_left, 0) * 60 / v_tokens) END,
        cool_until = CASE WHEN p_cool > 0 THEN greatest(r.cool_until, p_now + make_interval(secs => p_cool)) ELSE r.cool_until END,
        reason = CASE WHEN p_cool > 0 THEN p_reason ELSE r.reason END
    WHERE r.id = v_id;
    RETURN v_id;
END $$;

-- Let waiting items in: for as much as each limit takes within p_ahead seconds, the tenant first that has had least, each
-- tenant's oldest first; who is paused takes no part. Each gets a pass, and is sent. Returns how many, and after how many seconds to look again.
CREATE FUNCTION papayya.admit_v1(p_ahead double precision, p_limit int, OUT admitted int, OUT again double precision)
    LANGUAGE plpgsql AS $$
DECLARE
    v_rate bigint;
    v_most int;
    v_one record;
BEGIN
    admitted := 0;
    -- where nobody knows how much there is after a refusal, a few at a time
    FOR v_rate, v_most IN SELECT l.id, CASE WHEN num_nonnulls(l.requests, l.tokens) = 0 THEN least(p_limit, 10) ELSE p_limit END
                  FROM papayya.rate l
                  WHERE EXISTS (SELECT FROM papayya.item i WHERE i.rate_id = l.id AND i.state = 'waiting') ORDER BY l.id LOOP
        v_one := papayya.admit_to_v1(v_rate, p_ahead, v_most);
        admitted := admitted + v_one.admitted;
        again := least(again, v_one.again);
    END LOOP;
END $$;

-- The same for one limit.
CREATE FUNCTION papayya.admit_to_v1(p_rate bigint, p_ahead double precision, p_limit int, OUT admitted int, OUT again double precision)
    LANGUAGE plpgsql AS $$
DECLARE
    v_now timestamptz := papayya.now();
    v_soon timestamptz := v_now + make_interval(secs => p_ahead);
    r papayya.rate;
    v_tenants bigint[]; v_weights numeric[]; v_vtimes double precision[]; v_last bigint[]; v_requests int[]; v_tokens bigint[]; v_open boolean[];
    v_ids bigint[] := '{}';
    v_paused bigint[];
    v_n int; v_id bigint; v_wants bigint; v_wait double precision; v_began double precision;
BEGIN
    SELECT * INTO r FROM papayya.rate l WHERE l.id = p_rate FOR NO KEY UPDATE;
    v_paused := ARRAY(SELECT o.id FROM papayya.run o WHERE o.paused_at IS NOT NULL OR o.draining);
    SELECT array_agg(s.tenant_id), array_agg(t.weight), array_agg(s.vtime), array_agg(0), array_agg(0), array_agg(0), array_agg(true)
    INTO v_tenants, v_weights, v_vtimes, v_last, v_requests, v_tokens, v_open
    FROM papayya.share s JOIN papayya.tenant t ON t.id = s.tenant_id AND t.paused_at IS NULL -- who waits has a share, if an empty one
    WHERE s.rate_id = p_rate AND EXISTS (SELECT FROM papayya.item i WHERE i.rate_id = p_rate AND i.tenant_id = s.tenant_id AND i.state = 'waiting');
    WHILE cardinality(v_ids) < p_limit LOOP
        SELECT u.n INTO v_n FROM unnest(v_vtimes, v_open) WITH ORDINALITY AS u (v, open, n)
        WHERE u.open ORDER BY greatest(u.v, r.vtime), u.v, u.n LIMIT 1;
        EXIT WHEN NOT FOUND;
        SELECT i.id, coalesce(i.wants, 0) INTO v_id, v_wants FROM papayya.item i
        WHERE i.rate_id = p_rate AND i.tenant_id = v_tenants[v_n] AND i.state = 'waiting' AND i.id > v_last[v_n]
          AND i.run_id <> ALL (v_paused)
        ORDER BY i.id LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED;
        IF NOT FOUND THEN v_open[v_n] := false; CONTINUE; END IF;
        v_wait := papayya.rate_wait_v1(r, v_soon, v_wants);
        IF v_wait > 0 THEN again := v_wait + p_ahead; EXIT; END IF;
        r.requests_at := papayya.bucket_after_v1(r.requests_at, v_now, r.requests, 1);
        r.tokens_at := papayya.bucket_after_v1(r.tokens_at, v_now, r.tokens, v_wants);
        v_began := greatest(v_vtimes[v_n], r.vtime);
        v_vtimes[v_n] := v_began + papayya.rate_weight_v1(r, 1, v_wants, v_weights[v_n]);
        r.vtime := v_began;
        v_last[v_n] := v_id; v_requests[v_n] := v_requests[v_n] + 1; v_tokens[v_n] := v_tokens[v_n] + v_wants;
        v_ids := v_ids || v_id;
    END LOOP;
    admitted := cardinality(v_ids);
    IF admitted = 0 THEN RETURN; END IF;
    again := coalesce(again, p_ahead);
    UPDATE papayya.rate l SET requests_at = r.requests_at, tokens_at = r.tokens_at, vtime = r.vtime, served_at = v_now WHERE l.id = p_rate;
    INSERT INTO papayya.share AS s (rate_id, tenant_id, vtime, tokens, requests, served_at)
    SELECT p_rate, u.tenant_id, u.vtime, u.tokens, u.requests, v_now
    FROM unnest(v_tenants, v_vtimes, v_requests, v_tokens, v_weights) AS u (tenant_id, vtime, requests, tokens, weight)
    WHERE u.requests > 0 AND r.tenant_id IS NULL ORDER BY u.tenant_id
    ON CONFLICT (rate_id, tenant_id) DO UPDATE SET vtime = excluded.vtime, tokens = s.tokens + excluded.tokens,
        requests = s.requests + excluded.requests, served_at = v_now;
    UPDATE papayya.item i SET state = 'queued', due_at = NULL, send_at = v_now, sends = 0, rate_id = NULL,
           passes = coalesce(i.passes, '{}') || p_rate
    WHERE i.id = ANY (v_ids);
END $$;

-- Nobody waits for a limit any more: it is gone. Who is being looked at just now leaves at the next look, or when due.
CREATE FUNCTION papayya.leave_room_v1(p_rate bigint) RETURNS SETOF bigint
    LANGUAGE sql AS $$
    UPDATE papayya.item i SET due_at = papayya.now(), rate_id = NULL
    WHERE i.id IN (SELECT o.id FROM papayya.item o WHERE o.rate_id = p_rate AND o.state = 'waiting' ORDER BY o.id FOR NO KEY UPDATE SKIP LOCKED)
    RETURNING i.id
    $$;

-- When a bucket will be empty that leaks at another rate from now on; NULL: nothing was, or is, limited.
CREATE FUNCTION papayya.leaking_v1(p_at timestamptz, p_slower double precision) RETURNS timestamptz
    LANGUAGE sql STABLE
    AS $$ SELECT CASE WHEN p_at > papayya.now() THEN papayya.now() + (p_at - papayya.now()) * coalesce(p_slower, 0) ELSE p_at END $$;

-- A rate limit by name: SELECT papayya.set_limit_v1(tenant => 'acme', tokens => 100000). Without a tenant it is shared by all.
-- NULL for requests and tokens alike takes it away. Returns its id.
CREATE FUNCTION papayya.set_limit_v1(
    tenant text = NULL, key text = NULL, provider text = NULL, model text = NULL, requests double precision = NULL,
    tokens double precision = NULL, burst double precision = 6) RETURNS bigint
    LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    v_account papayya.account := papayya.account_v1(tenant, NULL, NULL, key);
    v_id bigint;
BEGIN
    IF num_nonnulls(tenant, key, provider, model) = 0 THEN
        RAISE EXCEPTION 'a limit is of something: give a tenant, key, provider or model' USING ERRCODE = 'invalid_parameter_value';
    ELSIF least(requests, tokens, burst) <= 0 THEN
        RAISE EXCEPTION 'requests, tokens and burst must be above 0' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF num_nonnulls(requests, tokens) = 0 THEN
        SELECT r.id INTO v_id FROM papayya.rate r WHERE NOT r.learned AND (r.tenant_id, r.key_id, r.provider, r.model)
            IS NOT DISTINCT FROM (v_account.tenant_id, v_account.key_id, lower(set_limit_v1.provider), lower(set_limit_v1.model));
        RETURN papayya.remove_limit_v1(v_id);
    END IF;
    INSERT INTO papayya.rate AS r (tenant_id, key_id, provider, model, requests, tokens, burst)
    VALUES (v_account.tenant_id, v_account.key_id, lower(provider), lower(model), requests, tokens, burst)
    ON CONFLICT (tenant_id, key_id, provider, model, learned) DO UPDATE SET
        requests = excluded.requests, tokens = excluded.tokens, burst = excluded.burst, changed_at = papayya.now(),
        -- what is in the buckets leaks as the new limit says
        requests_at = papayya.leaking_v1(r.requests_at, r.requests / excluded.requests),
        tokens_at = papayya.leaking_v1(r.tokens_at, r.tokens / excluded.tokens)
    RETURNING id INTO v_id;
    RETURN v_id;
END $$;

-- Take a limit away, a learned one too: what waits for it goes on. Returns its id, NULL when there is none.
CREATE FUNCTION papayya.remove_limit_v1(p_id bigint) RETURNS bigint
    LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM papayya.rate r WHERE r.id = p_id;
    IF NOT FOUND THEN RETURN NULL; END IF;
    PERFORM papayya.leave_room_v1(p_id);
    RETURN p_id;
END $$;

-- A tenant's weight in its share of limits: twice the weight, twice the tokens.
CREATE FUNCTION papayya.set_weight_v1(tenant text, weight numeric) RETURNS bigint
    LANGUAGE sql AS $$
    INSERT INTO papayya.tenant AS t (name, weight) VALUES (set_weight_v1.tenant, set_weight_v1.weight)
    ON CONFLICT (name) DO UPDATE SET weight = excluded.weight RETURNING t.id
    $$;

-- Limits as people look for them: how full they are, and who waits.
CREATE VIEW papayya.rate_now AS
SELECT r.id, t.name AS tenant, coalesce(k.name, k.provider || '/' || k.print) AS key, r.provider, r.model, r.requests, r.tokens, r.burst,
       r.learned, extract(epoch FROM greatest(r.requests_at, n.at) - n.at)::double precision / 60 * r.requests AS requests_used,
       extract(epoch FROM greatest(r.tokens_at, n.at) - n.at)::double precision / 60 * r.tokens AS tokens_used,
       CASE WHEN r.cool_until > papayya.now() THEN r.cool_until END AS cool_until, r.served_at,
       (SELECT count(*) FROM papayya.item i WHERE i.rate_id = r.id AND i.state = 'waiting') AS waiting,
       r.tenant_id, r.key_id
FROM papayya.rate r CROSS JOIN (SELECT papayya.now() AS at) AS n
LEFT JOIN papayya.tenant t ON t.id = r.tenant_id LEFT JOIN papayya.provider_key k ON k.id = r.key_id;

-- Tenants as they are now: what they spent and hold, how their items went in the last day, who waits, and who is starved: it
-- waits for a limit that has let others in for a minute.
CREATE VIEW papayya.tenant_now AS
WITH spent AS (
    SELECT s.tenant_id, sum(s.cost_nusd)::bigint AS cost_nusd, sum(s.tokens)::bigint AS tokens, sum(s.calls)::bigint AS calls,
           sum(s.unpriced)::bigint AS unpriced_calls, sum(s.uncertain)::bigint AS uncertain_calls, sum(s.uncertain_nusd)::bigint AS uncertain_nusd
    FROM papayya.spend s GROUP BY 1
), held AS (
    SELECT k.tenant_id, sum(k.held_nusd)::bigint AS held_nusd FROM papayya.call k WHERE k.state = 'pending' GROUP BY 1
), budgets AS (
    SELECT n.tenant_id, min(n.left) AS left_nusd FROM papayya.budget_now n
    WHERE n.tenant_id IS NOT NULL AND n.run_id IS NULL AND n.agent_id IS NULL AND n.key_id IS NULL AND n.unit = 'usd' GROUP BY 1
), open AS (
    SELECT i.tenant_id, count(*) FILTER (WHERE i.state = 'queued') AS queued, count(*) FILTER (WHERE i.state = 'running') AS running,
           count(*) FILTER (WHERE i.state = 'paused') AS paused, count(*) FILTER (WHERE i.state = 'waiting') AS waiting,
           count(*) FILTER (WHERE i.state = 'waiting' AND i.rate_id IS NOT NULL) AS throttled,
           min(i.throttled_at) FILTER (WHERE i.state = 'waiting' AND i.rate_id IS NOT NULL) AS waiting_since,
           bool_or(i.state = 'waiting' AND r.served_at > papayya.now() - interval '1 minute' AND i.throttled_at < papayya.now() - interval '1 minute'
                   AND coalesce(s.served_at, '-infinity') < papayya.now() - interval '1 minute') AS starved
    FROM papayya.item i LEFT JOIN papayya.rate r ON r.id = i.rate_id
    LEFT JOIN papayya.share s ON s.rate_id = i.rate_id AND s.tenant_id = i.tenant_id
    WHERE i.state IN ('queued', 'running', 'paused', 'waiting') GROUP BY 1
), ended AS (
    SELECT i.tenant_id, count(*) FILTER (WHERE i.outcome = 'ok') AS ok, count(*) FILTER (WHERE i.outcome = 'degraded') AS degraded,
           count(*) FILTER (WHERE i.outcome = 'failed') AS failed,
           percentile_cont(0.95) WITHIN GROUP (ORDER BY extract(epoch FROM i.throttled)) AS p95_wait
    FROM papayya.item i WHERE i.finished_at > papayya.now() - interval '1 day' GROUP BY 1
)
SELECT t.id, t.name, t.weight, t.paused_at, coalesce(m.cost_nusd, 0) AS cost_nusd, coalesce(m.tokens, 0) AS tokens,
       coalesce(m.calls, 0) AS calls, coalesce(m.unpriced_calls, 0) AS unpriced_calls, coalesce(m.uncertain_calls, 0) AS uncertain_calls,
       coalesce(m.uncertain_nusd, 0) AS uncertain_nusd, coalesce(h.held_nusd, 0) AS held_nusd, b.left_nusd,
       coalesce(o.queued, 0) AS queued, coalesce(o.running, 0) AS running, coalesce(o.paused, 0) AS paused, coalesce(o.waiting, 0) AS waiting,
       coalesce(o.throttled, 0) AS throttled, o.waiting_since, coalesce(o.starved, false) AS starved,
       coalesce(e.ok, 0) AS ok, coalesce(e.degraded, 0) AS degraded, coalesce(e.failed, 0) AS failed,
       e.ok::double precision / nullif(e.ok + e.degraded + e.failed, 0) AS success_rate, e.p95_wait
FROM papayya.tenant t
LEFT JOIN spent m ON m.tenant_id = t.id LEFT JOIN held h ON h.tenant_id = t.id LEFT JOIN budgets b ON b.tenant_id = t.id
LEFT JOIN open o ON o.tenant_id = t.id LEFT JOIN ended e ON e.tenant_id = t.id;
