-- What carriers need whose messages travel outside Postgres: a broker, a workflow engine.

-- Submit messages before their broker sees them: the run (made when it is new), the agent, items with their envelopes,
-- and the cohorts they are parts of, in one transaction. p_doc is that of capture_v1 with, for each,
-- "n", "y": codec and size of the envelope, p_envelopes[s + 1] its body · "co", "cp": its cohort and place there ·
-- "cf": the cohort that this item follows from.
-- p_resend: seconds after which the pump may send what nobody has opened: the publisher died, or the broker lost it.
CREATE FUNCTION papayya.publish_v1(
    p_run text, p_label text, p_seal boolean, p_carrier text, p_agent text, p_source text, p_doc json, p_bodies bytea[],
    p_envelopes bytea[], p_resend double precision)
    RETURNS TABLE (seq int, item_id bigint, item_key text, item_ordinal int, item_state papayya.item_state, fresh boolean,
                   deliveries int)
    LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    v_now timestamptz := papayya.now();
    v_run bigint; v_agent bigint;
    v_seqs int[] := '{}'; v_items bigint[] := '{}';
BEGIN
    SELECT id INTO v_agent FROM papayya.agent WHERE name = p_agent;
    IF NOT FOUND THEN
        INSERT INTO papayya.agent (name) VALUES (p_agent) ON CONFLICT DO NOTHING;
        SELECT id INTO v_agent FROM papayya.agent WHERE name = p_agent;
    END IF;
    SELECT id INTO v_run FROM papayya.run WHERE name = p_run;
    IF NOT FOUND THEN
        INSERT INTO papayya.run (name, label, carrier, sealed_at) VALUES (p_run, p_label, p_carrier, CASE WHEN p_seal THEN v_now END)
        ON CONFLICT (name) DO NOTHING;
        SELECT id INTO v_run FROM papayya.run WHERE name = p_run;
    END IF;
    FOR seq, item_id, item_key, item_ordinal, item_state, fresh, deliveries IN
        SELECT c.* FROM papayya.capture_v1(v_run, v_agent, p_source, p_doc, p_bodies, v_now + make_interval(secs => p_resend),
                                           p_carrier, p_seal) AS c
    LOOP
        v_seqs := v_seqs || seq; v_items := v_items || item_id;
        RETURN NEXT;
    END LOOP;
    PERFORM papayya.keep_payloads_v1(array_agg(tn.id), array_agg(decode(d.e, 'hex')), array_agg(d.n), array_agg(d.y),
                                     array_agg(p_envelopes[d.s + 1]))
    FROM json_to_recordset(p_doc) AS d (s int, t text, e text, n int, y int)
    JOIN papayya.tenant tn ON tn.name = d.t WHERE d.e IS NOT NULL;
    PERFORM papayya.join_cohorts_v1(p_carrier, p_doc, v_seqs, v_items);
END $$;

CREATE FUNCTION papayya.join_cohorts_v1(p_carrier text, p_doc json, p_seqs int[], p_items bigint[]) RETURNS void
    LANGUAGE plpgsql AS $$
DECLARE
    v_names text[]; v_fired text[];
BEGIN
    SELECT array_agg(DISTINCT d.co ORDER BY d.co) FILTER (WHERE d.co IS NOT NULL), array_agg(d.cf) FILTER (WHERE d.cf IS NOT NULL)
    INTO v_names, v_fired FROM json_to_recordset(p_doc) AS d (co text, cf text);
    IF v_fired IS NOT NULL THEN PERFORM papayya.cohort_fired_v1(v_fired); END IF;
    IF v_names IS NULL THEN RETURN; END IF;
    INSERT INTO papayya.cohort (name, carrier) SELECT n, p_carrier FROM unnest(v_names) AS n ON CONFLICT (name) DO NOTHING;
    INSERT INTO papayya.cohort_part (item_id, cohort_id, place)
    SELECT u.item_id, c.id, d.cp
    FROM json_to_recordset(p_doc) AS d (s int, co text, cp int)
    JOIN unnest(p_seqs, p_items) AS u (seq, item_id) ON u.seq = d.s JOIN papayya.cohort c ON c.name = d.co
    WHERE NOT EXISTS (SELECT FROM papayya.cohort_part p WHERE p.cohort_id = c.id AND p.item_id = u.item_id)
    ON CONFLICT (cohort_id, place) DO UPDATE SET item_id = excluded.item_id;
END $$;

-- The same for one message, without documents: what a single publish costs its caller.
-- p_again: an item of the same submission that has ended is not meant; the caller wants it done once more.
CREATE FUNCTION papayya.publish_one_v1(
    p_run text, p_label text, p_seal boolean, p_carrier text, p_agent text, p_source text, p_resend double precision,
    p_tenant text, p_key text, p_digest bytea, p_parent bigint,
    p_hash bytea, p_codec int, p_size int, p_body bytea, p_envelope_hash bytea, p_envelope_codec int, p_envelope_size int,
    p_envelope bytea, p_cohort text, p_place int, p_follows text, p_again boolean,
    OUT item_id bigint, OUT item_ordinal int, OUT item_state papayya.item_state, OUT fresh boolean, OUT deliveries int)
    LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    v_now timestamptz := papayya.now();
    v_agent bigint; v_run bigint; v_tenant bigint; v_cohort bigint;
    v_cancelled boolean := false; v_sealed boolean := p_seal;
    v_ended boolean;
BEGIN
    SELECT id INTO v_agent FROM papayya.agent WHERE name = p_agent;
    IF NOT FOUND THEN
        INSERT INTO papayya.agent (name) VALUES (p_agent) ON CONFLICT DO NOTHING;
        SELECT id INTO v_agent FROM papayya.agent WHERE name = p_agent;
    END IF;
    SELECT id, cancelled_at IS NOT NULL, sealed_at IS NOT NULL INTO v_run, v_cancelled, v_sealed FROM papayya.run WHERE name = p_run;
    IF NOT FOUND THEN
        INSERT INTO papayya.run (name, label, carrier, sealed_at) VALUES (p_run, p_label, p_carrier, CASE WHEN p_seal THEN v_now END)
        ON CONFLICT (name) DO NOTHING;
        SELECT id, cancelled_at IS NOT NULL, sealed_at IS NOT NULL INTO v_run, v_cancelled, v_sealed FROM papayya.run WHERE name = p_run;
    END IF;
    SELECT id INTO v_tenant FROM papayya.tenant WHERE name = p_tenant;
    IF NOT FOUND THEN
        INSERT INTO papayya.tenant (name) VALUES (p_tenant) ON CONFLICT (name) DO NOTHING;
        SELECT id INTO v_tenant FROM papayya.tenant WHERE name = p_tenant;
    END IF;
    IF p_body IS NOT NULL THEN
        INSERT INTO papayya.payload (tenant_id, hash, codec, size, body) VALUES (v_tenant, p_hash, p_codec, p_size, p_body)
        ON CONFLICT DO NOTHING;
    END IF;
    IF p_envelope IS NOT NULL THEN
        INSERT INTO papayya.payload (tenant_id, hash, codec, size, body)
        VALUES (v_tenant, p_envelope_hash, p_envelope_codec, p_envelope_size, p_envelope) ON CONFLICT DO NOTHING;
    END IF;

    item_state := CASE WHEN v_cancelled THEN 'cancelled' ELSE 'queued' END;
    INSERT INTO papayya.item (run_id, tenant_id, agent_id, key, state, input_hash, input_digest, parent_id, finished_at,
                              created_at, send_at, envelope_hash, carrier, sends)
    VALUES (v_run, v_tenant, v_agent, p_key, item_state, p_hash, p_digest, p_parent, CASE WHEN v_cancelled THEN v_now END,
            v_now, v_now + make_interval(secs => p_resend), p_envelope_hash, p_carrier,
            CASE WHEN p_envelope_hash IS NULL THEN 0 ELSE 1 END)
    ON CONFLICT (run_id, agent_id, tenant_id, key, ordinal) DO NOTHING RETURNING id INTO item_id;
    item_ordinal := 1; fresh := item_id IS NOT NULL; deliveries := 0;
    IF fresh THEN
        INSERT INTO papayya.intake (run_id, tenant_id, agent_id, source, count, keys, ordinals, keys_hash, at)
        VALUES (v_run, v_tenant, v_agent, p_source, 1, ARRAY[p_key], ARRAY[1], papayya.keys_hash(ARRAY[p_key], ARRAY[1]), v_now);
    ELSE
        SELECT i.id, i.ordinal, i.finished_at IS NOT NULL INTO item_id, item_ordinal, v_ended FROM papayya.item i
        WHERE i.run_id = v_run AND i.agent_id = v_agent AND i.tenant_id = v_tenant AND i.key = p_key
          AND i.input_digest = p_digest ORDER BY i.ordinal DESC LIMIT 1;
        IF NOT FOUND OR (p_again AND v_ended) THEN
            SELECT t.id, t.ordinal, t.made INTO item_id, item_ordinal, fresh
            FROM papayya.take_ordinal_v1(v_run, v_agent, v_tenant, p_key, p_hash, p_digest, p_parent, item_state, NULL, p_source,
                                         v_now + make_interval(secs => p_resend), p_envelope_hash, p_carrier, p_again) AS t;
        END IF;
        SELECT i.state, i.deliveries INTO item_state, deliveries FROM papayya.item i WHERE i.id = item_id;
    END IF;
    IF fresh AND v_sealed AND NOT p_seal AND p_parent IS NULL THEN
        UPDATE papayya.run SET sealed_at = NULL WHERE id = v_run;
    END IF;
    IF p_follows IS NOT NULL THEN PERFORM papayya.cohort_fired_v1(ARRAY[p_follows]); END IF;
    IF p_cohort IS NOT NULL THEN
        INSERT INTO papayya.cohort (name, carrier) VALUES (p_cohort, p_carrier) ON CONFLICT (name) DO NOTHING;
        SELECT id INTO v_cohort FROM papayya.cohort WHERE name = p_cohort;
        INSERT INTO papayya.cohort_part (cohort_id, item_id, place) SELECT v_cohort, item_id, p_place
        WHERE NOT EXISTS (SELECT FROM papayya.cohort_part p WHERE p.cohort_id = v_cohort AND p.item_id = publish_one_v1.item_id)
        ON CONFLICT (cohort_id, place) DO UPDATE SET item_id = excluded.item_id;
    END IF;
END $$;

-- All parts of a cohort were submitted: so many are they.
CREATE FUNCTION papayya.cohort_size_v1(p_name text, p_carrier text, p_size int) RETURNS void
    LANGUAGE sql AS $$
    INSERT INTO papayya.cohort AS c (name, carrier, size) VALUES (p_name, p_carrier, p_size)
    ON CONFLICT (name) DO UPDATE SET size = excluded.size, fired_at = NULL -- a chord may be applied once more
    $$;

-- What waited for the cohorts has been started.
CREATE FUNCTION papayya.cohort_fired_v1(p_names text[]) RETURNS void
    LANGUAGE sql AS $$
    UPDATE papayya.cohort SET fired_at = papayya.now() WHERE name = ANY (p_names) AND fired_at IS NULL
    $$;

-- Cohorts whose parts all ended a while ago, and their carrier was told each, yet nothing followed: their carrier has forgotten the count. Each is handed
-- out once per p_quiet seconds. A part that ended without an end for its carrier holds its cohort open, as it does there: it was replaced by another
-- task, which is not there yet, or ignored.
CREATE FUNCTION papayya.stuck_cohorts_v1(p_carriers text[], p_quiet double precision, p_limit int)
    RETURNS TABLE (cohort_id bigint, cohort_name text, carrier text)
    LANGUAGE sql AS $$
    UPDATE papayya.cohort c SET checked_at = papayya.now()
    WHERE c.id IN (
        SELECT q.id FROM papayya.cohort q
        WHERE q.fired_at IS NULL AND q.carrier = ANY (p_carriers) AND q.size IS NOT NULL
          AND q.created_at > papayya.now() - interval '30 days' -- nobody waits for it any more
          AND coalesce(q.checked_at, q.created_at) < papayya.now() - make_interval(secs => p_quiet)
          AND q.size = (SELECT count(*) FROM papayya.cohort_part p JOIN papayya.item i ON i.id = p.item_id
                        WHERE p.cohort_id = q.id AND i.send_at IS NULL
                          AND i.finished_at < papayya.now() - make_interval(secs => p_quiet)
                          AND NOT EXISTS (SELECT FROM papayya.finding f WHERE f.item_id = i.id AND f.retired_at IS NULL
                                          AND f.check_name IN ('replaced', 'ignored')))
        ORDER BY q.id LIMIT p_limit FOR UPDATE SKIP LOCKED)
    RETURNING c.id, c.name, c.carrier
    $$;

-- The worker's own message for the item that it has in hand: it is tried again, now or after a delay. Its dispatch ends,
-- its lease is given back before the broker has the message, and what was sent before is stale.
CREATE FUNCTION papayya.hand_over_v1(
    p_item bigint, p_fence bigint, p_reason text, p_delay double precision, p_resend double precision, p_hash bytea, p_codec int,
    p_size int, p_body bytea, p_findings json, p_cost_nusd bigint, p_tokens bigint, OUT verdict text, OUT dispatch_no int)
    LANGUAGE plpgsql AS $$
DECLARE
    v_tenant bigint;
BEGIN
    IF p_cost_nusd > 0 OR p_tokens > 0 THEN PERFORM papayya.guard_v1(); END IF;
    SELECT i.tenant_id, i.dispatch_no INTO v_tenant, dispatch_no FROM papayya.item i WHERE i.id = p_item FOR NO KEY UPDATE;
    SELECT r.verdict INTO verdict
    FROM papayya.release_v1(p_item, p_fence, CASE WHEN p_delay > 0 THEN 'waiting' ELSE 'queued' END::papayya.item_state, p_reason,
                            p_delay, p_findings, p_cost_nusd, p_tokens) AS r;
    IF verdict NOT IN ('waiting', 'queued') THEN RETURN; END IF;
    IF p_body IS NOT NULL THEN
        INSERT INTO papayya.payload (tenant_id, hash, codec, size, body) VALUES (v_tenant, p_hash, p_codec, p_size, p_body)
        ON CONFLICT DO NOTHING;
    END IF;
    UPDATE papayya.item i SET dispatch_no = i.dispatch_no + 1, sends = 1, envelope_hash = coalesce(p_hash, i.envelope_hash),
           send_at = papayya.now() + make_interval(secs => p_delay + p_resend), throttled_at = NULL
    WHERE i.id = p_item AND i.state IN ('waiting', 'queued') RETURNING i.dispatch_no INTO dispatch_no;
END $$;

-- The carrier has learned the end of an item, and what follows from it was started.
CREATE FUNCTION papayya.told_v1(p_item bigint) RETURNS void
    LANGUAGE sql AS $$
    UPDATE papayya.item SET send_at = NULL WHERE id = p_item AND finished_at IS NOT NULL
    $$;

-- The end of an item by somebody who does not hold it: its worker was killed on purpose, or its message never left.
CREATE FUNCTION papayya.give_up_v1(p_item bigint, p_check text, p_reason text) RETURNS boolean
    LANGUAGE plpgsql AS $$
DECLARE
    i papayya.item;
BEGIN
    SELECT * INTO i FROM papayya.item WHERE id = p_item FOR NO KEY UPDATE;
    IF NOT FOUND OR i.finished_at IS NOT NULL THEN RETURN false; END IF;
    UPDATE papayya.dispatch SET ended_at = papayya.now(), ending = 'failed' WHERE item_id = p_item AND ended_at IS NULL;
    PERFORM papayya.fail_v1(p_item, NULL, p_check, p_reason);
    UPDATE papayya.item SET send_at = NULL WHERE id = p_item; -- its carrier knows
    RETURN true;
END $$;

-- The same for the items of these submissions that are at work right now.
CREATE FUNCTION papayya.give_up_live_v1(p_digests bytea[], p_check text, p_reason text) RETURNS SETOF bigint
    LANGUAGE sql AS $$
    SELECT i.id FROM papayya.dispatch d JOIN papayya.item i ON i.id = d.item_id
    WHERE d.ended_at IS NULL AND i.input_digest = ANY (p_digests) AND papayya.give_up_v1(i.id, p_check, p_reason)
    $$;

-- Give parked items back to their carrier for good: it brings them to workers without us. Here they end as cancelled, their
-- envelopes are given away, what was sent before is stale, and the cohorts they are parts of are the carrier's own again.
CREATE FUNCTION papayya.hand_back_v1(p_run text, p_carriers text[], p_limit int)
    RETURNS TABLE (item_id bigint, item_key text, run_name text, carrier text, agent_name text, tenant_name text,
                   dispatch_no int, envelope_hash bytea, sends int, parked double precision, item_digest bytea,
                   codec smallint, envelope bytea, delay double precision)
    LANGUAGE sql AS $$
    WITH held AS (
        SELECT i.id, i.envelope_hash AS hash, greatest(extract(epoch FROM i.due_at - papayya.now()), 0) AS delay
        FROM papayya.item i JOIN papayya.run r ON r.id = i.run_id
        WHERE (p_run IS NULL OR r.name = p_run) AND coalesce(i.carrier, r.carrier) = ANY (p_carriers)
          AND i.envelope_hash IS NOT NULL
          AND (i.state = 'paused' OR (i.state = 'waiting' AND i.send_at IS NULL) OR (i.state = 'queued' AND coalesce(i.send_at <= papayya.now(), true)))
        ORDER BY i.id LIMIT p_limit FOR NO KEY UPDATE OF i SKIP LOCKED
    ), back AS (
        UPDATE papayya.item i SET state = 'cancelled', reason = 'handed back to ' || coalesce(split_part(i.carrier, ':', 1), 'its carrier'),
               finished_at = papayya.now(), due_at = NULL, send_at = NULL, paused_by = NULL, envelope_hash = NULL,
               dispatch_no = i.dispatch_no + 1
        FROM held WHERE i.id = held.id RETURNING i.*, held.hash, held.delay
    ), left_alone AS (
        UPDATE papayya.cohort c SET fired_at = papayya.now()
        FROM papayya.cohort_part p JOIN held ON held.id = p.item_id WHERE c.id = p.cohort_id AND c.fired_at IS NULL
    )
    SELECT s.id, s.key, r.name, coalesce(s.carrier, r.carrier), a.name, t.name, s.dispatch_no, s.hash, s.sends,
           extract(epoch FROM s.parked + coalesce(papayya.now() - s.parked_at, '0') + s.throttled + coalesce(papayya.now() - s.throttled_at, '0')),
           s.input_digest, p.codec, p.body, s.delay
    FROM back s JOIN papayya.run r ON r.id = s.run_id JOIN papayya.agent a ON a.id = s.agent_id
    JOIN papayya.tenant t ON t.id = s.tenant_id
    JOIN papayya.payload p ON p.tenant_id = s.tenant_id AND p.hash = s.hash
    $$;
