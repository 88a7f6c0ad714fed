-- Rate limits, and tenants as they are now: what people set, look at and take away.

-- name: limits
-- Limits: how full they are, who waits, and until when they cool down.
SELECT r.id, r.tenant, r.key, r.provider, r.model, r.requests, r.tokens, r.burst, r.learned, r.requests_used, r.tokens_used,
       r.waiting, r.cool_until, r.served_at
FROM papayya.rate_now r
WHERE (%(id)s::bigint IS NULL OR r.id = %(id)s) AND (%(learned)s::boolean IS NULL OR r.learned = %(learned)s)
  AND CASE WHEN %(exact)s THEN (r.tenant_id, r.key_id, r.provider, r.model) IS NOT DISTINCT FROM
                               (%(tenant)s::bigint, %(key)s::bigint, lower(%(provider)s::text), lower(%(model)s::text))
           ELSE (%(tenant)s::bigint IS NULL OR r.tenant_id = %(tenant)s) AND (%(key)s::bigint IS NULL OR r.key_id = %(key)s)
                AND (%(provider)s::text IS NULL OR r.provider = lower(%(provider)s))
                AND (%(model)s::text IS NULL OR r.model = lower(%(model)s)) END
ORDER BY r.learned, r.tenant NULLS FIRST, r.provider NULLS FIRST, r.model NULLS FIRST, r.key NULLS FIRST, r.id;

-- name: set_limit
-- A limit, set or changed.
SELECT papayya.set_limit_v1(tenant => %(tenant)s::text, key => %(key)s::text, provider => %(provider)s::text, model => %(model)s::text,
                            requests => %(requests)s::float8, tokens => %(tokens)s::float8, burst => %(burst)s::float8);

-- name: providers
-- Providers of which a key was seen.
SELECT DISTINCT k.provider FROM papayya.provider_key k ORDER BY k.provider;

-- name: remove_limit
-- A limit, taken away.
SELECT papayya.remove_limit_v1(%(id)s);

-- name: tenants_now
-- Tenants as they are now, those first that somebody should look at.
SELECT t.id, t.name AS tenant, t.weight, t.paused_at, t.cost_nusd, t.tokens, t.calls, t.unpriced_calls, t.uncertain_calls, t.uncertain_nusd,
       CASE WHEN t.uncertain_calls > 0 THEN (SELECT count(*) FROM papayya.call c WHERE c.tenant_id = t.id AND c.uncertain
            AND c.held_nusd IS NULL AND c.run_id IN (SELECT s.run_id FROM papayya.spend s WHERE s.tenant_id = t.id AND s.uncertain <> 0))
            ELSE 0 END AS unbounded_calls,
       t.held_nusd, t.left_nusd, t.queued, t.running, t.paused, t.waiting, t.throttled, t.waiting_since, t.starved, t.ok, t.degraded, t.failed,
       t.success_rate, t.p95_wait
FROM papayya.tenant_now t
ORDER BY t.starved DESC, t.name;

-- name: set_weight
-- A tenant's weight in its share of limits.
SELECT papayya.set_weight_v1(%(tenant)s::text, %(weight)s::numeric);

-- name: weight
-- What a tenant's weight is.
SELECT weight FROM papayya.tenant WHERE name = %(tenant)s;
