-- The statements of the hot path: one function of the contract each. See migrations/ for the bodies.

-- name: register_agent
-- An agent and its version, made at first sight.
SELECT agent_id, version_id
FROM papayya.register_agent_v1(%(name)s, %(version)s, %(entrypoint)s, %(model)s, %(instructions)s, %(tools)s::jsonb,
                               %(max_steps)s::int, %(max_seconds)s::float8, %(budget_nusd)s);

-- name: start_run
-- A run, made or gone on with.
SELECT run_id, existed, cancelled
FROM papayya.start_run_v1(%(name)s, %(label)s, %(carrier)s, %(expect_count)s, %(expect_keys)s::text[], %(budget_nusd)s);

-- name: sample_input
-- An input of a run, to see whether it can be read here.
SELECT p.codec, p.body FROM papayya.item i JOIN papayya.payload p ON p.tenant_id = i.tenant_id AND p.hash = i.input_hash
WHERE i.run_id = %(run)s LIMIT 1;

-- name: set_budget
-- The cap of a run, or of one agent within it.
SELECT papayya.declare_budget_v1(%(run)s, %(agent)s, %(limit_nusd)s);

-- name: seal_run
-- The run's input was read to its end.
UPDATE papayya.run SET sealed_at = coalesce(sealed_at, papayya.now()) WHERE id = %(run)s;

-- name: seal_run_named
-- The same, by its name.
UPDATE papayya.run SET sealed_at = coalesce(sealed_at, papayya.now()) WHERE name = %(name)s;

-- name: capture
-- A batch of items and their ledger rows.
SELECT seq, item_id, item_key, item_ordinal, item_state, fresh, deliveries
FROM papayya.capture_v1(%(run)s, %(agent)s, %(source)s, %(doc)s::json, %(bodies)b::bytea[], NULL) ORDER BY seq;

-- name: open
-- A lease on one item, with its finished steps.
SELECT verdict, fence, until, reason, known, delivery, left_nusd, began, clock, told, passes, spent_nusd
FROM papayya.open_v1(%(item)s, %(lane)s, %(owner)s, %(lease)s::float8, %(version)s, %(max_seconds)s::float8,
                     %(max_deliveries)s::int, %(dispatch_no)s::int, %(takeover)s, %(token)s, %(enforce)s, %(digest)b);

-- name: receive
-- A lease on the item that a message is about, and whose it is.
SELECT o.verdict, o.fence, o.until, o.reason, o.known, o.delivery, o.left_nusd, o.began, o.clock, o.told, o.passes, o.spent_nusd,
       i.key, i.ordinal, i.run_id, r.name AS run, t.name AS tenant
FROM papayya.open_v1(%(item)s, %(lane)s, %(owner)s, %(lease)s::float8, %(version)s, %(max_seconds)s::float8,
                     %(max_deliveries)s::int, %(dispatch_no)s::int, %(takeover)s, %(token)s, %(enforce)s, %(digest)b) AS o
LEFT JOIN papayya.item i ON i.id = %(item)s
LEFT JOIN papayya.run r ON r.id = i.run_id LEFT JOIN papayya.tenant t ON t.id = i.tenant_id;

-- name: enter
-- Capture and open of one item.
SELECT item_id, item_key, item_ordinal, fresh, verdict, fence, until, reason, known, delivery, left_nusd, began, clock, told, passes, spent_nusd
FROM papayya.enter_v1(%(run)s, %(agent)s, %(source)s, %(doc)s::json, %(bodies)b::bytea[], %(owner)s, %(lease)s::float8,
                      %(version)s, %(max_seconds)s::float8, %(max_deliveries)s::int, %(token)s, %(enforce)s);

-- name: checkpoint_one
-- A finished step, under its fence.
SELECT verdict, stored, left_nusd
FROM papayya.checkpoint_one_v1(%(fence)s, %(label)s, %(args_hash)b, %(ordinal)s::int, %(n)s::int, %(kind)s, %(state)s::papayya.step_state,
                               %(result)s::json, %(attempts)s::int, %(cost_nusd)s, %(tokens)s, %(seconds)s::float8, %(budgeted)s,
                               %(parent_n)s::int, %(error)s::json, %(hash)b, %(codec)s::int, %(size)s::int, %(body)b);

-- name: checkpoint_plain
-- A finished step without parent, error and payload, under its fence.
SELECT verdict, stored, left_nusd
FROM papayya.checkpoint_one_v1(%s, %s, %b, %s::int, %s::int, %s, %s::papayya.step_state, %s::json, %s::int, %s, %s, %s::float8, %s);

-- name: checkpoint
-- Finished steps, each under its fence.
SELECT seq, verdict, stored, left_nusd
FROM papayya.checkpoint_v1(%(doc)s::json, %(bodies)b::bytea[], %(budgeted)s) ORDER BY seq;

-- name: close
-- The end of an item.
SELECT verdict, outcome, cost_nusd
FROM papayya.close_v1(%(item)s, %(fence)s, %(state)s::papayya.item_state, %(reason)s, %(hash)s::bytea, %(codec)s::int,
                        %(size)s::int, %(body)b::bytea, %(findings)s::json, %(cost_nusd)s, %(tokens)s, %(tell)s::float8);

-- name: release
-- The end of a dispatch, not of its item.
SELECT verdict, cost_nusd
FROM papayya.release_v1(%(item)s, %(fence)s, %(state)s::papayya.item_state, %(reason)s, %(delay)s::float8,
                        %(findings)s::json, %(cost_nusd)s, %(tokens)s, %(lost)s, %(paused_by)s::papayya.pauser,
                        %(budget)s, %(wants)s, %(rate)s, %(passes)s::bigint[]);

-- name: load_payload
-- One payload of an item's tenant.
SELECT p.codec, p.body
FROM papayya.item i JOIN papayya.payload p ON p.tenant_id = i.tenant_id AND p.hash = %(hash)s
WHERE i.id = %(item)s;

-- name: load_items
-- What came of items: state, outcome, cost, output and findings.
SELECT i.id, i.shown_key, i.tenant, i.state, i.outcome, i.cost_nusd, i.reason, i.due_at, p.codec, p.body,
       i.output_hash IS NOT NULL AS has_output,
       (SELECT json_agg(json_build_array(f.check_name, f.severity, f.reason, f.evidence, f.n) ORDER BY f.id)
        FROM papayya.finding f WHERE f.item_id = i.id AND f.retired_at IS NULL) AS findings
FROM papayya.item_now i
LEFT JOIN papayya.payload p ON p.tenant_id = i.tenant_id AND p.hash = i.output_hash
WHERE i.id = ANY (%(items)b);

-- name: load_input
-- The input of an item, as it was given.
SELECT i.run_id, i.key, i.ordinal, p.codec, p.body
FROM papayya.item i LEFT JOIN papayya.payload p ON p.tenant_id = i.tenant_id AND p.hash = i.input_hash
WHERE i.id = %(item)s;

-- name: retrieve
-- The newest output that was stored for a key of this tenant, in whatever run.
SELECT p.codec, p.body
FROM papayya.item i JOIN papayya.item me ON me.id = %(item)s AND me.tenant_id = i.tenant_id
JOIN papayya.payload p ON p.tenant_id = i.tenant_id AND p.hash = i.output_hash
WHERE i.key = %(key)s AND i.state = 'completed' AND i.id <> me.id
ORDER BY i.finished_at DESC LIMIT 1;

-- name: heartbeat
-- All leases of a worker, renewed.
SELECT papayya.heartbeat_v1(%(owners)s::text[], %(lease)s::float8);

-- name: live_owners
-- Who holds leases now.
SELECT DISTINCT locked_by FROM papayya.dispatch WHERE ended_at IS NULL;

-- name: lead
-- Leadership of a role.
SELECT papayya.lead_v1(%(role)s, %(owner)s, %(lease)s::float8);

-- name: sweep
-- Dispatches whose worker is gone.
SELECT item_id, item_key, run_name, locked_by, item_state, reason
FROM papayya.sweep_v1(%(dead)s::text[], %(max_deliveries)s::int, %(limit)s::int, %(silent)s, %(fences)s::bigint[]);

-- name: own_fences
-- The live dispatches of a worker that are not brand-new: what it has forgotten is lost.
SELECT id FROM papayya.dispatch WHERE locked_by = %(owner)s AND ended_at IS NULL AND started_at < papayya.now() - interval '1 s';

-- name: wake
-- Waiting items that are due.
SELECT papayya.wake_v1(%(limit)s::int);

-- name: claim_sends
-- Queued items to send again.
SELECT item_id, item_key, run_name, carrier, agent_name, tenant_name, dispatch_no, envelope_hash, sends, parked, item_digest, codec, envelope, ended, overtaken
FROM papayya.claim_sends_v1(%(carriers)s::text[], %(backoff)s::float8, %(limit)s::int);

-- name: publish
-- Messages and their items, before the broker sees them.
SELECT seq, item_id, item_key, item_ordinal, item_state, fresh, deliveries
FROM papayya.publish_v1(%(run)s, %(label)s, %(seal)s, %(carrier)s, %(agent)s, %(source)s, %(doc)s::json, %(bodies)b::bytea[],
                        %(envelopes)b::bytea[], %(resend)s::float8) ORDER BY seq;

-- name: publish_one
-- One message and its item, before the broker sees it.
SELECT item_id, item_ordinal, item_state, fresh, deliveries
FROM papayya.publish_one_v1(%s, %s, %s, %s, %s, %s, %s::float8, %s, %s, %b, %s, %b, %s::int, %s::int, %b, %b, %s::int, %s::int, %b,
                            %s, %s::int, %s, %s);

-- name: publish_in_line
-- Messages and their items; of these some may have to wait in line.
WITH made AS MATERIALIZED (
    SELECT * FROM papayya.publish_v1(%(run)s, %(label)s, %(seal)s, %(carrier)s, %(agent)s, %(source)s, %(doc)s::json, %(bodies)b::bytea[],
                                     %(envelopes)b::bytea[], %(resend)s::float8)
), line AS MATERIALIZED (
    SELECT papayya.line_up_v1(ARRAY(SELECT item_id FROM made WHERE fresh ORDER BY seq), %(most)s::int, %(delay)s::float8) AS items
)
SELECT seq, item_id, item_key, item_ordinal, item_state, fresh, deliveries, item_id = ANY (line.items) AS in_line
FROM made, line ORDER BY seq;

-- name: publish_one_in_line
-- One message and its item, which may have to wait in line.
WITH made AS MATERIALIZED (
    SELECT * FROM papayya.publish_one_v1(%s, %s, %s, %s, %s, %s, %s::float8, %s, %s, %b, %s, %b, %s::int, %s::int, %b, %b, %s::int,
                                         %s::int, %b, %s, %s::int, %s, %s)
)
SELECT item_id, item_ordinal, item_state, fresh, deliveries,
       item_id = ANY (papayya.line_up_v1(CASE WHEN fresh THEN ARRAY[item_id] END, %s::int, %s::float8)) AS in_line
FROM made;

-- name: let_out
-- Items in line for which there is room.
SELECT let_out, more FROM papayya.let_out_v1(%(carrier)s, %(most)s::int, %(limit)s::int);

-- name: hand_over
-- The worker's own message for the item in its hand.
SELECT verdict, dispatch_no
FROM papayya.hand_over_v1(%(item)s, %(fence)s, %(reason)s, %(delay)s::float8, %(resend)s::float8, %(hash)b, %(codec)s::int,
                          %(size)s::int, %(body)b, %(findings)s::json, %(cost_nusd)s, %(tokens)s);

-- name: told
-- The carrier knows the end of an item.
SELECT papayya.told_v1(%(item)s);

-- name: revoked
-- The carrier has thrown a message away: its item is cancelled, and the carrier knows that.
SELECT papayya.told_v1(%(item)s)
FROM (SELECT count(*) FROM papayya.cancel_v1(NULL, ARRAY[%(item)s::bigint], %(reason)s)) AS gone;

-- name: give_up
-- The end of an item that its worker cannot close.
SELECT papayya.give_up_v1(%(item)s, %(check)s, %(reason)s);

-- name: give_up_live
-- The end of items at work, by what submitted them.
SELECT papayya.give_up_live_v1(%(digests)b::bytea[], %(check)s, %(reason)s);

-- name: cohort_size
-- How many items a cohort has.
SELECT papayya.cohort_size_v1(%(name)s, %(carrier)s, %(size)s::int);

-- name: cohort_fired
-- What follows a cohort was started.
SELECT papayya.cohort_fired_v1(%(names)s::text[]);

-- name: stuck_cohorts
-- Cohorts that have ended, yet nothing followed.
SELECT cohort_id, cohort_name, carrier FROM papayya.stuck_cohorts_v1(%(carriers)s::text[], %(quiet)s::float8, %(limit)s::int);

-- name: cohort_parts
-- The items of a cohort: state, envelope and output, and whose they are.
SELECT p.item_id, i.state, i.reason, e.codec AS envelope_codec, e.body AS envelope, o.codec, o.body, r.name AS run,
       t.name AS tenant
FROM papayya.cohort_part p JOIN papayya.item i ON i.id = p.item_id
JOIN papayya.run r ON r.id = i.run_id JOIN papayya.tenant t ON t.id = i.tenant_id
LEFT JOIN papayya.payload e ON e.tenant_id = i.tenant_id AND e.hash = i.envelope_hash
LEFT JOIN papayya.payload o ON o.tenant_id = i.tenant_id AND o.hash = i.output_hash
WHERE p.cohort_id = %(cohort)s ORDER BY p.place, p.item_id;

-- name: ended_since
-- Items of a carrier that ended lately, to tell it again: envelope and output.
SELECT i.id, i.state, i.reason, e.codec AS envelope_codec, e.body AS envelope, o.codec, o.body
FROM papayya.item i
JOIN papayya.payload e ON e.tenant_id = i.tenant_id AND e.hash = i.envelope_hash
LEFT JOIN papayya.payload o ON o.tenant_id = i.tenant_id AND o.hash = i.output_hash
WHERE i.id > %(after)s AND i.carrier = %(carrier)s AND i.finished_at > papayya.now() - make_interval(secs => %(seconds)s)
ORDER BY i.id LIMIT %(limit)s;

-- name: hold
-- Before a call: the answer of the journal, or a hold.
SELECT verdict, call_id, bound_nusd, resampled, status, headers, codec, body, near_codec, near_body, unkept, reason, budget_id,
       wants, delay, rate_id, clamped
FROM papayya.hold_v1(%(item)s, %(fence)s, %(token)s, %(n)s::int, %(scope)b, %(key)b, %(ordinal)s::int, %(kind)s::papayya.call_kind,
                     %(provider)s, %(schema)s, %(url)s, %(model)s, %(streamed)s, %(samples)s::int, %(tools)s::text[],
                     %(prompt)s, %(output)s, %(bound)s, %(unbounded)s, %(hash)b, %(codec)s::int, %(size)s::int, %(body)b,
                     %(near)s, %(key_print)s, %(floor)s, %(clamp)s, %(priced)s, %(unpriced)s, %(enforce)s, %(fact)s,
                     %(guess)s::int, %(passes)s::bigint[]);

-- name: settle
-- After a call: what came of it.
SELECT verdict, cost_nusd, rate_id
FROM papayya.settle_v1(%(call)s, %(state)s::papayya.call_state, %(status)s::int, %(headers)s::json, %(retry_after)s::float8,
                       %(request_id)s, %(sdk_retries)s::int, %(error)s, %(seconds)s::float8, %(first_seconds)s::float8,
                       %(answered_by)s, %(response_id)s, %(finish)s, %(tool_calls)s::text[],
                       %(input)s, %(cache_read)s, %(cache_write)s, %(cache_write_1h)s, %(output)s, %(reasoning)s,
                       %(estimated)s, %(cost)s, %(source)s, %(hash)b, %(codec)s::int, %(size)s::int, %(body)b,
                       %(limits)s::json, %(cool)s::float8);

-- name: record_call
-- A call of a tool or retriever.
SELECT papayya.record_call_v1(%(item)s, %(fence)s, %(token)s, %(n)s::int, %(scope)b, %(kind)s::papayya.call_kind, %(model)s, %(error)s,
                              %(seconds)s::float8, %(cost)s, %(hash)b, %(codec)s::int, %(size)s::int, %(body)b,
                              %(answer_hash)b, %(answer_codec)s::int, %(answer_size)s::int, %(answer_body)b);

-- name: reject
-- The answers of a step were no good.
SELECT papayya.reject_v1(%(item)s, %(scope)b);

-- name: expire_holds
-- Calls whose worker is gone.
SELECT papayya.expire_holds_v1(%(quiet)s::float8, %(limit)s::int);

-- name: spooled_calls
-- The calls that a spooled entry is about: by its number, where it had one, else by its tokens.
SELECT k.id, k.state::text FROM papayya.call k
WHERE k.item_id = %(item)s AND k.scope = %(scope)b AND k.key = %(key)b AND k.ordinal = %(ordinal)s::int
  AND (k.id = %(call)s OR k.token IN (%(token)s, %(spare)s)) ORDER BY k.id;

-- name: admit
-- Items that waited for a rate limit, let in.
SELECT admitted, again FROM papayya.admit_v1(%(ahead)s::float8, %(limit)s::int);

-- name: unpark
-- Items whose budget has room again.
SELECT papayya.unpark_v1(%(limit)s::int);

-- name: find_outliers
-- Items under way, or that ended just now, that newly stand out in their runs.
SELECT run_name, tenant_name, agent_name, item_key, item_id, item_state, item_outcome, cost_nusd, reason, evidence
FROM papayya.find_outliers_v1(%(score)s::float8, %(seconds)s::float8, %(limit)s::int);

-- name: leave_rooms
-- Items that wait for limits, and that nobody is there to run: let in, they would use the limit up for nothing.
UPDATE papayya.item SET state = 'queued', due_at = NULL, rate_id = NULL, throttled_at = NULL,
       throttled = throttled + coalesce(papayya.now() - throttled_at, '0')
WHERE id IN (SELECT id FROM papayya.item WHERE id = ANY (%(items)b) AND state = 'waiting' AND rate_id IS NOT NULL
             ORDER BY id FOR NO KEY UPDATE SKIP LOCKED)
RETURNING id;

-- name: gone_on
-- Which of these items wait no more: they were queued, parked or ended, or none of their run or tenant is begun now.
SELECT i.id FROM papayya.item i JOIN papayya.run r ON r.id = i.run_id JOIN papayya.tenant t ON t.id = i.tenant_id
WHERE i.id = ANY (%(items)b) AND (i.state NOT IN ('waiting', 'running')
                                  OR (i.state = 'waiting' AND (r.paused_at IS NOT NULL OR r.draining OR t.paused_at IS NOT NULL)));
