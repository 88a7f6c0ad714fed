-- Admission: of a tenant's messages only so many are with the broker at a time. The others wait in line here, and the pump lets
-- them out, the tenants in turn, so that a queue that is served in order is a fair one, however many one of them submits at once.
--
-- line_at: since when an item is in line (or from when on: its caller wants it later); it stays when the item was let out.
-- In line are those that are queued and that nobody is to send; out are those that were sent and that nobody has opened yet.

ALTER TABLE papayya.item ADD COLUMN line_at timestamptz;
CREATE INDEX item_line ON papayya.item (carrier, tenant_id, line_at, id)
    WHERE state = 'queued' AND line_at IS NOT NULL AND send_at IS NULL;
CREATE INDEX item_out ON papayya.item (carrier, tenant_id)
    WHERE state = 'queued' AND line_at IS NOT NULL AND send_at IS NOT NULL;

-- For how many more of a tenant's messages there is room. p_most: for a tenant of weight 1; one at least, a million at most, for
-- whatever weight.
-- What was sent of a run that is paused does not count: it parks when it arrives, and is not sent again.
CREATE FUNCTION papayya.room_v1(p_carrier text, p_tenant bigint, p_most int) RETURNS int
    LANGUAGE sql STABLE
    AS $$
    SELECT (c.most - (SELECT count(*) FROM (
                SELECT FROM papayya.item i JOIN papayya.run r ON r.id = i.run_id
                WHERE i.carrier = p_carrier AND i.tenant_id = p_tenant AND i.state = 'queued' AND i.line_at IS NOT NULL AND i.send_at IS NOT NULL
                  AND r.paused_at IS NULL AND NOT r.draining LIMIT c.most) AS o))::int
    FROM (SELECT least(greatest(floor(p_most * t.weight), 1), 1000000)::int AS most FROM papayya.tenant t WHERE t.id = p_tenant) AS c
    $$;

-- One at a time fills the room of a tenant.
CREATE FUNCTION papayya.line_lock_v1(p_carrier text, p_tenant bigint) RETURNS void
    LANGUAGE sql
    AS $$ SELECT pg_advisory_xact_lock(1885433954, hashtext(p_carrier || '/' || p_tenant)) $$;

-- Items that are just being submitted: those for which there is no room, or that are wanted later, wait in line. Returns these.
-- It comes last in its transaction, so that nobody waits for its locks but to do the same.
CREATE FUNCTION papayya.line_up_v1(p_items bigint[], p_most int, p_delay double precision) RETURNS bigint[]
    LANGUAGE plpgsql AS $$
DECLARE
    v_now timestamptz := papayya.now();
    v_line record;
    v_room int;
    v_waiting bigint[] := '{}';
BEGIN
    FOR v_line IN
        SELECT i.carrier, i.tenant_id, array_agg(i.id ORDER BY i.id) AS ids FROM papayya.item i
        WHERE i.id = ANY (p_items) AND i.state = 'queued' AND i.envelope_hash IS NOT NULL GROUP BY 1, 2 ORDER BY 1, 2
    LOOP
        v_room := 0;
        IF p_delay <= 0 AND NOT papayya.has_line_v1(v_line.carrier, v_line.tenant_id, v_now)
           AND papayya.room_v1(v_line.carrier, v_line.tenant_id, p_most) > 0 THEN
            PERFORM papayya.line_lock_v1(v_line.carrier, v_line.tenant_id);
            IF NOT papayya.has_line_v1(v_line.carrier, v_line.tenant_id, v_now) THEN -- nor since
                v_room := greatest(papayya.room_v1(v_line.carrier, v_line.tenant_id, p_most), 0);
            END IF;
        END IF;
        UPDATE papayya.item i SET line_at = v_now + make_interval(secs => p_delay),
               send_at = CASE WHEN u.n <= v_room THEN i.send_at END, sends = CASE WHEN u.n <= v_room THEN i.sends ELSE 0 END
        FROM unnest(v_line.ids) WITH ORDINALITY AS u (id, n) WHERE i.id = u.id;
        v_waiting := v_waiting || v_line.ids[v_room + 1:];
    END LOOP;
    RETURN v_waiting;
END $$;

-- Whether some of a tenant's items are in line already: they come first.
CREATE FUNCTION papayya.has_line_v1(p_carrier text, p_tenant bigint, p_now timestamptz) RETURNS boolean
    LANGUAGE sql STABLE
    AS $$
    SELECT EXISTS (SELECT FROM papayya.item i WHERE i.carrier = p_carrier AND i.tenant_id = p_tenant AND i.state = 'queued'
                   AND i.line_at <= p_now AND i.send_at IS NULL)
    $$;

-- Let items out: of each tenant as many as there is room for, those first who have the fewest out for their weight. What is to be
-- sent anew (it was parked, waited, or lost its worker) goes into the line as well, at its old place. p_most NULL: nobody is held back
-- any more. p_limit: at a time, of all tenants together. more: the room was not enough, so that it is worth looking again soon.
CREATE FUNCTION papayya.let_out_v1(p_carrier text, p_most int, p_limit int, OUT let_out int, OUT more boolean)
    LANGUAGE plpgsql AS $$
DECLARE
    v_now timestamptz := papayya.now();
    v_tenant bigint := 0;
    v_weight numeric;
    v_room int;
    v_ids bigint[];
    v_all bigint[] := '{}'; v_turns numeric[] := '{}';
BEGIN
    more := false;
    IF p_most IS NOT NULL THEN
        UPDATE papayya.item SET send_at = NULL, line_at = coalesce(line_at, send_at)
        WHERE id IN (SELECT i.id FROM papayya.item i WHERE i.send_at <= v_now AND i.state = 'queued' AND i.sends = 0 AND i.carrier = p_carrier
                     ORDER BY i.id FOR NO KEY UPDATE SKIP LOCKED);
    END IF;
    LOOP
        SELECT i.tenant_id INTO v_tenant FROM papayya.item i
        WHERE i.carrier = p_carrier AND i.state = 'queued' AND i.line_at IS NOT NULL AND i.send_at IS NULL AND i.tenant_id > v_tenant
        ORDER BY i.tenant_id LIMIT 1;
        EXIT WHEN NOT FOUND;
        SELECT t.weight INTO v_weight FROM papayya.tenant t WHERE t.id = v_tenant AND t.paused_at IS NULL;
        CONTINUE WHEN NOT FOUND;
        PERFORM papayya.line_lock_v1(p_carrier, v_tenant);
        v_room := CASE WHEN p_most IS NULL THEN p_limit ELSE papayya.room_v1(p_carrier, v_tenant, p_most) END;
        v_ids := ARRAY(SELECT i.id FROM papayya.item i JOIN papayya.run r ON r.id = i.run_id
                       WHERE i.carrier = p_carrier AND i.tenant_id = v_tenant AND i.state = 'queued' AND i.send_at IS NULL
                         AND i.line_at <= CASE WHEN p_most IS NULL THEN 'infinity' ELSE v_now END
                         AND r.paused_at IS NULL AND NOT r.draining
                       ORDER BY i.line_at, i.id LIMIT least(greatest(v_room, 0), p_limit));
        more := more OR cardinality(v_ids) >= v_room;
        v_all := v_all || v_ids;
        v_turns := v_turns || ARRAY(SELECT (n - v_room) / v_weight FROM generate_series(1, cardinality(v_ids)) AS n);
    END LOOP;
    more := more OR cardinality(v_all) > p_limit;
    WITH first AS (
        SELECT u.id, u.turn FROM unnest(v_all, v_turns) AS u (id, turn) ORDER BY u.turn, u.id LIMIT p_limit
    ), free AS (
        SELECT i.id, f.turn FROM papayya.item i JOIN first f ON f.id = i.id
        WHERE i.state = 'queued' AND i.send_at IS NULL FOR NO KEY UPDATE OF i SKIP LOCKED
    )
    UPDATE papayya.item i SET send_at = v_now - make_interval(secs => o.later / 1000000.0), sends = 0 -- in this order they are sent
    FROM (SELECT u.id, row_number() OVER (ORDER BY u.turn DESC, u.id DESC) AS later FROM free AS u) AS o
    WHERE i.id = o.id;
    GET DIAGNOSTICS let_out = ROW_COUNT;
END $$;
