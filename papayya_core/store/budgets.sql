-- Budgets: what people set, look at and take away.

-- name: budgets
-- Budgets in their current window: those that stand first, then those of runs, the newest first.
SELECT b.id, b.tenant, b.run, b.agent, b.key, b.unit::text AS unit, b.period::text AS per, b.timezone, b.amount, b.spent, b.held, b.left,
       CASE WHEN b.period <> 'ever' THEN b.since END AS since, b.renews_at, b.parked, b.changed_at
FROM papayya.budget_now b
WHERE (%(id)s::bigint IS NULL OR b.id = %(id)s) AND (%(unit)s::text IS NULL OR b.unit::text = %(unit)s)
  AND (%(per)s::text IS NULL OR b.period::text = %(per)s)
  AND CASE WHEN %(exact)s THEN (b.tenant_id, b.run_id, b.agent_id, b.key_id) IS NOT DISTINCT FROM
                               (%(tenant)s::bigint, %(run)s::bigint, %(agent)s::bigint, %(key)s::bigint)
           ELSE (%(tenant)s::bigint IS NULL OR b.tenant_id = %(tenant)s) AND (%(run)s::bigint IS NULL OR b.run_id = %(run)s)
                AND (%(agent)s::bigint IS NULL OR b.agent_id = %(agent)s) AND (%(key)s::bigint IS NULL OR b.key_id = %(key)s) END
ORDER BY b.run_id DESC NULLS FIRST, b.tenant NULLS LAST, b.agent NULLS FIRST, b.key NULLS FIRST, b.unit, b.period
LIMIT %(limit)s;

-- name: set_budget
-- A budget, set or changed; says which.
SELECT papayya.set_budget_v1(tenant => %(tenant)s::text, run => %(run)s::text, agent => %(agent)s::text, key => %(key)s::text,
                             usd => %(usd)s::numeric, tokens => %(tokens)s::bigint, per => %(per)s::papayya.period,
                             timezone => %(timezone)s::text);

-- name: remove_budget
-- A budget, taken away.
SELECT papayya.remove_budget_v1(%(id)s);

-- name: parked
-- What a budget has parked, by run: how many items, and whether a pump can send them or their script has to go on.
SELECT r.name AS run, count(*) FILTER (WHERE i.envelope_hash IS NOT NULL) AS sent, count(*) FILTER (WHERE i.envelope_hash IS NULL) AS scripts
FROM papayya.item i JOIN papayya.run r ON r.id = i.run_id
WHERE i.parked_on = %(id)s AND i.state = 'paused' AND i.paused_by = 'budget'
GROUP BY r.id, r.name ORDER BY r.id;

-- name: pump_leads
-- Whether a pump is at work.
SELECT EXISTS (SELECT FROM papayya.leader l WHERE l.role = 'pump' AND l.locked_until > papayya.now());
