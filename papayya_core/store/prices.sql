-- The table of prices: what people set, end and look up. Rows are only ever added.

-- name: make_tenants
-- Tenants that have prices before they have items.
INSERT INTO papayya.tenant (name) SELECT unnest(%(names)s::text[]) ON CONFLICT DO NOTHING;

-- name: unknown_tenants
-- Which of these tenants there are not.
SELECT name FROM unnest(%(names)s::text[]) AS name WHERE NOT EXISTS (SELECT FROM papayya.tenant t WHERE t.name = name.name);

-- name: add_prices
-- Add prices, but those that are in force at that moment anyway; says of each whose list it is in, and from when.
INSERT INTO papayya.price (tenant_id, provider, model, class, usd_per_million, valid_from, source)
SELECT t.id, d.provider, d.model, d.class, d.usd, coalesce(d.valid_from, n.at), d.source
FROM json_to_recordset(%(doc)s::json) AS d (seq int, tenant text, provider text, model text, class papayya.token_class, usd numeric,
                                           valid_from timestamptz, source text)
CROSS JOIN (SELECT papayya.now() AS at) AS n
LEFT JOIN papayya.tenant t ON t.name = d.tenant
WHERE d.usd IS DISTINCT FROM (
    SELECT p.usd_per_million FROM papayya.price p
    WHERE p.tenant_id IS NOT DISTINCT FROM t.id AND p.provider = d.provider AND p.model = d.model AND p.class = d.class
      AND p.valid_from <= coalesce(d.valid_from, n.at) AND p.model_literal = papayya.literal_v1(d.model)
    ORDER BY p.valid_from DESC, p.id DESC LIMIT 1)
ORDER BY d.seq
RETURNING tenant_id, provider, model, valid_from;

-- name: lacking
-- Which of input and output a list lacks at a moment.
SELECT c.class::text
FROM unnest(ARRAY['input', 'output']::papayya.token_class[]) AS c (class)
WHERE (SELECT p.usd_per_million FROM papayya.price p
       WHERE p.tenant_id IS NOT DISTINCT FROM %(tenant)s::bigint AND p.provider = %(provider)s AND p.model = %(model)s
         AND p.class = c.class AND p.valid_from <= %(at)s
       ORDER BY p.valid_from DESC, p.id DESC LIMIT 1) IS NULL;

-- name: end_prices
-- End a list of prices from a moment on, and whatever was to come after it.
WITH own AS (
    SELECT DISTINCT ON (p.class, p.valid_from) p.class, p.valid_from, p.usd_per_million AS usd
    FROM papayya.price p
    WHERE p.tenant_id IS NOT DISTINCT FROM %(tenant)s::bigint AND p.provider = %(provider)s AND p.model = %(model)s
    ORDER BY p.class, p.valid_from, p.id DESC
), start AS (
    SELECT coalesce(%(at)s::timestamptz, papayya.now()) AS at
), moment AS (
    SELECT f.class, start.at
    FROM start, LATERAL (SELECT DISTINCT ON (o.class) o.class, o.usd FROM own o WHERE o.valid_from <= start.at
                         ORDER BY o.class, o.valid_from DESC) AS f
    WHERE f.usd IS NOT NULL
    UNION ALL
    SELECT o.class, o.valid_from FROM start JOIN own o ON o.valid_from > start.at WHERE o.usd IS NOT NULL
)
INSERT INTO papayya.price (tenant_id, provider, model, class, valid_from, source)
SELECT %(tenant)s, %(provider)s, %(model)s, m.class, m.at, %(source)s FROM moment m ORDER BY m.at, m.class
RETURNING id;

-- name: price_lists
-- The lists of prices that are in force at a moment, a class a column.
SELECT t.name AS tenant, f.provider, f.model,
       max(f.usd_per_million) FILTER (WHERE f.class = 'input') AS input,
       max(f.usd_per_million) FILTER (WHERE f.class = 'cache_read') AS cache_read,
       max(f.usd_per_million) FILTER (WHERE f.class = 'cache_write') AS cache_write,
       max(f.usd_per_million) FILTER (WHERE f.class = 'cache_write_1h') AS cache_write_1h,
       max(f.usd_per_million) FILTER (WHERE f.class = 'output') AS output,
       max(f.valid_from) AS valid_from, (array_agg(f.source ORDER BY f.id DESC))[1] AS source
FROM (SELECT DISTINCT ON (p.tenant_id, p.provider, p.model, p.class) p.*
      FROM papayya.price p
      WHERE p.valid_from <= coalesce(%(at)s::timestamptz, papayya.now()) AND (%(tenant)s::bigint IS NULL OR p.tenant_id = %(tenant)s)
      ORDER BY p.tenant_id, p.provider, p.model, p.class, p.valid_from DESC, p.id DESC) AS f
LEFT JOIN papayya.tenant t ON t.id = f.tenant_id
WHERE f.usd_per_million IS NOT NULL
GROUP BY t.name, f.provider, f.model ORDER BY f.model, f.provider, t.name NULLS FIRST;

-- name: price_history
-- Every price that ever was or is to come, the newest first.
SELECT p.id, p.valid_from, t.name AS tenant, p.provider, p.model, p.class::text AS class_, p.usd_per_million, p.source, p.created_at,
       p.valid_from > papayya.now() AS to_come
FROM papayya.price p LEFT JOIN papayya.tenant t ON t.id = p.tenant_id
WHERE %(tenant)s::bigint IS NULL OR p.tenant_id = %(tenant)s
ORDER BY p.valid_from DESC, p.id DESC;

-- name: rates
-- The prices that apply to a model, by class, as every settlement finds them.
SELECT r.input, r.cache_read, r.cache_write, r.cache_write_1h, r.output, r.price_id, r.source
FROM papayya.rates_v1(%(tenant)s, %(provider)s, %(models)s::text[], coalesce(%(at)s::timestamptz, papayya.now())) AS r
WHERE r.price_id IS NOT NULL;

-- name: clock
-- What time it is for the contract.
SELECT papayya.now();
