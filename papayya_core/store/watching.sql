-- What `papayya watch` polls: few statements, each about one run.

-- name: run
-- The run, and the time.
SELECT r.id, r.name AS run, r.carrier, r.created_at, r.sealed_at, r.paused_at, r.cancelled_at, r.draining, r.expect_count, papayya.now() AS at
FROM papayya.run r WHERE r.id = %(run)s;

-- name: tenants
-- The items of each tenant by state and outcome, what they cost, and who waits for a limit. starved: others are let in, it is not.
SELECT t.id, t.name AS tenant, t.paused_at, i.items, i.queued, i.running, i.paused, i.waiting, i.completed, i.failed, i.cancelled,
       i.ok, i.degraded, i.outcome_failed, coalesce(m.cost_nusd, 0) AS cost_nusd, coalesce(w.throttled, 0) AS throttled, w.since AS waiting_since,
       coalesce(w.starved, false) AS starved
FROM (SELECT i.tenant_id, count(*) AS items,
             count(*) FILTER (WHERE i.state = 'queued') AS queued, count(*) FILTER (WHERE i.state = 'running') AS running,
             count(*) FILTER (WHERE i.state = 'paused') AS paused, count(*) FILTER (WHERE i.state = 'waiting') AS waiting,
             count(*) FILTER (WHERE i.state = 'completed') AS completed, count(*) FILTER (WHERE i.state = 'failed') AS failed,
             count(*) FILTER (WHERE i.state = 'cancelled') AS cancelled,
             count(*) FILTER (WHERE i.outcome = 'ok') AS ok, count(*) FILTER (WHERE i.outcome = 'degraded') AS degraded,
             count(*) FILTER (WHERE i.outcome = 'failed') AS outcome_failed
      FROM papayya.item i WHERE i.run_id = %(run)s GROUP BY 1) AS i
JOIN papayya.tenant t ON t.id = i.tenant_id
LEFT JOIN (SELECT s.tenant_id, sum(s.cost_nusd)::bigint AS cost_nusd FROM papayya.spend s WHERE s.run_id = %(run)s GROUP BY 1) AS m
       ON m.tenant_id = t.id
LEFT JOIN (SELECT i.tenant_id, count(*) AS throttled, min(i.throttled_at) AS since,
                  bool_or(r.served_at > papayya.now() - interval '1 minute' AND i.throttled_at < papayya.now() - interval '1 minute'
                          AND coalesce(s.served_at, '-infinity') < papayya.now() - interval '1 minute') AS starved
           FROM papayya.item i JOIN papayya.rate r ON r.id = i.rate_id
           LEFT JOIN papayya.share s ON s.rate_id = i.rate_id AND s.tenant_id = i.tenant_id
           WHERE i.run_id = %(run)s AND i.state = 'waiting' AND i.rate_id IS NOT NULL GROUP BY 1) AS w ON w.tenant_id = t.id
ORDER BY i.items DESC, t.name;

-- name: money
-- What was spent, what is held by calls under way, and what calls without a known end may have cost.
SELECT coalesce(sum(s.cost_nusd), 0)::bigint AS cost_nusd, coalesce(sum(s.tokens), 0)::bigint AS tokens,
       coalesce(sum(s.calls), 0)::bigint AS calls, coalesce(sum(s.uncertain_nusd), 0)::bigint AS uncertain_nusd,
       coalesce(sum(s.unpriced), 0)::bigint AS unpriced_calls, p.held_nusd, p.pending_calls
FROM (SELECT coalesce(sum(k.held_nusd), 0)::bigint AS held_nusd, count(*) AS pending_calls
      FROM papayya.call k WHERE k.state = 'pending' AND k.run_id = %(run)s) AS p
LEFT JOIN papayya.spend s ON s.run_id = %(run)s GROUP BY p.held_nusd, p.pending_calls;

-- name: budget_ids
-- The budgets that a run comes under.
SELECT b.id FROM papayya.budget b
WHERE (b.run_id IS NULL OR b.run_id = %(run)s) AND (b.tenant_id IS NULL OR b.tenant_id = ANY (%(tenants)s::bigint[]))
  AND (b.agent_id IS NULL OR EXISTS (SELECT FROM papayya.item i WHERE i.run_id = %(run)s AND i.agent_id = b.agent_id))
  AND (b.key_id IS NULL OR EXISTS (SELECT FROM papayya.call k WHERE k.run_id = %(run)s AND k.key_id = b.key_id));

-- name: budgets
-- How full these budgets are, the fullest first.
SELECT b.id, concat_ws(', ', 'tenant ' || b.tenant, CASE WHEN b.run IS NOT NULL THEN 'this run' END, 'agent ' || b.agent, 'key ' || b.key) AS account,
       b.unit, b.period, b.amount, b.spent, b.held, b.left, b.parked, b.renews_at
FROM papayya.budget_now b WHERE b.id = ANY (%(budgets)s::bigint[]) ORDER BY b.left::numeric / greatest(b.amount, 1), b.id LIMIT 5;

-- name: findings
-- What was found last, among the newest of all runs.
SELECT f.at, f.check_name AS check, f.severity, f.reason, i.key || CASE WHEN i.ordinal > 1 THEN '#' || i.ordinal ELSE '' END AS key
FROM (SELECT f.* FROM papayya.finding f WHERE f.run_id = %(run)s AND f.retired_at IS NULL
        AND f.id > (SELECT coalesce(max(n.id), 0) - 5000 FROM papayya.finding n) ORDER BY f.id DESC LIMIT %(limit)s) AS f
LEFT JOIN papayya.item i ON i.id = f.item_id ORDER BY f.id DESC;
