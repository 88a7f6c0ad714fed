-- Outliers: items of a run that cost, use, ask or last far more than its others.
--
-- The score is the modified z-score, 0.6745 * (x - median) / MAD, where MAD is the median of the absolute deviations from the
-- median (Iglewicz and Hoaglin, How to Detect and Handle Outliers, 1993, who suggest 3.5). Where more than half of the items are
-- alike, MAD is 0, and the mean of the absolute deviations takes its place, by its ratio in a normal distribution, sqrt(pi / 2).
-- The norm is that of the items that ended by themselves, once there are enough; until then, of all that have begun.
-- Measures: cost (nano-dollars), tokens, calls, seconds (in workers' hands). An item without a call has no cost, tokens and calls.

-- What the items of a run have in common. deviation: the sum of the absolute deviations.
CREATE TYPE papayya.norm AS (items bigint, median double precision, mad double precision, deviation double precision);

-- The norm of a run as it was when it was looked at. settled: of items that had ended; ended: how many have since.
CREATE TABLE papayya.run_norm (
    run_id  bigint NOT NULL REFERENCES papayya.run ON DELETE CASCADE,
    measure text NOT NULL,
    norm    papayya.norm NOT NULL,
    settled boolean NOT NULL,
    ended   bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (run_id, measure)
) WITH (fillfactor = 70);
CREATE INDEX dispatch_ended ON papayya.dispatch (item_id) WHERE ended_at IS NOT NULL;

CREATE FUNCTION papayya.norm_v1(p_values double precision[]) RETURNS papayya.norm
    LANGUAGE sql IMMUTABLE
    AS $$
    SELECT ROW(m.items, m.median, percentile_cont(0.5) WITHIN GROUP (ORDER BY abs(u.v - m.median)), sum(abs(u.v - m.median)))::papayya.norm
    FROM (SELECT count(v) AS items, percentile_cont(0.5) WITHIN GROUP (ORDER BY v) AS median FROM unnest(p_values) AS v) AS m
    LEFT JOIN unnest(p_values) AS u (v) ON true GROUP BY m.items, m.median
    $$;

-- How far a value is from the norm. p_counted: it is one of those that the norm was made of. NULL without a norm.
CREATE FUNCTION papayya.score_v1(n papayya.norm, p_value double precision, p_counted boolean) RETURNS double precision
    LANGUAGE sql IMMUTABLE
    AS $$
    SELECT CASE WHEN n.mad > 0 THEN 0.6745 * (p_value - n.median) / n.mad
                WHEN p_value = n.median THEN 0
                WHEN p_counted THEN (p_value - n.median) / (1.253314 * n.deviation / n.items)
                ELSE (p_value - n.median) / (1.253314 * (n.deviation + abs(p_value - n.median)) / (n.items + 1)) END
    $$;

-- One measure of one item, also while it runs; NULL: it has none.
CREATE FUNCTION papayya.item_value_v1(i papayya.item, p_by text, p_now timestamptz) RETURNS double precision
    LANGUAGE plpgsql STABLE AS $$
DECLARE
    v_value double precision;
BEGIN
    IF p_by = 'seconds' THEN
        RETURN (SELECT sum(d.seconds) FROM (
            SELECT extract(epoch FROM d.ended_at - d.started_at) AS seconds FROM papayya.dispatch d WHERE d.item_id = i.id AND d.ended_at IS NOT NULL
            UNION ALL
            SELECT extract(epoch FROM p_now - d.started_at) FROM papayya.dispatch d WHERE d.item_id = i.id AND d.ended_at IS NULL) AS d);
    ELSIF i.finished_at IS NOT NULL THEN
        v_value := CASE p_by WHEN 'cost' THEN i.cost_nusd WHEN 'tokens' THEN i.tokens ELSE i.calls END;
    ELSE
        SELECT CASE p_by WHEN 'cost' THEN s.cost WHEN 'tokens' THEN s.tokens ELSE s.calls END INTO v_value FROM papayya.item_sum_v1(i.id) AS s;
    END IF;
    RETURN nullif(v_value, 0);
END $$;

-- One measure of all items of a run that have it. ended: by itself, so that it counts for the norm.
CREATE FUNCTION papayya.run_values_v1(p_run bigint, p_by text)
    RETURNS TABLE (item_id bigint, value double precision, ended boolean)
    LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_column
DECLARE
    v_now timestamptz := papayya.now();
BEGIN
    IF p_by IS NULL OR p_by NOT IN ('cost', 'tokens', 'calls', 'seconds') THEN
        RAISE EXCEPTION 'items are measured by cost, tokens, calls or seconds, not by %', p_by USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF p_by = 'seconds' THEN
        RETURN QUERY
        SELECT w.id, sum(w.seconds)::double precision, bool_and(w.ended) FROM (
            SELECT i.id, extract(epoch FROM d.ended_at - d.started_at) AS seconds, i.state IN ('completed', 'failed') AS ended
            FROM papayya.item i JOIN papayya.dispatch d ON d.item_id = i.id AND d.ended_at IS NOT NULL WHERE i.run_id = p_run
            UNION ALL
            SELECT i.id, extract(epoch FROM v_now - d.started_at), false
            FROM papayya.item i JOIN papayya.dispatch d ON d.item_id = i.id AND d.ended_at IS NULL WHERE i.run_id = p_run) AS w GROUP BY 1;
        RETURN;
    END IF;
    RETURN QUERY
    SELECT i.id, v.value::double precision, i.state IN ('completed', 'failed')
    FROM papayya.item i
    CROSS JOIN LATERAL (SELECT CASE p_by WHEN 'cost' THEN i.cost_nusd WHEN 'tokens' THEN i.tokens ELSE i.calls END AS value) AS v
    WHERE i.run_id = p_run AND i.finished_at IS NOT NULL AND v.value > 0
    UNION ALL
    SELECT i.id, v.value::double precision, false
    FROM papayya.item i CROSS JOIN LATERAL papayya.item_sum_v1(i.id) AS s
    CROSS JOIN LATERAL (SELECT CASE p_by WHEN 'cost' THEN s.cost WHEN 'tokens' THEN s.tokens ELSE s.calls END AS value) AS v
    WHERE i.run_id = p_run AND i.state IN ('queued', 'running', 'paused', 'waiting') AND i.started_at IS NOT NULL AND v.value > 0;
END $$;

-- The norm of a run by one measure: of what ended by itself (settled), or of all that has begun while that is less than p_least.
CREATE FUNCTION papayya.run_norm_v1(p_run bigint, p_by text, p_least int, OUT norm papayya.norm, OUT settled boolean)
    LANGUAGE sql STABLE
    AS $$
    SELECT papayya.norm_v1(CASE WHEN cardinality(x.ended) >= p_least THEN x.ended ELSE x.every END), cardinality(x.ended) >= p_least
    FROM (SELECT array_agg(v.value) AS every, coalesce(array_agg(v.value) FILTER (WHERE v.ended), '{}') AS ended
          FROM papayya.run_values_v1(p_run, p_by) AS v) AS x
    $$;

-- The items of a run that stand out most, those under way included: SELECT * FROM papayya.outliers_v1('nightly', 'cost', 20).
-- value: by that measure. items, median, mad: what it is held against. score: NULL where there is nothing to hold it against.
CREATE FUNCTION papayya.outliers_v1(p_run text, p_by text = 'cost', p_limit int = 20)
    RETURNS TABLE (item_id bigint, key text, tenant text, agent text, state papayya.item_state, outcome papayya.outcome, reason text,
                   value double precision, score double precision, items bigint, median double precision, mad double precision,
                   cost_nusd bigint, tokens bigint, calls int, seconds double precision)
    LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_column
DECLARE
    v_now timestamptz := papayya.now();
    s record;
BEGIN
    WITH x AS MATERIALIZED (
        SELECT v.* FROM papayya.run v_run CROSS JOIN LATERAL papayya.run_values_v1(v_run.id, p_by) AS v WHERE v_run.name = p_run
    ), top AS (
        SELECT x.* FROM x ORDER BY x.value DESC, x.item_id LIMIT p_limit
    ), refs AS (
        SELECT array_agg(x.value) AS every, array_agg(x.value) FILTER (WHERE x.ended) AS ended, count(*) FILTER (WHERE x.ended) < 20 AS whole FROM x
    )
    SELECT papayya.norm_v1(CASE WHEN refs.whole THEN refs.every ELSE refs.ended END) AS norm, refs.whole,
           (SELECT array_agg(top.item_id) FROM top) AS ids, (SELECT array_agg(top.value) FROM top) AS vals,
           (SELECT array_agg(top.ended) FROM top) AS ended
    INTO s FROM refs;
    RETURN QUERY
    SELECT i.id, i.key || CASE WHEN i.ordinal > 1 THEN '#' || i.ordinal ELSE '' END, t.name::text, a.name::text, i.state, i.outcome, i.reason,
           u.value, papayya.score_v1(s.norm, u.value, u.ended OR s.whole), (s.norm).items, (s.norm).median, (s.norm).mad,
           coalesce(papayya.item_value_v1(i, 'cost', v_now), 0)::bigint, coalesce(papayya.item_value_v1(i, 'tokens', v_now), 0)::bigint,
           coalesce(papayya.item_value_v1(i, 'calls', v_now), 0)::int, papayya.item_value_v1(i, 'seconds', v_now)
    FROM unnest(s.ids, s.vals, s.ended) AS u (item_id, value, ended)
    JOIN papayya.item i ON i.id = u.item_id JOIN papayya.tenant t ON t.id = i.tenant_id JOIN papayya.agent a ON a.id = i.agent_id
    ORDER BY u.value DESC, i.id;
END $$;

-- A measure as a number for programs: dollars, not nano-dollars.
CREATE FUNCTION papayya.measure_number_v1(p_by text, p_value double precision) RETURNS numeric
    LANGUAGE sql IMMUTABLE
    AS $$ SELECT CASE p_by WHEN 'cost' THEN trim_scale(round(p_value)::numeric / 1000000000) ELSE trim_scale(round(p_value::numeric, 3)) END $$;

CREATE FUNCTION papayya.measure_text_v1(p_by text, p_value double precision) RETURNS text
    LANGUAGE sql IMMUTABLE
    AS $$
    SELECT CASE p_by WHEN 'cost' THEN '$' || papayya.measure_number_v1(p_by, p_value) WHEN 'seconds' THEN round(p_value::numeric, 1) || ' s'
                     ELSE papayya.measure_number_v1(p_by, p_value)::text END
    $$;

-- Look at the items under way, and at those that have ended within p_seconds: who newly passes a score by one of its measures gets
-- a note, once for each, and is returned. Norms are of p_least items at least, and are made anew when their runs have grown.
CREATE FUNCTION papayya.find_outliers_v1(p_score double precision, p_seconds double precision, p_limit int, p_least int = 20)
    RETURNS TABLE (run_name text, tenant_name text, agent_name text, item_key text, item_id bigint, item_state papayya.item_state,
                   item_outcome papayya.outcome, cost_nusd bigint, reason text, evidence json)
    LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    v_now timestamptz := papayya.now();
    v_by text;
    r record;
    n papayya.run_norm;
BEGIN
    PERFORM pg_advisory_xact_lock(1885433953, 2); -- one at a time, so that nothing is noted twice
    FOR r IN
        SELECT c.run_id, array_agg(c.id) AS items, count(*) FILTER (WHERE c.ended) AS ended
        FROM (SELECT i.run_id, i.id, false AS ended FROM papayya.dispatch d JOIN papayya.item i ON i.id = d.item_id
              WHERE d.ended_at IS NULL AND i.finished_at IS NULL GROUP BY 1, 2
              UNION ALL
              SELECT i.run_id, i.id, true FROM papayya.item i
              WHERE i.finished_at > v_now - make_interval(secs => p_seconds) AND i.started_at IS NOT NULL) AS c
        GROUP BY 1
    LOOP
        FOREACH v_by IN ARRAY ARRAY['cost', 'tokens', 'calls', 'seconds'] LOOP
            -- else a run without calls would be looked through for them each time
            CONTINUE WHEN v_by <> 'seconds' AND NOT EXISTS (
                SELECT FROM papayya.spend s
                WHERE s.run_id = r.run_id AND CASE v_by WHEN 'cost' THEN s.cost_nusd WHEN 'tokens' THEN s.tokens ELSE s.calls END > 0);
            UPDATE papayya.run_norm o SET ended = o.ended + r.ended WHERE o.run_id = r.run_id AND o.measure = v_by RETURNING * INTO n;
            IF NOT FOUND OR NOT n.settled OR n.ended >= greatest(p_least, (n.norm).items / 10) THEN
                INSERT INTO papayya.run_norm AS o (run_id, measure, norm, settled)
                SELECT r.run_id, v_by, m.norm, m.settled FROM papayya.run_norm_v1(r.run_id, v_by, p_least) AS m
                ON CONFLICT (run_id, measure) DO UPDATE SET norm = excluded.norm, settled = excluded.settled, ended = 0 RETURNING * INTO n;
            END IF;
            CONTINUE WHEN (n.norm).items < p_least;
            RETURN QUERY SELECT * FROM papayya.note_outliers_v1(r.run_id, v_by, n.norm, r.items, p_score, p_limit, v_now);
        END LOOP;
    END LOOP;
END $$;

-- The same for one run and measure.
CREATE FUNCTION papayya.note_outliers_v1(
    p_run bigint, p_by text, n papayya.norm, p_items bigint[], p_score double precision, p_limit int, p_now timestamptz)
    RETURNS TABLE (run_name text, tenant_name text, agent_name text, item_key text, item_id bigint, item_state papayya.item_state,
                   item_outcome papayya.outcome, cost_nusd bigint, reason text, evidence json)
    LANGUAGE sql AS $$
    WITH high AS MATERIALIZED (
        SELECT x.id, x.value, papayya.score_v1(n, x.value, false) AS score
        FROM (SELECT i.id, papayya.item_value_v1(i, p_by, p_now) AS value FROM papayya.item i WHERE i.id = ANY (p_items)) AS x
    ), said AS (
        SELECT h.id, i.run_id, i.tenant_id, i.agent_id, i.key, i.ordinal, i.state, i.outcome, i.finished_at, i.cost_nusd,
               format('%s: %s, where the median of %s items is %s (score %s)', p_by, papayya.measure_text_v1(p_by, h.value), n.items,
                      papayya.measure_text_v1(p_by, n.median), round(h.score::numeric, 1)) AS reason,
               json_build_object('by', p_by, 'value', papayya.measure_number_v1(p_by, h.value), 'median', papayya.measure_number_v1(p_by, n.median),
                                 'score', round(h.score::numeric, 2), 'items', n.items, 'unit', CASE p_by WHEN 'cost' THEN 'usd' ELSE p_by END) AS evidence
        FROM high h JOIN papayya.item i ON i.id = h.id
        WHERE h.score >= p_score AND (p_by <> 'seconds' OR h.value >= 10) -- shorter ones are nobody's trouble
          AND NOT EXISTS (SELECT FROM papayya.finding f WHERE f.item_id = h.id AND f.check_name = 'outlier' AND f.retired_at IS NULL
                          AND f.evidence ->> 'by' = p_by)
        ORDER BY h.score DESC, h.id LIMIT p_limit
    ), noted AS (
        INSERT INTO papayya.finding (item_id, run_id, check_name, severity, reason, evidence, fingerprint)
        SELECT s.id, s.run_id, 'outlier', 'note', s.reason, s.evidence, substr(sha256(convert_to('outlier ' || p_by, 'UTF8')), 1, 8) FROM said s
    )
    SELECT r.name, t.name, a.name, s.key || CASE WHEN s.ordinal > 1 THEN '#' || s.ordinal ELSE '' END, s.id, s.state, s.outcome,
           CASE WHEN s.finished_at IS NULL THEN (SELECT o.cost FROM papayya.item_sum_v1(s.id) AS o) ELSE s.cost_nusd END, s.reason, s.evidence
    FROM said s JOIN papayya.run r ON r.id = s.run_id JOIN papayya.tenant t ON t.id = s.tenant_id JOIN papayya.agent a ON a.id = s.agent_id
    $$;
