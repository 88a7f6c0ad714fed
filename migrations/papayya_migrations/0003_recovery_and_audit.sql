-- What brings items back (leases, sweep, retry), what ends them by hand, and what proves that
-- none was dropped.

-- Renew every lease of a worker, and of its children, at once. A dispatch past its deadline is not renewed: it only
-- looks alive. Losing a renewal in a server crash costs nothing, so it does not wait for the disk.
CREATE FUNCTION papayya.heartbeat_v1(p_owners text[], p_lease double precision) RETURNS int
    LANGUAGE plpgsql AS $$
DECLARE
    v_now timestamptz := papayya.now();
    v_count int;
BEGIN
    PERFORM set_config('synchronous_commit', 'off', true);
    WITH mine AS (
        SELECT id FROM papayya.dispatch
        WHERE locked_by = ANY (p_owners) AND ended_at IS NULL AND (deadline IS NULL OR deadline > v_now)
        ORDER BY id FOR NO KEY UPDATE -- in the order of checkpoints: neither waits for the other in a circle
    )
    UPDATE papayya.dispatch SET locked_until = v_now + make_interval(secs => p_lease)
    WHERE id = ANY (ARRAY(SELECT id FROM mine));
    GET DIAGNOSTICS v_count = ROW_COUNT;
    RETURN v_count;
END $$;

-- End the dispatches whose lease has expired (p_silent), whose owner is known to be dead, or that their own
-- worker has given up (p_fences), and put their items back: queued for the pump, or failed when they were delivered too often or took too long.
CREATE FUNCTION papayya.sweep_v1(p_dead text[], p_max_deliveries int, p_limit int, p_silent boolean DEFAULT true,
                                 p_fences bigint[] DEFAULT NULL)
    RETURNS TABLE (item_id bigint, item_key text, run_name text, locked_by text, item_state papayya.item_state, reason text)
    LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    v_now timestamptz := papayya.now();
    v_lost record;
    v_fences bigint[] := '{}';
    i papayya.item;
BEGIN
    PERFORM papayya.guard_v1();
    FOR v_lost IN
        SELECT d.id, d.item_id FROM papayya.dispatch d
        WHERE d.ended_at IS NULL AND ((p_silent AND d.locked_until < v_now) OR d.locked_by = ANY (p_dead) OR d.id = ANY (p_fences))
        ORDER BY d.id LIMIT p_limit
    LOOP
        PERFORM FROM papayya.item WHERE id = v_lost.item_id FOR NO KEY UPDATE SKIP LOCKED;
        CONTINUE WHEN NOT FOUND;
        UPDATE papayya.dispatch d SET ended_at = v_now, ending = 'lost'
        WHERE d.id = v_lost.id AND d.ended_at IS NULL AND ((p_silent AND d.locked_until < v_now) OR d.locked_by = ANY (p_dead) OR d.id = ANY (p_fences));
        IF FOUND THEN v_fences := v_fences || v_lost.id; END IF;
    END LOOP;
    -- nobody is waited for once money is booked: their dispatches have all ended
    PERFORM papayya.doubt_calls_v1(v_fences);
    FOR v_lost IN
        SELECT d.id, d.item_id, d.locked_by,
               coalesce(d.deadline <= d.locked_until AND d.deadline <= v_now AND d.locked_by <> ALL (p_dead)
                        AND coalesce(d.id <> ALL (p_fences), true), false) AS overran -- else its worker is gone: that is not the item's time
        FROM papayya.dispatch d WHERE d.id = ANY (v_fences) ORDER BY overran DESC, d.id
    LOOP
        SELECT * INTO i FROM papayya.item WHERE id = v_lost.item_id;
        IF i.state = 'running' AND v_lost.overran THEN
            PERFORM papayya.fail_v1(i.id, v_lost.id, 'max_seconds', 'the item passed its max_seconds');
        ELSIF i.state = 'running' AND i.deliveries >= p_max_deliveries THEN
            PERFORM papayya.fail_v1(i.id, v_lost.id, 'poison', i.deliveries || ' deliveries without an end');
        ELSIF i.state = 'running' AND NOT EXISTS (SELECT FROM papayya.dispatch d WHERE d.item_id = i.id AND d.ended_at IS NULL) THEN
            UPDATE papayya.item SET state = 'queued', reason = 'its worker was lost', send_at = v_now, sends = 0 WHERE id = i.id;
            IF i.paused_by IS NOT NULL THEN PERFORM papayya.park_v1(i.id, i.paused_by, 'paused by hand', v_now); END IF;
        ELSIF i.state = 'cancelled' THEN
            PERFORM papayya.sum_cost_v1(i.id);
        END IF;
        -- nobody has it in hand who would tell its carrier
        UPDATE papayya.item f SET send_at = v_now
        WHERE f.id = i.id AND f.envelope_hash IS NOT NULL
          AND (f.state = 'cancelled' OR (f.state = 'failed' AND f.send_at > v_now));
        item_id := i.id; item_key := i.key; locked_by := v_lost.locked_by;
        SELECT r.name INTO run_name FROM papayya.run r WHERE r.id = i.run_id;
        SELECT it.state, it.reason INTO item_state, reason FROM papayya.item it WHERE it.id = i.id;
        RETURN NEXT;
    END LOOP;
END $$;

-- Waiting items that are due go back into the queue. What its carrier holds back by itself keeps its time.
CREATE FUNCTION papayya.wake_v1(p_limit int) RETURNS int
    LANGUAGE plpgsql AS $$
DECLARE
    v_now timestamptz := papayya.now();
    v_count int;
BEGIN
    UPDATE papayya.item SET state = 'queued', due_at = NULL, rate_id = NULL, send_at = coalesce(send_at, v_now),
           sends = CASE WHEN send_at IS NULL THEN 0 ELSE sends END
    WHERE id IN (SELECT id FROM papayya.item WHERE state = 'waiting' AND due_at <= v_now
                 ORDER BY due_at LIMIT p_limit FOR NO KEY UPDATE SKIP LOCKED);
    GET DIAGNOSTICS v_count = ROW_COUNT;
    RETURN v_count;
END $$;

-- Take items to send again through their carriers: queued ones, and ended ones whose end their carrier has not learned
-- (given up after a dozen times). All copies of one envelope are alike: the first to be opened has the item, the lease
-- keeps the others out. So a backlog that is taken for a loss costs a few messages, not a place in the queue, and the
-- sends back off. overtaken: messages that were sent later have arrived.
CREATE FUNCTION papayya.claim_sends_v1(p_carriers text[], p_backoff double precision, p_limit int)
    RETURNS TABLE (item_id bigint, item_key text, run_name text, carrier text, agent_name text, tenant_name text,
                   dispatch_no int, envelope_hash bytea, sends int, parked double precision, item_digest bytea,
                   codec smallint, envelope bytea, ended boolean, overtaken boolean)
    LANGUAGE sql AS $$
    WITH due AS (
        SELECT i.id, i.send_at FROM papayya.item i JOIN papayya.run r ON r.id = i.run_id JOIN papayya.tenant t ON t.id = i.tenant_id
        WHERE i.send_at <= papayya.now() AND coalesce(i.carrier, r.carrier) = ANY (p_carriers)
          AND ((i.state = 'queued' AND NOT r.draining AND r.paused_at IS NULL AND t.paused_at IS NULL) OR i.finished_at IS NOT NULL)
        ORDER BY i.send_at LIMIT p_limit FOR NO KEY UPDATE OF i SKIP LOCKED
    ), sent AS (
        UPDATE papayya.item i SET sends = i.sends + 1,
               send_at = CASE WHEN i.finished_at IS NULL OR i.sends < 12
                              THEN papayya.now() + make_interval(secs => p_backoff * power(2, least(i.sends, 4))) END
        WHERE i.id = ANY (ARRAY(SELECT id FROM due)) RETURNING i.*
    )
    SELECT s.id, s.key, r.name, coalesce(s.carrier, r.carrier), a.name, t.name, s.dispatch_no, s.envelope_hash, s.sends,
           extract(epoch FROM s.parked + coalesce(papayya.now() - s.parked_at, '0') + s.throttled + coalesce(papayya.now() - s.throttled_at, '0')),
           s.input_digest, p.codec, p.body, s.finished_at IS NOT NULL,
           s.sends > 1 AND EXISTS (SELECT FROM papayya.item j WHERE j.id BETWEEN s.id + 1 AND s.id + 1000 AND j.agent_id = s.agent_id
                                   AND j.created_at > s.created_at AND j.started_at IS NOT NULL)
    FROM sent s JOIN due ON due.id = s.id JOIN papayya.run r ON r.id = s.run_id JOIN papayya.agent a ON a.id = s.agent_id
    JOIN papayya.tenant t ON t.id = s.tenant_id
    LEFT JOIN papayya.payload p ON p.tenant_id = s.tenant_id AND p.hash = s.envelope_hash
    WHERE s.send_at IS NOT NULL ORDER BY due.send_at, s.id
    $$;

-- Be the leader of a role, or stay it. A row, not a session lock: it works behind a pooler.
CREATE FUNCTION papayya.lead_v1(p_role text, p_owner text, p_lease double precision) RETURNS boolean
    LANGUAGE plpgsql AS $$
DECLARE
    v_now timestamptz := papayya.now();
BEGIN
    INSERT INTO papayya.leader AS l (role, locked_by, locked_until)
    VALUES (p_role, p_owner, v_now + make_interval(secs => p_lease))
    ON CONFLICT (role) DO UPDATE SET locked_by = excluded.locked_by, locked_until = excluded.locked_until
        WHERE l.locked_by = p_owner OR l.locked_until < v_now;
    RETURN FOUND;
END $$;

-- Failed items go back into the queue, unless their run was cancelled. Their finished steps stay, their findings become
-- history.
CREATE FUNCTION papayya.retry_v1(p_run text, p_items bigint[]) RETURNS SETOF bigint
    LANGUAGE plpgsql AS $$
DECLARE
    v_ids bigint[];
BEGIN
    WITH again AS (
        UPDATE papayya.item i SET state = 'queued', outcome = NULL, reason = 'retried by hand', finished_at = NULL,
               deliveries = 0, sends = 0, parked_at = NULL, send_at = papayya.now()
        FROM papayya.run r
        WHERE r.id = i.run_id AND (p_run IS NULL OR r.name = p_run) AND (p_items IS NULL OR i.id = ANY (p_items))
          AND (p_run IS NOT NULL OR p_items IS NOT NULL) AND r.cancelled_at IS NULL
          AND i.state = 'failed'
        RETURNING i.id
    )
    SELECT array_agg(id) INTO v_ids FROM again;
    UPDATE papayya.finding SET retired_at = papayya.now() WHERE item_id = ANY (v_ids) AND retired_at IS NULL;
    UPDATE papayya.step SET attempts = 0 WHERE item_id = ANY (v_ids) AND state = 'failed';
    RETURN QUERY SELECT unnest(v_ids);
END $$;

-- Cancel items; with a run and no items, the run too: what is submitted to it later is cancelled as well.
-- Work in flight stops at its next checkpoint, which is still recorded: it was paid.
CREATE FUNCTION papayya.cancel_v1(p_run text, p_items bigint[], p_reason text) RETURNS SETOF bigint
    LANGUAGE plpgsql AS $$
BEGIN
    IF p_items IS NULL THEN
        UPDATE papayya.run SET cancelled_at = coalesce(cancelled_at, papayya.now()) WHERE name = p_run;
    END IF;
    RETURN QUERY
    UPDATE papayya.item i SET state = 'cancelled', reason = p_reason, finished_at = papayya.now(), due_at = NULL, paused_by = NULL,
           -- a message on its way learns it on arrival; where there is none, one is sent
           send_at = CASE WHEN i.envelope_hash IS NULL OR i.state = 'running' THEN NULL
                          WHEN i.state = 'queued' THEN coalesce(i.send_at, papayya.now()) ELSE papayya.now() END,
           (cost_nusd, tokens, steps, calls, unpriced, uncertain_nusd) = (SELECT * FROM papayya.item_sum_v1(i.id))
    FROM papayya.run r
    WHERE r.id = i.run_id AND (p_run IS NULL OR r.name = p_run) AND (p_items IS NULL OR i.id = ANY (p_items))
      AND (p_run IS NOT NULL OR p_items IS NOT NULL) AND i.state IN ('queued', 'running', 'paused', 'waiting')
    RETURNING i.id;
END $$;

-- Pause by hand: a whole run, a whole tenant, or items. Nothing of it is begun until it is resumed: what comes to a worker
-- parks there; what is at work parks at its next step, with its finished steps. Returns the items that are touched now.
CREATE FUNCTION papayya.pause_v1(p_run text, p_tenant text, p_items bigint[]) RETURNS SETOF bigint
    LANGUAGE plpgsql AS $$
DECLARE
    v_now timestamptz := papayya.now();
BEGIN
    IF p_items IS NULL AND p_run IS NOT NULL AND p_tenant IS NULL THEN
        UPDATE papayya.run SET paused_at = coalesce(paused_at, v_now) WHERE name = p_run;
    ELSIF p_items IS NULL AND p_tenant IS NOT NULL AND p_run IS NULL THEN
        UPDATE papayya.tenant SET paused_at = coalesce(paused_at, v_now) WHERE name = p_tenant;
    END IF;
    RETURN QUERY
    UPDATE papayya.item i SET
        paused_by = 'hand',
        state = CASE WHEN i.state = 'running' THEN i.state ELSE 'paused' END,
        reason = CASE WHEN i.state = 'running' THEN i.reason ELSE 'paused by hand' END,
        parked_at = CASE WHEN i.state <> 'running' THEN coalesce(i.parked_at, v_now) END,
        due_at = NULL, send_at = NULL, rate_id = NULL, parked_on = NULL, wants = NULL, passes = NULL,
        throttled = i.throttled + coalesce(v_now - i.throttled_at, '0'), throttled_at = NULL
    FROM papayya.run r, papayya.tenant t
    WHERE r.id = i.run_id AND t.id = i.tenant_id AND (p_run IS NOT NULL OR p_tenant IS NOT NULL OR p_items IS NOT NULL)
      AND (p_run IS NULL OR r.name = p_run) AND (p_tenant IS NULL OR t.name = p_tenant)
      AND (p_items IS NULL OR i.id = ANY (p_items))
      AND (i.state = 'running' OR (p_items IS NOT NULL AND i.state IN ('queued', 'waiting', 'paused')))
      AND (i.paused_by IS NULL OR (i.paused_by = 'budget' AND p_items IS NOT NULL)) -- it stays when the budget is raised
    RETURNING i.id;
END $$;

-- Resume what is paused, whatever paused it: back into the queue, with its finished steps. Where a budget is still
-- exhausted, or the rest of the tenant or run is still paused, it parks again when it is opened.
CREATE FUNCTION papayya.resume_v1(p_run text, p_tenant text, p_items bigint[]) RETURNS SETOF bigint
    LANGUAGE plpgsql AS $$
BEGIN
    IF p_items IS NULL AND p_run IS NOT NULL AND p_tenant IS NULL THEN
        UPDATE papayya.run SET paused_at = NULL WHERE name = p_run;
    ELSIF p_items IS NULL AND p_tenant IS NOT NULL AND p_run IS NULL THEN
        UPDATE papayya.tenant SET paused_at = NULL WHERE name = p_tenant;
    END IF;
    RETURN QUERY
    UPDATE papayya.item i SET
        state = CASE WHEN i.state = 'paused' THEN 'queued' ELSE i.state END, paused_by = NULL, sends = 0,
        reason = CASE WHEN i.state = 'paused' THEN 'resumed by hand' ELSE i.reason END, parked_at = NULL, parked_on = NULL, wants = NULL, passes = NULL,
        parked = i.parked + coalesce(papayya.now() - i.parked_at, '0'),
        send_at = CASE WHEN i.state = 'paused' THEN papayya.now() ELSE i.send_at END
    FROM papayya.run r, papayya.tenant t
    WHERE r.id = i.run_id AND t.id = i.tenant_id AND (p_run IS NOT NULL OR p_tenant IS NOT NULL OR p_items IS NOT NULL)
      AND (p_run IS NULL OR r.name = p_run) AND (p_tenant IS NULL OR t.name = p_tenant)
      AND (p_items IS NULL OR i.id = ANY (p_items)) AND i.paused_by IS NOT NULL
    RETURNING i.id;
END $$;

-- The cost of an item while it runs is the sum of its steps and calls; once it has ended, the row has it.
CREATE VIEW papayya.item_now AS
SELECT i.id, r.name AS run, t.name AS tenant, a.name AS agent, i.key,
       i.key || CASE WHEN i.ordinal > 1 THEN '#' || i.ordinal ELSE '' END AS shown_key,
       i.ordinal, i.state, i.outcome, i.reason, i.paused_by, i.parked_at, i.deliveries, i.dispatch_no,
       CASE WHEN i.finished_at IS NULL THEN s.cost ELSE i.cost_nusd END AS cost_nusd,
       CASE WHEN i.finished_at IS NULL THEN s.tokens ELSE i.tokens END AS tokens,
       CASE WHEN i.finished_at IS NULL THEN s.steps ELSE i.steps END AS steps,
       CASE WHEN i.finished_at IS NULL THEN s.calls ELSE i.calls END AS calls,
       CASE WHEN i.finished_at IS NULL THEN s.unpriced ELSE i.unpriced END AS unpriced,
       CASE WHEN i.finished_at IS NULL THEN s.uncertain ELSE i.uncertain_nusd END AS uncertain_nusd,
       i.created_at, i.started_at, i.finished_at, i.due_at, i.parent_id, i.replay_of,
       i.run_id, i.tenant_id, i.agent_id, i.version_id, i.input_hash, i.output_hash
FROM papayya.item i
JOIN papayya.run r ON r.id = i.run_id JOIN papayya.tenant t ON t.id = i.tenant_id JOIN papayya.agent a ON a.id = i.agent_id
LEFT JOIN LATERAL papayya.item_sum_v1(i.id) AS s ON i.finished_at IS NULL;

-- carrier: whose items it has; a script may open a run for the messages that it sends.
CREATE VIEW papayya.run_summary AS
SELECT r.id, r.name, r.label, coalesce(c.carried_by, r.carrier) AS carrier, r.created_at, r.sealed_at, r.paused_at, r.cancelled_at, r.draining, r.expect_count,
       CASE WHEN r.cancelled_at IS NOT NULL AND c.open = 0 THEN 'cancelled'
            WHEN r.sealed_at IS NOT NULL AND c.open = 0 THEN 'completed'
            WHEN r.draining THEN 'draining'
            WHEN r.paused_at IS NOT NULL THEN 'paused'
            WHEN r.sealed_at IS NOT NULL THEN 'sealed' ELSE 'open' END AS state,
       c.*, m.cost_nusd, m.tokens, m.calls, m.unpriced, m.uncertain, m.uncertain_nusd,
       (SELECT b.amount FROM papayya.budget b WHERE (b.tenant_id, b.run_id, b.agent_id, b.key_id, b.unit, b.period)
               IS NOT DISTINCT FROM (NULL::bigint, r.id, NULL::bigint, NULL::bigint, 'usd'::papayya.unit, 'ever'::papayya.period)) AS budget_nusd
FROM papayya.run r
LEFT JOIN LATERAL (
    SELECT count(*) AS items,
           count(*) FILTER (WHERE i.state = 'queued') AS queued, count(*) FILTER (WHERE i.state = 'running') AS running,
           count(*) FILTER (WHERE i.state = 'paused') AS paused, count(*) FILTER (WHERE i.state = 'waiting') AS waiting,
           count(*) FILTER (WHERE i.state = 'completed') AS completed, count(*) FILTER (WHERE i.state = 'failed') AS failed,
           count(*) FILTER (WHERE i.state = 'cancelled') AS cancelled,
           count(*) FILTER (WHERE i.outcome = 'ok') AS ok, count(*) FILTER (WHERE i.outcome = 'degraded') AS degraded,
           count(*) FILTER (WHERE i.outcome = 'failed') AS outcome_failed,
           count(*) FILTER (WHERE i.state = 'completed' AND i.outcome = 'ok') AS done,
           count(*) FILTER (WHERE i.outcome IN ('degraded', 'failed')) AS flagged,
           count(*) FILTER (WHERE i.finished_at IS NULL) AS open,
           count(DISTINCT i.tenant_id) AS tenants, max(i.finished_at) AS finished_at, max(i.carrier) AS carried_by
    FROM papayya.item i WHERE i.run_id = r.id) AS c ON true
LEFT JOIN LATERAL (
    SELECT coalesce(sum(s.cost_nusd), 0)::bigint AS cost_nusd, coalesce(sum(s.tokens), 0)::bigint AS tokens,
           coalesce(sum(s.calls), 0)::bigint AS calls, coalesce(sum(s.unpriced), 0)::bigint AS unpriced,
           coalesce(sum(s.uncertain), 0)::bigint AS uncertain, coalesce(sum(s.uncertain_nusd), 0)::bigint AS uncertain_nusd
    FROM papayya.spend s WHERE s.run_id = r.id) AS m ON true;

-- The conservation law, a row per tenant and agent: what was submitted is accounted for, and by what.
CREATE FUNCTION papayya.audit_v1(p_run text)
    RETURNS TABLE (tenant text, agent text, submitted bigint, queued bigint, running bigint, paused bigint, waiting bigint,
                   completed bigint, failed bigint, cancelled bigint, done bigint, flagged bigint, cost_nusd bigint)
    LANGUAGE sql STABLE AS $$
    WITH run AS (SELECT id FROM papayya.run WHERE name = p_run),
    ledger AS (
        SELECT tenant_id, agent_id, count(*) AS submitted
        FROM (SELECT DISTINCT n.tenant_id, n.agent_id, u.k, u.o
              FROM papayya.intake n JOIN run ON n.run_id = run.id, unnest(n.keys, n.ordinals) AS u (k, o)) AS x
        GROUP BY 1, 2
    ), items AS (
        SELECT i.tenant_id, i.agent_id,
               count(*) FILTER (WHERE i.state = 'queued') AS queued, count(*) FILTER (WHERE i.state = 'running') AS running,
               count(*) FILTER (WHERE i.state = 'paused') AS paused, count(*) FILTER (WHERE i.state = 'waiting') AS waiting,
               count(*) FILTER (WHERE i.state = 'completed') AS completed, count(*) FILTER (WHERE i.state = 'failed') AS failed,
               count(*) FILTER (WHERE i.state = 'cancelled') AS cancelled,
               count(*) FILTER (WHERE i.outcome = 'ok') AS done, count(*) FILTER (WHERE i.outcome IN ('degraded', 'failed')) AS flagged,
               sum(CASE WHEN i.finished_at IS NULL THEN (SELECT s.cost FROM papayya.item_sum_v1(i.id) AS s)
                        ELSE i.cost_nusd END)::bigint AS cost
        FROM papayya.item i JOIN run ON i.run_id = run.id GROUP BY 1, 2
    )
    SELECT t.name, a.name, coalesce(l.submitted, 0), coalesce(i.queued, 0), coalesce(i.running, 0), coalesce(i.paused, 0),
           coalesce(i.waiting, 0), coalesce(i.completed, 0), coalesce(i.failed, 0), coalesce(i.cancelled, 0),
           coalesce(i.done, 0), coalesce(i.flagged, 0), coalesce(i.cost, 0)
    FROM ledger l FULL JOIN items i USING (tenant_id, agent_id)
    JOIN papayya.tenant t ON t.id = tenant_id JOIN papayya.agent a ON a.id = agent_id
    ORDER BY t.name, a.name
    $$;

-- Everything the audit cannot explain, each with the key it is about.
CREATE FUNCTION papayya.unexplained_v1(p_run text)
    RETURNS TABLE (kind text, tenant text, agent text, key text, detail text)
    LANGUAGE sql STABLE AS $$
    WITH run AS (SELECT * FROM papayya.run WHERE name = p_run),
    ledger AS (
        SELECT DISTINCT n.tenant_id, n.agent_id, u.k AS key, u.o AS ordinal
        FROM papayya.intake n JOIN run ON n.run_id = run.id, unnest(n.keys, n.ordinals) AS u (k, o)
    ), items AS (SELECT i.* FROM papayya.item i JOIN run ON i.run_id = run.id),
    problem AS (
        SELECT 'dropped' AS kind, l.tenant_id, l.agent_id, l.key, l.ordinal, 'submitted, but there is no such item' AS detail
        FROM ledger l LEFT JOIN items i USING (tenant_id, agent_id, key, ordinal) WHERE i.id IS NULL
        UNION ALL
        SELECT 'not submitted', i.tenant_id, i.agent_id, i.key, i.ordinal, 'an item that no intake names'
        FROM items i LEFT JOIN ledger l USING (tenant_id, agent_id, key, ordinal) WHERE l.key IS NULL
        UNION ALL
        SELECT 'ledger', n.tenant_id, n.agent_id, 'intake ' || n.id, 1, 'its keys do not match their count and hash'
        FROM papayya.intake n JOIN run ON n.run_id = run.id
        WHERE n.keys_hash <> papayya.keys_hash(n.keys, n.ordinals)
        UNION ALL
        SELECT 'lease', i.tenant_id, i.agent_id, i.key, i.ordinal, 'running, but no dispatch holds it'
        FROM items i WHERE i.state = 'running'
          AND NOT EXISTS (SELECT FROM papayya.dispatch d WHERE d.item_id = i.id AND d.ended_at IS NULL)
        UNION ALL
        SELECT 'outcome', i.tenant_id, i.agent_id, i.key, i.ordinal, 'its outcome does not follow from its findings'
        FROM items i WHERE i.outcome <> papayya.outcome_v1(i.id)
        UNION ALL
        SELECT 'cost', i.tenant_id, i.agent_id, i.key, i.ordinal, 'its cost is not the sum of its steps and calls'
        FROM items i WHERE i.finished_at IS NOT NULL AND i.state <> 'cancelled'
          AND i.cost_nusd <> (SELECT s.cost FROM papayya.item_sum_v1(i.id) AS s)
        UNION ALL
        SELECT 'expected', NULL, NULL, e.key, 1, 'expected, but never submitted'
        FROM run, unnest(run.expect_keys) AS e (key) WHERE NOT EXISTS (SELECT FROM ledger l WHERE l.key = e.key)
    )
    SELECT p.kind, t.name, a.name, p.key || CASE WHEN p.ordinal > 1 THEN '#' || p.ordinal ELSE '' END, p.detail
    FROM problem p LEFT JOIN papayya.tenant t ON t.id = p.tenant_id LEFT JOIN papayya.agent a ON a.id = p.agent_id
    ORDER BY p.kind, t.name, p.key, p.ordinal
    $$;

-- Deliveries that ended without an end. What such a worker had in flight may have been paid once more.
CREATE FUNCTION papayya.lost_deliveries_v1(p_run text)
    RETURNS TABLE (tenant text, agent text, key text, locked_by text, started_at timestamptz, ended_at timestamptz, fence bigint)
    LANGUAGE sql STABLE AS $$
    SELECT i.tenant, i.agent, i.shown_key, d.locked_by, d.started_at, d.ended_at, d.id
    FROM papayya.item_now i JOIN papayya.dispatch d ON d.item_id = i.id AND d.ending = 'lost'
    WHERE i.run = p_run ORDER BY d.id
    $$;
