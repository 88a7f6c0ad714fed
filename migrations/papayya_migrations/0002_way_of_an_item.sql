-- The way of an item through the house: capture, open, checkpoint, close, release.
-- One function per round trip. They are the contract: workers of mixed versions, or in another
-- language, keep the invariants because they live here. READ COMMITTED is assumed.
-- Lock order everywhere: item, then dispatch, then budget.

CREATE FUNCTION papayya.keys_hash(p_keys text[], p_ordinals int[]) RETURNS bytea
    LANGUAGE sql IMMUTABLE
    AS $$
    SELECT sha256(convert_to(string_agg(length(k) || ':' || k || '#' || o, ',' ORDER BY k COLLATE "C", o), 'UTF8'))
    FROM unnest(p_keys, p_ordinals) AS u (k, o)
    $$;

-- The one place that decides an outcome: the worst finding that still stands.
CREATE FUNCTION papayya.outcome_v1(p_item bigint) RETURNS papayya.outcome
    LANGUAGE sql STABLE
    AS $$
    SELECT CASE max(severity) WHEN 'failed' THEN 'failed' WHEN 'degraded' THEN 'degraded' ELSE 'ok' END::papayya.outcome
    FROM papayya.finding WHERE item_id = p_item AND retired_at IS NULL
    $$;

-- What an item has cost: what its steps reported and what its calls cost. The item keeps it from its end on.
CREATE FUNCTION papayya.item_sum_v1(p_item bigint)
    RETURNS TABLE (cost bigint, tokens bigint, steps int, calls int, unpriced int, uncertain bigint)
    LANGUAGE sql STABLE
    AS $$
    SELECT (st.cost + c.cost)::bigint, (st.tokens + c.tokens)::bigint, st.steps::int, c.calls::int, c.unpriced::int, c.uncertain::bigint
    FROM (SELECT coalesce(sum(s.cost_nusd), 0) AS cost, coalesce(sum(s.tokens), 0) AS tokens, count(*) FILTER (WHERE s.n > 0) AS steps
          FROM papayya.step s WHERE s.item_id = p_item) AS st,
         (SELECT coalesce(sum(k.cost_nusd), 0) AS cost, count(*) FILTER (WHERE k.counted) AS calls, coalesce(sum(k.tokens), 0) AS tokens,
                 count(*) FILTER (WHERE k.unpriced) AS unpriced, coalesce(sum(k.held_nusd) FILTER (WHERE k.uncertain), 0) AS uncertain
          FROM papayya.call k WHERE k.item_id = p_item) AS c
    $$;

CREATE FUNCTION papayya.register_agent_v1(
    p_name text, p_version text, p_entrypoint text, p_model text, p_instructions text,
    p_tools jsonb, p_max_steps int, p_max_seconds double precision, p_budget_nusd bigint,
    OUT agent_id bigint, OUT version_id bigint)
    LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO papayya.agent (name) VALUES (p_name) ON CONFLICT DO NOTHING;
    SELECT id INTO agent_id FROM papayya.agent WHERE name = p_name;
    INSERT INTO papayya.agent_version AS v (agent_id, version, entrypoint, model, instructions, tools,
                                            max_steps, max_seconds, budget_nusd)
    VALUES (register_agent_v1.agent_id, p_version, p_entrypoint, p_model, p_instructions, p_tools,
            p_max_steps, p_max_seconds, p_budget_nusd)
    ON CONFLICT DO NOTHING;
    SELECT v.id INTO version_id FROM papayya.agent_version v
    WHERE v.agent_id = register_agent_v1.agent_id AND v.version = p_version;
END $$;

-- Make a run, or go on with it. A run that goes on no longer drains; new items open it again, see capture.
CREATE FUNCTION papayya.start_run_v1(
    p_name text, p_label text, p_carrier text, p_expect_count bigint, p_expect_keys text[],
    p_budget_nusd bigint,
    OUT run_id bigint, OUT existed boolean, OUT cancelled boolean)
    LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO papayya.run (name, label, carrier, expect_count, expect_keys)
    VALUES (p_name, p_label, p_carrier, p_expect_count, p_expect_keys)
    ON CONFLICT (name) DO NOTHING RETURNING id INTO run_id;
    existed := run_id IS NULL;
    IF existed THEN
        UPDATE papayya.run SET draining = false,
               expect_count = coalesce(p_expect_count, expect_count),
               expect_keys = coalesce(p_expect_keys, expect_keys)
        WHERE name = p_name RETURNING id INTO run_id;
    END IF;
    cancelled := EXISTS (SELECT FROM papayya.run r WHERE r.id = run_id AND r.cancelled_at IS NOT NULL);
    IF p_budget_nusd IS NOT NULL THEN PERFORM papayya.declare_budget_v1(run_id, NULL, p_budget_nusd); END IF;
END $$;

-- Book what was spent on a run and tenant; the columns are those of spend. Rows of spend are locked before those of budgets.
CREATE FUNCTION papayya.spend_v1(p_run bigint, p_tenant bigint, p_shard bigint, p_cost bigint, p_tokens bigint,
                                 p_calls int = 0, p_unpriced int = 0, p_uncertain int = 0, p_uncertain_nusd bigint = 0)
    RETURNS void LANGUAGE sql AS $$
    INSERT INTO papayya.spend AS s (run_id, tenant_id, shard, cost_nusd, tokens, calls, unpriced, uncertain, uncertain_nusd)
    VALUES (p_run, p_tenant, (p_shard % 16)::smallint, p_cost, p_tokens, p_calls, p_unpriced, p_uncertain, p_uncertain_nusd)
    ON CONFLICT (run_id, tenant_id, shard) DO UPDATE
        SET cost_nusd = s.cost_nusd + excluded.cost_nusd, tokens = s.tokens + excluded.tokens, calls = s.calls + excluded.calls,
            unpriced = s.unpriced + excluded.unpriced, uncertain = s.uncertain + excluded.uncertain,
            uncertain_nusd = s.uncertain_nusd + excluded.uncertain_nusd
    $$;

-- Book what was reported for an item, on the budgets that apply too: one may have been set since the item was opened.
CREATE FUNCTION papayya.charge_v1(p_run bigint, p_agent bigint, p_tenant bigint, p_shard bigint, p_cost bigint, p_tokens bigint)
    RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM papayya.spend_v1(p_run, p_tenant, p_shard, p_cost, p_tokens);
    PERFORM papayya.report_budgets_v1(p_tenant, p_run, p_agent, p_cost, p_tokens);
END $$;

-- Keep payload bodies, each once per tenant. Rows in hash order, so that two writers cannot deadlock.
CREATE FUNCTION papayya.keep_payloads_v1(p_tenants bigint[], p_hashes bytea[], p_codecs int[], p_sizes int[], p_bodies bytea[])
    RETURNS void LANGUAGE sql AS $$
    INSERT INTO papayya.payload (tenant_id, hash, codec, size, body)
    SELECT DISTINCT ON (t, h) t, h, c, z, b
    FROM unnest(p_tenants, p_hashes, p_codecs, p_sizes, p_bodies) AS u (t, h, c, z, b)
    WHERE b IS NOT NULL ORDER BY t, h
    ON CONFLICT DO NOTHING
    $$;

-- Submit a batch: an item row each, one ledger row per tenant, in one transaction.
-- p_doc: [{"s": seq, "t": tenant, "k": key, "o": ordinal or null, "h": payload hash, "g": input digest,
--          "c": codec, "z": size, "p": parent item, "r": refusal, "e": envelope hash}]; hashes in hex. p_bodies[s + 1] is the body.
-- "o" null: the same key with the same input digest is the same item, with another input it gets the
-- next free ordinal. "o" given: exactly that ordinal. A refused item is counted, and ends as failed.
-- p_send_at: when the pump may send what is new (null: the caller runs it itself). p_sealed: the run stays sealed;
-- it does, too, when all that is new are children of other items: they are no input.
CREATE FUNCTION papayya.capture_v1(
    p_run bigint, p_agent bigint, p_source text, p_doc json, p_bodies bytea[], p_send_at timestamptz,
    p_carrier text = NULL, p_sealed boolean = false)
    RETURNS TABLE (seq int, item_id bigint, item_key text, item_ordinal int, item_state papayya.item_state, fresh boolean,
                   deliveries int)
    LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    v_cancelled boolean;
    v_sealed boolean;
    v_now timestamptz := papayya.now();
    v_state papayya.item_state := 'queued';
    v_new bigint[];
    v_row record;
    v_id bigint;
    v_ordinal int;
    v_fresh boolean;
    v_any boolean := false;
BEGIN
    SELECT cancelled_at IS NOT NULL, sealed_at IS NOT NULL INTO v_cancelled, v_sealed FROM papayya.run WHERE id = p_run;
    IF v_cancelled THEN v_state := 'cancelled'; END IF;
    INSERT INTO papayya.tenant (name)
    SELECT DISTINCT t FROM json_to_recordset(p_doc) AS d (t text) ORDER BY t
    ON CONFLICT (name) DO NOTHING;

    PERFORM papayya.keep_payloads_v1(array_agg(tn.id), array_agg(decode(d.h, 'hex')), array_agg(d.c), array_agg(d.z),
                                     array_agg(p_bodies[d.s + 1]))
    FROM json_to_recordset(p_doc) AS d (s int, t text, h text, c int, z int)
    JOIN papayya.tenant tn ON tn.name = d.t WHERE d.h IS NOT NULL;

    -- Numbered in the order of submission, inserted in the order of keys, so that two captures cannot deadlock.
    WITH numbered AS MATERIALIZED (
        SELECT nextval(pg_get_serial_sequence('papayya.item', 'id')) AS id, n.*
        FROM (SELECT * FROM (SELECT DISTINCT ON (tn.id, j.k, coalesce(j.o, 1))
                                    j.s, tn.id AS tenant_id, j.k, coalesce(j.o, 1) AS o, j.h, j.g, j.p, j.r, j.e
                             FROM json_to_recordset(p_doc) AS j (s int, t text, k text, o int, h text, g text, p bigint, r text, e text)
                             JOIN papayya.tenant tn ON tn.name = j.t
                             ORDER BY tn.id, j.k, coalesce(j.o, 1), j.s) AS first ORDER BY s) AS n
    ), made AS (
        INSERT INTO papayya.item (id, run_id, tenant_id, agent_id, key, ordinal, state, outcome, reason, input_hash,
                                  input_digest, parent_id, finished_at, created_at, send_at, envelope_hash, carrier, sends)
        OVERRIDING SYSTEM VALUE
        SELECT d.id, p_run, d.tenant_id, p_agent, d.k, d.o, CASE WHEN d.r IS NOT NULL THEN 'failed' ELSE v_state END,
               CASE WHEN d.r IS NOT NULL THEN 'failed'::papayya.outcome END, d.r, decode(d.h, 'hex'),
               decode(d.g, 'hex'), d.p, CASE WHEN v_cancelled OR d.r IS NOT NULL THEN v_now END, v_now, p_send_at,
               decode(d.e, 'hex'), p_carrier, CASE WHEN d.e IS NULL THEN 0 ELSE 1 END
        FROM numbered d ORDER BY d.tenant_id, d.k COLLATE "C", d.o
        ON CONFLICT (run_id, agent_id, tenant_id, key, ordinal) DO NOTHING
        RETURNING id, tenant_id, key, ordinal, state, reason
    ), refused AS (
        INSERT INTO papayya.finding (item_id, run_id, check_name, severity, reason, fingerprint)
        SELECT id, p_run, 'refused', 'failed', reason, substr(sha256(convert_to('refused', 'UTF8')), 1, 8)
        FROM made WHERE state = 'failed'
    ), ledger AS (
        INSERT INTO papayya.intake (run_id, tenant_id, agent_id, source, count, keys, ordinals, keys_hash, at)
        SELECT p_run, tenant_id, p_agent, p_source, count(*), array_agg(key), array_agg(ordinal),
               papayya.keys_hash(array_agg(key), array_agg(ordinal)), v_now
        FROM made GROUP BY tenant_id
    )
    SELECT array_agg(id) INTO v_new FROM made;

    FOR v_row IN
        SELECT d.s, tn.id AS tenant_id, d.k, d.o, d.h, d.g, d.p, d.r, d.e, i.id, i.ordinal, i.state, i.input_digest
        FROM json_to_recordset(p_doc) AS d (s int, t text, k text, o int, h text, g text, p bigint, r text, e text)
        JOIN papayya.tenant tn ON tn.name = d.t
        JOIN papayya.item i ON i.run_id = p_run AND i.agent_id = p_agent AND i.tenant_id = tn.id
                           AND i.key = d.k AND i.ordinal = coalesce(d.o, 1)
        ORDER BY tn.id, d.k COLLATE "C", d.s
    LOOP
        v_id := v_row.id;
        v_ordinal := v_row.ordinal;
        v_fresh := coalesce(v_id = ANY (v_new), false);
        IF v_row.o IS NULL AND v_row.input_digest IS DISTINCT FROM decode(v_row.g, 'hex') THEN
            SELECT t.id, t.ordinal, t.made INTO v_id, v_ordinal, v_fresh
            FROM papayya.take_ordinal_v1(p_run, p_agent, v_row.tenant_id, v_row.k, decode(v_row.h, 'hex'),
                                         decode(v_row.g, 'hex'), v_row.p, v_state, v_row.r, p_source, p_send_at,
                                         decode(v_row.e, 'hex'), p_carrier) AS t;
        END IF;
        seq := v_row.s; item_id := v_id; item_key := v_row.k; item_ordinal := v_ordinal;
        SELECT i.state, i.deliveries INTO item_state, deliveries FROM papayya.item i WHERE i.id = v_id;
        fresh := v_fresh;
        v_any := v_any OR (v_fresh AND v_row.p IS NULL);
        RETURN NEXT;
    END LOOP;
    IF v_sealed AND v_any AND NOT p_sealed THEN UPDATE papayya.run SET sealed_at = NULL WHERE id = p_run; END IF;
END $$;

-- The rare path of capture: the key is taken by another input. Find it again, or the next free ordinal.
-- p_again: the same input is submitted once more, on purpose.
CREATE FUNCTION papayya.take_ordinal_v1(
    p_run bigint, p_agent bigint, p_tenant bigint, p_key text, p_hash bytea, p_digest bytea, p_parent bigint,
    p_state papayya.item_state, p_refusal text, p_source text, p_send_at timestamptz, p_envelope bytea, p_carrier text,
    p_again boolean = false, OUT id bigint, OUT ordinal int, OUT made boolean)
    LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
    v_now timestamptz := papayya.now();
    v_state papayya.item_state := CASE WHEN p_refusal IS NOT NULL THEN 'failed' ELSE p_state END;
BEGIN
    -- one at a time: what another has just made of the same input is seen below
    PERFORM FROM papayya.item i
    WHERE i.run_id = p_run AND i.agent_id = p_agent AND i.tenant_id = p_tenant AND i.key = p_key AND i.ordinal = 1 FOR NO KEY UPDATE;
    SELECT i.id, i.ordinal INTO id, ordinal FROM papayya.item i
    WHERE i.run_id = p_run AND i.agent_id = p_agent AND i.tenant_id = p_tenant AND i.key = p_key
      AND i.input_digest IS NOT DISTINCT FROM p_digest ORDER BY i.ordinal LIMIT 1;
    made := id IS NULL OR p_again;
    IF NOT made THEN RETURN; END IF;
    id := NULL;
    SELECT max(i.ordinal) INTO ordinal FROM papayya.item i
    WHERE i.run_id = p_run AND i.agent_id = p_agent AND i.tenant_id = p_tenant AND i.key = p_key;
    LOOP
        ordinal := ordinal + 1;
        INSERT INTO papayya.item (run_id, tenant_id, agent_id, key, ordinal, state, outcome, reason, input_hash, input_digest,
                                  parent_id, finished_at, created_at, send_at, envelope_hash, carrier, sends)
        VALUES (p_run, p_tenant, p_agent, p_key, ordinal, v_state, CASE WHEN v_state = 'failed' THEN 'failed'::papayya.outcome END,
                p_refusal, p_hash, p_digest, p_parent, CASE WHEN v_state IN ('failed', 'cancelled') THEN v_now END, v_now, p_send_at,
                p_envelope, p_carrier, CASE WHEN p_envelope IS NULL THEN 0 ELSE 1 END)
        ON CONFLICT ON CONSTRAINT item_run_id_agent_id_tenant_id_key_ordinal_key DO NOTHING RETURNING papayya.item.id INTO id;
        EXIT WHEN id IS NOT NULL;
        -- somebody else took it just now; for the same input, it is the same item
        SELECT i.id INTO id FROM papayya.item i
        WHERE i.run_id = p_run AND i.agent_id = p_agent AND i.tenant_id = p_tenant AND i.key = p_key
          AND i.ordinal = take_ordinal_v1.ordinal AND i.input_digest IS NOT DISTINCT FROM p_digest;
        made := id IS NULL OR p_again;
        IF NOT made THEN RETURN; END IF;
        id := NULL;
    END LOOP;
    IF v_state = 'failed' THEN
        INSERT INTO papayya.finding (item_id, run_id, check_name, severity, reason, fingerprint)
        VALUES (id, p_run, 'refused', 'failed', p_refusal, substr(sha256(convert_to('refused', 'UTF8')), 1, 8));
    END IF;
    INSERT INTO papayya.intake (run_id, tenant_id, agent_id, source, count, keys, ordinals, keys_hash, at)
    VALUES (p_run, p_tenant, p_agent, p_source, 1, ARRAY[p_key], ARRAY[ordinal],
            papayya.keys_hash(ARRAY[p_key], ARRAY[ordinal]), v_now);
END $$;

-- The steps that earlier dispatches left: [[label, args hash, ordinal, n, state, result text, result payload, attempts, error, parent n]].
CREATE FUNCTION papayya.known_steps_v1(p_item bigint) RETURNS json
    LANGUAGE sql STABLE AS $$
    SELECT json_agg(json_build_array(s.label, encode(s.args_hash, 'hex'), s.ordinal, s.n, s.state, s.result::text,
                                     encode(s.result_hash, 'hex'), s.attempts, s.error, s.parent_n) ORDER BY s.n)
    FROM papayya.step s WHERE s.item_id = p_item AND s.n > 0
    $$;

-- Lease an item. Verdicts: go (with fence and finished steps) · done, failed, cancelled (it has ended; told: its carrier
-- knows) · wait (not due yet) · busy (another live dispatch, or its carrier is being told; until when) ·
-- pause (budget, by hand) · drain · drop (stale) · unknown (no such item, or, with p_digest, another one).
-- Without p_enforce an exhausted budget does not pause it. The token makes an open that is sent twice (the connection broke) one open:
-- the second one gets the fence of the first, whatever happened to the item or its run in between.
CREATE FUNCTION papayya.open_v1(
    p_item bigint, p_lane text, p_owner text, p_lease double precision, p_version bigint, p_max_seconds double precision,
    p_max_deliveries int, p_dispatch_no int, p_takeover boolean, p_token bigint, p_enforce boolean, p_digest bytea = NULL,
    OUT verdict text, OUT fence bigint, OUT until timestamptz, OUT reason text, OUT known json, OUT delivery int,
    OUT left_nusd bigint, OUT began timestamptz, OUT clock timestamptz, OUT told boolean, OUT passes bigint[], OUT spent_nusd bigint)
    LANGUAGE plpgsql AS $$
DECLARE
    v_now timestamptz := papayya.now();
    i papayya.item;
    d papayya.dispatch;
    v_budget bigint;
    v_room record;
    v_draining boolean;
    v_cancelled boolean;
    v_paused boolean;
BEGIN
    SELECT * INTO i FROM papayya.item WHERE id = p_item FOR NO KEY UPDATE;
    IF NOT FOUND OR (p_digest IS NOT NULL AND i.input_digest IS DISTINCT FROM p_digest) THEN
        verdict := 'unknown'; reason := 'no such item'; RETURN;
    END IF;
    reason := i.reason;
    began := coalesce(i.started_at, v_now);
    clock := v_now;
    SELECT * INTO d FROM papayya.dispatch WHERE item_id = p_item AND lane = p_lane AND ended_at IS NULL FOR UPDATE;
    IF d.token = p_token THEN
        fence := d.id;
        i.deliveries := i.deliveries - 1;
    ELSE
        IF p_dispatch_no < i.dispatch_no THEN verdict := 'drop'; reason := 'stale delivery'; RETURN; END IF;
        IF i.finished_at IS NOT NULL THEN
            told := i.send_at IS NULL;
            IF i.send_at > v_now AND i.sends = 0 AND NOT p_takeover THEN -- who ended it is at it; what the pump sends is to tell it
                verdict := 'busy'; until := i.send_at;
                SELECT 'held by ' || dp.locked_by INTO reason FROM papayya.dispatch dp WHERE dp.item_id = p_item ORDER BY dp.id DESC LIMIT 1;
                RETURN;
            END IF;
            verdict := CASE i.state WHEN 'completed' THEN 'done' ELSE i.state::text END;
            IF verdict = 'done' THEN known := papayya.known_steps_v1(p_item); END IF;
            RETURN;
        END IF;
        SELECT r.draining, r.cancelled_at IS NOT NULL,
               r.paused_at IS NOT NULL OR t.paused_at IS NOT NULL OR (i.paused_by IS NOT NULL AND i.state <> 'paused')
        INTO v_draining, v_cancelled, v_paused FROM papayya.run r, papayya.tenant t WHERE r.id = i.run_id AND t.id = i.tenant_id;
        IF v_cancelled THEN -- it was captured while its run was being cancelled
            verdict := 'cancelled'; reason := 'its run was cancelled'; told := false;
            UPDATE papayya.item SET state = 'cancelled', reason = open_v1.reason, finished_at = v_now, due_at = NULL,
                   send_at = CASE WHEN envelope_hash IS NOT NULL THEN v_now + interval '60 s' END, paused_by = NULL
            WHERE id = p_item;
            PERFORM papayya.sum_cost_v1(p_item);
            RETURN;
        END IF;
        -- a message that its carrier holds back until then comes when it is due, by the carrier's clock
        IF i.state = 'waiting' AND i.due_at > v_now AND (p_dispatch_no IS NULL OR i.send_at IS NULL) AND NOT v_paused AND NOT v_draining THEN
            verdict := 'wait'; until := i.due_at; RETURN;
        END IF;
        IF i.state = 'paused' AND i.paused_by <> 'budget' THEN verdict := 'pause'; RETURN; END IF;
        -- a late copy of its message: nothing has come back of what it wants
        IF i.state = 'paused' AND p_enforce AND EXISTS (
            SELECT FROM papayya.budget b WHERE b.id = i.parked_on
            AND coalesce(i.wants, 1) > papayya.free_v1(b, v_now) + papayya.pending_v1(b.id, papayya.window_v1(b.period, b.timezone, v_now)))
        THEN verdict := 'pause'; RETURN; END IF;
        IF v_draining AND NOT v_paused THEN verdict := 'drain'; reason := 'the run is draining'; RETURN; END IF;
    END IF;
    IF fence IS NULL AND d.id IS NOT NULL THEN
        IF d.locked_until > v_now AND NOT p_takeover THEN
            verdict := 'busy'; until := d.locked_until; reason := 'held by ' || d.locked_by; RETURN;
        END IF;
        UPDATE papayya.dispatch SET ended_at = v_now, ending = 'lost' WHERE id = d.id;
        PERFORM papayya.doubt_calls_v1(ARRAY[d.id]);
        -- a lease that ended before the deadline, or was taken over, is a crash: that is not the item's time
        IF d.deadline <= d.locked_until AND d.deadline <= v_now AND NOT p_takeover THEN
            PERFORM papayya.fail_v1(p_item, d.id, 'max_seconds', 'the item passed its max_seconds');
            verdict := 'failed'; reason := 'the item passed its max_seconds'; told := false; RETURN;
        END IF;
    END IF;
    IF fence IS NULL AND v_paused THEN
        verdict := 'pause';
        SELECT 'paused by hand' || CASE WHEN t.paused_at IS NOT NULL THEN ': tenant ' || t.name ELSE '' END INTO reason
        FROM papayya.tenant t WHERE t.id = i.tenant_id;
        IF NOT EXISTS (SELECT FROM papayya.dispatch o WHERE o.item_id = p_item AND o.ended_at IS NULL) THEN -- of another lane
            PERFORM papayya.park_v1(p_item, 'hand', reason, v_now);
        END IF;
        RETURN;
    END IF;
    IF fence IS NULL AND i.deliveries >= p_max_deliveries THEN
        PERFORM papayya.fail_v1(p_item, NULL, 'poison', i.deliveries || ' deliveries without an end');
        verdict := 'failed'; reason := i.deliveries || ' deliveries without an end'; told := false; RETURN;
    END IF;

    SELECT l.nusd, l.budget_id INTO left_nusd, v_budget FROM papayya.left_v1(i.tenant_id, i.run_id, i.agent_id) AS l;
    -- what has begun may have paid for all that it needs: its next step or call will ask
    IF fence IS NULL AND left_nusd <= 0 AND i.started_at IS NULL AND p_enforce THEN
        SELECT 'budget: nothing is left of ' || papayya.budget_text_v1(b) INTO reason FROM papayya.budget b WHERE b.id = v_budget;
        verdict := 'pause';
        PERFORM papayya.park_v1(p_item, 'budget', reason, v_now, v_budget);
        RETURN;
    END IF;
    IF fence IS NULL AND i.started_at IS NULL AND i.passes IS NULL AND p_enforce THEN
        -- others of its kind wait for a limit: it would come as far as they, and join them
        SELECT w.rate_id, w.wants, w.reason INTO v_room FROM papayya.item w
        WHERE w.tenant_id = i.tenant_id AND w.agent_id = i.agent_id AND w.state = 'waiting' AND w.rate_id IS NOT NULL LIMIT 1;
        IF FOUND THEN
            verdict := 'wait'; until := v_now + interval '10 minutes'; reason := v_room.reason; -- the pump lets it in before
            PERFORM papayya.join_room_v1(v_room.rate_id, i.tenant_id);
            UPDATE papayya.item SET state = 'waiting', rate_id = v_room.rate_id, wants = v_room.wants, reason = v_room.reason, due_at = until,
                   send_at = NULL, sends = 0, throttled_at = coalesce(throttled_at, v_now), throttles = throttles + 1
            WHERE id = p_item;
            RETURN;
        END IF;
    END IF;

    IF fence IS NULL THEN
        INSERT INTO papayya.dispatch (item_id, lane, version_id, token, locked_by, locked_until, deadline, started_at)
        VALUES (p_item, p_lane, p_version, p_token, p_owner, v_now + make_interval(secs => p_lease),
                v_now + make_interval(secs => p_max_seconds), v_now)
        RETURNING id INTO fence;
        UPDATE papayya.item SET state = 'running', reason = NULL, due_at = NULL, send_at = NULL, sends = 0, version_id = p_version,
               paused_by = NULL, parked_at = NULL, parked = parked + coalesce(v_now - parked_at, '0'), parked_on = NULL, rate_id = NULL,
               wants = CASE WHEN i.passes IS NOT NULL THEN i.wants END, passes = NULL, -- wants: what its limits were charged when they let it in
               throttled_at = NULL, throttled = throttled + coalesce(v_now - throttled_at, '0'),
               deliveries = deliveries + 1, started_at = coalesce(started_at, v_now)
        WHERE id = p_item;
    END IF;
    passes := i.passes;
    IF i.started_at IS NOT NULL THEN
        known := papayya.known_steps_v1(p_item);
        spent_nusd := (SELECT s.cost + s.uncertain FROM papayya.item_sum_v1(p_item) AS s);
    END IF;
    verdict := 'go'; delivery := i.deliveries + 1; reason := NULL;
END $$;

-- Park an item that nobody has in hand. p_budget: by which budget, of which it wants any.
CREATE FUNCTION papayya.park_v1(p_item bigint, p_by papayya.pauser, p_reason text, p_now timestamptz, p_budget bigint = NULL) RETURNS void
    LANGUAGE sql AS $$
    UPDATE papayya.item SET state = 'paused', paused_by = p_by, parked_at = coalesce(parked_at, p_now), reason = p_reason,
           due_at = NULL, send_at = NULL, passes = NULL, parked_on = p_budget, wants = CASE WHEN p_budget IS NOT NULL THEN 1 END,
           rate_id = NULL, throttled = throttled + coalesce(p_now - throttled_at, '0'), throttled_at = NULL
    WHERE id = p_item
    $$;

-- Capture one item and lease it, in one round trip: a bare call of an agent.
CREATE FUNCTION papayya.enter_v1(
    p_run bigint, p_agent bigint, p_source text, p_doc json, p_bodies bytea[],
    p_owner text, p_lease double precision, p_version bigint, p_max_seconds double precision, p_max_deliveries int,
    p_token bigint, p_enforce boolean)
    RETURNS TABLE (item_id bigint, item_key text, item_ordinal int, fresh boolean, verdict text, fence bigint,
                   until timestamptz, reason text, known json, delivery int, left_nusd bigint, began timestamptz, clock timestamptz,
                   told boolean, passes bigint[], spent_nusd bigint)
    LANGUAGE sql AS $$
    SELECT c.item_id, c.item_key, c.item_ordinal, c.fresh, o.verdict, o.fence, o.until, o.reason, o.known, o.delivery,
           o.left_nusd, o.began, o.clock, o.told, o.passes, o.spent_nusd
    FROM papayya.capture_v1(p_run, p_agent, p_source, p_doc, p_bodies, NULL) AS c,
         LATERAL papayya.open_v1(c.item_id, '', p_owner, p_lease, p_version, p_max_seconds, p_max_deliveries, NULL, false,
                                 p_token, p_enforce) AS o
    $$;

-- Write one finished step under its fence, and say how its item may go on:
-- go · cancelled · pause (somebody asked for it) · lost (the fence is old: nothing was written) · and what is left of the budget.
-- A completed step is never overwritten: stored is then false, and the first result stands.
-- The share lock keeps the dispatch from ending meanwhile. DO NOTHING, then UPDATE: what is rare is not prepared for each time.
CREATE FUNCTION papayya.checkpoint_one_v1(
    p_fence bigint, p_label text, p_args_hash bytea, p_ordinal int, p_n int, p_kind text, p_state papayya.step_state,
    p_result json, p_attempts int, p_cost_nusd bigint, p_tokens bigint, p_seconds double precision, p_budgeted boolean,
    p_parent_n int = NULL, p_error json = NULL, p_hash bytea = NULL, p_codec int = NULL, p_size int = NULL,
    p_body bytea = NULL, OUT verdict text, OUT stored boolean, OUT left_nusd bigint)
    LANGUAGE plpgsql AS $$
DECLARE
    v_now timestamptz := papayya.now();
    v_item bigint; v_state papayya.item_state; v_run bigint; v_agent bigint; v_tenant bigint; v_paused_by papayya.pauser;
BEGIN
    IF p_cost_nusd > 0 OR p_tokens > 0 THEN PERFORM papayya.guard_v1(); END IF;
    SELECT d.item_id INTO v_item FROM papayya.dispatch d WHERE d.id = p_fence AND d.ended_at IS NULL FOR SHARE;
    IF NOT FOUND THEN verdict := 'lost'; stored := false; RETURN; END IF;
    SELECT i.state, i.run_id, i.agent_id, i.tenant_id, i.paused_by INTO v_state, v_run, v_agent, v_tenant, v_paused_by
    FROM papayya.item i WHERE i.id = v_item;
    IF p_body IS NOT NULL THEN
        INSERT INTO papayya.payload (tenant_id, hash, codec, size, body) VALUES (v_tenant, p_hash, p_codec, p_size, p_body)
        ON CONFLICT DO NOTHING;
    END IF;
    INSERT INTO papayya.step (item_id, label, args_hash, ordinal, n, parent_n, dispatch_id, kind, state, result, result_hash,
                              error, attempts, cost_nusd, tokens, started_at, finished_at)
    VALUES (v_item, p_label, p_args_hash, p_ordinal, p_n, p_parent_n, p_fence, p_kind, p_state, p_result, p_hash,
            p_error, p_attempts, p_cost_nusd, p_tokens, v_now - make_interval(secs => p_seconds),
            CASE WHEN p_state <> 'started' THEN v_now END)
    ON CONFLICT DO NOTHING;
    IF NOT FOUND THEN
        UPDATE papayya.step s
        SET n = p_n, parent_n = p_parent_n, dispatch_id = p_fence, state = p_state, result = p_result, result_hash = p_hash,
            error = p_error, attempts = p_attempts, cost_nusd = s.cost_nusd + p_cost_nusd, tokens = s.tokens + p_tokens,
            finished_at = CASE WHEN p_state <> 'started' THEN v_now END
        WHERE s.item_id = v_item AND s.label = p_label AND s.args_hash = p_args_hash AND s.ordinal = p_ordinal
          -- the second half keeps a write that is sent twice (the connection broke) from counting twice
          AND s.state <> 'completed' AND (s.dispatch_id <> p_fence OR s.attempts < p_attempts);
    END IF;
    stored := FOUND;
    verdict := CASE WHEN v_state = 'cancelled' THEN 'cancelled' WHEN v_paused_by IS NOT NULL THEN 'pause' ELSE 'go' END;
    IF stored AND (p_cost_nusd > 0 OR p_tokens > 0) THEN
        PERFORM papayya.charge_v1(v_run, v_agent, v_tenant, p_fence, p_cost_nusd, p_tokens);
    END IF;
    IF p_budgeted THEN SELECT l.nusd INTO left_nusd FROM papayya.left_v1(v_tenant, v_run, v_agent) AS l; END IF;
END $$;

-- The same for the steps of concurrent callers, in one statement and one commit.
-- p_doc: [{"q": seq, "d": fence, "i": item, "l": label, "h": args hash, "o": ordinal, "n": n, "p": parent n,
--          "k": kind, "s": state, "r": result, "e": error, "a": attempts, "c": cost, "t": tokens, "m": seconds it took,
--          "x": payload hash, "y": codec, "z": size}]; p_bodies[q + 1] is the payload's body.
-- LATERAL and the scalar subquery keep the planner, which knows nothing of the document, on the primary keys.
CREATE FUNCTION papayya.checkpoint_v1(p_doc json, p_bodies bytea[], p_budgeted boolean)
    RETURNS TABLE (seq int, verdict text, stored boolean, left_nusd bigint)
    LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    v_now timestamptz := papayya.now();
    v_seqs int[]; v_fences bigint[]; v_items bigint[]; v_verdicts text[]; v_stored boolean[]; v_costs bigint[]; v_tokens bigint[];
BEGIN
    PERFORM papayya.guard_v1();
    IF p_bodies IS NOT NULL THEN
        PERFORM papayya.keep_payloads_v1(array_agg(live.tenant_id), array_agg(decode(d.x, 'hex')), array_agg(d.y), array_agg(d.z),
                                         array_agg(p_bodies[d.q + 1]))
        FROM (SELECT * FROM json_to_recordset(p_doc) AS d (q int, d bigint, x text, y int, z int) ORDER BY d.d) AS d
        CROSS JOIN LATERAL (SELECT (SELECT i.tenant_id FROM papayya.item i WHERE i.id = dp.item_id) AS tenant_id
                            FROM papayya.dispatch dp WHERE dp.id = d.d AND dp.ended_at IS NULL FOR SHARE) AS live;
    END IF;
    WITH d AS MATERIALIZED (
        SELECT d.*, decode(d.h, 'hex') AS hash, live.item_id
        FROM (SELECT * FROM json_to_recordset(p_doc) AS d (q int, d bigint, l text, h text, o int, n int, p int, k text,
                s papayya.step_state, r json, e json, a int, c bigint, t bigint, m double precision, x text)
              ORDER BY d.d, d.l, d.h, d.o) AS d
        LEFT JOIN LATERAL (SELECT dp.item_id FROM papayya.dispatch dp WHERE dp.id = d.d AND dp.ended_at IS NULL FOR SHARE) AS live ON true
    ), kept AS (
        INSERT INTO papayya.step AS st (item_id, label, args_hash, ordinal, n, parent_n, dispatch_id, kind, state, result,
                                        result_hash, error, attempts, cost_nusd, tokens, started_at, finished_at)
        SELECT d.item_id, d.l, d.hash, d.o, d.n, d.p, d.d, d.k, d.s,
               CASE WHEN d.s = 'completed' AND d.x IS NULL THEN coalesce(d.r, 'null') END, -- a JSON null arrives as NULL
               decode(d.x, 'hex'), d.e, d.a, d.c, d.t,
               v_now - make_interval(secs => d.m), CASE WHEN d.s <> 'started' THEN v_now END
        FROM d WHERE d.item_id IS NOT NULL
        ON CONFLICT (item_id, label, args_hash, ordinal) DO UPDATE
            SET n = excluded.n, parent_n = excluded.parent_n, dispatch_id = excluded.dispatch_id, state = excluded.state,
                result = excluded.result, result_hash = excluded.result_hash, error = excluded.error,
                attempts = excluded.attempts, cost_nusd = st.cost_nusd + excluded.cost_nusd,
                tokens = st.tokens + excluded.tokens, finished_at = excluded.finished_at
            WHERE st.state <> 'completed'
              AND (st.dispatch_id <> excluded.dispatch_id OR st.attempts < excluded.attempts)
        RETURNING st.item_id, st.label, st.args_hash, st.ordinal
    )
    SELECT array_agg(d.q), array_agg(d.d), array_agg(d.item_id),
           array_agg(CASE WHEN d.item_id IS NULL THEN 'lost'
                          ELSE (SELECT CASE WHEN i.state = 'cancelled' THEN 'cancelled' WHEN i.paused_by IS NOT NULL THEN 'pause'
                                            ELSE 'go' END FROM papayya.item i WHERE i.id = d.item_id) END),
           array_agg(kept.item_id IS NOT NULL), array_agg(CASE WHEN kept.item_id IS NULL THEN 0 ELSE d.c END),
           array_agg(CASE WHEN kept.item_id IS NULL THEN 0 ELSE d.t END)
    INTO v_seqs, v_fences, v_items, v_verdicts, v_stored, v_costs, v_tokens
    FROM d LEFT JOIN kept ON kept.item_id = d.item_id AND kept.args_hash = d.hash AND kept.label = d.l AND kept.ordinal = d.o;
    IF 0 < ANY (v_costs) OR 0 < ANY (v_tokens) THEN PERFORM papayya.charge_batch_v1(v_fences, v_items, v_costs, v_tokens); END IF;
    IF NOT p_budgeted THEN
        RETURN QUERY SELECT u.q, u.v, u.s, NULL::bigint FROM unnest(v_seqs, v_verdicts, v_stored) AS u (q, v, s);
        RETURN;
    END IF;
    RETURN QUERY
    SELECT u.q, u.v, u.s, l.left_nusd
    FROM unnest(v_seqs, v_verdicts, v_stored, v_items) AS u (q, v, s, item_id)
    LEFT JOIN papayya.item i ON i.id = u.item_id
    LEFT JOIN (SELECT r.*, (papayya.left_v1(r.tenant_id, r.run_id, r.agent_id)).nusd AS left_nusd
               FROM (SELECT DISTINCT tenant_id, run_id, agent_id FROM papayya.item WHERE id = ANY (v_items)) AS r) AS l
           ON l.tenant_id = i.tenant_id AND l.run_id = i.run_id AND l.agent_id = i.agent_id;
END $$;

-- The reports of a batch, each row of spend and of the budgets once, in their order, so that two batches cannot deadlock.
CREATE FUNCTION papayya.charge_batch_v1(p_fences bigint[], p_items bigint[], p_costs bigint[], p_tokens bigint[]) RETURNS void
    LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO papayya.spend AS s (run_id, tenant_id, shard, cost_nusd, tokens)
    SELECT i.run_id, i.tenant_id, (c.fence % 16)::smallint AS shard, sum(c.cost), sum(c.tokens)
    FROM unnest(p_fences, p_items, p_costs, p_tokens) AS c (fence, item_id, cost, tokens)
    CROSS JOIN LATERAL (SELECT run_id, tenant_id FROM papayya.item WHERE id = c.item_id LIMIT 1) AS i
    WHERE c.cost > 0 OR c.tokens > 0 GROUP BY i.run_id, i.tenant_id, shard ORDER BY i.run_id, i.tenant_id, shard
    ON CONFLICT (run_id, tenant_id, shard) DO UPDATE
        SET cost_nusd = s.cost_nusd + excluded.cost_nusd, tokens = s.tokens + excluded.tokens;
    PERFORM papayya.move_v1(m.budget_id, m.since, -m.cost, 0, m.cost)
    FROM (SELECT b.id AS budget_id, papayya.window_v1(b.period, b.timezone, papayya.now()) AS since,
                 sum(CASE b.unit WHEN 'usd' THEN c.cost ELSE c.tokens END)::bigint AS cost
          FROM unnest(p_items, p_costs, p_tokens) AS c (item_id, cost, tokens)
          CROSS JOIN LATERAL (SELECT run_id, tenant_id, agent_id FROM papayya.item WHERE id = c.item_id LIMIT 1) AS i
          CROSS JOIN LATERAL papayya.budgets_v1(i.tenant_id, i.run_id, i.agent_id, NULL) AS b
          GROUP BY 1, 2 ORDER BY 1) AS m
    WHERE m.cost > 0;
END $$;

-- End an item: its output, findings and the cost outside any step, in one transaction.
-- Verdicts: completed, failed · cancelled (somebody was faster) · lost (the fence is old: nothing was written).
-- A fence ends once, so a second close gets the first one's answer.
-- p_findings: [{"check", "severity", "reason", "evidence", "n", "fingerprint"}]
-- p_tell: seconds after which the pump sends an ended item once more, unless told_v1 says that its carrier has
-- learned the end and what follows from it (callbacks, links); NULL: nothing follows.
CREATE FUNCTION papayya.close_v1(
    p_item bigint, p_fence bigint, p_state papayya.item_state, p_reason text,
    p_hash bytea, p_codec int, p_size int, p_body bytea, p_findings json, p_cost_nusd bigint, p_tokens bigint,
    p_tell double precision = NULL, OUT verdict text, OUT outcome papayya.outcome, OUT cost_nusd bigint)
    LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    v_now timestamptz := papayya.now();
    v_end papayya.item_state := p_state;
    v_ended boolean;
    i papayya.item;
BEGIN
    IF p_cost_nusd > 0 OR p_tokens > 0 THEN PERFORM papayya.guard_v1(); END IF;
    SELECT * INTO i FROM papayya.item WHERE id = p_item FOR NO KEY UPDATE;
    v_ended := i.state IN ('completed', 'failed', 'cancelled'); -- by hand, or through another lane
    IF v_ended THEN v_end := i.state; END IF;
    UPDATE papayya.dispatch SET ended_at = v_now, ending = v_end::text::papayya.ending WHERE id = p_fence AND ended_at IS NULL;
    IF NOT FOUND THEN
        SELECT d.ending, i.outcome, i.cost_nusd INTO verdict, outcome, cost_nusd FROM papayya.dispatch d WHERE d.id = p_fence;
        RETURN;
    END IF;
    IF p_body IS NOT NULL THEN
        INSERT INTO papayya.payload (tenant_id, hash, codec, size, body) VALUES (i.tenant_id, p_hash, p_codec, p_size, p_body)
        ON CONFLICT DO NOTHING;
    END IF;
    IF p_cost_nusd > 0 OR p_tokens > 0 THEN
        PERFORM papayya.outside_steps_v1(i, p_fence, p_cost_nusd, p_tokens, v_now);
    END IF;
    IF p_findings IS NOT NULL THEN PERFORM papayya.add_findings_v1(i, p_fence, p_findings); END IF;
    UPDATE papayya.item SET
        state = v_end, reason = CASE WHEN v_ended THEN i.reason ELSE p_reason END, due_at = NULL,
        send_at = v_now + make_interval(secs => p_tell), paused_by = NULL,
        outcome = CASE WHEN v_end IN ('completed', 'failed') THEN papayya.outcome_v1(p_item) END,
        output_hash = CASE WHEN v_ended THEN i.output_hash WHEN v_end = 'completed' THEN p_hash END,
        finished_at = CASE WHEN v_ended THEN i.finished_at ELSE v_now END,
        (cost_nusd, tokens, steps, calls, unpriced, uncertain_nusd) = (SELECT * FROM papayya.item_sum_v1(p_item))
    WHERE id = p_item
    RETURNING papayya.item.outcome, papayya.item.cost_nusd INTO outcome, cost_nusd;
    verdict := v_end;
END $$;

-- Cost that was reported outside any step: step 0.
CREATE FUNCTION papayya.outside_steps_v1(i papayya.item, p_fence bigint, p_cost_nusd bigint, p_tokens bigint, p_now timestamptz)
    RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO papayya.step AS st (item_id, label, args_hash, ordinal, n, dispatch_id, kind, state, cost_nusd, tokens,
                                    started_at, finished_at)
    VALUES (i.id, '(outside steps)', '', 1, 0, p_fence, 'code', 'unstored', p_cost_nusd, p_tokens, p_now, p_now)
    ON CONFLICT (item_id, label, args_hash, ordinal) DO UPDATE
        SET cost_nusd = st.cost_nusd + excluded.cost_nusd, tokens = st.tokens + excluded.tokens, finished_at = p_now;
    PERFORM papayya.charge_v1(i.run_id, i.agent_id, i.tenant_id, p_fence, p_cost_nusd, p_tokens);
END $$;

CREATE FUNCTION papayya.add_findings_v1(i papayya.item, p_fence bigint, p_findings json) RETURNS void
    LANGUAGE sql AS $$
    INSERT INTO papayya.finding (item_id, run_id, dispatch_id, n, check_name, severity, reason, evidence, fingerprint)
    SELECT i.id, i.run_id, p_fence, f.n, f."check", f.severity, f.reason, f.evidence, decode(f.fingerprint, 'hex')
    FROM json_to_recordset(p_findings) AS f ("check" text, severity papayya.severity, reason text, evidence json, n int,
                                             fingerprint text)
    $$;

-- What an ended item has cost, summed anew: its worker went on after it was cancelled, or an answer came late.
-- The caller holds the item's lock, taken in an earlier statement: then nothing that was written before is missed.
CREATE FUNCTION papayya.sum_cost_v1(p_item bigint) RETURNS void
    LANGUAGE sql AS $$
    UPDATE papayya.item i
    SET (cost_nusd, tokens, steps, calls, unpriced, uncertain_nusd) = (SELECT * FROM papayya.item_sum_v1(p_item))
    WHERE i.id = p_item AND i.finished_at IS NOT NULL
    $$;

-- End a dispatch without ending its item: released (back in the queue), waiting or paused.
-- None of these is held against the item's deliveries. p_lost: it was left in the middle of its body, so
-- that what it had in flight may be paid once more; it is listed with the deliveries that were lost. p_budget, p_wants: what
-- paused it, and what it was refused; unknown: the tightest. p_rate: the limit that it waits for, for p_wants tokens; the pump lets
-- it in, as a rule, before its time. p_passes: limits that have let it in, for a call that it did not come to.
CREATE FUNCTION papayya.release_v1(
    p_item bigint, p_fence bigint, p_state papayya.item_state, p_reason text, p_delay double precision,
    p_findings json, p_cost_nusd bigint, p_tokens bigint, p_lost boolean = false, p_paused_by papayya.pauser = NULL,
    p_budget bigint = NULL, p_wants bigint = NULL, p_rate bigint = NULL, p_passes bigint[] = NULL,
    OUT verdict text, OUT until timestamptz, OUT cost_nusd bigint)
    LANGUAGE plpgsql AS $$
DECLARE
    v_now timestamptz := papayya.now();
    v_state papayya.item_state := p_state;
    i papayya.item;
BEGIN
    IF p_cost_nusd > 0 OR p_tokens > 0 THEN PERFORM papayya.guard_v1(); END IF;
    SELECT * INTO i FROM papayya.item WHERE id = p_item FOR NO KEY UPDATE;
    -- what it was asked to pause for may have been taken back since
    IF p_state = 'paused' AND p_paused_by = 'hand' AND i.paused_by IS NULL THEN v_state := 'queued'; END IF;
    UPDATE papayya.dispatch SET ended_at = v_now,
           ending = CASE WHEN p_lost THEN 'lost' WHEN i.state = 'cancelled' THEN 'cancelled'
                         WHEN v_state = 'queued' THEN 'released'
                         ELSE v_state::text END::papayya.ending
    WHERE id = p_fence AND ended_at IS NULL;
    IF NOT FOUND THEN
        SELECT CASE ending WHEN 'released' THEN 'queued' ELSE ending::text END, i.due_at INTO verdict, until
        FROM papayya.dispatch WHERE id = p_fence;
        RETURN;
    END IF;
    IF p_cost_nusd > 0 OR p_tokens > 0 THEN
        PERFORM papayya.outside_steps_v1(i, p_fence, p_cost_nusd, p_tokens, v_now);
    END IF;
    IF p_findings IS NOT NULL THEN PERFORM papayya.add_findings_v1(i, p_fence, p_findings); END IF;
    IF p_lost THEN PERFORM papayya.doubt_calls_v1(ARRAY[p_fence]); END IF;
    IF p_rate IS NOT NULL THEN PERFORM papayya.join_room_v1(p_rate, i.tenant_id); END IF;
    verdict := CASE WHEN i.state = 'cancelled' THEN 'cancelled' ELSE v_state::text END;
    until := CASE WHEN p_state = 'waiting' THEN v_now + make_interval(secs => p_delay) END;
    cost_nusd := (SELECT s.cost FROM papayya.item_sum_v1(p_item) AS s);
    IF i.state = 'cancelled' THEN PERFORM papayya.sum_cost_v1(p_item); END IF;
    UPDATE papayya.item SET state = v_state, reason = p_reason, deliveries = greatest(deliveries - 1, 0), due_at = until,
           send_at = CASE WHEN v_state = 'queued' AND envelope_hash IS NOT NULL THEN v_now END,
           -- what was asked to pause and did not get to it parks when it is opened
           paused_by = CASE WHEN v_state = 'paused' THEN coalesce(paused_by, p_paused_by, 'code') ELSE paused_by END,
           parked_at = CASE WHEN v_state = 'paused' THEN v_now END,
           parked_on = CASE WHEN v_state = 'paused' AND p_paused_by = 'budget'
                            THEN coalesce(p_budget, (papayya.left_v1(i.tenant_id, i.run_id, i.agent_id)).budget_id) END,
           wants = CASE WHEN v_state = 'waiting' OR num_nonnulls(p_budget, p_wants) > 0 THEN p_wants WHEN cardinality(p_passes) > 0 THEN i.wants ELSE 1 END,
           rate_id = CASE WHEN v_state = 'waiting' THEN p_rate END, passes = nullif(p_passes, '{}'),
           throttled_at = CASE WHEN v_state = 'waiting' THEN v_now END,
           throttles = throttles + CASE WHEN v_state = 'waiting' AND p_rate IS NOT NULL THEN 1 ELSE 0 END
    WHERE id = p_item AND state = 'running';
END $$;

-- The end of an item whose worker cannot close it.
CREATE FUNCTION papayya.fail_v1(p_item bigint, p_fence bigint, p_check text, p_reason text) RETURNS void
    LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO papayya.finding (item_id, run_id, dispatch_id, check_name, severity, reason, fingerprint)
    SELECT id, run_id, p_fence, p_check, 'failed', p_reason, substr(sha256(convert_to(p_check, 'UTF8')), 1, 8)
    FROM papayya.item WHERE id = p_item;
    UPDATE papayya.item SET state = 'failed', outcome = 'failed', reason = p_reason, finished_at = papayya.now(), due_at = NULL,
           paused_by = NULL, send_at = CASE WHEN envelope_hash IS NOT NULL THEN papayya.now() + interval '60 s' END,
           (cost_nusd, tokens, steps, calls, unpriced, uncertain_nusd) = (SELECT * FROM papayya.item_sum_v1(p_item))
    WHERE id = p_item;
END $$;
