-- Calls: a hold before each, a settlement after it, and the journal that answers it the next time.
-- A call is a fact: it is settled under any fence. Only a hold can be refused.
-- Lock order: item, dispatch, call, payload, spend, budget. The item is locked only where its sum may have to be made anew,
-- because the dispatch has ended; nobody else waits for an ended dispatch, so that it may be looked at before.

-- What a call adds to the sums of its run and tenant.
CREATE FUNCTION papayya.call_share_v1(
    c papayya.call, OUT cost bigint, OUT tokens bigint, OUT calls int, OUT unpriced int, OUT uncertain int, OUT uncertain_nusd bigint)
    LANGUAGE sql IMMUTABLE
    AS $$
    SELECT coalesce(c.cost_nusd, 0), c.tokens, c.counted::int, c.unpriced::int, c.uncertain::int,
           CASE WHEN c.uncertain THEN coalesce(c.held_nusd, 0) ELSE 0 END
    $$;

-- Book the difference that a change of a call makes: on its run and tenant, and on budgets.
CREATE FUNCTION papayya.book_call_v1(p_agent bigint, p_before papayya.call, p_after papayya.call) RETURNS void
    LANGUAGE plpgsql AS $$
BEGIN
    PERFORM papayya.spend_v1(p_after.run_id, p_after.tenant_id, p_after.dispatch_id, a.cost - coalesce(b.cost, 0),
                             a.tokens - coalesce(b.tokens, 0), a.calls - coalesce(b.calls, 0), a.unpriced - coalesce(b.unpriced, 0),
                             a.uncertain - coalesce(b.uncertain, 0), a.uncertain_nusd - coalesce(b.uncertain_nusd, 0))
    FROM papayya.call_share_v1(p_after) AS a LEFT JOIN papayya.call_share_v1(p_before) AS b ON p_before.id IS NOT NULL;
    PERFORM papayya.book_budgets_v1(p_agent, p_before, p_after);
END $$;

-- The key of a provider, by its fingerprint.
CREATE FUNCTION papayya.key_v1(p_provider text, p_print text) RETURNS bigint
    LANGUAGE plpgsql AS $$
DECLARE
    v_id bigint;
BEGIN
    SELECT k.id INTO v_id FROM papayya.provider_key k WHERE k.provider = lower(p_provider) AND k.print = p_print;
    IF v_id IS NULL AND p_print IS NOT NULL THEN
        INSERT INTO papayya.provider_key (provider, print) VALUES (lower(p_provider), p_print) ON CONFLICT DO NOTHING;
        SELECT k.id INTO v_id FROM papayya.provider_key k WHERE k.provider = lower(p_provider) AND k.print = p_print;
    END IF;
    RETURN v_id;
END $$;

-- Whether a dispatch ended because it ended its item, and that end stands.
CREATE FUNCTION papayya.is_own_end_v1(p_ending papayya.ending, p_state papayya.item_state) RETURNS boolean
    LANGUAGE sql IMMUTABLE
    AS $$ SELECT p_ending IN ('completed', 'failed') AND p_ending::text = p_state::text $$;

-- Before a call: the answer of the journal, or a hold. Verdicts: go · pause (somebody asked for it) · cancelled · exhausted (a budget
-- refuses, and nothing will come back of itself) · wait (others hold what is left of a budget, or a rate limit is reached) · unpriced (a
-- budget in money applies, and the price is not known) · lost (the fence is old) · ended (there is no fence and no answer); with all but
-- the first nothing was written and nothing may be sent. What an item has left running may go on after its end, until somebody else has
-- the item. An answer comes with its status. The token makes a hold that is sent twice (the connection broke) one hold.
-- p_bound: nano-dollars at most, as the caller knows prices; the table of prices goes before. p_prompt, p_output: tokens at
-- most, NULL without a bound. p_near: where there is no answer though the item ran before, say what was asked then.
-- unkept: there was an answer, and it was not kept.
-- p_floor: what its prompt alone may cost; p_clamp: hold for less output (clamped tokens) rather than refuse. p_priced: the caller knows
-- a price. p_unpriced: it may go without one. p_enforce: false for an observer: it goes, and reason says what would have kept it.
-- p_fact: it was sent already. p_guess: tokens of the prompt, for limits; NULL: limits do not count. p_passes: limits that let it in.
CREATE FUNCTION papayya.hold_v1(
    p_item bigint, p_fence bigint, p_token bigint, p_n int, p_scope bytea, p_key bytea, p_ordinal int, p_kind papayya.call_kind,
    p_provider text, p_schema text, p_url text, p_model text, p_streamed boolean, p_samples int, p_tools text[],
    p_prompt bigint, p_output bigint, p_bound bigint, p_unbounded text,
    p_hash bytea, p_codec int, p_size int, p_body bytea, p_near boolean, p_key_print text, p_floor bigint, p_clamp boolean,
    p_priced boolean, p_unpriced boolean, p_enforce boolean, p_fact boolean, p_guess int, p_passes bigint[],
    OUT verdict text, OUT call_id bigint, OUT bound_nusd bigint, OUT resampled boolean, OUT status int, OUT headers json,
    OUT codec smallint, OUT body bytea, OUT near_codec smallint, OUT near_body bytea, OUT unkept boolean,
    OUT reason text, OUT budget_id bigint, OUT wants bigint, OUT delay double precision, OUT rate_id bigint, OUT clamped bigint)
    LANGUAGE plpgsql AS $$
DECLARE
    v_now timestamptz := papayya.now();
    i papayya.item;
    c papayya.call;
    v_attempt int;
    v_began timestamptz;
    v_ending papayya.ending;
    v_key bigint;
    v_tokens bigint := CASE WHEN p_unbounded IS NULL THEN p_prompt + p_output END;
    v_money boolean;
    v_throttled text;
    v_known boolean;
    h record;
BEGIN
    PERFORM papayya.guard_v1();
    PERFORM pg_advisory_xact_lock(p_token); -- what was cut off may be at it still
    IF p_fence > 0 THEN
        SELECT d.started_at, d.ending INTO v_began, v_ending FROM papayya.dispatch d WHERE d.id = p_fence FOR SHARE;
    END IF;
    SELECT * INTO i FROM papayya.item WHERE id = p_item;
    IF p_fence > 0 AND NOT p_fact AND (v_began IS NULL OR (v_ending IS NOT NULL AND NOT papayya.is_own_end_v1(v_ending, i.state))) THEN
        verdict := 'lost'; RETURN;
    END IF;
    verdict := CASE WHEN i.state = 'cancelled' THEN 'cancelled' WHEN i.paused_by IS NOT NULL THEN 'pause' ELSE 'go' END;
    IF p_fact THEN verdict := 'go'; END IF;
    IF p_fence > 0 AND verdict <> 'go' THEN RETURN; END IF;
    -- most are asked for the first time: one look at the index tells, instead of three at what is not there
    v_known := EXISTS (SELECT FROM papayya.call k
                       WHERE k.item_id = p_item AND k.scope = p_scope AND k.key = p_key AND k.ordinal = p_ordinal);
    IF v_known THEN
        SELECT * INTO c FROM papayya.call k
        WHERE k.item_id = p_item AND k.scope = p_scope AND k.key = p_key AND k.ordinal = p_ordinal
          AND (k.token = p_token
               OR (NOT p_fact AND k.state = 'answered' AND NOT k.rejected
                   AND EXISTS (SELECT FROM papayya.payload p WHERE p.tenant_id = k.tenant_id AND p.hash = k.response_hash)))
        ORDER BY k.token = p_token DESC, k.id DESC LIMIT 1; -- what came late to an older request is not what was gone on with
    END IF;
    IF c.token = p_token AND (p_fact OR c.state = 'pending') THEN
        call_id := c.id; bound_nusd := c.held_nusd; resampled := c.resampled; RETURN;
    ELSIF c.id IS NOT NULL THEN
        SELECT k.status, k.headers, p.codec, p.body, k.id INTO status, headers, codec, body, call_id
        FROM papayya.call k JOIN papayya.payload p ON p.tenant_id = k.tenant_id AND p.hash = k.response_hash
        WHERE k.id = coalesce(c.replay_of, c.id);
    END IF;
    IF body IS NOT NULL THEN
        IF p_fence > 0 AND c.replay_of IS NULL THEN
            INSERT INTO papayya.call (item_id, run_id, tenant_id, dispatch_id, n, scope, key, ordinal, token, kind, state, provider,
                                      schema, url, model, answered_by, status, finish, streamed, samples, cost_nusd, held_nusd,
                                      request_hash, response_hash, replay_of, started_at, seconds, finished_at)
            VALUES (p_item, i.run_id, i.tenant_id, p_fence, p_n, p_scope, p_key, p_ordinal, p_token, p_kind, 'replayed', p_provider,
                    p_schema, p_url, p_model, c.answered_by, c.status, c.finish, p_streamed, p_samples, 0, 0,
                    c.request_hash, c.response_hash, c.id, v_now, 0, v_now);
        END IF;
        RETURN;
    END IF;
    IF p_fence = 0 THEN verdict := 'ended'; RETURN; END IF;

    v_attempt := 1; resampled := false; unkept := false;
    IF v_known THEN
        SELECT count(*) + 1, coalesce(bool_or(k.rejected), false), coalesce(bool_or(k.state = 'answered' AND NOT k.rejected), false)
        INTO v_attempt, resampled, unkept FROM papayya.call k
        WHERE k.item_id = p_item AND k.scope = p_scope AND k.key = p_key AND k.ordinal = p_ordinal AND k.state <> 'replayed';
    END IF;
    IF p_near AND v_began > i.started_at THEN
        SELECT p.codec, p.body INTO near_codec, near_body
        FROM papayya.call k JOIN papayya.payload p ON p.tenant_id = k.tenant_id AND p.hash = k.request_hash
        WHERE k.item_id = p_item AND k.scope = p_scope AND k.schema = p_schema AND k.state = 'answered' AND NOT k.rejected
          AND k.dispatch_id <> p_fence
          AND NOT EXISTS (SELECT FROM papayya.call r WHERE r.item_id = p_item AND r.replay_of = k.id AND r.dispatch_id = p_fence)
        ORDER BY k.id LIMIT 1;
    END IF;
    IF p_body IS NOT NULL THEN
        INSERT INTO papayya.payload (tenant_id, hash, codec, size, body) VALUES (i.tenant_id, p_hash, p_codec, p_size, p_body)
        ON CONFLICT DO NOTHING;
    END IF;
    IF p_kind = 'step' THEN
        bound_nusd := p_bound;
    ELSIF p_unbounded IS NULL AND p_output IS NOT NULL THEN
        bound_nusd := papayya.bound_v1(i.tenant_id, p_provider, ARRAY[p_model], v_now, p_prompt, p_output);
        IF bound_nusd IS NULL THEN
            bound_nusd := p_bound;
        ELSIF p_clamp THEN
            p_floor := papayya.bound_v1(i.tenant_id, p_provider, ARRAY[p_model], v_now, p_prompt, 0);
        END IF;
    END IF;
    IF p_key_print IS NOT NULL THEN v_key := papayya.key_v1(p_provider, p_key_print); END IF;
    v_money := bound_nusd IS NULL AND NOT p_priced
               AND papayya.bound_v1(i.tenant_id, p_provider, ARRAY[p_model], v_now, 1, 1) IS NULL
               AND EXISTS (SELECT FROM papayya.budgets_v1(i.tenant_id, i.run_id, i.agent_id, v_key) AS b WHERE b.unit = 'usd');
    IF v_money AND p_enforce AND NOT p_unpriced AND NOT p_fact THEN
        verdict := 'unpriced'; RETURN;
    END IF;
    -- what has no price takes no part in budgets of money
    h := papayya.hold_budgets_v1(i.tenant_id, i.run_id, i.agent_id, v_key, v_now, CASE WHEN v_money THEN 0 ELSE bound_nusd END, v_tokens,
                                 p_floor, CASE WHEN p_clamp THEN p_output END, 16::bigint * p_samples, p_fact OR NOT p_enforce); -- providers refuse less
    reason := CASE WHEN v_money AND NOT p_unpriced THEN 'unpriced: what ' || p_model || ' costs is not known' ELSE h.reason END;
    budget_id := h.budget_id; wants := h.wants; clamped := h.clamped;
    IF h.verdict <> 'go' THEN
        verdict := CASE h.verdict WHEN 'pause' THEN 'exhausted' ELSE h.verdict END;
        -- the longer the more wait, so that all together ask some fifty times a second
        SELECT greatest(1, count(*) / 50.0) * (0.75 + random() / 2) INTO delay
        FROM (SELECT FROM papayya.item w WHERE w.state = 'waiting' LIMIT 3000) AS others;
        RETURN;
    END IF;
    IF p_guess IS NOT NULL THEN
        SELECT r.rate_id, r.delay, r.reason INTO rate_id, delay, v_throttled
        FROM papayya.pass_rates_v1(i.tenant_id, v_key, p_provider, p_model, v_now, p_guess, p_passes, p_fact OR NOT p_enforce) AS r;
        IF rate_id IS NOT NULL AND p_enforce AND NOT p_fact THEN
            PERFORM papayya.move_v1(o.budget_id, o.since, o.amount, -o.amount, 0) FROM unnest(h.holds) AS o;
            verdict := 'wait'; wants := p_guess; reason := v_throttled; RETURN;
        END IF;
        IF reason IS NULL THEN reason := v_throttled; ELSE rate_id := NULL; END IF; -- it would not have come as far
        IF cardinality(p_passes) > 0 THEN p_guess := coalesce(i.wants, p_guess); END IF; -- charged when it was let in
    END IF;
    IF clamped IS NOT NULL THEN
        bound_nusd := least(bound_nusd, p_floor + ceil((bound_nusd - p_floor)::numeric * clamped / p_output)::bigint);
        v_tokens := v_tokens - p_output + clamped;
    END IF;
    INSERT INTO papayya.call (item_id, run_id, tenant_id, dispatch_id, n, scope, key, ordinal, attempt, token, kind, provider, schema,
                              url, model, streamed, samples, tools, held_nusd, held_tokens, holds, key_id, guess, unbounded, request_hash,
                              resampled, started_at)
    VALUES (p_item, i.run_id, i.tenant_id, p_fence, p_n, p_scope, p_key, p_ordinal, v_attempt, p_token, p_kind, p_provider, p_schema,
            p_url, p_model, p_streamed, p_samples, p_tools, bound_nusd, v_tokens, h.holds, v_key, p_guess,
            CASE WHEN bound_nusd IS NULL THEN coalesce(p_unbounded, CASE WHEN p_output IS NULL THEN 'no limit of output' ELSE 'no price' END) END,
            p_hash, resampled, v_now)
    RETURNING id INTO call_id;
END $$;

-- After a call: what came of it. Settles once; a late one turns an uncertain call into what it was. p_cost: as the caller
-- knows prices, with its source; the table of prices goes before. p_limits: [[unit, limit, remaining]] as the provider tells them;
-- p_cool: seconds that it asks to wait. How the item may go on: go · pause · cancelled · lost. rate_id: the limit that cools.
CREATE FUNCTION papayya.settle_v1(
    p_call bigint, p_state papayya.call_state, p_status int, p_headers json, p_retry_after double precision, p_request_id text,
    p_sdk_retries int, p_error text, p_seconds double precision, p_first_seconds double precision,
    p_answered_by text, p_response_id text, p_finish text, p_tool_calls text[],
    p_input bigint, p_cache_read bigint, p_cache_write bigint, p_cache_write_1h bigint, p_output bigint, p_reasoning bigint,
    p_estimated boolean, p_cost bigint, p_source text,
    p_hash bytea, p_codec int, p_size int, p_body bytea, p_limits json, p_cool double precision,
    OUT verdict text, OUT cost_nusd bigint, OUT rate_id bigint)
    LANGUAGE plpgsql AS $$
DECLARE
    v_now timestamptz := papayya.now();
    v_fence bigint;
    v_ending papayya.ending;
    v_ended boolean;
    i papayya.item;
    old papayya.call;
    new papayya.call;
    v_source text := p_source;
    v_keeps boolean;
BEGIN
    PERFORM papayya.guard_v1();
    SELECT k.dispatch_id INTO v_fence FROM papayya.call k WHERE k.id = p_call;
    SELECT d.ended_at IS NOT NULL, d.ending INTO v_ended, v_ending FROM papayya.dispatch d WHERE d.id = v_fence FOR SHARE;
    IF v_ended THEN
        PERFORM FROM papayya.item WHERE id = (SELECT k.item_id FROM papayya.call k WHERE k.id = p_call) FOR NO KEY UPDATE;
    END IF;
    SELECT * INTO old FROM papayya.call k WHERE k.id = p_call FOR NO KEY UPDATE;
    SELECT * INTO i FROM papayya.item WHERE id = old.item_id;
    verdict := CASE WHEN v_ended AND NOT papayya.is_own_end_v1(v_ending, i.state) THEN 'lost' WHEN i.state = 'cancelled' THEN 'cancelled' WHEN i.paused_by IS NOT NULL THEN 'pause' ELSE 'go' END;
    IF old.state = 'pending' OR (old.state = 'uncertain' AND p_state IN ('answered', 'failed', 'void', 'broken')) THEN
        IF p_body IS NOT NULL THEN
            INSERT INTO papayya.payload (tenant_id, hash, codec, size, body) VALUES (old.tenant_id, p_hash, p_codec, p_size, p_body)
            ON CONFLICT DO NOTHING;
        END IF;
        IF p_state IN ('answered', 'broken') THEN
            cost_nusd := p_cost;
            IF p_input IS NOT NULL THEN
                SELECT coalesce(pr.nusd, p_cost), coalesce(pr.source, p_source) INTO cost_nusd, v_source
                FROM (SELECT) AS one
                LEFT JOIN LATERAL papayya.price_v1(old.tenant_id, old.provider, array_remove(ARRAY[p_answered_by, old.model], NULL),
                                                   old.started_at, p_input, p_cache_read, p_cache_write, p_cache_write_1h, p_output)
                          AS pr ON true;
            END IF;
        ELSE
            cost_nusd := 0;
        END IF;
        v_keeps := p_state IN ('uncertain', 'broken') OR (p_state = 'answered' AND (p_estimated OR (p_input IS NULL AND cost_nusd IS NULL)));
        UPDATE papayya.call k SET
            holds = papayya.kept_v1(k.holds, settle_v1.cost_nusd, coalesce(p_input + p_cache_read + p_cache_write + p_cache_write_1h + p_output, 0), v_keeps),
            state = p_state, status = p_status, headers = p_headers, retry_after = p_retry_after, request_id = p_request_id,
            sdk_retries = p_sdk_retries, error = p_error, seconds = p_seconds, first_seconds = p_first_seconds,
            answered_by = p_answered_by, response_id = p_response_id, finish = p_finish, tool_calls = p_tool_calls,
            tokens_input = p_input, tokens_cache_read = p_cache_read, tokens_cache_write = p_cache_write,
            tokens_cache_write_1h = p_cache_write_1h, tokens_output = p_output, tokens_reasoning = p_reasoning,
            estimated = p_estimated, cost_nusd = settle_v1.cost_nusd, price_source = CASE WHEN p_state IN ('answered', 'broken') AND settle_v1.cost_nusd IS NOT NULL THEN v_source END,
            held_nusd = CASE WHEN p_state = 'uncertain' THEN k.held_nusd -- greatest() would take NULL, no bound, for nothing
                             WHEN k.held_nusd IS NOT NULL AND (p_state = 'broken' OR (p_state = 'answered' AND p_estimated))
                             THEN greatest(k.held_nusd - coalesce(settle_v1.cost_nusd, 0), 0)
                             WHEN p_state = 'broken' OR (p_state = 'answered' AND p_estimated) THEN NULL ELSE 0 END,
            unbounded = CASE WHEN p_state IN ('uncertain', 'broken') OR (p_state = 'answered' AND p_estimated) THEN k.unbounded END,
            response_hash = p_hash, finished_at = v_now, reconciled_at = NULL
        WHERE k.id = p_call RETURNING * INTO new;
        PERFORM papayya.book_call_v1(i.agent_id, old, new);
        rate_id := papayya.settle_rates_v1(new, v_now, p_limits, p_cool, p_error);
    ELSE
        cost_nusd := old.cost_nusd; -- it was settled before
    END IF;
    IF v_ended THEN PERFORM papayya.sum_cost_v1(old.item_id); END IF; -- it may have ended, with a sum that lacks this
END $$;

-- A call of a tool or retriever, whole. It is no answer of the journal: its step's checkpoint is.
CREATE FUNCTION papayya.record_call_v1(
    p_item bigint, p_fence bigint, p_token bigint, p_n int, p_scope bytea, p_kind papayya.call_kind, p_model text, p_error text,
    p_seconds double precision, p_cost bigint, p_hash bytea, p_codec int, p_size int, p_body bytea,
    p_answer_hash bytea, p_answer_codec int, p_answer_size int, p_answer_body bytea) RETURNS bigint
    LANGUAGE plpgsql AS $$
DECLARE
    v_now timestamptz := papayya.now();
    v_ended boolean;
    i papayya.item;
    c papayya.call;
BEGIN
    PERFORM papayya.guard_v1();
    PERFORM pg_advisory_xact_lock(p_token); -- as in hold_v1
    SELECT d.ended_at IS NOT NULL INTO v_ended FROM papayya.dispatch d WHERE d.id = p_fence FOR SHARE;
    IF v_ended THEN PERFORM FROM papayya.item WHERE id = p_item FOR NO KEY UPDATE; END IF;
    SELECT * INTO i FROM papayya.item WHERE id = p_item;
    SELECT * INTO c FROM papayya.call k WHERE k.item_id = p_item AND k.scope = p_scope AND k.token = p_token;
    IF FOUND THEN RETURN c.id; END IF;
    PERFORM papayya.keep_payloads_v1(ARRAY[i.tenant_id, i.tenant_id], ARRAY[p_hash, p_answer_hash], ARRAY[p_codec, p_answer_codec],
                                     ARRAY[p_size, p_answer_size], ARRAY[p_body, p_answer_body]);
    INSERT INTO papayya.call (item_id, run_id, tenant_id, dispatch_id, n, scope, key, ordinal, token, kind, state, model, error,
                              cost_nusd, price_source, held_nusd, request_hash, response_hash, started_at, seconds, finished_at)
    VALUES (p_item, i.run_id, i.tenant_id, p_fence, p_n, p_scope, '', 0, p_token, p_kind,
            CASE WHEN p_error IS NULL THEN 'answered' ELSE 'failed' END::papayya.call_state, p_model, p_error, p_cost,
            CASE WHEN p_cost > 0 THEN 'reported' END, 0, p_hash, p_answer_hash, v_now - make_interval(secs => p_seconds), p_seconds, v_now)
    RETURNING * INTO c;
    PERFORM papayya.book_call_v1(i.agent_id, NULL, c);
    IF v_ended THEN PERFORM papayya.sum_cost_v1(p_item); END IF;
    RETURN c.id;
END $$;

-- The answers of a step were no good: they are asked anew.
CREATE FUNCTION papayya.reject_v1(p_item bigint, p_scope bytea) RETURNS int
    LANGUAGE plpgsql AS $$
DECLARE
    v_count int;
BEGIN
    UPDATE papayya.call SET rejected = true
    WHERE id IN (SELECT k.id FROM papayya.call k WHERE k.item_id = p_item AND k.scope = p_scope AND k.state = 'answered' AND NOT k.rejected
                 ORDER BY k.id FOR NO KEY UPDATE);
    GET DIAGNOSTICS v_count = ROW_COUNT;
    RETURN v_count;
END $$;

-- A call of which nobody knows what became: its hold stays, until somebody does. The caller has locked its item.
CREATE FUNCTION papayya.doubt_call_v1(p_call bigint) RETURNS boolean
    LANGUAGE plpgsql AS $$
DECLARE
    old papayya.call;
    new papayya.call;
BEGIN
    SELECT * INTO old FROM papayya.call k WHERE k.id = p_call AND k.state = 'pending' FOR NO KEY UPDATE;
    IF NOT FOUND THEN RETURN false; END IF;
    UPDATE papayya.call k SET state = 'uncertain', cost_nusd = 0, error = 'its worker was gone before it ended', finished_at = papayya.now()
    WHERE k.id = p_call RETURNING * INTO new;
    PERFORM papayya.book_call_v1((SELECT i.agent_id FROM papayya.item i WHERE i.id = old.item_id), old, new);
    RETURN true;
END $$;

-- Calls that workers who are gone had under way. All are locked before anything is booked, and booked in the order in which
-- spend is locked. The caller has ended their dispatches and locked their items, so that nobody settles them meanwhile.
CREATE FUNCTION papayya.doubt_all_v1(p_calls bigint[]) RETURNS int
    LANGUAGE plpgsql AS $$
DECLARE
    v_count int;
BEGIN
    PERFORM FROM papayya.call k WHERE k.id = ANY (p_calls) AND k.state = 'pending' ORDER BY k.id FOR NO KEY UPDATE;
    SELECT count(*) FILTER (WHERE papayya.doubt_call_v1(c.id)) INTO v_count
    FROM (SELECT k.id FROM papayya.call k WHERE k.id = ANY (p_calls)
          ORDER BY k.run_id, k.tenant_id, k.dispatch_id % 16, k.id) AS c;
    RETURN v_count;
END $$;

-- The calls that lost workers had under way.
CREATE FUNCTION papayya.doubt_calls_v1(p_fences bigint[]) RETURNS int
    LANGUAGE sql AS $$
    SELECT papayya.doubt_all_v1(ARRAY(SELECT k.id FROM papayya.call k WHERE k.dispatch_id = ANY (p_fences) AND k.state = 'pending'))
    $$;

-- Calls that their items did not wait for, and those of workers that were gone before anybody looked. Items that somebody is at
-- are for the next time.
CREATE FUNCTION papayya.expire_holds_v1(p_quiet double precision, p_limit int) RETURNS int
    LANGUAGE plpgsql AS $$
DECLARE
    v_calls bigint[] := '{}';
    v_items bigint[] := '{}';
    v_found record;
    v_count int;
BEGIN
    PERFORM papayya.guard_v1();
    FOR v_found IN
        SELECT k.id, k.item_id FROM papayya.call k JOIN papayya.dispatch d ON d.id = k.dispatch_id
        WHERE k.state = 'pending' AND d.ended_at IS NOT NULL
          AND (d.ending = 'lost' OR greatest(d.ended_at, k.started_at) < papayya.now() - make_interval(secs => p_quiet))
        ORDER BY k.item_id, k.id LIMIT p_limit
    LOOP
        PERFORM FROM papayya.item WHERE id = v_found.item_id FOR NO KEY UPDATE SKIP LOCKED;
        CONTINUE WHEN NOT FOUND;
        v_calls := v_calls || v_found.id;
        v_items := v_items || v_found.item_id;
    END LOOP;
    IF v_calls = '{}' THEN RETURN 0; END IF;
    v_count := papayya.doubt_all_v1(v_calls);
    PERFORM papayya.sum_cost_v1(u.id) FROM (SELECT DISTINCT id FROM unnest(v_items) AS u (id)) AS u;
    RETURN v_count;
END $$;

-- Say by hand what a call cost, whose end or price is not known. Returns its state, NULL when there is nothing to say.
CREATE FUNCTION papayya.reconcile_v1(p_call bigint, p_nusd bigint) RETURNS text
    LANGUAGE plpgsql AS $$
DECLARE
    old papayya.call;
    new papayya.call;
BEGIN
    PERFORM papayya.guard_v1();
    PERFORM FROM papayya.item WHERE id = (SELECT k.item_id FROM papayya.call k WHERE k.id = p_call) FOR NO KEY UPDATE;
    SELECT * INTO old FROM papayya.call k WHERE k.id = p_call FOR NO KEY UPDATE;
    IF NOT FOUND OR NOT (old.state IN ('uncertain', 'broken') OR (old.state = 'answered' AND (old.cost_nusd IS NULL OR old.estimated OR old.reconciled_at IS NOT NULL))) THEN
        RETURN NULL;
    END IF;
    UPDATE papayya.call k SET cost_nusd = p_nusd, price_source = 'by hand', held_nusd = 0, holds = '{}', unbounded = NULL, reconciled_at = papayya.now()
    WHERE k.id = p_call RETURNING * INTO new;
    PERFORM papayya.book_call_v1((SELECT i.agent_id FROM papayya.item i WHERE i.id = old.item_id), old, new);
    PERFORM papayya.sum_cost_v1(old.item_id);
    RETURN new.state;
END $$;

-- Calls as people look for them.
CREATE VIEW papayya.call_now AS
SELECT k.id, r.name AS run, t.name AS tenant, a.name AS agent, i.key || CASE WHEN i.ordinal > 1 THEN '#' || i.ordinal ELSE '' END AS item,
       k.item_id, k.run_id, k.tenant_id, k.dispatch_id, k.n, s.n AS step_n, s.label AS step, k.scope, k.ordinal, k.attempt, k.kind, k.state,
       k.provider, k.schema, k.url, k.model, k.answered_by, k.response_id, k.request_id, k.status, k.retry_after, k.sdk_retries,
       k.finish, k.streamed, k.samples, k.tools, k.tool_calls, k.tokens_input, k.tokens_cache_read, k.tokens_cache_write,
       k.tokens_cache_write_1h, k.tokens_output, k.tokens_reasoning, k.estimated, k.cost_nusd, k.price_source,
       k.unpriced, k.state = 'pending' OR k.uncertain AS uncertain, k.held_nusd, k.unbounded,
       k.request_hash, k.response_hash, k.headers, k.error, k.replay_of, k.resampled, k.rejected, k.started_at, k.seconds,
       k.first_seconds, k.finished_at, k.reconciled_at
FROM papayya.call k
JOIN papayya.item i ON i.id = k.item_id JOIN papayya.run r ON r.id = k.run_id JOIN papayya.tenant t ON t.id = k.tenant_id
JOIN papayya.agent a ON a.id = i.agent_id
LEFT JOIN papayya.step s ON s.item_id = k.item_id AND k.scope <> '' AND papayya.scope_v1(s.label, s.args_hash, s.ordinal) = k.scope;

-- Money from every side, a row per tenant of a run: the sums of calls and reports, of items, and the running sum, must agree.
CREATE FUNCTION papayya.audit_money_v1(p_run text)
    RETURNS TABLE (tenant text, items_nusd bigint, calls_nusd bigint, reported_nusd bigint, spend_nusd bigint, calls bigint,
                   replayed bigint, saved_nusd bigint, unpriced bigint, uncertain bigint, uncertain_nusd bigint, unbounded bigint,
                   pending bigint, pending_nusd bigint)
    LANGUAGE sql STABLE AS $$
    WITH run AS (SELECT id FROM papayya.run WHERE name = p_run),
    items AS (
        SELECT i.tenant_id, sum(CASE WHEN i.finished_at IS NULL THEN (SELECT s.cost FROM papayya.item_sum_v1(i.id) AS s) ELSE i.cost_nusd END)::bigint AS cost,
               coalesce(sum((SELECT sum(s.cost_nusd) FROM papayya.step s WHERE s.item_id = i.id)), 0)::bigint AS reported
        FROM papayya.item i JOIN run ON i.run_id = run.id GROUP BY 1
    ), calls AS (
        SELECT k.tenant_id, coalesce(sum(k.cost_nusd), 0)::bigint AS cost, count(*) FILTER (WHERE k.counted) AS calls,
               count(*) FILTER (WHERE k.state = 'replayed') AS replayed,
               coalesce(sum((SELECT o.cost_nusd FROM papayya.call o WHERE o.id = k.replay_of)), 0)::bigint AS saved,
               count(*) FILTER (WHERE k.unpriced) AS unpriced,
               count(*) FILTER (WHERE k.uncertain) AS uncertain, coalesce(sum(k.held_nusd) FILTER (WHERE k.uncertain), 0)::bigint AS uncertain_nusd,
               count(*) FILTER (WHERE k.state IN ('pending', 'answered', 'broken', 'uncertain') AND k.held_nusd IS NULL) AS unbounded,
               count(*) FILTER (WHERE k.state = 'pending') AS pending,
               coalesce(sum(k.held_nusd) FILTER (WHERE k.state = 'pending'), 0)::bigint AS pending_nusd
        FROM papayya.call k JOIN run ON k.run_id = run.id GROUP BY 1
    ), spent AS (
        SELECT s.tenant_id, sum(s.cost_nusd)::bigint AS cost FROM papayya.spend s JOIN run ON s.run_id = run.id GROUP BY 1
    )
    SELECT t.name, coalesce(i.cost, 0), coalesce(c.cost, 0), coalesce(i.reported, 0), coalesce(s.cost, 0), coalesce(c.calls, 0), coalesce(c.replayed, 0),
           coalesce(c.saved, 0), coalesce(c.unpriced, 0), coalesce(c.uncertain, 0), coalesce(c.uncertain_nusd, 0),
           coalesce(c.unbounded, 0), coalesce(c.pending, 0), coalesce(c.pending_nusd, 0)
    FROM items i FULL JOIN calls c USING (tenant_id) FULL JOIN spent s USING (tenant_id) JOIN papayya.tenant t ON t.id = tenant_id
    ORDER BY t.name
    $$;
