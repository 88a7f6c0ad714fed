-- The statements behind what people do by hand.

-- name: retry
-- Failed items, queued again.
SELECT papayya.retry_v1(%(run)s, %(items)s::bigint[]);

-- name: pause
-- A run, a tenant or items, paused by hand.
SELECT papayya.pause_v1(%(run)s, %(tenant)s, %(items)s::bigint[]);

-- name: resume
-- A run, a tenant or items, gone on with.
SELECT papayya.resume_v1(%(run)s, %(tenant)s, %(items)s::bigint[]);

-- name: paused
-- Since when a run or a tenant is paused.
SELECT r.paused_at FROM papayya.run r WHERE r.name = %(run)s
UNION ALL SELECT t.paused_at FROM papayya.tenant t WHERE t.name = %(tenant)s;

-- name: hand_back
-- Parked items, given back to their carrier for good.
SELECT item_id, item_key, run_name, carrier, agent_name, tenant_name, dispatch_no, envelope_hash, sends, parked, item_digest,
       codec, envelope, delay
FROM papayya.hand_back_v1(%(run)s, %(carriers)s::text[], %(limit)s::int);

-- name: cancel
-- Open items, cancelled; without items, the run too.
SELECT papayya.cancel_v1(%(run)s, %(items)s::bigint[], %(reason)s);

-- name: drain
-- A run that hands out no more items, or does again.
UPDATE papayya.run SET draining = %(on)s WHERE name = %(run)s AND draining <> %(on)s RETURNING id;

-- name: in_hand
-- What of a run or a tenant is at work, and what else is open.
SELECT count(*) FILTER (WHERE i.state = 'running') AS running, count(*) FILTER (WHERE i.state <> 'running') AS held
FROM papayya.item i JOIN papayya.run r ON r.id = i.run_id JOIN papayya.tenant t ON t.id = i.tenant_id
WHERE (%(run)s::text IS NULL OR r.name = %(run)s) AND (%(tenant)s::text IS NULL OR t.name = %(tenant)s) AND i.state IN ('queued', 'running', 'paused', 'waiting');
