-- Budgets: caps that hold. A call holds on every budget that applies before it is sent, and settles afterwards; only a hold
-- can be refused. In each window of a budget: sum(free + held + spent) = amount, always.
-- Lock order: budgets by id; of each either one slot alone, or the pool and then the slots in order. Who waits at one budget
-- holds nothing of it but its pool, and nothing of those that come later, so that nobody waits in a circle.
-- Whoever writes what was spent takes guard_v1 before all other locks, so that a budget that is new misses nothing.

CREATE FUNCTION papayya.guard_v1() RETURNS void
    LANGUAGE sql
    AS $$ SELECT pg_advisory_xact_lock_shared(1885433953, 1) $$;

-- When the window began that a moment lies in.
CREATE FUNCTION papayya.window_v1(p_period papayya.period, p_timezone text, p_at timestamptz) RETURNS timestamptz
    LANGUAGE sql STABLE
    AS $$ SELECT CASE WHEN p_period = 'ever' THEN '-infinity'
                      ELSE date_trunc(p_period::text, p_at AT TIME ZONE p_timezone) AT TIME ZONE p_timezone END $$;

-- The slot of this connection.
CREATE FUNCTION papayya.slot_v1() RETURNS smallint
    LANGUAGE sql STABLE
    AS $$ SELECT (1 + pg_backend_pid() % 16)::smallint $$;

-- Whether a budget is of this account: what it does not name may be any.
CREATE FUNCTION papayya.covers_v1(b papayya.budget, p_tenant bigint, p_run bigint, p_agent bigint, p_key bigint) RETURNS boolean
    LANGUAGE sql STABLE
    AS $$
    SELECT (b.tenant_id IS NULL OR b.tenant_id = p_tenant) AND (b.run_id IS NULL OR b.run_id = p_run)
           AND (b.agent_id IS NULL OR b.agent_id = p_agent) AND (b.key_id IS NULL OR b.key_id = p_key)
    $$;

-- The budgets that apply, in the order in which they are locked. By the first that each names, which an index has.
CREATE FUNCTION papayya.budgets_v1(p_tenant bigint, p_run bigint, p_agent bigint, p_key bigint) RETURNS SETOF papayya.budget
    LANGUAGE sql STABLE
    AS $$
    SELECT b.* FROM papayya.budget b
    WHERE (b.tenant_id = p_tenant OR (b.tenant_id IS NULL AND b.run_id = p_run)
           OR (b.tenant_id IS NULL AND b.run_id IS NULL AND b.agent_id = p_agent)
           OR (b.tenant_id IS NULL AND b.run_id IS NULL AND b.agent_id IS NULL AND b.key_id = p_key))
      AND papayya.covers_v1(b, p_tenant, p_run, p_agent, p_key)
    ORDER BY b.id
    $$;

-- What a window of a budget comes to; a new one is free.
CREATE FUNCTION papayya.balance_v1(b papayya.budget, p_since timestamptz) RETURNS TABLE (free bigint, held bigint, spent bigint)
    LANGUAGE sql STABLE
    AS $$
    SELECT coalesce(sum(s.free), b.amount)::bigint, coalesce(sum(s.held), 0)::bigint, coalesce(sum(s.spent), 0)::bigint
    FROM papayya.budget_slot s WHERE s.budget_id = b.id AND s.since = p_since
    $$;

-- What is free of a budget at a moment.
CREATE FUNCTION papayya.free_v1(b papayya.budget, p_at timestamptz) RETURNS bigint
    LANGUAGE sql STABLE
    AS $$ SELECT l.free FROM papayya.balance_v1(b, papayya.window_v1(b.period, b.timezone, p_at)) AS l $$;

-- Lock the pool of a window; it is made when it is new.
CREATE FUNCTION papayya.pool_v1(p_budget bigint, p_since timestamptz) RETURNS papayya.budget_slot
    LANGUAGE plpgsql AS $$
DECLARE
    v_pool papayya.budget_slot;
BEGIN
    SELECT * INTO v_pool FROM papayya.budget_slot s
    WHERE s.budget_id = p_budget AND s.since = p_since AND s.slot = 0 FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        INSERT INTO papayya.budget_slot (budget_id, since, slot, amount, free)
        SELECT b.id, p_since, 0, b.amount, b.amount FROM papayya.budget b WHERE b.id = p_budget
        ON CONFLICT DO NOTHING;
        SELECT * INTO v_pool FROM papayya.budget_slot s
        WHERE s.budget_id = p_budget AND s.since = p_since AND s.slot = 0 FOR NO KEY UPDATE;
    END IF;
    RETURN v_pool;
END $$;

-- Lock a window whole, and bring all that is free into the pool; return how much that is.
CREATE FUNCTION papayya.gather_v1(p_budget bigint, p_since timestamptz) RETURNS bigint
    LANGUAGE plpgsql AS $$
DECLARE
    v_drawn bigint;
    v_free bigint;
BEGIN
    PERFORM papayya.pool_v1(p_budget, p_since);
    PERFORM FROM papayya.budget_slot s
    WHERE s.budget_id = p_budget AND s.since = p_since AND s.slot > 0 ORDER BY s.slot FOR NO KEY UPDATE;
    WITH drawn AS (
        SELECT s.slot, s.free FROM papayya.budget_slot s
        WHERE s.budget_id = p_budget AND s.since = p_since AND s.slot > 0 AND s.free > 0
    ), emptied AS (
        UPDATE papayya.budget_slot s SET free = 0 FROM drawn
        WHERE s.budget_id = p_budget AND s.since = p_since AND s.slot = drawn.slot
    )
    SELECT coalesce(sum(drawn.free), 0) INTO v_drawn FROM drawn;
    UPDATE papayya.budget_slot s SET free = s.free + v_drawn
    WHERE s.budget_id = p_budget AND s.since = p_since AND s.slot = 0 RETURNING s.free INTO v_free;
    RETURN v_free;
END $$;

-- Move amounts within one slot, if it has as much and the pool is not overdrawn: what was released into slots since belongs to
-- it. Whoever overdraws the pool locks all slots, so that what is read of it counts while this one is locked. A row that somebody
-- else had locked, and that has not enough any more, would stay locked while its owner goes on to the pool: the subtransaction
-- gives it back.
CREATE FUNCTION papayya.slot_move_v1(p_budget bigint, p_since timestamptz, p_slot smallint, p_free bigint, p_held bigint, p_spent bigint)
    RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    UPDATE papayya.budget_slot s SET free = s.free + p_free, held = s.held + p_held, spent = s.spent + p_spent
    WHERE s.budget_id = p_budget AND s.since = p_since AND s.slot = p_slot AND s.free + p_free >= 0;
    IF NOT FOUND OR EXISTS (SELECT FROM papayya.budget_slot s WHERE s.budget_id = p_budget AND s.since = p_since AND s.slot = 0 AND s.free < 0)
    THEN RAISE SQLSTATE 'PY001'; END IF;
    RETURN true;
EXCEPTION WHEN SQLSTATE 'PY001' THEN
    RETURN false;
END $$;

-- Hold on one window. p_need NULL: no bound, so all that is left, and only where nobody else holds anything. Returns what is
-- held, NULL when it is refused. The first move is all that most holds need.
CREATE FUNCTION papayya.take_v1(p_budget bigint, p_since timestamptz, p_need bigint) RETURNS bigint
    LANGUAGE plpgsql AS $$
DECLARE
    v_slot smallint := papayya.slot_v1();
    v_pool papayya.budget_slot;
    v_free bigint;
    v_chunk bigint;
BEGIN
    IF EXISTS (SELECT FROM papayya.budget_slot s
               WHERE s.budget_id = p_budget AND s.since = p_since AND s.slot = v_slot AND s.free >= p_need)
       AND papayya.slot_move_v1(p_budget, p_since, v_slot, -p_need, p_need, 0) THEN RETURN p_need; END IF;
    -- refused where nothing can be had: nobody is kept waiting by a look
    SELECT sum(s.free) INTO v_free FROM papayya.budget_slot s WHERE s.budget_id = p_budget AND s.since = p_since;
    IF v_free < coalesce(p_need, 1) THEN RETURN NULL; END IF;
    v_pool := papayya.pool_v1(p_budget, p_since); -- new with the window, where there was nothing to sum
    IF v_pool.free >= p_need THEN
        v_chunk := greatest(p_need, v_pool.free / 64);
        UPDATE papayya.budget_slot s SET free = s.free - v_chunk WHERE s.budget_id = p_budget AND s.since = p_since AND s.slot = 0;
        INSERT INTO papayya.budget_slot AS s (budget_id, since, slot, free, held)
        VALUES (p_budget, p_since, v_slot, v_chunk - p_need, p_need)
        ON CONFLICT (budget_id, since, slot) DO UPDATE SET free = s.free + excluded.free, held = s.held + excluded.held;
        RETURN p_need;
    END IF;
    v_free := papayya.gather_v1(p_budget, p_since);
    IF p_need IS NULL AND (SELECT sum(s.held) FROM papayya.budget_slot s WHERE s.budget_id = p_budget AND s.since = p_since) > 0
       AND papayya.pending_v1(p_budget, p_since) > 0 THEN RETURN NULL; END IF;
    IF v_free < coalesce(p_need, 1) THEN RETURN NULL; END IF;
    UPDATE papayya.budget_slot s SET free = s.free - coalesce(p_need, v_free), held = s.held + coalesce(p_need, v_free)
    WHERE s.budget_id = p_budget AND s.since = p_since AND s.slot = 0;
    RETURN coalesce(p_need, v_free);
END $$;

-- Move amounts within one window, whatever is left of it: a settlement, a report. The three must add up to nothing.
CREATE FUNCTION papayya.move_v1(p_budget bigint, p_since timestamptz, p_free bigint, p_held bigint, p_spent bigint) RETURNS void
    LANGUAGE plpgsql AS $$
DECLARE
    v_slot smallint := papayya.slot_v1();
BEGIN
    IF p_free + p_held + p_spent <> 0 THEN RAISE EXCEPTION 'a move of % % % makes or loses money', p_free, p_held, p_spent; END IF;
    IF p_free >= 0 THEN -- there is always enough
        UPDATE papayya.budget_slot s SET free = s.free + p_free, held = s.held + p_held, spent = s.spent + p_spent
        WHERE s.budget_id = p_budget AND s.since = p_since AND s.slot = v_slot;
        IF FOUND THEN RETURN; END IF;
    ELSIF EXISTS (SELECT FROM papayya.budget_slot s
                  WHERE s.budget_id = p_budget AND s.since = p_since AND s.slot = v_slot AND s.free + p_free >= 0)
          AND papayya.slot_move_v1(p_budget, p_since, v_slot, p_free, p_held, p_spent) THEN
        RETURN;
    END IF;
    IF NOT EXISTS (SELECT FROM papayya.budget b WHERE b.id = p_budget) THEN RETURN; END IF; -- it may have been removed
    PERFORM papayya.gather_v1(p_budget, p_since);
    UPDATE papayya.budget_slot s SET free = s.free + p_free, held = s.held + p_held, spent = s.spent + p_spent
    WHERE s.budget_id = p_budget AND s.since = p_since AND s.slot = 0;
END $$;

-- What calls under way hold on a window: it may come back. What uncertain calls hold does not, until somebody reconciles them.
CREATE FUNCTION papayya.pending_v1(p_budget bigint, p_since timestamptz) RETURNS bigint
    LANGUAGE sql STABLE
    AS $$
    SELECT coalesce(sum(h.amount), 0)::bigint
    FROM papayya.call k CROSS JOIN LATERAL unnest(k.holds) AS h
    WHERE k.state = 'pending' AND h.budget_id = p_budget AND h.since = p_since
    $$;

CREATE FUNCTION papayya.amount_text_v1(p_unit papayya.unit, p_amount bigint) RETURNS text
    LANGUAGE sql IMMUTABLE
    AS $$ SELECT CASE p_unit WHEN 'usd' THEN CASE WHEN p_amount < 0 THEN '-' ELSE '' END || '$' || trim_scale(abs(p_amount::numeric) / 1000000000)
                             ELSE p_amount || ' tokens' END $$;

-- A budget in words: $40 a month of tenant acme.
CREATE FUNCTION papayya.budget_text_v1(b papayya.budget) RETURNS text
    LANGUAGE sql STABLE
    AS $$
    SELECT papayya.amount_text_v1(b.unit, b.amount) || CASE b.period WHEN 'day' THEN ' a day' WHEN 'month' THEN ' a month' ELSE '' END
           || ' of ' || concat_ws(', ', 'tenant ' || (SELECT name FROM papayya.tenant WHERE id = b.tenant_id),
                                  'run ' || (SELECT name FROM papayya.run WHERE id = b.run_id),
                                  'agent ' || (SELECT name FROM papayya.agent WHERE id = b.agent_id),
                                  'key ' || (SELECT coalesce(name, provider || '/' || print) FROM papayya.provider_key WHERE id = b.key_id))
    $$;

-- Hold on all budgets that apply, or on none. p_nusd, p_tokens: at most, NULL without a bound. p_floor, p_output: for a clamp,
-- what the prompt alone costs, and the tokens of output; NULL: it is not to be clamped, and never below p_least. p_force: whatever is left (an observer, a
-- fact). clamped: tokens of output that were held instead of p_output.
-- Verdicts: go · wait (others hold what is left) · pause (nothing of it will come back), with the budget and what it lacks.
CREATE FUNCTION papayya.hold_budgets_v1(
    p_tenant bigint, p_run bigint, p_agent bigint, p_key bigint, p_at timestamptz, p_nusd bigint, p_tokens bigint,
    p_floor bigint, p_output bigint, p_least bigint, p_force boolean,
    OUT verdict text, OUT holds papayya.held[], OUT budget_id bigint, OUT wants bigint, OUT reason text, OUT clamped bigint)
    LANGUAGE plpgsql AS $$
DECLARE
    b papayya.budget;
    v_since timestamptz;
    v_need bigint;
    v_taken bigint;
    v_free bigint;
    v_held bigint;
    v_pending bigint;
    v_nusd bigint := p_nusd;
    v_tokens bigint := p_tokens;
BEGIN
    IF p_output > 0 AND p_tokens IS NOT NULL THEN
        SELECT c.output, c.nusd, c.tokens INTO clamped, v_nusd, v_tokens
        FROM papayya.clamp_v1(p_tenant, p_run, p_agent, p_key, p_at, p_nusd, p_tokens, p_floor, p_output, p_least) AS c;
    END IF;
    verdict := 'go'; holds := '{}';
    FOR b IN SELECT * FROM papayya.budgets_v1(p_tenant, p_run, p_agent, p_key) LOOP
        v_since := papayya.window_v1(b.period, b.timezone, p_at);
        v_need := CASE b.unit WHEN 'usd' THEN v_nusd ELSE v_tokens END;
        v_taken := papayya.take_v1(b.id, v_since, v_need);
        IF v_taken IS NULL THEN
            SELECT l.free, l.held, papayya.pending_v1(b.id, v_since) INTO v_free, v_held, v_pending FROM papayya.balance_v1(b, v_since) AS l;
            budget_id := coalesce(budget_id, b.id); reason := coalesce(reason, papayya.refusal_v1(b, v_need, v_free, v_held, v_pending));
            IF NOT p_force THEN
                verdict := CASE WHEN v_free + v_pending >= coalesce(v_need, 1) OR (v_pending > 0 AND p_output > 0) THEN 'wait' ELSE 'pause' END;
                wants := v_need;
                IF p_output > p_least THEN -- it goes on when there is as much as it can be clamped to
                    wants := CASE WHEN b.unit = 'tokens' THEN p_tokens - p_output + p_least
                                  WHEN p_floor IS NOT NULL THEN p_floor + ceil((p_nusd - p_floor)::numeric * (p_least + 1) / p_output)::bigint ELSE wants END;
                END IF;
                PERFORM papayya.move_v1(h.budget_id, h.since, h.amount, -h.amount, 0) FROM unnest(holds) AS h;
                holds := '{}'; clamped := NULL;
                RETURN;
            END IF;
            v_taken := coalesce(v_need, 0);
            PERFORM papayya.move_v1(b.id, v_since, -v_taken, v_taken, 0);
        END IF;
        holds := holds || ROW(b.id, v_since, v_taken, b.unit)::papayya.held;
    END LOOP;
END $$;

-- Lower the output of a call to what its budgets leave; unchanged when there is enough, or too little for any output, or when calls
-- under way may give back what it needs.
CREATE FUNCTION papayya.clamp_v1(
    p_tenant bigint, p_run bigint, p_agent bigint, p_key bigint, p_at timestamptz, p_nusd bigint, p_tokens bigint,
    p_floor bigint, p_output bigint, p_least bigint, OUT output bigint, OUT nusd bigint, OUT tokens bigint)
    LANGUAGE plpgsql STABLE AS $$
DECLARE
    b papayya.budget;
    v_left bigint;
    v_fits bigint := p_output;
BEGIN
    nusd := p_nusd; tokens := p_tokens;
    FOR b IN SELECT * FROM papayya.budgets_v1(p_tenant, p_run, p_agent, p_key) LOOP
        v_left := papayya.free_v1(b, p_at);
        IF v_left < (CASE b.unit WHEN 'usd' THEN p_nusd ELSE p_tokens END)
           AND papayya.pending_v1(b.id, papayya.window_v1(b.period, b.timezone, p_at)) > 0 THEN RETURN; END IF;
        IF b.unit = 'tokens' THEN
            v_fits := least(v_fits, v_left - (p_tokens - p_output));
        ELSIF p_nusd > p_floor THEN
            v_fits := least(v_fits, trunc((v_left - p_floor)::numeric * p_output / (p_nusd - p_floor))::bigint - 1);
        END IF;
    END LOOP;
    IF v_fits BETWEEN p_least AND p_output - 1 THEN
        output := v_fits;
        nusd := least(p_nusd, p_floor + ceil((p_nusd - p_floor)::numeric * v_fits / p_output)::bigint);
        tokens := p_tokens - p_output + v_fits;
    END IF;
END $$;

-- Why a budget refuses. p_free, p_held: its balance; p_pending: what may come back of what is held.
CREATE FUNCTION papayya.refusal_v1(b papayya.budget, p_need bigint, p_free bigint, p_held bigint, p_pending bigint) RETURNS text
    LANGUAGE sql STABLE
    AS $$
    SELECT 'budget: ' || papayya.amount_text_v1(b.unit, greatest(p_free, 0)) || ' is left of ' || papayya.budget_text_v1(b)
           || CASE WHEN p_held > 0 THEN ' (' || papayya.amount_text_v1(b.unit, p_held) || ' is held'
                   || CASE WHEN p_held > p_pending THEN ', ' || papayya.amount_text_v1(b.unit, p_held - p_pending)
                                || ' of it by calls whose end nobody knows: `papayya reconcile`' ELSE '' END || ')' ELSE '' END
           || CASE WHEN p_need IS NULL THEN ', and what the call may cost has no bound'
                   ELSE ', the call may cost ' || papayya.amount_text_v1(b.unit, p_need) END
    $$;

-- What a call goes on to hold after its end: nothing, or, where its end (p_keeps) or its price (p_nusd NULL) is not known, what it
-- has not cost yet. Tokens are known without a price.
CREATE FUNCTION papayya.kept_v1(p_holds papayya.held[], p_nusd bigint, p_tokens bigint, p_keeps boolean) RETURNS papayya.held[]
    LANGUAGE sql IMMUTABLE
    AS $$
    SELECT coalesce(array_agg(ROW(h.budget_id, h.since, h.amount - c.cost, h.unit)::papayya.held), '{}')
    FROM unnest(p_holds) AS h
    CROSS JOIN LATERAL (SELECT CASE h.unit WHEN 'usd' THEN coalesce(p_nusd, 0) ELSE p_tokens END AS cost) AS c
    WHERE (p_keeps OR (h.unit = 'usd' AND p_nusd IS NULL)) AND h.amount > c.cost
    $$;

-- Book on its budgets the difference that a change of a call makes: what it held is released, what it cost is spent, in the
-- window of its hold. Budgets that were set since, or begin at another hour now, are charged as well. It always succeeds.
CREATE FUNCTION papayya.book_budgets_v1(p_agent bigint, p_before papayya.call, p_after papayya.call) RETURNS void
    LANGUAGE plpgsql AS $$
DECLARE
    m record;
BEGIN
    IF coalesce(cardinality(p_before.holds), 0) = 0 AND cardinality(p_after.holds) = 0 AND NOT EXISTS (SELECT FROM papayya.budget) THEN
        RETURN;
    END IF;
    FOR m IN
        SELECT coalesce(o.budget_id, n.budget_id, b.id) AS budget_id,
               coalesce(o.since, n.since, b.began) AS since,
               coalesce(n.amount, 0) - coalesce(o.amount, 0) AS held,
               CASE coalesce(o.unit, n.unit, b.unit) WHEN 'usd' THEN coalesce(p_after.cost_nusd, 0) - coalesce(p_before.cost_nusd, 0)
                    ELSE p_after.tokens - coalesce(p_before.tokens, 0) END AS spent
        FROM unnest(p_before.holds) AS o FULL JOIN unnest(p_after.holds) AS n ON n.budget_id = o.budget_id AND n.since = o.since
        FULL JOIN (SELECT a.id, a.unit, papayya.window_v1(a.period, a.timezone, p_after.started_at) AS began
                   FROM papayya.budgets_v1(p_after.tenant_id, p_after.run_id, p_agent, p_after.key_id) AS a) AS b
               ON b.id = coalesce(o.budget_id, n.budget_id) AND b.began = coalesce(o.since, n.since)
        ORDER BY 1, 2
    LOOP
        IF m.held <> 0 OR m.spent <> 0 THEN
            PERFORM papayya.move_v1(m.budget_id, m.since, -m.held - m.spent, m.held, m.spent);
        END IF;
    END LOOP;
END $$;

-- Book what was reported for an item on its budgets.
CREATE FUNCTION papayya.report_budgets_v1(p_tenant bigint, p_run bigint, p_agent bigint, p_nusd bigint, p_tokens bigint) RETURNS void
    LANGUAGE plpgsql AS $$
DECLARE
    b papayya.budget;
    v_cost bigint;
BEGIN
    FOR b IN SELECT * FROM papayya.budgets_v1(p_tenant, p_run, p_agent, NULL) LOOP
        v_cost := CASE b.unit WHEN 'usd' THEN p_nusd ELSE p_tokens END;
        IF v_cost <> 0 THEN
            PERFORM papayya.move_v1(b.id, papayya.window_v1(b.period, b.timezone, papayya.now()), -v_cost, 0, v_cost);
        END IF;
    END LOOP;
END $$;

-- The budget of exactly this account, unit and period.
CREATE FUNCTION papayya.budget_of_v1(p_tenant bigint, p_run bigint, p_agent bigint, p_key bigint, p_unit papayya.unit, p_period papayya.period)
    RETURNS SETOF papayya.budget LANGUAGE sql STABLE
    AS $$
    SELECT b.* FROM papayya.budget b WHERE (b.tenant_id, b.run_id, b.agent_id, b.key_id, b.unit, b.period)
        IS NOT DISTINCT FROM (p_tenant, p_run, p_agent, p_key, p_unit, p_period)
    $$;

-- Set a budget, or change it: what is raised is there at once, what is lowered below what was spent shows as overdraft.
-- One that is new starts with what was spent before it in its window, and with what calls under way may cost.
CREATE FUNCTION papayya.put_budget_v1(
    p_tenant bigint, p_run bigint, p_agent bigint, p_key bigint, p_unit papayya.unit, p_period papayya.period, p_timezone text,
    p_amount bigint) RETURNS bigint
    LANGUAGE plpgsql AS $$
DECLARE
    b papayya.budget;
    v_since timestamptz;
    v_timezone text;
BEGIN
    SELECT * INTO b FROM papayya.budget_of_v1(p_tenant, p_run, p_agent, p_key, p_unit, p_period);
    IF b.amount = p_amount AND b.timezone = coalesce(p_timezone, b.timezone) THEN RETURN b.id; END IF;
    PERFORM pg_advisory_xact_lock(1885433953, 1); -- what is being settled is seen below
    SELECT * INTO b FROM papayya.budget_of_v1(p_tenant, p_run, p_agent, p_key, p_unit, p_period);
    IF b.amount = p_amount AND b.timezone = coalesce(p_timezone, b.timezone) THEN RETURN b.id; END IF; -- by somebody else, meanwhile
    v_timezone := b.timezone;
    INSERT INTO papayya.budget AS o (tenant_id, run_id, agent_id, key_id, unit, period, timezone, amount)
    VALUES (p_tenant, p_run, p_agent, p_key, p_unit, p_period, coalesce(p_timezone, 'UTC'), p_amount)
    ON CONFLICT (tenant_id, run_id, agent_id, key_id, unit, period) DO UPDATE
        SET amount = excluded.amount, version = o.version + 1, changed_at = papayya.now(), timezone = coalesce(p_timezone, o.timezone)
    RETURNING * INTO b;
    v_since := papayya.window_v1(b.period, b.timezone, papayya.now());
    IF v_timezone IS DISTINCT FROM b.timezone
       OR NOT EXISTS (SELECT FROM papayya.budget_slot s WHERE s.budget_id = b.id AND s.since = v_since) THEN
        PERFORM papayya.begin_window_v1(b, v_since); -- it is new, or its days begin at another hour now
    END IF;
    PERFORM papayya.gather_v1(b.id, v_since);
    UPDATE papayya.budget_slot s SET free = s.free + b.amount - s.amount, amount = b.amount
    WHERE s.budget_id = b.id AND s.since = v_since AND s.slot = 0;
    RETURN b.id;
END $$;

-- The budget that a program declares for its run, or for an agent within it. What was set by hand since stays, until the
-- program declares another amount.
CREATE FUNCTION papayya.declare_budget_v1(p_run bigint, p_agent bigint, p_amount bigint) RETURNS bigint
    LANGUAGE plpgsql AS $$
DECLARE
    b papayya.budget;
BEGIN
    SELECT * INTO b FROM papayya.budget_of_v1(NULL, p_run, p_agent, NULL, 'usd', 'ever');
    IF b.declared = p_amount THEN RETURN b.id; END IF;
    b.id := papayya.put_budget_v1(NULL, p_run, p_agent, NULL, 'usd', 'ever', NULL, p_amount);
    UPDATE papayya.budget o SET declared = p_amount WHERE o.id = b.id;
    RETURN b.id;
END $$;

-- What was spent of a budget in a window, by the books of calls and steps: while it is new, and has none of its own. What was
-- spent of a tenant or run for ever is summed up already.
CREATE FUNCTION papayya.spent_before_v1(b papayya.budget, p_since timestamptz) RETURNS bigint
    LANGUAGE plpgsql STABLE AS $$
DECLARE
    v_near timestamptz := p_since - interval '3 hours'; -- a clock that is put back passes midnight twice
BEGIN
    IF b.period = 'ever' AND num_nonnulls(b.agent_id, b.key_id) = 0 THEN
        RETURN (SELECT coalesce(sum(CASE b.unit WHEN 'usd' THEN s.cost_nusd ELSE s.tokens END), 0)
                FROM papayya.spend s WHERE papayya.covers_v1(b, s.tenant_id, s.run_id, NULL, NULL));
    END IF;
    RETURN (
        SELECT coalesce(sum(CASE b.unit WHEN 'usd' THEN k.cost_nusd ELSE k.tokens END), 0)
        FROM papayya.call k JOIN papayya.item i ON i.id = k.item_id
        WHERE k.started_at >= v_near AND papayya.window_v1(b.period, b.timezone, k.started_at) = p_since
          AND papayya.covers_v1(b, k.tenant_id, k.run_id, i.agent_id, k.key_id)
    ) + (
        SELECT coalesce(sum(CASE b.unit WHEN 'usd' THEN s.cost_nusd ELSE s.tokens END), 0)
        FROM papayya.step s JOIN papayya.item i ON i.id = s.item_id
        WHERE (s.cost_nusd > 0 OR s.tokens > 0) AND coalesce(s.finished_at, s.started_at) >= v_near
          AND papayya.window_v1(b.period, b.timezone, coalesce(s.finished_at, s.started_at)) = p_since
          AND papayya.covers_v1(b, i.tenant_id, i.run_id, i.agent_id, NULL));
END $$;

-- The window that a budget begins with, when it is new or begins at another hour: what was spent in it, and what is held of it.
-- The caller has kept everybody else away. Calls under way that do not hold on it yet do so from now on.
CREATE FUNCTION papayya.begin_window_v1(b papayya.budget, p_since timestamptz) RETURNS void
    LANGUAGE plpgsql AS $$
DECLARE
    v_spent bigint := papayya.spent_before_v1(b, p_since);
    v_held bigint;
BEGIN
    WITH open AS (
        SELECT k.id, CASE b.unit WHEN 'usd' THEN k.held_nusd ELSE k.held_tokens - k.tokens END AS amount
        FROM papayya.call k JOIN papayya.item i ON i.id = k.item_id
        WHERE (k.state = 'pending' OR k.uncertain)
          AND papayya.window_v1(b.period, b.timezone, k.started_at) = p_since
          AND papayya.covers_v1(b, k.tenant_id, k.run_id, i.agent_id, k.key_id)
          AND NOT EXISTS (SELECT FROM unnest(k.holds) AS h WHERE h.budget_id = b.id AND h.since = p_since)
        ORDER BY k.id FOR NO KEY UPDATE OF k
    )
    UPDATE papayya.call k SET holds = k.holds || ROW(b.id, p_since, open.amount, b.unit)::papayya.held
    FROM open WHERE k.id = open.id AND open.amount > 0;
    SELECT coalesce(sum(h.amount), 0) INTO v_held
    FROM papayya.call k CROSS JOIN LATERAL unnest(k.holds) AS h
    WHERE k.holds <> '{}' AND h.budget_id = b.id AND h.since = p_since;
    -- no DELETE: a program that declares a budget need not be allowed it
    INSERT INTO papayya.budget_slot (budget_id, since, slot, amount, free, held, spent)
    VALUES (b.id, p_since, 0, b.amount, b.amount - v_held - v_spent, v_held, v_spent)
    ON CONFLICT (budget_id, since, slot) DO UPDATE
        SET amount = excluded.amount, free = excluded.free, held = excluded.held, spent = excluded.spent;
    UPDATE papayya.budget_slot s SET free = 0, held = 0, spent = 0 WHERE s.budget_id = b.id AND s.since = p_since AND s.slot > 0;
END $$;

-- A budget on an account by name: SELECT papayya.set_budget_v1(tenant => 'acme', usd => 40, per => 'month'). Tenants and agents
-- may be new. Give usd or tokens. Returns its id.
CREATE FUNCTION papayya.set_budget_v1(
    tenant text = NULL, run text = NULL, agent text = NULL, key text = NULL, usd numeric = NULL, tokens bigint = NULL,
    per papayya.period = 'ever', timezone text = NULL) RETURNS bigint
    LANGUAGE plpgsql AS $$
DECLARE
    v_account papayya.account;
BEGIN
    IF num_nonnulls(tenant, run, agent, key) = 0 THEN
        RAISE EXCEPTION 'a budget is of somebody: give a tenant, run, agent or key' USING ERRCODE = 'invalid_parameter_value';
    ELSIF num_nonnulls(usd, tokens) <> 1 OR coalesce(usd, tokens) < 0 OR usd > 4000000000 THEN
        RAISE EXCEPTION 'a budget has an amount: give either usd (0 to 4 billion) or tokens' USING ERRCODE = 'invalid_parameter_value';
    ELSIF timezone IS NOT NULL AND NOT EXISTS (SELECT FROM pg_timezone_names z WHERE z.name = set_budget_v1.timezone) THEN
        RAISE EXCEPTION 'there is no time zone %', timezone
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Names look like Europe/Berlin; pg_timezone_names lists them.';
    END IF;
    v_account := papayya.account_v1(tenant, run, agent, key);
    RETURN papayya.put_budget_v1(v_account.tenant_id, v_account.run_id, v_account.agent_id, v_account.key_id,
                                 CASE WHEN usd IS NULL THEN 'tokens' ELSE 'usd' END::papayya.unit, per, timezone,
                                 coalesce(round(usd * 1000000000)::bigint, tokens));
END $$;

-- Take a budget away: what it has parked goes on. Returns its id, NULL when there is none.
CREATE FUNCTION papayya.remove_budget_v1(p_id bigint) RETURNS bigint
    LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(1885433953, 1);
    DELETE FROM papayya.budget b WHERE b.id = p_id;
    IF NOT FOUND THEN RETURN NULL; END IF;
    PERFORM papayya.unpark_items_v1(ARRAY(SELECT i.id FROM papayya.item i
                                          WHERE i.state = 'paused' AND i.paused_by = 'budget' AND i.parked_on = p_id),
                                    'its budget was taken away');
    RETURN p_id;
END $$;

-- Names to ids. Tenants and agents that are new are made, and keys that are given as provider/fingerprint; runs are not.
CREATE FUNCTION papayya.account_v1(p_tenant text, p_run text, p_agent text, p_key text) RETURNS papayya.account
    LANGUAGE plpgsql AS $$
DECLARE
    a papayya.account;
BEGIN
    IF p_tenant IS NOT NULL THEN
        INSERT INTO papayya.tenant (name) VALUES (p_tenant) ON CONFLICT (name) DO NOTHING;
        SELECT id INTO a.tenant_id FROM papayya.tenant WHERE name = p_tenant;
    END IF;
    IF p_agent IS NOT NULL THEN
        INSERT INTO papayya.agent (name) VALUES (p_agent) ON CONFLICT (name) DO NOTHING;
        SELECT id INTO a.agent_id FROM papayya.agent WHERE name = p_agent;
    END IF;
    IF p_run IS NOT NULL THEN
        SELECT id INTO a.run_id FROM papayya.run WHERE name = p_run;
        IF NOT FOUND THEN
            RAISE EXCEPTION 'there is no run %', p_run USING ERRCODE = 'no_data_found', HINT = '`papayya runs` lists them.';
        END IF;
    END IF;
    IF p_key IS NOT NULL THEN
        SELECT id INTO a.key_id FROM papayya.provider_key WHERE name = p_key OR provider || '/' || print = p_key ORDER BY name = p_key DESC LIMIT 1;
        IF NOT FOUND AND p_key ~ '^[A-Za-z0-9._-]+/[0-9a-f]{16}$' THEN
            a.key_id := papayya.key_v1(split_part(p_key, '/', 1), split_part(p_key, '/', 2));
        ELSIF a.key_id IS NULL THEN
            RAISE EXCEPTION 'no provider key % was seen yet', p_key USING ERRCODE = 'no_data_found', HINT = '`papayya keys` lists them, and names one that is new.';
        END IF;
    END IF;
    RETURN a;
END $$;

-- Name a key of a provider, one that was not seen yet too. Returns its id.
CREATE FUNCTION papayya.name_key_v1(p_key text, p_name text) RETURNS bigint
    LANGUAGE plpgsql AS $$
DECLARE
    v_account papayya.account := papayya.account_v1(NULL, NULL, NULL, p_key);
BEGIN
    UPDATE papayya.provider_key k SET name = p_name WHERE k.id = v_account.key_id AND k.name IS DISTINCT FROM p_name;
    RETURN v_account.key_id;
END $$;

-- Queue items that a budget had parked.
CREATE FUNCTION papayya.unpark_items_v1(p_items bigint[], p_reason text) RETURNS int
    LANGUAGE plpgsql AS $$
DECLARE
    v_now timestamptz := papayya.now();
    v_count int;
BEGIN
    UPDATE papayya.item i SET state = 'queued', paused_by = NULL, parked_on = NULL, wants = NULL, passes = NULL, reason = p_reason, sends = 0,
           parked = i.parked + coalesce(v_now - i.parked_at, '0'), parked_at = NULL, send_at = v_now
    WHERE i.id IN (SELECT o.id FROM papayya.item o WHERE o.id = ANY (p_items) AND o.state = 'paused' AND o.paused_by = 'budget'
                   ORDER BY o.id FOR NO KEY UPDATE SKIP LOCKED);
    GET DIAGNOSTICS v_count = ROW_COUNT;
    RETURN v_count;
END $$;

-- The budgets that items are parked on, one look into the index for each.
CREATE FUNCTION papayya.parked_on_v1() RETURNS SETOF bigint
    LANGUAGE sql STABLE
    AS $$
    WITH RECURSIVE each AS (
        SELECT (SELECT min(i.parked_on) FROM papayya.item i WHERE i.state = 'paused' AND i.paused_by = 'budget') AS id
        UNION ALL
        SELECT (SELECT min(i.parked_on) FROM papayya.item i WHERE i.state = 'paused' AND i.paused_by = 'budget' AND i.parked_on > each.id)
        FROM each WHERE each.id IS NOT NULL
    )
    SELECT id FROM each WHERE id IS NOT NULL
    $$;

-- Let items go on whose budget has room again: it was raised, a new window began, or held money came back. As many as it has
-- room for, the tenants in turn, each tenant's oldest first; the rest follows when it is known what these cost.
CREATE FUNCTION papayya.unpark_v1(p_limit int) RETURNS int
    LANGUAGE plpgsql AS $$
DECLARE
    v_count int := 0;
    v_now timestamptz := papayya.now();
    v_free bigint;
    b papayya.budget;
BEGIN
    -- what parked while its budget was being taken away
    v_count := papayya.unpark_items_v1(ARRAY(
        SELECT i.id FROM papayya.item i WHERE i.state = 'paused' AND i.paused_by = 'budget' AND i.parked_on IS NULL
        UNION ALL
        SELECT i.id FROM papayya.item i WHERE i.state = 'paused' AND i.paused_by = 'budget' AND i.parked_on = ANY (ARRAY(
            SELECT p FROM papayya.parked_on_v1() AS p WHERE NOT EXISTS (SELECT FROM papayya.budget o WHERE o.id = p)))
        LIMIT p_limit), 'its budget was taken away');
    FOR b IN SELECT o.* FROM papayya.parked_on_v1() AS p JOIN papayya.budget o ON o.id = p ORDER BY o.id
    LOOP
        v_free := papayya.free_v1(b, v_now);
        CONTINUE WHEN v_free <= 0;
        v_count := v_count + papayya.unpark_items_v1(ARRAY(
            SELECT w.id FROM (
                SELECT r.id, r.turn, r.tenant_id, sum(r.wants) OVER (ORDER BY r.turn, r.tenant_id) AS wanted
                FROM (SELECT t.tenant_id, o.id, o.wants, row_number() OVER (PARTITION BY t.tenant_id ORDER BY o.id) AS turn
                      FROM (SELECT DISTINCT i.tenant_id FROM papayya.item i
                            WHERE i.parked_on = b.id AND i.state = 'paused' AND i.paused_by = 'budget') AS t
                      CROSS JOIN LATERAL (
                          SELECT i.id, coalesce(i.wants, v_free) AS wants FROM papayya.item i
                          WHERE i.parked_on = b.id AND i.tenant_id = t.tenant_id AND i.state = 'paused' AND i.paused_by = 'budget'
                            AND coalesce(i.wants, v_free) <= v_free ORDER BY i.id LIMIT p_limit) AS o) AS r) AS w
            WHERE w.wanted <= v_free ORDER BY w.turn, w.tenant_id LIMIT p_limit), 'its budget has room again');
    END LOOP;
    RETURN v_count;
END $$;

-- Nano-dollars under the tightest budget in money that applies, what is held included, and which one it is: for work that is not
-- seen before it is paid for. An exhausted budget of tokens leaves nothing. NULL when no budget applies.
CREATE FUNCTION papayya.left_v1(p_tenant bigint, p_run bigint, p_agent bigint, OUT nusd bigint, OUT budget_id bigint)
    LANGUAGE sql STABLE AS $$
    SELECT min(x.room), (array_agg(x.id ORDER BY x.room, x.id))[1]
    FROM (SELECT b.id, CASE WHEN b.unit = 'usd' OR f.free <= 0 THEN f.free END AS room
          FROM papayya.budgets_v1(p_tenant, p_run, p_agent, NULL) AS b
          CROSS JOIN LATERAL (
              SELECT l.free + l.held AS free
              FROM papayya.balance_v1(b, papayya.window_v1(b.period, b.timezone, papayya.now())) AS l) AS f) AS x
    $$;

-- Budgets as people look for them, in their current window. left: may be negative, that is the overdraft.
CREATE VIEW papayya.budget_now AS
SELECT b.id, t.name AS tenant, r.name AS run, a.name AS agent, coalesce(k.name, k.provider || '/' || k.print) AS key,
       b.unit, b.period, b.timezone, b.amount, CASE WHEN b.period <> 'ever' THEN w.since END AS since, w.spent, w.held, w.free AS left, greatest(-w.free, 0) AS overdraft,
       CASE b.period WHEN 'day' THEN (w.since AT TIME ZONE b.timezone + interval '1 day') AT TIME ZONE b.timezone
                     WHEN 'month' THEN (w.since AT TIME ZONE b.timezone + interval '1 month') AT TIME ZONE b.timezone END AS renews_at,
       (SELECT count(*) FROM papayya.item i WHERE i.parked_on = b.id AND i.state = 'paused' AND i.paused_by = 'budget') AS parked,
       b.version, b.changed_at, b.tenant_id, b.run_id, b.agent_id, b.key_id
FROM papayya.budget b
LEFT JOIN papayya.tenant t ON t.id = b.tenant_id LEFT JOIN papayya.run r ON r.id = b.run_id
LEFT JOIN papayya.agent a ON a.id = b.agent_id LEFT JOIN papayya.provider_key k ON k.id = b.key_id
CROSS JOIN LATERAL (
    SELECT papayya.window_v1(b.period, b.timezone, papayya.now()) AS since) AS n
CROSS JOIN LATERAL (
    SELECT n.since, l.spent, l.held, l.free FROM papayya.balance_v1(b, n.since) AS l) AS w;

-- Budgets whose books do not agree, each with why: for the audit.
CREATE FUNCTION papayya.audit_budgets_v1() RETURNS TABLE (budget_id bigint, since timestamptz, problem text)
    LANGUAGE sql STABLE AS $$
    WITH windows AS (
        SELECT s.budget_id, s.since, sum(s.amount)::bigint AS amount, sum(s.free)::bigint AS free, sum(s.held)::bigint AS held,
               sum(s.spent)::bigint AS spent
        FROM papayya.budget_slot s GROUP BY 1, 2
    ), holds AS (
        SELECT h.budget_id, h.since, sum(h.amount)::bigint AS held
        FROM papayya.call k CROSS JOIN LATERAL unnest(k.holds) AS h JOIN papayya.budget b ON b.id = h.budget_id
        WHERE k.holds <> '{}' GROUP BY 1, 2
    )
    SELECT w.budget_id, w.since, 'free, held and spent do not add up to its amount' FROM windows w WHERE w.free + w.held + w.spent <> w.amount
    UNION ALL
    SELECT budget_id, since, 'calls hold ' || coalesce(h.held, 0) || ', it says ' || coalesce(w.held, 0)
    FROM windows w FULL JOIN holds h USING (budget_id, since) WHERE coalesce(w.held, 0) <> coalesce(h.held, 0)
    $$;
