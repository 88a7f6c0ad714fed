-- What stands out in a run, and how it is stopped.

-- name: outliers
-- The items of a run that stand out most by a measure.
SELECT o.item_id AS id, o.key, o.tenant, o.agent, o.state, o.outcome, o.reason, o.value, o.score, o.items, o.median, o.mad, o.cost_nusd,
       o.tokens, o.calls, o.seconds
FROM papayya.outliers_v1(%(run)s, %(by)s, %(limit)s::int) AS o;

-- name: item_of_id
-- Whose an item is, by its id.
SELECT i.id, r.name AS run, i.key || CASE WHEN i.ordinal > 1 THEN '#' || i.ordinal ELSE '' END AS key, i.state
FROM papayya.item i JOIN papayya.run r ON r.id = i.run_id WHERE i.id = %(item)s;

-- name: kill_open
-- The open items of a tenant, of one run or of all, cancelled.
SELECT papayya.cancel_v1(NULL, ARRAY(
    SELECT i.id FROM papayya.item i JOIN papayya.tenant t ON t.id = i.tenant_id JOIN papayya.run r ON r.id = i.run_id
    WHERE t.name = %(tenant)s AND (%(run)s::text IS NULL OR r.name = %(run)s)
      AND i.state IN ('queued', 'running', 'paused', 'waiting') ORDER BY i.id), %(reason)s);
