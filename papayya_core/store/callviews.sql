-- The statements about calls for people. Reconciling writes; nothing else does.

-- name: calls
-- Calls by what is known of them, newest first or oldest first, a page at a time; items: only theirs.
SELECT c.id, c.item_id, c.run, c.tenant, c.agent, c.item, coalesce(c.step_n, c.n) AS n, c.step, c.scope, c.ordinal, c.attempt, c.kind,
       c.state, c.rejected, c.resampled, c.replay_of, c.provider, c.schema, c.url, c.model, c.answered_by, c.response_id,
       c.request_id, c.status, c.retry_after, c.sdk_retries, c.finish, c.streamed, c.samples, c.tools, c.tool_calls,
       c.tokens_input, c.tokens_cache_read, c.tokens_cache_write, c.tokens_cache_write_1h, c.tokens_output, c.tokens_reasoning,
       c.estimated, c.cost_nusd, c.price_source, c.unpriced, c.uncertain, c.held_nusd, c.unbounded, c.request_hash, c.response_hash,
       c.error, c.started_at, c.seconds, c.first_seconds, c.finished_at, c.reconciled_at
FROM papayya.call_now c
WHERE (%(run)s::bigint IS NULL OR c.run_id = %(run)s) AND (%(tenant)s::bigint IS NULL OR c.tenant_id = %(tenant)s)
  AND ((%(items)s::bigint[] IS NULL AND c.kind <> 'step') OR c.item_id = ANY (%(items)s::bigint[]))
  AND (%(call)s::bigint IS NULL OR c.id = %(call)s) AND (%(model)s::text IS NULL OR %(model)s IN (c.model, c.answered_by))
  AND (%(state)s::papayya.call_state IS NULL OR c.state = %(state)s::papayya.call_state)
  AND (NOT %(uncertain)s OR c.uncertain) AND (NOT %(unpriced)s OR c.unpriced)
  AND (%(after)s::bigint IS NULL OR c.id < %(after)s)
ORDER BY CASE WHEN %(oldest)s THEN c.id END, c.id DESC LIMIT %(limit)s;

-- name: call_sums
-- What such calls come to, of all pages.
SELECT count(*) FILTER (WHERE c.counted) AS calls,
       count(*) FILTER (WHERE c.state = 'pending') AS pending_calls, count(*) FILTER (WHERE c.state = 'replayed') AS replayed_calls,
       coalesce(sum(c.tokens_input), 0)::bigint AS tokens_input, coalesce(sum(c.tokens_cache_read), 0)::bigint AS tokens_cache_read,
       coalesce(sum(c.tokens_cache_write), 0)::bigint AS tokens_cache_write,
       coalesce(sum(c.tokens_cache_write_1h), 0)::bigint AS tokens_cache_write_1h,
       coalesce(sum(c.tokens_output), 0)::bigint AS tokens_output, coalesce(sum(c.tokens_reasoning), 0)::bigint AS tokens_reasoning,
       coalesce(sum(c.cost_nusd), 0)::bigint AS cost_nusd,
       count(*) FILTER (WHERE c.uncertain) AS uncertain_calls,
       coalesce(sum(c.held_nusd) FILTER (WHERE c.uncertain), 0)::bigint AS uncertain_nusd,
       count(*) FILTER (WHERE c.uncertain AND c.held_nusd IS NULL) AS unbounded_calls,
       count(*) FILTER (WHERE c.unpriced) AS unpriced_calls,
       coalesce(sum(o.cost_nusd), 0)::bigint AS saved_nusd
FROM papayya.call c LEFT JOIN papayya.call o ON o.id = c.replay_of
WHERE (%(run)s::bigint IS NULL OR c.run_id = %(run)s) AND (%(tenant)s::bigint IS NULL OR c.tenant_id = %(tenant)s)
  AND ((%(items)s::bigint[] IS NULL AND c.kind <> 'step') OR c.item_id = ANY (%(items)s::bigint[]))
  AND (%(model)s::text IS NULL OR %(model)s IN (c.model, c.answered_by))
  AND (%(state)s::papayya.call_state IS NULL OR c.state = %(state)s::papayya.call_state)
  AND (NOT %(uncertain)s OR c.state = 'pending' OR c.uncertain) AND (NOT %(unpriced)s OR c.unpriced);

-- name: call_payloads
-- What calls sent and got, as it is stored; what is large stays where it is.
SELECT c.id, q.codec AS request_codec, CASE WHEN q.size <= %(size)s THEN q.body END AS request_body, q.size AS request_size,
       s.codec AS response_codec, CASE WHEN s.size <= %(size)s THEN s.body END AS response_body, s.size AS response_size
FROM papayya.call c
LEFT JOIN papayya.payload q ON q.tenant_id = c.tenant_id AND q.hash = c.request_hash
LEFT JOIN papayya.payload s ON s.tenant_id = c.tenant_id AND s.hash = c.response_hash
WHERE c.id = ANY (%(calls)s::bigint[]);

-- name: reconcile
-- Say what a call cost whose end or price is not known; no row when there is nothing to say.
SELECT r.state FROM papayya.reconcile_v1(%(call)s, %(nusd)s) AS r (state) WHERE r.state IS NOT NULL;
