-- The statements for people: what the command line and the audit show. None of them writes.

-- name: one_snapshot
-- All statements of the transaction see the same moment.
SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY;

-- name: run_id
-- A run by its exact name.
SELECT id FROM papayya.run WHERE name = %(name)s;

-- name: tenant_id
-- A tenant by its exact name.
SELECT id FROM papayya.tenant WHERE name = %(name)s;

-- name: agent_id
-- An agent by its exact name.
SELECT id FROM papayya.agent WHERE name = %(name)s;

-- name: run_names
-- Names to suggest in place of one that does not exist.
SELECT name FROM papayya.run ORDER BY id DESC LIMIT 1000;

-- name: tenant_names
-- Names to suggest in place of one that does not exist.
SELECT name FROM papayya.tenant ORDER BY id DESC LIMIT 1000;

-- name: agent_names
-- Names to suggest in place of one that does not exist.
SELECT name FROM papayya.agent ORDER BY id DESC LIMIT 1000;

-- name: keys_like
-- Keys that begin with a text, to suggest in place of one that does not exist.
SELECT DISTINCT key FROM papayya.item WHERE key ^@ %(start)s ORDER BY key LIMIT 5;

-- name: runs
-- The newest runs, or one of them, with their counts and cost.
SELECT s.name AS run, s.label, s.carrier, s.state, s.items, s.done, s.flagged, s.open, s.queued, s.running, s.paused,
       s.waiting, s.completed, s.failed, s.cancelled, s.ok, s.degraded, s.outcome_failed, s.tenants, s.cost_nusd,
       s.tokens, s.calls, s.uncertain AS uncertain_calls, s.uncertain_nusd, s.unpriced AS unpriced_calls,
       CASE WHEN s.uncertain > 0 THEN (SELECT count(*) FROM papayya.call c WHERE c.run_id = s.id
            AND c.uncertain AND c.held_nusd IS NULL) ELSE 0 END AS unbounded_calls, s.budget_nusd, s.expect_count, s.draining, s.created_at, s.sealed_at, s.paused_at, s.cancelled_at, s.finished_at
FROM papayya.run_summary s
WHERE (%(run)s::bigint IS NULL OR s.id = %(run)s) AND (%(label)s::text IS NULL OR s.label = %(label)s)
ORDER BY s.id DESC LIMIT %(limit)s;

-- name: run_facts
-- What the audit holds the items against: is the input complete, and how much was expected.
SELECT r.name, r.sealed_at IS NOT NULL AS sealed, r.expect_count, r.expect_keys IS NOT NULL AS expects_keys,
       (SELECT count(*) FROM papayya.item i WHERE i.run_id = r.id AND i.parent_id IS NOT NULL) AS children
FROM papayya.run r WHERE r.id = %(run)s;

-- name: tenants
-- Items, outcomes and cost of each tenant, in one run or in all.
SELECT t.name AS tenant, t.paused_at, i.items, i.done, i.flagged, i.ok, i.degraded, i.failed, i.cancelled, i.open,
       coalesce(m.cost_nusd, 0) AS cost_nusd, coalesce(m.tokens, 0) AS tokens, coalesce(m.calls, 0) AS calls,
       coalesce(m.uncertain, 0) AS uncertain_calls, coalesce(m.uncertain_nusd, 0) AS uncertain_nusd,
       coalesce(m.unpriced, 0) AS unpriced_calls,
       CASE WHEN m.uncertain > 0 THEN (SELECT count(*) FROM papayya.call c WHERE c.tenant_id = t.id AND c.run_id = ANY (m.runs)
            AND c.uncertain AND c.held_nusd IS NULL) ELSE 0 END AS unbounded_calls
FROM (SELECT i.tenant_id, count(*) AS items,
             count(*) FILTER (WHERE i.state = 'completed' AND i.outcome = 'ok') AS done,
             count(*) FILTER (WHERE i.outcome IN ('degraded', 'failed')) AS flagged,
             count(*) FILTER (WHERE i.outcome = 'ok') AS ok,
             count(*) FILTER (WHERE i.outcome = 'degraded') AS degraded,
             count(*) FILTER (WHERE i.outcome = 'failed') AS failed,
             count(*) FILTER (WHERE i.state = 'cancelled') AS cancelled,
             count(*) FILTER (WHERE i.finished_at IS NULL) AS open
      FROM papayya.item i WHERE (%(run)s::bigint IS NULL OR i.run_id = %(run)s) GROUP BY i.tenant_id) AS i
JOIN papayya.tenant t ON t.id = i.tenant_id
LEFT JOIN (SELECT s.tenant_id, sum(s.cost_nusd)::bigint AS cost_nusd, sum(s.tokens)::bigint AS tokens, sum(s.calls)::bigint AS calls,
                  sum(s.unpriced)::bigint AS unpriced, sum(s.uncertain)::bigint AS uncertain,
                  sum(s.uncertain_nusd)::bigint AS uncertain_nusd, array_agg(DISTINCT s.run_id) FILTER (WHERE s.uncertain <> 0) AS runs
           FROM papayya.spend s WHERE (%(run)s::bigint IS NULL OR s.run_id = %(run)s) GROUP BY s.tenant_id) AS m
       ON m.tenant_id = t.id
ORDER BY t.name;

-- name: budgets
-- The caps of a run and of agents within it, and what was spent under them.
SELECT b.agent, b.amount AS limit_nusd, b.spent AS spent_nusd, b.version, b.changed_at
FROM papayya.budget_now b
WHERE b.run_id = %(run)s AND b.unit = 'usd' AND b.tenant_id IS NULL AND b.key_id IS NULL ORDER BY b.agent NULLS FIRST;

-- name: parking
-- The budgets that have parked items of a run.
SELECT papayya.budget_text_v1(b) AS budget, n.items
FROM (SELECT i.parked_on, count(*) AS items FROM papayya.item i
      WHERE i.run_id = %(run)s AND i.state = 'paused' AND i.paused_by = 'budget' GROUP BY 1) AS n
JOIN papayya.budget b ON b.id = n.parked_on ORDER BY n.items DESC, b.id;

-- name: clusters
-- The standing findings of a run by fingerprint, the worst and most frequent first, each with its newest example.
SELECT f.check_name AS check, c.severity, f.reason, c.items, c.findings, f.fingerprint,
       i.key || CASE WHEN i.ordinal > 1 THEN '#' || i.ordinal ELSE '' END AS sample_key
FROM (SELECT max(id) AS newest, max(severity) AS severity, count(DISTINCT item_id) AS items, count(*) AS findings
      FROM papayya.finding WHERE run_id = %(run)s AND retired_at IS NULL GROUP BY fingerprint) AS c
JOIN papayya.finding f ON f.id = c.newest LEFT JOIN papayya.item i ON i.id = f.item_id
ORDER BY c.severity DESC, c.items DESC, c.newest LIMIT %(limit)s;

-- name: items
-- Items by what is known of them, newest first, a page at a time.
SELECT i.id, i.run, i.tenant, i.agent, i.shown_key AS key, i.state, i.outcome, i.reason, i.cost_nusd, i.tokens, i.steps,
       i.calls, i.uncertain_nusd, i.unpriced AS unpriced_calls, u.uncertain_calls, u.unbounded_calls,
       i.deliveries, i.created_at, i.started_at, i.finished_at, i.due_at, i.paused_by, i.parked_at
FROM (SELECT i.* FROM papayya.item_now i
      WHERE (%(run)s::bigint IS NULL OR i.run_id = %(run)s) AND (%(tenant)s::bigint IS NULL OR i.tenant_id = %(tenant)s)
        AND (%(agent)s::bigint IS NULL OR i.agent_id = %(agent)s)
        AND (%(state)s::papayya.item_state IS NULL OR i.state = %(state)s::papayya.item_state)
        AND (%(outcome)s::papayya.outcome IS NULL OR i.outcome = %(outcome)s::papayya.outcome)
        AND (NOT %(flagged)s OR i.outcome IN ('degraded', 'failed')) AND (%(after)s::bigint IS NULL OR i.id < %(after)s)
      ORDER BY i.id DESC LIMIT %(limit)s) AS i
CROSS JOIN LATERAL (SELECT count(*) AS uncertain_calls, count(*) FILTER (WHERE c.held_nusd IS NULL) AS unbounded_calls FROM papayya.call c
                    WHERE c.item_id = i.id AND c.state IN ('answered', 'broken', 'uncertain') AND coalesce(c.held_nusd, 1) > 0) AS u
ORDER BY i.id DESC;

-- name: items_of_key
-- The items of a key, the one that was asked for first: "key#2" is the second item of "key".
SELECT i.id, i.run, i.tenant, i.agent, i.shown_key AS key, i.state, i.outcome, i.reason, i.cost_nusd, i.tokens, i.steps,
       i.calls, i.uncertain_nusd, i.unpriced AS unpriced_calls, u.uncertain_calls, u.unbounded_calls,
       i.deliveries, i.created_at, i.started_at, i.finished_at, i.due_at, i.paused_by, i.parked_at
FROM (SELECT i.* FROM papayya.item_now i
      WHERE i.key = ANY (%(keys)s::text[]) AND (i.key = %(key)s OR i.shown_key = %(key)s)
        AND (%(run)s::bigint IS NULL OR i.run_id = %(run)s) AND (%(tenant)s::bigint IS NULL OR i.tenant_id = %(tenant)s)
        AND (%(agent)s::bigint IS NULL OR i.agent_id = %(agent)s)
      ORDER BY i.shown_key = %(key)s DESC, i.id DESC LIMIT %(limit)s) AS i
CROSS JOIN LATERAL (SELECT count(*) AS uncertain_calls, count(*) FILTER (WHERE c.held_nusd IS NULL) AS unbounded_calls FROM papayya.call c
                    WHERE c.item_id = i.id AND c.state IN ('answered', 'broken', 'uncertain') AND coalesce(c.held_nusd, 1) > 0) AS u
ORDER BY i.shown_key = %(key)s DESC, i.id DESC;

-- name: item_facts
-- What the item's page shows beyond its row: version, relatives, and the stored input and output.
SELECT v.version, v.entrypoint, v.model, i.due_at, i.input_hash IS NOT NULL AS has_input, i.output_hash IS NOT NULL AS has_output,
       p.shown_key AS parent_key, o.shown_key AS replay_of_key, o.run AS replay_of_run,
       pin.codec AS input_codec, pin.body AS input_body, pout.codec AS output_codec, pout.body AS output_body
FROM papayya.item_now i
LEFT JOIN papayya.agent_version v ON v.id = i.version_id
LEFT JOIN papayya.item_now p ON p.id = i.parent_id LEFT JOIN papayya.item_now o ON o.id = i.replay_of
LEFT JOIN papayya.payload pin ON pin.tenant_id = i.tenant_id AND pin.hash = i.input_hash
LEFT JOIN papayya.payload pout ON pout.tenant_id = i.tenant_id AND pout.hash = i.output_hash
WHERE i.id = %(item)s;

-- name: steps
-- The checkpoints of an item in order, with what their calls come to; large results stay where they are.
SELECT s.n, s.label, s.kind, s.state, s.attempts, (s.cost_nusd + coalesce(c.cost, 0))::bigint AS cost_nusd, s.cost_nusd AS reported_nusd,
       (s.tokens + coalesce(c.tokens, 0))::bigint AS tokens, coalesce(c.calls, 0) AS calls, coalesce(c.uncertain_calls, 0) AS uncertain_calls,
       coalesce(c.uncertain_nusd, 0)::bigint AS uncertain_nusd, coalesce(c.unbounded_calls, 0) AS unbounded_calls,
       coalesce(c.unpriced_calls, 0) AS unpriced_calls, k.scope, s.started_at, s.finished_at,
       extract(epoch FROM s.finished_at - s.started_at)::float8 AS seconds, s.parent_n, s.dispatch_id, s.error,
       s.result::text AS result_text, p.codec AS result_codec, CASE WHEN p.size <= %(size)s THEN p.body END AS result_body,
       p.size AS result_bytes
FROM papayya.step s JOIN papayya.item i ON i.id = s.item_id
CROSS JOIN LATERAL (SELECT CASE WHEN s.n > 0 THEN papayya.scope_v1(s.label, s.args_hash, s.ordinal) END AS scope) AS k
LEFT JOIN (SELECT c.scope, sum(c.cost_nusd) AS cost, count(*) FILTER (WHERE c.state <> 'replayed') AS calls,
                  sum(c.tokens_input + c.tokens_cache_read + c.tokens_cache_write + c.tokens_cache_write_1h + c.tokens_output) AS tokens,
                  count(*) FILTER (WHERE x.unknown) AS uncertain_calls, sum(c.held_nusd) FILTER (WHERE x.unknown) AS uncertain_nusd,
                  count(*) FILTER (WHERE x.unknown AND c.held_nusd IS NULL) AS unbounded_calls,
                  count(*) FILTER (WHERE c.state IN ('answered', 'broken') AND c.cost_nusd IS NULL) AS unpriced_calls
           FROM papayya.call c
           CROSS JOIN LATERAL (SELECT c.state IN ('answered', 'broken', 'uncertain') AND coalesce(c.held_nusd, 1) > 0 AS unknown) AS x
           WHERE c.item_id = %(item)s GROUP BY c.scope) AS c ON c.scope = k.scope
LEFT JOIN papayya.payload p ON p.tenant_id = i.tenant_id AND p.hash = s.result_hash
WHERE s.item_id = %(item)s ORDER BY s.n, s.started_at LIMIT %(limit)s;

-- name: dispatches
-- The deliveries of an item: to whom, when, how they ended.
SELECT d.id AS fence, d.lane, d.locked_by, d.started_at, d.locked_until, d.deadline, d.ended_at, d.ending,
       d.ended_at IS NULL AND d.locked_until > papayya.now() AS live
FROM papayya.dispatch d WHERE d.item_id = %(item)s ORDER BY d.id;

-- name: findings
-- What was found of items, in order; retired ones are history.
SELECT f.item_id, f.check_name AS check, f.severity, f.reason, f.evidence, f.n, f.fingerprint, f.at, f.retired_at
FROM papayya.finding f WHERE f.item_id = ANY (%(items)s::bigint[]) ORDER BY f.id;

-- name: result_ids
-- The items of a run in the order they were recorded; read through a cursor.
SELECT i.id FROM papayya.item i
WHERE i.run_id = %(run)s AND (%(tenant)s::bigint IS NULL OR i.tenant_id = %(tenant)s)
  AND (%(state)s::papayya.item_state IS NULL OR i.state = %(state)s::papayya.item_state)
ORDER BY i.id;

-- name: results
-- What came of items, with their outputs.
SELECT i.id, i.shown_key AS key, i.tenant, i.agent, i.state, i.outcome, i.reason, i.cost_nusd, i.tokens,
       i.uncertain_nusd, i.unpriced AS unpriced_calls, u.uncertain_calls, u.unbounded_calls,
       i.output_hash IS NOT NULL AS has_output, p.codec AS output_codec, p.body AS output_body
FROM papayya.item_now i
CROSS JOIN LATERAL (SELECT count(*) AS uncertain_calls, count(*) FILTER (WHERE c.held_nusd IS NULL) AS unbounded_calls FROM papayya.call c
                    WHERE c.item_id = i.id AND c.state IN ('answered', 'broken', 'uncertain') AND coalesce(c.held_nusd, 1) > 0) AS u
LEFT JOIN papayya.payload p ON p.tenant_id = i.tenant_id AND p.hash = i.output_hash
WHERE i.id = ANY (%(items)s::bigint[]) ORDER BY i.id;

-- name: audit
-- The conservation law, a row per tenant and agent.
SELECT * FROM papayya.audit_v1(%(run)s);

-- name: unexplained
-- What the audit cannot explain.
SELECT * FROM papayya.unexplained_v1(%(run)s);

-- name: money
-- What a run has cost, from every side, a row per tenant.
SELECT m.tenant, m.items_nusd, m.calls_nusd, m.reported_nusd, m.spend_nusd, m.calls, m.replayed AS replayed_calls, m.saved_nusd,
       m.unpriced AS unpriced_calls, m.uncertain AS uncertain_calls, m.uncertain_nusd, m.unbounded AS unbounded_calls,
       m.pending AS pending_calls, m.pending_nusd
FROM papayya.audit_money_v1(%(run)s) AS m;

-- name: lost_deliveries
-- Deliveries of a run whose worker was lost.
SELECT * FROM papayya.lost_deliveries_v1(%(run)s);

-- name: clocks
-- The server's version and clock, the contract's clock.
SELECT current_setting('server_version') AS version, current_setting('server_version_num')::int AS version_num,
       clock_timestamp() AS server, papayya.now() AS contract;

-- name: server
-- The server's version, where there is no schema yet.
SELECT current_setting('server_version') AS version, current_setting('server_version_num')::int AS version_num,
       clock_timestamp() AS server;

-- name: leases
-- Who holds items now, and which of these leases have run out.
SELECT d.locked_by, count(*) AS items, count(*) FILTER (WHERE d.locked_until < papayya.now()) AS expired
FROM papayya.dispatch d WHERE d.ended_at IS NULL GROUP BY 1 ORDER BY 1;

-- name: pump_leader
-- The pump that leads now, if any.
SELECT l.locked_by FROM papayya.leader l WHERE l.role = 'pump' AND l.locked_until > papayya.now();

-- name: wrong_budgets
-- Budgets whose books do not agree, in words.
SELECT coalesce(papayya.budget_text_v1(b), 'budget ' || w.budget_id) || ': ' || w.problem
FROM papayya.audit_budgets_v1() AS w LEFT JOIN papayya.budget b ON b.id = w.budget_id ORDER BY w.budget_id;
