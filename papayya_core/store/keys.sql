-- Keys of providers, known by their fingerprints.

-- name: keys
-- Keys with what was spent with them, and what they are held to.
SELECT k.id, k.provider, k.print, k.name, coalesce(c.calls, 0) AS calls, coalesce(c.cost_nusd, 0)::bigint AS cost_nusd,
       coalesce(c.unpriced_calls, 0) AS unpriced_calls, coalesce(c.uncertain_calls, 0) AS uncertain_calls,
       coalesce(c.uncertain_nusd, 0)::bigint AS uncertain_nusd, coalesce(c.unbounded_calls, 0) AS unbounded_calls, c.used_at,
       (SELECT count(*) FROM papayya.budget b WHERE b.key_id = k.id) AS budgets,
       (SELECT count(*) FROM papayya.rate r WHERE r.key_id = k.id) AS limits, k.created_at
FROM papayya.provider_key k
LEFT JOIN (SELECT c.key_id, count(*) FILTER (WHERE c.counted) AS calls, sum(c.cost_nusd) AS cost_nusd,
                  count(*) FILTER (WHERE c.unpriced) AS unpriced_calls, count(*) FILTER (WHERE c.uncertain) AS uncertain_calls,
                  sum(c.held_nusd) FILTER (WHERE c.uncertain) AS uncertain_nusd,
                  count(*) FILTER (WHERE c.uncertain AND c.held_nusd IS NULL) AS unbounded_calls, max(c.started_at) AS used_at
           FROM papayya.call c WHERE c.key_id IS NOT NULL GROUP BY c.key_id) AS c ON c.key_id = k.id
WHERE %(id)s::bigint IS NULL OR k.id = %(id)s
ORDER BY k.provider, k.name NULLS LAST, k.id;

-- name: key_id
-- A key by its name, or as provider/fingerprint.
SELECT k.id FROM papayya.provider_key k
WHERE k.name = %(key)s OR k.provider || '/' || k.print = %(key)s ORDER BY k.name = %(key)s DESC NULLS LAST LIMIT 1;

-- name: key_names
-- Names to suggest in place of one that does not exist.
SELECT coalesce(name, provider || '/' || print) FROM papayya.provider_key ORDER BY id DESC LIMIT 1000;

-- name: name_key
-- A key, named.
SELECT papayya.name_key_v1(%(key)s::text, %(name)s::text);

-- name: bearer
-- The key that has a name.
SELECT k.id FROM papayya.provider_key k WHERE k.name = %(name)s;
