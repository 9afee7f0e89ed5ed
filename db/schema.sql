CREATE EXTENSION IF NOT EXISTS pg_trgm WITH SCHEMA public;

CREATE FUNCTION public.begin_claim(worker uuid, most bigint, moment timestamp with time zone) RETURNS void
    LANGUAGE plpgsql
    AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended(worker::text, 1));
    IF (SELECT count(*) FROM claims c JOIN tasks t ON t.id = c.task_id
        WHERE c.worker_id = worker AND c.ended_at IS NULL AND c.expires_at > moment AND t.state = 'claimed') >= most THEN
        RAISE EXCEPTION 'the worker holds % claims', most USING ERRCODE = 'GH003';
    END IF;
END $$;

CREATE FUNCTION public.begin_key(account uuid, asking uuid, moment timestamp with time zone) RETURNS void
    LANGUAGE plpgsql
    AS $$
BEGIN
    PERFORM 1 FROM accounts WHERE id = account FOR SHARE;
    PERFORM 1 FROM api_keys WHERE id = asking AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > moment) FOR SHARE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'the key is revoked' USING ERRCODE = 'GH024';
    END IF;
END $$;

CREATE FUNCTION public.begin_once(scope text) RETURNS void
    LANGUAGE plpgsql
    AS $$
BEGIN
    IF NOT pg_try_advisory_xact_lock(hashtextextended(scope, 0)) THEN
        RAISE EXCEPTION 'idempotency key in progress' USING ERRCODE = 'GH001';
    END IF;
END $$;

CREATE FUNCTION public.begin_publish(agent uuid, cost bigint) RETURNS void
    LANGUAGE plpgsql
    AS $$
DECLARE
    b record;
BEGIN
    SELECT x.id, x.paused_at, x.spend_limit - x.spent AS remaining, h.handle INTO b
    FROM bindings x JOIN accounts h ON h.id = x.human_id
    WHERE x.agent_id = agent AND x.ended_at IS NULL FOR UPDATE OF x;
    IF NOT FOUND THEN
        RETURN;
    ELSIF b.paused_at IS NOT NULL THEN
        RAISE EXCEPTION 'the agent is paused' USING ERRCODE = 'GH021', DETAIL = b.handle;
    ELSIF b.remaining < cost THEN
        RAISE EXCEPTION 'the agent has spent what it may' USING ERRCODE = 'GH023', DETAIL = b.remaining::text;
    ELSIF b.remaining IS NOT NULL THEN
        UPDATE bindings SET spent = spent + cost WHERE id = b.id;
    END IF;
END $$;

CREATE FUNCTION public.begin_rejection(publisher uuid, since timestamp with time zone, most bigint, share bigint) RETURNS void
    LANGUAGE plpgsql
    AS $$
DECLARE
    j record;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended(publisher::text, 2));
    SELECT * INTO j FROM judgements(publisher, since);
    IF j.rejected >= most AND j.paid * share < j.rejected THEN
        RAISE EXCEPTION 'the publisher rejects too much' USING ERRCODE = 'GH004';
    END IF;
END $$;

CREATE FUNCTION public.begin_session(asking uuid) RETURNS void
    LANGUAGE plpgsql
    AS $$
BEGIN
    PERFORM 1 FROM account_sessions WHERE id = asking FOR KEY SHARE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'the session has ended' USING ERRCODE = 'GH024';
    END IF;
END $$;

CREATE FUNCTION public.begin_work(worker uuid, through uuid, publisher uuid, published_through uuid, moment timestamp with time zone) RETURNS void
    LANGUAGE plpgsql
    AS $$
DECLARE
    manager text;
    together boolean;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended(worker::text, 1));
    IF through IS NOT NULL THEN
        PERFORM pg_advisory_xact_lock(hashtextextended(b.agent_id::text, 1)) FROM bundles b WHERE b.id = through AND b.agent_id IS NOT NULL;
    END IF;
    SELECT h.handle INTO manager FROM bindings b JOIN accounts h ON h.id = b.human_id
    WHERE b.agent_id = worker AND b.ended_at IS NULL AND b.paused_at IS NOT NULL;
    IF FOUND THEN
        RAISE EXCEPTION 'the agent is paused' USING ERRCODE = 'GH021', DETAIL = manager;
    END IF;
    IF through IS NULL AND published_through IS NULL THEN
        together := one_party(worker, publisher, moment);
    ELSE
        together := EXISTS (SELECT party(worker, through, moment) INTERSECT SELECT party(publisher, published_through, moment));
    END IF;
    IF together THEN
        RAISE EXCEPTION 'worker and publisher are one party' USING ERRCODE = 'GH022';
    END IF;
END $$;

CREATE FUNCTION public.chain_mark(state bytea, mark bytea) RETURNS bytea
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
    AS $$
BEGIN
    RETURN sha256(state || mark);
END $$;

CREATE FUNCTION public.feed_after_restore() RETURNS boolean
    LANGUAGE plpgsql
    AS $$
DECLARE
    here bigint := 0;
    known bigint;
    latest bigint;
    moved boolean;
BEGIN
    PERFORM pg_advisory_xact_lock(746123058);
    BEGIN
        SELECT system_identifier INTO here FROM pg_control_system();
    EXCEPTION WHEN insufficient_privilege THEN
        NULL; -- some hosts do not tell: the events have to
    END;
    SELECT cluster INTO known FROM feed_origin;
    SELECT greatest((SELECT xid::text::bigint FROM account_events ORDER BY id DESC LIMIT 1), (SELECT max(xid::text::bigint) FROM webhooks)) INTO latest;
    moved := known <> here OR latest >= feed_future()::text::bigint;
    IF known IS DISTINCT FROM here THEN
        INSERT INTO feed_origin (cluster) VALUES (here) ON CONFLICT (one) DO UPDATE SET cluster = excluded.cluster;
    END IF;
    IF moved IS NOT TRUE THEN
        RETURN false;
    END IF;
    EXECUTE format('CREATE OR REPLACE FUNCTION feed_shift() RETURNS bigint LANGUAGE sql STABLE AS %L',
        'SELECT ' || (greatest(latest, feed_shift()) + (1::bigint << 40) - pg_snapshot_xmin(pg_current_snapshot())::text::bigint) || '::bigint');
    RETURN true;
END $$;

CREATE FUNCTION public.feed_future() RETURNS xid8
    LANGUAGE sql STABLE
    AS $$
    SELECT (pg_snapshot_xmax(pg_current_snapshot())::text::bigint + feed_shift())::text::xid8
$$;

CREATE FUNCTION public.feed_horizon() RETURNS xid8
    LANGUAGE sql STABLE
    AS $$
    SELECT (pg_snapshot_xmin(pg_current_snapshot())::text::bigint + feed_shift())::text::xid8
$$;

CREATE FUNCTION public.feed_id(moment timestamp with time zone) RETURNS uuid
    LANGUAGE sql
    AS $$
    SELECT encode(set_bit(set_bit(overlay(uuid_send(gen_random_uuid())
        PLACING substring(int8send(floor(extract(epoch FROM moment) * 1000)::bigint) FROM 3) FROM 1 FOR 6), 52, 1), 53, 1), 'hex')::uuid
$$;

CREATE FUNCTION public.feed_shift() RETURNS bigint
    LANGUAGE sql STABLE
    AS $$ SELECT 0::bigint $$;

CREATE FUNCTION public.feed_xid() RETURNS xid8
    LANGUAGE sql STABLE
    AS $$
    SELECT (pg_current_xact_id()::text::bigint + feed_shift())::text::xid8
$$;

CREATE FUNCTION public.hold_payout(payout uuid, at timestamp with time zone) RETURNS void
    LANGUAGE plpgsql
    AS $$
BEGIN
    PERFORM 1 FROM payouts WHERE id = payout AND state = 'pending' AND available_at > at FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'payout is not held' USING ERRCODE = 'GH004';
    END IF;
END $$;

CREATE FUNCTION public.judgements(publisher uuid, since timestamp with time zone, OUT rejected bigint, OUT paid bigint) RETURNS record
    LANGUAGE sql STABLE
    AS $$
    WITH decided AS (
        SELECT id, kind, counterparty_id, task_id, delivery_id FROM outcomes
        WHERE account_id = publisher AND role = 'publisher' AND at > since
        UNION ALL
        SELECT id, kind, counterparty_id, task_id, delivery_id FROM new_outcomes
        WHERE account_id = publisher AND role = 'publisher' AND at > since
    ), work AS (
        SELECT DISTINCT ON (x.task_id, x.counterparty_id) x.task_id, COALESCE(d.report->>'outputHash', x.counterparty_id::text) AS output
        FROM decided x JOIN deliveries d ON d.id = x.delivery_id
        WHERE x.kind = 'rejected' AND d.report->>'verdict' = 'pass'
            AND NOT EXISTS (SELECT 1 FROM cases k WHERE k.delivery_id = x.delivery_id AND k.outcome = 'upheld')
        ORDER BY x.task_id, x.counterparty_id, x.id DESC
    )
    SELECT (SELECT count(DISTINCT (w.task_id, w.output)) FROM work w),
        (SELECT count(*) FROM decided WHERE kind IN ('accepted', 'silent', 'automatic'))
$$;

CREATE FUNCTION public.mark_transfer() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    NEW.mark := sha256(convert_to(concat(NEW.id, '|', (date_part('epoch', NEW.at) * 1000000)::bigint, '|', NEW.kind, '|', NEW.debit, '|', NEW.credit, '|', NEW.amount, '|',
        NEW.debit_class, '|', NEW.credit_class, '|', NEW.account_id, '|', NEW.counterparty_id, '|', NEW.task_id, '|', NEW.order_id, '|', NEW.balance_after, '|' || NEW.note), 'UTF8'));
    RETURN NEW;
END $$;

CREATE FUNCTION public.one_party(a uuid, b uuid, moment timestamp with time zone) RETURNS boolean
    LANGUAGE plpgsql STABLE
    AS $$
BEGIN
    RETURN a = b OR EXISTS (
        (SELECT a UNION ALL SELECT human_id FROM principals WHERE agent_id = a AND party_until > moment)
        INTERSECT
        (SELECT b UNION ALL SELECT human_id FROM principals WHERE agent_id = b AND party_until > moment));
END $$;

CREATE FUNCTION public.party(account uuid, through uuid, moment timestamp with time zone) RETURNS SETOF uuid
    LANGUAGE sql STABLE
    AS $$
    SELECT account
    UNION ALL
    SELECT b.agent_id FROM bundles b WHERE b.id = through AND b.party_until > moment
    UNION ALL
    SELECT p.human_id FROM principals p
    WHERE p.party_until > moment AND p.agent_id IN (account, (SELECT b.agent_id FROM bundles b WHERE b.id = through AND b.party_until > moment))
$$;

CREATE FUNCTION public.pay_referral(worker uuid, task uuid, moment timestamp with time zone) RETURNS void
    LANGUAGE plpgsql
    AS $$
DECLARE
    referrer uuid;
    bonus bigint;
    total bigint;
BEGIN
    UPDATE accounts SET referral_paid_at = moment
    WHERE id = worker AND referral_paid_at IS NULL AND referred_by IS NOT NULL AND referral_bonus > 0
    RETURNING referred_by, referral_bonus INTO referrer, bonus;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    UPDATE wallets SET granted = granted + bonus WHERE account_id = referrer RETURNING granted + earned INTO total;
    INSERT INTO transfers (at, kind, debit, credit, amount, debit_class, credit_class, account_id, counterparty_id, task_id, balance_after)
    VALUES (moment, 'referral', 'platform:grants', 'wallet:' || referrer, bonus, 'granted', 'granted', referrer, worker, task, total);
    INSERT INTO account_events (id, account_id, at, type, data)
    VALUES (feed_id(moment), referrer, moment, 'referral.paid', jsonb_build_object('amount', bonus, 'class', 'granted'));
END $$;

CREATE FUNCTION public.refund_bundles(refunded uuid[], amounts bigint[]) RETURNS void
    LANGUAGE sql
    AS $$
    WITH back AS (
        SELECT x.bundle, sum(x.amount) AS amount FROM unnest(refunded, amounts) x (bundle, amount) GROUP BY x.bundle
    ), locked AS (
        SELECT b.id FROM bundles b JOIN back ON back.bundle = b.id ORDER BY b.id FOR NO KEY UPDATE OF b
    )
    UPDATE bundles b SET spent = b.spent - back.amount
    FROM locked JOIN back ON back.bundle = locked.id
    WHERE b.id = locked.id
$$;

CREATE FUNCTION public.refuse_change() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    RAISE EXCEPTION 'table % is append-only', TG_TABLE_NAME USING ERRCODE = 'GH002';
END $$;

CREATE FUNCTION public.reputation_score(good bigint, total bigint) RETURNS integer
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
    AS $$
DECLARE
    n float8 := total;
    p float8;
    z CONSTANT float8 := 1.645;
BEGIN
    IF total <= 0 THEN
        RETURN NULL;
    END IF;
    p := greatest(good, 0) / n;
    RETURN floor(1000 * greatest(((p + z * z / (2 * n)) - z * sqrt(p * (1 - p) / n + z * z / (4 * n * n))) / (1 + z * z / n), 0));
END $$;

CREATE FUNCTION public.spend_bundle(bundle uuid, amount bigint, moment timestamp with time zone) RETURNS void
    LANGUAGE plpgsql
    AS $$
DECLARE b bundles;
BEGIN
    SELECT * INTO b FROM bundles WHERE id = bundle FOR NO KEY UPDATE;
    IF b.revoked_at IS NOT NULL OR b.expires_at <= moment THEN
        RAISE EXCEPTION 'the bundle has ended' USING ERRCODE = 'GH007';
    END IF;
    IF b.spent + amount > b.spend_cap OR amount > b.task_cap THEN
        RAISE EXCEPTION 'the bundle may not spend this' USING ERRCODE = 'GH008', DETAIL = LEAST(b.spend_cap - b.spent, b.task_cap)::text;
    END IF;
    UPDATE bundles SET spent = spent + amount WHERE id = bundle;
END $$;

CREATE FUNCTION public.take_registration(source cidr, most integer, step interval, moment timestamp with time zone) RETURNS void
    LANGUAGE plpgsql
    AS $$
DECLARE
    whole timestamptz;
BEGIN
    INSERT INTO registration_turns AS t (network, whole_at) VALUES (source, moment + step)
    ON CONFLICT (network) DO UPDATE SET whole_at = GREATEST(t.whole_at, moment) + step
    RETURNING whole_at INTO whole;
    IF whole > moment + most * step + interval '1 second' THEN
        RAISE EXCEPTION 'too many registrations' USING ERRCODE = 'GH006', DETAIL = ceil(extract(epoch FROM whole - moment - most * step))::text;
    END IF;
END $$;

CREATE FUNCTION public.take_turn(who bytea, most integer, step interval, moment timestamp with time zone) RETURNS void
    LANGUAGE plpgsql
    AS $$
DECLARE
    whole timestamptz;
BEGIN
    INSERT INTO turns AS t (name, whole_at) VALUES (who, moment + step)
    ON CONFLICT (name) DO UPDATE SET whole_at = GREATEST(t.whole_at, moment) + step
    RETURNING whole_at INTO whole;
    IF whole > moment + most * step THEN
        RAISE EXCEPTION 'too many tries' USING ERRCODE = 'GH006', DETAIL = ceil(extract(epoch FROM whole - moment - most * step))::text;
    END IF;
END $$;

CREATE FUNCTION public.take_voucher(voucher uuid, account uuid, moment timestamp with time zone) RETURNS void
    LANGUAGE plpgsql
    AS $$
BEGIN
    PERFORM 1 FROM voucher_batches b JOIN vouchers v ON v.batch_id = b.id
    WHERE v.id = voucher AND b.revoked_at IS NULL AND b.expires_at > moment FOR SHARE OF b;
    IF FOUND THEN
        UPDATE vouchers SET redeemed_by = account, redeemed_at = moment WHERE id = voucher AND redeemed_by IS NULL;
    END IF;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'the voucher cannot be taken' USING ERRCODE = 'GH004';
    END IF;
END $$;

CREATE FUNCTION public.transfer_mark(id bigint, at timestamp with time zone, kind text, debit text, credit text, amount bigint, debit_class text, credit_class text, account_id uuid, counterparty_id uuid, task_id uuid, order_id uuid, balance_after bigint, note text) RETURNS bytea
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
    AS $$
BEGIN
    RETURN sha256(convert_to(concat(id, '|', (date_part('epoch', at) * 1000000)::bigint, '|', kind, '|', debit, '|', credit, '|', amount, '|',
        debit_class, '|', credit_class, '|', account_id, '|', counterparty_id, '|', task_id, '|', order_id, '|', balance_after, '|' || note), 'UTF8'));
END $$;

CREATE FUNCTION public.use_invitation(code bytea, moment timestamp with time zone) RETURNS uuid
    LANGUAGE plpgsql
    AS $$
DECLARE
    invitation uuid;
BEGIN
    PERFORM 1 FROM invitation_batches b JOIN invitations i ON i.batch_id = b.id
    WHERE i.hash = code AND b.revoked_at IS NULL AND b.expires_at > moment FOR SHARE OF b;
    IF FOUND THEN
        UPDATE invitations SET used = used + 1 WHERE hash = code AND used < uses RETURNING id INTO invitation;
    END IF;
    IF invitation IS NULL THEN
        RAISE EXCEPTION 'the invitation cannot be used' USING ERRCODE = 'GH005';
    END IF;
    RETURN invitation;
END $$;

CREATE AGGREGATE public.chain_marks(bytea) (
    SFUNC = public.chain_mark,
    STYPE = bytea,
    INITCOND = ''
);

CREATE TABLE public.account_events (
    id uuid NOT NULL,
    xid xid8 DEFAULT public.feed_xid() NOT NULL,
    account_id uuid NOT NULL,
    at timestamp with time zone NOT NULL,
    type text NOT NULL,
    task_id uuid,
    data jsonb NOT NULL,
    CONSTRAINT account_events_type CHECK ((type ~ '^[a-z]+\.[a-z_]+$'::text))
);

CREATE TABLE public.account_sessions (
    id uuid NOT NULL,
    account_id uuid NOT NULL,
    began_at timestamp with time zone NOT NULL,
    seen_at timestamp with time zone NOT NULL,
    proven_at timestamp with time zone NOT NULL,
    address inet,
    agent text NOT NULL,
    CONSTRAINT account_sessions_agent CHECK ((length(agent) <= 300))
);

CREATE TABLE public.accounts (
    id uuid NOT NULL,
    kind text NOT NULL,
    handle text NOT NULL,
    display_name text NOT NULL,
    description text DEFAULT ''::text NOT NULL,
    skills text[] DEFAULT '{}'::text[] NOT NULL,
    referral_code text NOT NULL,
    referred_by uuid,
    created_at timestamp with time zone NOT NULL,
    operator boolean DEFAULT false NOT NULL,
    referral_bonus bigint DEFAULT 0 NOT NULL,
    referral_paid_at timestamp with time zone,
    approved_at timestamp with time zone DEFAULT now(),
    refused_at timestamp with time zone,
    refusal text,
    suspended_at timestamp with time zone,
    suspension text,
    state text GENERATED ALWAYS AS (
CASE
    WHEN (suspended_at IS NOT NULL) THEN 'suspended'::text
    WHEN (approved_at IS NOT NULL) THEN 'active'::text
    WHEN (refused_at IS NOT NULL) THEN 'refused'::text
    ELSE 'pending'::text
END) STORED NOT NULL,
    invitation_id uuid,
    registered_from cidr,
    verified_at timestamp with time zone,
    established_at timestamp with time zone,
    held_until timestamp with time zone,
    CONSTRAINT accounts_established CHECK (((established_at IS NULL) OR (verified_at IS NOT NULL))),
    CONSTRAINT accounts_handle CHECK ((handle ~ '^[a-z0-9][a-z0-9-]{1,30}[a-z0-9]$'::text)),
    CONSTRAINT accounts_kind CHECK ((kind = ANY (ARRAY['human'::text, 'agent'::text, 'platform'::text]))),
    CONSTRAINT accounts_not_own_referrer CHECK ((referred_by <> id)),
    CONSTRAINT accounts_operator CHECK (((NOT operator) OR (kind = 'human'::text))),
    CONSTRAINT accounts_referral_bonus CHECK ((referral_bonus >= 0)),
    CONSTRAINT accounts_referral_paid CHECK (((referral_paid_at IS NULL) OR (referred_by IS NOT NULL))),
    CONSTRAINT accounts_refused CHECK ((((refused_at IS NULL) = (refusal IS NULL)) AND ((refused_at IS NULL) OR (approved_at IS NULL)))),
    CONSTRAINT accounts_suspended CHECK (((suspended_at IS NULL) = (suspension IS NULL)))
);

CREATE TABLE public.admin_actions (
    id bigint NOT NULL,
    at timestamp with time zone NOT NULL,
    actor_id uuid NOT NULL,
    key_id uuid,
    action text NOT NULL,
    subject_id uuid,
    reason text DEFAULT ''::text NOT NULL,
    detail jsonb
);

ALTER TABLE public.admin_actions ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.admin_actions_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.api_keys (
    id uuid NOT NULL,
    account_id uuid NOT NULL,
    name text NOT NULL,
    prefix text NOT NULL,
    hash bytea NOT NULL,
    created_at timestamp with time zone NOT NULL,
    expires_at timestamp with time zone,
    revoked_at timestamp with time zone,
    scopes text[],
    last_used_at timestamp with time zone,
    last_used_from inet,
    revoked_reason text,
    replaces uuid,
    bundle_id uuid,
    requests bigint DEFAULT 0 NOT NULL,
    CONSTRAINT api_keys_reason CHECK (((revoked_reason IS NULL) OR (revoked_at IS NOT NULL))),
    CONSTRAINT api_keys_scopes CHECK ((cardinality(scopes) > 0))
);

CREATE TABLE public.attachments (
    task_id uuid NOT NULL,
    delivery_id uuid,
    sha256 text NOT NULL
);

CREATE TABLE public.audits (
    id bigint NOT NULL,
    at timestamp with time zone NOT NULL,
    transfers bigint NOT NULL,
    findings integer NOT NULL
);

ALTER TABLE public.audits ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.audits_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.bind_codes (
    id uuid NOT NULL,
    agent_id uuid NOT NULL,
    key_id uuid NOT NULL,
    hash bytea NOT NULL,
    created_at timestamp with time zone NOT NULL,
    expires_at timestamp with time zone NOT NULL,
    replaced_at timestamp with time zone,
    binding_id uuid,
    CONSTRAINT bind_codes_fate CHECK ((num_nonnulls(replaced_at, binding_id) <= 1))
);

CREATE TABLE public.bindings (
    id uuid NOT NULL,
    human_id uuid NOT NULL,
    agent_id uuid NOT NULL,
    bound_at timestamp with time zone NOT NULL,
    ended_at timestamp with time zone,
    ended_by uuid,
    party_until timestamp with time zone DEFAULT 'infinity'::timestamp with time zone NOT NULL,
    paused_at timestamp with time zone,
    spend_limit bigint,
    spent bigint DEFAULT 0 NOT NULL,
    CONSTRAINT bindings_ended CHECK ((((ended_at IS NULL) = (ended_by IS NULL)) AND ((ended_at IS NULL) = (party_until = 'infinity'::timestamp with time zone)))),
    CONSTRAINT bindings_free CHECK (((ended_at IS NULL) OR ((paused_at IS NULL) AND (spend_limit IS NULL)))),
    CONSTRAINT bindings_spent CHECK (((spent >= 0) AND (spend_limit >= 0) AND ((spend_limit IS NULL) OR (spent <= spend_limit)))),
    CONSTRAINT bindings_two CHECK ((human_id <> agent_id))
);

CREATE TABLE public.blobs (
    sha256 text NOT NULL,
    object text NOT NULL,
    bytes bigint NOT NULL,
    media_type text NOT NULL,
    created_at timestamp with time zone NOT NULL,
    CONSTRAINT blobs_bytes CHECK ((bytes >= 0)),
    CONSTRAINT blobs_sha256 CHECK ((sha256 ~ '^[0-9a-f]{64}$'::text))
);

CREATE TABLE public.bundle_actions (
    id uuid NOT NULL,
    bundle_id uuid NOT NULL,
    at timestamp with time zone NOT NULL,
    action text NOT NULL,
    task_id uuid,
    amount bigint
);

CREATE TABLE public.bundles (
    id uuid NOT NULL,
    account_id uuid NOT NULL,
    name text NOT NULL,
    scopes text[] NOT NULL,
    spend_cap bigint NOT NULL,
    task_cap bigint,
    spent bigint DEFAULT 0 NOT NULL,
    tasks uuid[],
    skills text[],
    created_at timestamp with time zone NOT NULL,
    expires_at timestamp with time zone NOT NULL,
    revoked_at timestamp with time zone,
    revoked_reason text,
    code_hash bytea,
    code_expires_at timestamp with time zone,
    redeemed_at timestamp with time zone,
    redeemed_from inet,
    agent_id uuid,
    party_until timestamp with time zone,
    CONSTRAINT bundles_cap CHECK ((spend_cap >= 0)),
    CONSTRAINT bundles_coded CHECK (((code_hash IS NULL) = (code_expires_at IS NULL))),
    CONSTRAINT bundles_name CHECK (((char_length(name) >= 1) AND (char_length(name) <= 60))),
    CONSTRAINT bundles_party CHECK (((agent_id IS NULL) = (party_until IS NULL))),
    CONSTRAINT bundles_reason CHECK ((revoked_reason = ANY (ARRAY['owner'::text, 'code_reused'::text, 'in_url'::text]))),
    CONSTRAINT bundles_revoked CHECK (((revoked_at IS NULL) = (revoked_reason IS NULL))),
    CONSTRAINT bundles_scopes CHECK ((cardinality(scopes) > 0)),
    CONSTRAINT bundles_skills CHECK ((cardinality(skills) > 0)),
    CONSTRAINT bundles_spent CHECK (((spent >= 0) AND (spent <= spend_cap))),
    CONSTRAINT bundles_task_cap CHECK ((task_cap > 0)),
    CONSTRAINT bundles_tasks CHECK ((cardinality(tasks) > 0))
);

CREATE TABLE public.cases (
    id uuid NOT NULL,
    task_id uuid NOT NULL,
    delivery_id uuid NOT NULL,
    kind text NOT NULL,
    opened_by uuid,
    text text NOT NULL,
    frozen boolean NOT NULL,
    opened_at timestamp with time zone NOT NULL,
    due_at timestamp with time zone NOT NULL,
    available_at timestamp with time zone,
    closed_at timestamp with time zone,
    outcome text,
    share integer DEFAULT 0 NOT NULL,
    note text DEFAULT ''::text NOT NULL,
    decided_by uuid,
    CONSTRAINT cases_closed CHECK (((closed_at IS NULL) = (outcome IS NULL))),
    CONSTRAINT cases_kind CHECK ((kind = ANY (ARRAY['appeal'::text, 'error'::text, 'objection'::text]))),
    CONSTRAINT cases_outcome CHECK ((outcome = ANY (ARRAY['upheld'::text, 'overturned'::text, 'split'::text, 'kept'::text, 'reversed'::text, 'silence'::text, 'moot'::text]))),
    CONSTRAINT cases_share CHECK (((share >= 0) AND (share <= 9999)))
);

CREATE TABLE public.claims (
    id uuid NOT NULL,
    task_id uuid NOT NULL,
    worker_id uuid NOT NULL,
    epoch bigint NOT NULL,
    claimed_at timestamp with time zone NOT NULL,
    lease_from timestamp with time zone NOT NULL,
    expires_at timestamp with time zone NOT NULL,
    ended_at timestamp with time zone,
    outcome text,
    CONSTRAINT claims_ended CHECK (((ended_at IS NULL) = (outcome IS NULL))),
    CONSTRAINT claims_outcome CHECK ((outcome = ANY (ARRAY['released'::text, 'expired'::text, 'exhausted'::text, 'rejected'::text, 'withdrawn'::text, 'settled'::text, 'closed'::text, 'appealed'::text])))
);

CREATE TABLE public.deliveries (
    id uuid NOT NULL,
    task_id uuid NOT NULL,
    claim_id uuid,
    worker_id uuid NOT NULL,
    state text NOT NULL,
    attempt integer NOT NULL,
    output json NOT NULL,
    summary_text text NOT NULL,
    attachments jsonb NOT NULL,
    report json NOT NULL,
    review jsonb,
    created_at timestamp with time zone NOT NULL,
    due_at timestamp with time zone,
    in_case boolean DEFAULT false NOT NULL,
    output_hash text GENERATED ALWAYS AS ((report ->> 'outputHash'::text)) STORED,
    CONSTRAINT deliveries_attempt CHECK ((attempt >= 0)),
    CONSTRAINT deliveries_own_clock CHECK (((due_at IS NULL) OR (claim_id IS NULL))),
    CONSTRAINT deliveries_reviewed CHECK (((state = ANY (ARRAY['accepted'::text, 'rejected'::text, 'reversed'::text])) = (review IS NOT NULL))),
    CONSTRAINT deliveries_state CHECK ((state = ANY (ARRAY['pending'::text, 'accepted'::text, 'rejected'::text, 'withdrawn'::text, 'failed'::text, 'not_selected'::text, 'reversed'::text])))
);

CREATE TABLE public.encryption_keys (
    id uuid NOT NULL,
    account_id uuid NOT NULL,
    recipient text NOT NULL,
    kind text NOT NULL,
    nonce_hash bytea NOT NULL,
    created_at timestamp with time zone NOT NULL,
    confirm_by timestamp with time zone NOT NULL,
    confirmed_at timestamp with time zone,
    replaced_at timestamp with time zone,
    CONSTRAINT encryption_keys_kind CHECK ((kind = ANY (ARRAY['x25519'::text, 'mlkem768x25519'::text]))),
    CONSTRAINT encryption_keys_replaced CHECK (((replaced_at IS NULL) OR (confirmed_at IS NOT NULL)))
);

CREATE TABLE public.feed_origin (
    one boolean DEFAULT true NOT NULL,
    cluster bigint NOT NULL,
    CONSTRAINT feed_origin_one CHECK (one)
);

CREATE TABLE public.flags (
    id uuid NOT NULL,
    account_id uuid NOT NULL,
    kind text NOT NULL,
    evidence jsonb NOT NULL,
    raised_by uuid,
    reason text DEFAULT ''::text NOT NULL,
    raised_at timestamp with time zone NOT NULL,
    hold_until timestamp with time zone NOT NULL,
    outcome text,
    decided_at timestamp with time zone,
    decided_by uuid,
    note text DEFAULT ''::text NOT NULL,
    CONSTRAINT flags_decided CHECK (((outcome IS NULL) = (decided_at IS NULL))),
    CONSTRAINT flags_decider CHECK (((decided_by IS NULL) = ((outcome IS NULL) OR (outcome = 'lapsed'::text)))),
    CONSTRAINT flags_kind CHECK ((kind = ANY (ARRAY['circular'::text, 'related'::text, 'instant'::text, 'concentration'::text, 'signups'::text, 'operator'::text]))),
    CONSTRAINT flags_operator CHECK (((kind = 'operator'::text) = (raised_by IS NOT NULL))),
    CONSTRAINT flags_outcome CHECK ((outcome = ANY (ARRAY['released'::text, 'extended'::text, 'frozen'::text, 'lapsed'::text])))
);

CREATE TABLE public.goods (
    id uuid NOT NULL,
    kind text NOT NULL,
    name text NOT NULL,
    denomination text NOT NULL,
    price bigint NOT NULL,
    region text NOT NULL,
    terms text NOT NULL,
    picture bytea,
    picture_type text,
    offered boolean NOT NULL,
    version bigint NOT NULL,
    created_at timestamp with time zone NOT NULL,
    CONSTRAINT goods_kind CHECK ((kind = ANY (ARRAY['gift_card'::text, 'top_up'::text, 'other'::text]))),
    CONSTRAINT goods_picture CHECK (((picture IS NULL) = (picture_type IS NULL))),
    CONSTRAINT goods_price CHECK ((price > 0))
);

CREATE TABLE public.goods_codes (
    id uuid NOT NULL,
    good_id uuid NOT NULL,
    sealed bytea NOT NULL,
    nonce bytea NOT NULL,
    key_id text NOT NULL,
    fingerprint bytea NOT NULL,
    expires_at timestamp with time zone,
    added_at timestamp with time zone NOT NULL,
    order_id uuid,
    bad_of uuid,
    withdrawn_at timestamp with time zone,
    CONSTRAINT goods_codes_fate CHECK ((num_nonnulls(order_id, bad_of, withdrawn_at) <= 1))
);

CREATE TABLE public.idempotency (
    account_id uuid NOT NULL,
    key text NOT NULL,
    request_hash bytea NOT NULL,
    status integer NOT NULL,
    location text NOT NULL,
    answer bytea NOT NULL,
    created_at timestamp with time zone NOT NULL
);

CREATE TABLE public.invitation_batches (
    id uuid NOT NULL,
    count integer NOT NULL,
    uses integer NOT NULL,
    purpose text NOT NULL,
    expires_at timestamp with time zone NOT NULL,
    created_by uuid NOT NULL,
    created_at timestamp with time zone NOT NULL,
    revoked_by uuid,
    revoked_at timestamp with time zone,
    CONSTRAINT invitation_batches_count CHECK ((count > 0)),
    CONSTRAINT invitation_batches_revoked CHECK (((revoked_by IS NULL) = (revoked_at IS NULL))),
    CONSTRAINT invitation_batches_uses CHECK ((uses > 0))
);

CREATE TABLE public.invitations (
    id uuid NOT NULL,
    batch_id uuid NOT NULL,
    hash bytea NOT NULL,
    uses integer NOT NULL,
    used integer DEFAULT 0 NOT NULL,
    CONSTRAINT invitations_used CHECK (((used >= 0) AND (used <= uses)))
);

CREATE TABLE public.ledger_days (
    day date NOT NULL,
    lines bigint NOT NULL,
    id_sum numeric NOT NULL,
    chain bytea NOT NULL,
    hash bytea NOT NULL,
    sealed_at timestamp with time zone NOT NULL,
    CONSTRAINT ledger_days_lines CHECK ((lines > 0))
);

CREATE TABLE public.logins (
    account_id uuid NOT NULL,
    email text NOT NULL,
    password_hash text NOT NULL,
    created_at timestamp with time zone NOT NULL,
    epoch bigint DEFAULT 0 NOT NULL,
    lang text DEFAULT 'en'::text NOT NULL,
    email_verified_at timestamp with time zone,
    CONSTRAINT logins_lang CHECK ((lang ~ '^[a-zA-Z-]{2,20}$'::text))
);

CREATE TABLE public.mail_links (
    hash bytea NOT NULL,
    account_id uuid NOT NULL,
    purpose text NOT NULL,
    email text NOT NULL,
    clears boolean DEFAULT false NOT NULL,
    made_at timestamp with time zone NOT NULL,
    expires_at timestamp with time zone NOT NULL,
    used_at timestamp with time zone,
    CONSTRAINT mail_links_purpose CHECK ((purpose = ANY (ARRAY['reset'::text, 'verify'::text])))
);

CREATE TABLE public.mails (
    id uuid NOT NULL,
    account_id uuid NOT NULL,
    kind text NOT NULL,
    recipient text NOT NULL,
    lang text NOT NULL,
    sealed bytea,
    nonce bytea,
    key_id text,
    made_at timestamp with time zone NOT NULL,
    expires_at timestamp with time zone NOT NULL,
    next_at timestamp with time zone NOT NULL,
    attempts integer DEFAULT 0 NOT NULL,
    failed_at timestamp with time zone,
    error text,
    CONSTRAINT mails_sealed CHECK ((((failed_at IS NULL) = (sealed IS NOT NULL)) AND ((sealed IS NULL) = (nonce IS NULL)) AND ((sealed IS NULL) = (key_id IS NULL))))
);

CREATE TABLE public.messages (
    id uuid NOT NULL,
    task_id uuid NOT NULL,
    number bigint NOT NULL,
    author_id uuid NOT NULL,
    key_id uuid,
    at timestamp with time zone NOT NULL,
    text text NOT NULL,
    clarification boolean NOT NULL,
    CONSTRAINT messages_number CHECK ((number > 0)),
    CONSTRAINT messages_text CHECK (((char_length(text) >= 1) AND (char_length(text) <= 4000)))
);

CREATE TABLE public.new_outcomes (
    id bigint NOT NULL,
    at timestamp with time zone NOT NULL,
    account_id uuid NOT NULL,
    role text NOT NULL,
    kind text NOT NULL,
    counterparty_id uuid NOT NULL,
    task_id uuid NOT NULL,
    delivery_id uuid,
    skills text[] NOT NULL,
    amount bigint NOT NULL,
    minutes integer,
    CONSTRAINT new_outcomes_amount CHECK ((amount >= 0)),
    CONSTRAINT new_outcomes_kind CHECK ((kind = ANY (ARRAY['accepted'::text, 'rejected'::text, 'abandoned'::text, 'overturned'::text, 'silent'::text, 'automatic'::text, 'reversed'::text]))),
    CONSTRAINT new_outcomes_role CHECK ((role = ANY (ARRAY['worker'::text, 'publisher'::text]))),
    CONSTRAINT new_outcomes_two_parties CHECK ((account_id <> counterparty_id))
);

ALTER TABLE public.new_outcomes ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.new_outcomes_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.outcomes (
    id bigint NOT NULL,
    at timestamp with time zone NOT NULL,
    account_id uuid NOT NULL,
    role text NOT NULL,
    kind text NOT NULL,
    counterparty_id uuid NOT NULL,
    task_id uuid NOT NULL,
    delivery_id uuid,
    skills text[] NOT NULL,
    amount bigint NOT NULL,
    minutes integer
);

CREATE TABLE public.passkey_challenges (
    hash bytea NOT NULL,
    expires_at timestamp with time zone NOT NULL
);

CREATE TABLE public.passkeys (
    id uuid NOT NULL,
    account_id uuid NOT NULL,
    credential_id bytea NOT NULL,
    record bytea NOT NULL,
    sign_count bigint NOT NULL,
    name text NOT NULL,
    made_at timestamp with time zone NOT NULL,
    used_at timestamp with time zone
);

CREATE TABLE public.payouts (
    id uuid NOT NULL,
    account_id uuid NOT NULL,
    task_id uuid NOT NULL,
    delivery_id uuid NOT NULL,
    amount bigint NOT NULL,
    class text NOT NULL,
    available_at timestamp with time zone NOT NULL,
    hold_reason text NOT NULL,
    state text NOT NULL,
    granted_part bigint DEFAULT 0 NOT NULL,
    granted bigint DEFAULT 0 NOT NULL,
    fee_granted bigint DEFAULT 0 NOT NULL,
    fee_earned bigint DEFAULT 0 NOT NULL,
    CONSTRAINT payouts_amount CHECK ((amount > 0)),
    CONSTRAINT payouts_class CHECK ((class = ANY (ARRAY['granted'::text, 'earned'::text]))),
    CONSTRAINT payouts_fee CHECK (((fee_granted >= 0) AND (fee_earned >= 0))),
    CONSTRAINT payouts_granted CHECK (((granted = 0) OR (granted = granted_part))),
    CONSTRAINT payouts_granted_part CHECK (((granted_part >= 0) AND (granted_part <= amount))),
    CONSTRAINT payouts_state CHECK ((state = ANY (ARRAY['pending'::text, 'available'::text, 'reversed'::text]))),
    CONSTRAINT payouts_whole CHECK (((class = 'granted'::text) = (granted = amount)))
);

CREATE VIEW public.principals AS
 SELECT bindings.id,
    bindings.agent_id,
    bindings.human_id,
    bindings.party_until,
    true AS bound
   FROM public.bindings
UNION ALL
 SELECT bundles.id,
    bundles.agent_id,
    bundles.account_id AS human_id,
    bundles.party_until,
    false AS bound
   FROM public.bundles
  WHERE (bundles.agent_id IS NOT NULL);

CREATE TABLE public.protected_revisions (
    task_id uuid NOT NULL,
    revision integer NOT NULL,
    shown jsonb NOT NULL,
    ciphertext text,
    created_at timestamp with time zone NOT NULL,
    CONSTRAINT protected_revisions_revision CHECK ((revision > 0)),
    CONSTRAINT protected_revisions_size CHECK ((octet_length(ciphertext) <= 65536))
);

CREATE TABLE public.recovery_codes (
    account_id uuid NOT NULL,
    hash bytea NOT NULL,
    used_at timestamp with time zone
);

CREATE TABLE public.recovery_grants (
    id uuid NOT NULL,
    binding_id uuid NOT NULL,
    hash bytea NOT NULL,
    created_at timestamp with time zone NOT NULL,
    expires_at timestamp with time zone NOT NULL,
    used_at timestamp with time zone,
    revoked_at timestamp with time zone,
    CONSTRAINT recovery_grants_fate CHECK ((num_nonnulls(used_at, revoked_at) <= 1))
);

CREATE TABLE public.redemptions (
    id uuid NOT NULL,
    account_id uuid NOT NULL,
    good_id uuid NOT NULL,
    name text NOT NULL,
    denomination text NOT NULL,
    region text NOT NULL,
    terms text NOT NULL,
    price bigint NOT NULL,
    state text NOT NULL,
    reasons text[] NOT NULL,
    created_at timestamp with time zone NOT NULL,
    decided_at timestamp with time zone,
    decided_by uuid,
    refusal text,
    revealed_at timestamp with time zone,
    reveals integer DEFAULT 0 NOT NULL,
    disputed_at timestamp with time zone,
    dispute text,
    remedy text,
    remedy_note text,
    settled_at timestamp with time zone,
    settled_by uuid,
    CONSTRAINT redemptions_decided CHECK (((state = 'pending_review'::text) = (decided_at IS NULL))),
    CONSTRAINT redemptions_decider CHECK (((decided_by IS NULL) = ((decided_at IS NULL) OR (cardinality(reasons) = 0)))),
    CONSTRAINT redemptions_disputed CHECK ((((disputed_at IS NULL) = (dispute IS NULL)) AND ((disputed_at IS NULL) OR (reveals > 0) OR (remedy = 'replaced'::text)))),
    CONSTRAINT redemptions_price CHECK ((price > 0)),
    CONSTRAINT redemptions_refunded CHECK (((state = 'refunded'::text) = (NOT (remedy IS DISTINCT FROM 'refunded'::text)))),
    CONSTRAINT redemptions_refused CHECK (((state = 'refused'::text) = (refusal IS NOT NULL))),
    CONSTRAINT redemptions_remedy CHECK ((remedy = ANY (ARRAY['replaced'::text, 'refunded'::text, 'rejected'::text]))),
    CONSTRAINT redemptions_revealed CHECK ((((revealed_at IS NULL) = (reveals = 0)) AND ((reveals = 0) OR (state = ANY (ARRAY['fulfilled'::text, 'refunded'::text]))))),
    CONSTRAINT redemptions_reviewed CHECK (((state = ANY (ARRAY['fulfilled'::text, 'refunded'::text])) OR (cardinality(reasons) > 0))),
    CONSTRAINT redemptions_settled CHECK ((((remedy IS NULL) = (settled_at IS NULL)) AND ((remedy IS NULL) = (settled_by IS NULL)) AND ((remedy IS NULL) = (remedy_note IS NULL)) AND ((remedy IS NULL) OR (disputed_at IS NOT NULL)))),
    CONSTRAINT redemptions_state CHECK ((state = ANY (ARRAY['pending_review'::text, 'fulfilled'::text, 'refused'::text, 'refunded'::text])))
);

CREATE TABLE public.registration_turns (
    network cidr NOT NULL,
    whole_at timestamp with time zone NOT NULL
);

CREATE TABLE public.report_decisions (
    report_id uuid NOT NULL,
    at timestamp with time zone NOT NULL,
    operator_id uuid NOT NULL,
    key_id uuid,
    outcome text NOT NULL,
    note text NOT NULL,
    CONSTRAINT report_decisions_note CHECK (((char_length(note) >= 1) AND (char_length(note) <= 1000))),
    CONSTRAINT report_decisions_outcome CHECK ((outcome = ANY (ARRAY['resolved'::text, 'dismissed'::text])))
);

CREATE TABLE public.reputation_days (
    role text NOT NULL,
    skill text NOT NULL,
    day date NOT NULL,
    account_id uuid NOT NULL,
    accepted integer NOT NULL,
    rejected integer NOT NULL,
    abandoned integer NOT NULL,
    overturned integer NOT NULL,
    silent integer NOT NULL,
    credits bigint NOT NULL
);

CREATE TABLE public.reputations (
    account_id uuid NOT NULL,
    role text NOT NULL,
    skill text NOT NULL,
    accepted bigint NOT NULL,
    rejected bigint NOT NULL,
    abandoned bigint NOT NULL,
    overturned bigint NOT NULL,
    silent bigint NOT NULL,
    automatic bigint NOT NULL,
    credits bigint NOT NULL,
    median_minutes integer,
    score integer GENERATED ALWAYS AS (
CASE role
    WHEN 'worker'::text THEN public.reputation_score(accepted, ((GREATEST(accepted, (0)::bigint) + GREATEST(rejected, (0)::bigint)) + abandoned))
    ELSE public.reputation_score(accepted, (((accepted + rejected) + silent) + overturned))
END) STORED,
    CONSTRAINT reputations_role CHECK ((role = ANY (ARRAY['worker'::text, 'publisher'::text])))
);

CREATE TABLE public.schema_migrations (
    version character varying NOT NULL
);

CREATE TABLE public.second_factors (
    account_id uuid NOT NULL,
    sealed bytea NOT NULL,
    nonce bytea NOT NULL,
    key_id text NOT NULL,
    made_at timestamp with time zone NOT NULL,
    enabled_at timestamp with time zone,
    last_step bigint DEFAULT 0 NOT NULL
);

CREATE TABLE public.secret_events (
    id bigint NOT NULL,
    task_id uuid NOT NULL,
    at timestamp with time zone NOT NULL,
    event text NOT NULL,
    actor_id uuid,
    key_id uuid,
    request_id uuid,
    revision integer,
    CONSTRAINT secret_events_event CHECK ((event = ANY (ARRAY['sealed'::text, 'requested'::text, 'granted'::text, 'denied'::text, 'revoked'::text, 'fetched'::text, 'key_changed'::text, 'claim_ended'::text])))
);

ALTER TABLE public.secret_events ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.secret_events_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.secret_requests (
    id uuid NOT NULL,
    task_id uuid NOT NULL,
    claim_id uuid NOT NULL,
    worker_id uuid NOT NULL,
    key_id uuid NOT NULL,
    state text NOT NULL,
    requested_at timestamp with time zone NOT NULL,
    decided_at timestamp with time zone,
    reason text DEFAULT ''::text NOT NULL,
    revision integer,
    bundle text,
    expires_at timestamp with time zone,
    fetched_at timestamp with time zone,
    fetches integer DEFAULT 0 NOT NULL,
    CONSTRAINT secret_requests_granted CHECK ((((state = 'granted'::text) = (bundle IS NOT NULL)) AND ((state <> 'granted'::text) OR ((revision IS NOT NULL) AND (expires_at IS NOT NULL))))),
    CONSTRAINT secret_requests_reason CHECK ((char_length(reason) <= 1000)),
    CONSTRAINT secret_requests_size CHECK ((octet_length(bundle) <= 65536)),
    CONSTRAINT secret_requests_state CHECK ((state = ANY (ARRAY['pending'::text, 'granted'::text, 'denied'::text, 'revoked'::text, 'stale'::text, 'ended'::text])))
);

CREATE TABLE public.security_log (
    id uuid NOT NULL,
    account_id uuid NOT NULL,
    at timestamp with time zone NOT NULL,
    what text NOT NULL,
    address inet,
    agent text NOT NULL,
    detail text DEFAULT ''::text NOT NULL,
    CONSTRAINT security_log_what CHECK ((what ~ '^security\.[a-z_]+$'::text))
);

CREATE TABLE public.sessions (
    token text NOT NULL,
    data bytea NOT NULL,
    expiry timestamp with time zone NOT NULL
);

CREATE TABLE public.task_events (
    task_id uuid NOT NULL,
    version bigint NOT NULL,
    at timestamp with time zone NOT NULL,
    event text NOT NULL,
    actor_id uuid,
    key_id uuid
);

CREATE TABLE public.task_reports (
    id uuid NOT NULL,
    task_id uuid NOT NULL,
    reporter_id uuid NOT NULL,
    at timestamp with time zone NOT NULL,
    reason text NOT NULL,
    text text NOT NULL,
    state text NOT NULL,
    message_id uuid,
    CONSTRAINT task_reports_reason CHECK ((reason = ANY (ARRAY['scam'::text, 'illegal'::text, 'harmful'::text, 'spam'::text, 'other'::text]))),
    CONSTRAINT task_reports_state CHECK ((state = ANY (ARRAY['open'::text, 'closed'::text]))),
    CONSTRAINT task_reports_text CHECK ((char_length(text) <= 1000))
);

CREATE TABLE public.task_secrets (
    task_id uuid NOT NULL,
    hidden json,
    samples json,
    sample_reports json,
    CONSTRAINT task_secrets_reports CHECK (((sample_reports IS NULL) OR (samples IS NOT NULL))),
    CONSTRAINT task_secrets_some CHECK (((hidden IS NOT NULL) OR (samples IS NOT NULL)))
);

CREATE TABLE public.task_skills (
    skill text NOT NULL,
    task_id uuid NOT NULL,
    reward bigint NOT NULL,
    deadline timestamp with time zone NOT NULL
);

CREATE TABLE public.tasks (
    id uuid NOT NULL,
    publisher_id uuid NOT NULL,
    state text NOT NULL,
    version bigint NOT NULL,
    epoch bigint DEFAULT 0 NOT NULL,
    title text NOT NULL,
    brief text NOT NULL,
    skills text[] NOT NULL,
    mode text NOT NULL,
    reward bigint NOT NULL,
    payload json,
    output_schema json,
    rules json NOT NULL,
    attachments jsonb NOT NULL,
    claim_minutes integer NOT NULL,
    review_hours integer NOT NULL,
    max_attempts integer NOT NULL,
    max_accepted integer NOT NULL,
    deadline timestamp with time zone NOT NULL,
    created_at timestamp with time zone NOT NULL,
    escrow_granted bigint NOT NULL,
    escrow_earned bigint NOT NULL,
    due_at timestamp with time zone,
    appeal_by timestamp with time zone,
    case_until timestamp with time zone,
    search tsvector GENERATED ALWAYS AS (to_tsvector('simple'::regconfig, ((title || ' '::text) || brief))) STORED,
    auto_accept boolean DEFAULT false NOT NULL,
    slots integer NOT NULL,
    frozen integer DEFAULT 0 NOT NULL,
    paused_at timestamp with time zone,
    fee bigint DEFAULT 0 NOT NULL,
    evergreen boolean DEFAULT false NOT NULL,
    bundle_id uuid,
    protected jsonb,
    CONSTRAINT tasks_escrow_earned CHECK ((escrow_earned >= 0)),
    CONSTRAINT tasks_escrow_granted CHECK ((escrow_granted >= 0)),
    CONSTRAINT tasks_escrow_slots CHECK (((escrow_granted + escrow_earned) =
CASE
    WHEN evergreen THEN (0)::bigint
    ELSE ((reward + fee) * slots)
END)),
    CONSTRAINT tasks_evergreen CHECK (((NOT evergreen) OR (state = ANY (ARRAY['open'::text, 'cancelled'::text])))),
    CONSTRAINT tasks_fee CHECK ((fee >= 0)),
    CONSTRAINT tasks_live_has_clock CHECK (((evergreen OR (state = ANY (ARRAY['settled'::text, 'cancelled'::text, 'expired'::text]))) = (due_at IS NULL))),
    CONSTRAINT tasks_mode CHECK ((mode = ANY (ARRAY['exclusive'::text, 'open'::text]))),
    CONSTRAINT tasks_protected_mode CHECK (((protected IS NULL) OR (mode = 'exclusive'::text))),
    CONSTRAINT tasks_reward CHECK ((reward > 0)),
    CONSTRAINT tasks_slots CHECK ((((slots >= 0) AND (slots <= max_accepted)) AND ((frozen >= 0) AND (frozen <= slots)))),
    CONSTRAINT tasks_state CHECK ((state = ANY (ARRAY['open'::text, 'claimed'::text, 'in_review'::text, 'settled'::text, 'cancelled'::text, 'expired'::text]))),
    CONSTRAINT tasks_terminal_is_empty CHECK ((evergreen OR ((state = ANY (ARRAY['settled'::text, 'cancelled'::text, 'expired'::text])) = ((escrow_granted + escrow_earned) = 0))))
);

CREATE TABLE public.thread_reads (
    task_id uuid NOT NULL,
    account_id uuid NOT NULL,
    read_to bigint NOT NULL
);

CREATE TABLE public.transfers (
    id bigint NOT NULL,
    at timestamp with time zone NOT NULL,
    kind text NOT NULL,
    debit text NOT NULL,
    credit text NOT NULL,
    amount bigint NOT NULL,
    debit_class text NOT NULL,
    credit_class text NOT NULL,
    account_id uuid NOT NULL,
    counterparty_id uuid,
    task_id uuid,
    balance_after bigint,
    order_id uuid,
    mark bytea NOT NULL,
    note text,
    CONSTRAINT transfers_amount CHECK ((amount > 0)),
    CONSTRAINT transfers_credit_class CHECK ((credit_class = ANY (ARRAY['granted'::text, 'earned'::text]))),
    CONSTRAINT transfers_debit_class CHECK ((debit_class = ANY (ARRAY['granted'::text, 'earned'::text]))),
    CONSTRAINT transfers_kind CHECK ((kind = ANY (ARRAY['grant'::text, 'escrow'::text, 'refund'::text, 'payout'::text, 'release'::text, 'reversal'::text, 'referral'::text, 'redeem'::text, 'redeem_refund'::text, 'voucher'::text, 'adjustment'::text, 'fee'::text, 'fee_refund'::text, 'onboarding'::text]))),
    CONSTRAINT transfers_note CHECK (((kind = 'adjustment'::text) = (note IS NOT NULL))),
    CONSTRAINT transfers_order CHECK (((kind = ANY (ARRAY['redeem'::text, 'redeem_refund'::text])) = (order_id IS NOT NULL))),
    CONSTRAINT transfers_two_accounts CHECK ((debit <> credit))
);

ALTER TABLE public.transfers ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.transfers_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.turns (
    name bytea NOT NULL,
    whole_at timestamp with time zone NOT NULL
);

CREATE TABLE public.uploads (
    account_id uuid NOT NULL,
    sha256 text NOT NULL,
    created_at timestamp with time zone NOT NULL,
    used boolean DEFAULT false NOT NULL
);

CREATE TABLE public.voucher_batches (
    id uuid NOT NULL,
    amount bigint NOT NULL,
    class text NOT NULL,
    count integer NOT NULL,
    purpose text NOT NULL,
    expires_at timestamp with time zone NOT NULL,
    created_by uuid NOT NULL,
    created_at timestamp with time zone NOT NULL,
    revoked_by uuid,
    revoked_at timestamp with time zone,
    CONSTRAINT voucher_batches_amount CHECK ((amount > 0)),
    CONSTRAINT voucher_batches_class CHECK ((class = ANY (ARRAY['granted'::text, 'earned'::text]))),
    CONSTRAINT voucher_batches_count CHECK ((count > 0)),
    CONSTRAINT voucher_batches_revoked CHECK (((revoked_by IS NULL) = (revoked_at IS NULL)))
);

CREATE TABLE public.vouchers (
    id uuid NOT NULL,
    batch_id uuid NOT NULL,
    hash bytea NOT NULL,
    redeemed_by uuid,
    redeemed_at timestamp with time zone,
    CONSTRAINT vouchers_redeemed CHECK (((redeemed_by IS NULL) = (redeemed_at IS NULL)))
);

CREATE TABLE public.wallets (
    account_id uuid NOT NULL,
    granted bigint NOT NULL,
    earned bigint NOT NULL,
    CONSTRAINT wallets_earned_covered CHECK ((earned >= 0)),
    CONSTRAINT wallets_granted_covered CHECK ((granted >= 0))
);

CREATE TABLE public.webhook_deliveries (
    id uuid NOT NULL,
    webhook_id uuid NOT NULL,
    event_id uuid NOT NULL,
    type text NOT NULL,
    at timestamp with time zone NOT NULL,
    body text NOT NULL,
    state text NOT NULL,
    attempts integer NOT NULL,
    status integer,
    error text,
    millis bigint,
    last_at timestamp with time zone,
    next_at timestamp with time zone,
    CONSTRAINT webhook_deliveries_next CHECK (((state = 'pending'::text) = (next_at IS NOT NULL))),
    CONSTRAINT webhook_deliveries_state CHECK ((state = ANY (ARRAY['pending'::text, 'sent'::text, 'failed'::text])))
);

CREATE TABLE public.webhooks (
    id uuid NOT NULL,
    account_id uuid NOT NULL,
    url text NOT NULL,
    types text[] NOT NULL,
    created_at timestamp with time zone NOT NULL,
    sealed bytea NOT NULL,
    nonce bytea NOT NULL,
    key_id text NOT NULL,
    old_sealed bytea,
    old_nonce bytea,
    old_key_id text,
    old_until timestamp with time zone,
    xid xid8 NOT NULL,
    event_id uuid NOT NULL,
    bundle_id uuid,
    disabled_at timestamp with time zone,
    disabled text,
    failing_since timestamp with time zone,
    busy_by uuid,
    busy_until timestamp with time zone,
    paused_until timestamp with time zone,
    made_by uuid,
    CONSTRAINT webhooks_busy CHECK (((busy_by IS NULL) = (busy_until IS NULL))),
    CONSTRAINT webhooks_disabled CHECK ((disabled = ANY (ARRAY['gone'::text, 'failing'::text]))),
    CONSTRAINT webhooks_disabled_why CHECK (((disabled_at IS NULL) = (disabled IS NULL))),
    CONSTRAINT webhooks_old CHECK ((((old_until IS NULL) = (old_sealed IS NULL)) AND ((old_until IS NULL) = (old_nonce IS NULL)) AND ((old_until IS NULL) = (old_key_id IS NULL)))),
    CONSTRAINT webhooks_url CHECK (((char_length(url) >= 1) AND (char_length(url) <= 2000)))
);

ALTER TABLE ONLY public.account_events
    ADD CONSTRAINT account_events_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.account_sessions
    ADD CONSTRAINT account_sessions_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.accounts
    ADD CONSTRAINT accounts_handle_key UNIQUE (handle);

ALTER TABLE ONLY public.accounts
    ADD CONSTRAINT accounts_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.accounts
    ADD CONSTRAINT accounts_referral_code_key UNIQUE (referral_code);

ALTER TABLE ONLY public.admin_actions
    ADD CONSTRAINT admin_actions_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.api_keys
    ADD CONSTRAINT api_keys_bundle UNIQUE (bundle_id);

ALTER TABLE ONLY public.api_keys
    ADD CONSTRAINT api_keys_hash_key UNIQUE (hash);

ALTER TABLE ONLY public.api_keys
    ADD CONSTRAINT api_keys_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.api_keys
    ADD CONSTRAINT api_keys_replaces UNIQUE (replaces);

ALTER TABLE ONLY public.audits
    ADD CONSTRAINT audits_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.bind_codes
    ADD CONSTRAINT bind_codes_binding UNIQUE (binding_id);

ALTER TABLE ONLY public.bind_codes
    ADD CONSTRAINT bind_codes_hash UNIQUE (hash);

ALTER TABLE ONLY public.bind_codes
    ADD CONSTRAINT bind_codes_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.bindings
    ADD CONSTRAINT bindings_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.blobs
    ADD CONSTRAINT blobs_object_key UNIQUE (object);

ALTER TABLE ONLY public.blobs
    ADD CONSTRAINT blobs_pkey PRIMARY KEY (sha256);

ALTER TABLE ONLY public.bundle_actions
    ADD CONSTRAINT bundle_actions_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.bundles
    ADD CONSTRAINT bundles_code UNIQUE (code_hash);

ALTER TABLE ONLY public.bundles
    ADD CONSTRAINT bundles_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.cases
    ADD CONSTRAINT cases_once UNIQUE (delivery_id, kind);

ALTER TABLE ONLY public.cases
    ADD CONSTRAINT cases_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.claims
    ADD CONSTRAINT claims_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.deliveries
    ADD CONSTRAINT deliveries_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.encryption_keys
    ADD CONSTRAINT encryption_keys_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.feed_origin
    ADD CONSTRAINT feed_origin_pkey PRIMARY KEY (one);

ALTER TABLE ONLY public.flags
    ADD CONSTRAINT flags_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.goods_codes
    ADD CONSTRAINT goods_codes_bad_key UNIQUE (bad_of);

ALTER TABLE ONLY public.goods_codes
    ADD CONSTRAINT goods_codes_fingerprint_key UNIQUE (fingerprint);

ALTER TABLE ONLY public.goods_codes
    ADD CONSTRAINT goods_codes_order_key UNIQUE (order_id);

ALTER TABLE ONLY public.goods_codes
    ADD CONSTRAINT goods_codes_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.goods
    ADD CONSTRAINT goods_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.idempotency
    ADD CONSTRAINT idempotency_pkey PRIMARY KEY (account_id, key);

ALTER TABLE ONLY public.invitation_batches
    ADD CONSTRAINT invitation_batches_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.invitations
    ADD CONSTRAINT invitations_hash_key UNIQUE (hash);

ALTER TABLE ONLY public.invitations
    ADD CONSTRAINT invitations_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.ledger_days
    ADD CONSTRAINT ledger_days_pkey PRIMARY KEY (day);

ALTER TABLE ONLY public.logins
    ADD CONSTRAINT logins_pkey PRIMARY KEY (account_id);

ALTER TABLE ONLY public.mail_links
    ADD CONSTRAINT mail_links_pkey PRIMARY KEY (hash);

ALTER TABLE ONLY public.mails
    ADD CONSTRAINT mails_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.messages
    ADD CONSTRAINT messages_number_key UNIQUE (task_id, number);

ALTER TABLE ONLY public.messages
    ADD CONSTRAINT messages_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.new_outcomes
    ADD CONSTRAINT new_outcomes_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.outcomes
    ADD CONSTRAINT outcomes_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.passkey_challenges
    ADD CONSTRAINT passkey_challenges_pkey PRIMARY KEY (hash);

ALTER TABLE ONLY public.passkeys
    ADD CONSTRAINT passkeys_credential UNIQUE (credential_id);

ALTER TABLE ONLY public.passkeys
    ADD CONSTRAINT passkeys_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.payouts
    ADD CONSTRAINT payouts_delivery_key UNIQUE (delivery_id);

ALTER TABLE ONLY public.payouts
    ADD CONSTRAINT payouts_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.protected_revisions
    ADD CONSTRAINT protected_revisions_pkey PRIMARY KEY (task_id, revision);

ALTER TABLE ONLY public.recovery_codes
    ADD CONSTRAINT recovery_codes_pkey PRIMARY KEY (account_id, hash);

ALTER TABLE ONLY public.recovery_grants
    ADD CONSTRAINT recovery_grants_hash UNIQUE (hash);

ALTER TABLE ONLY public.recovery_grants
    ADD CONSTRAINT recovery_grants_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.redemptions
    ADD CONSTRAINT redemptions_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.registration_turns
    ADD CONSTRAINT registration_turns_pkey PRIMARY KEY (network);

ALTER TABLE ONLY public.report_decisions
    ADD CONSTRAINT report_decisions_pkey PRIMARY KEY (report_id);

ALTER TABLE ONLY public.reputation_days
    ADD CONSTRAINT reputation_days_pkey PRIMARY KEY (role, skill, day, account_id);

ALTER TABLE ONLY public.reputations
    ADD CONSTRAINT reputations_pkey PRIMARY KEY (account_id, role, skill);

ALTER TABLE ONLY public.schema_migrations
    ADD CONSTRAINT schema_migrations_pkey PRIMARY KEY (version);

ALTER TABLE ONLY public.second_factors
    ADD CONSTRAINT second_factors_pkey PRIMARY KEY (account_id);

ALTER TABLE ONLY public.secret_events
    ADD CONSTRAINT secret_events_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.secret_requests
    ADD CONSTRAINT secret_requests_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.security_log
    ADD CONSTRAINT security_log_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.sessions
    ADD CONSTRAINT sessions_pkey PRIMARY KEY (token);

ALTER TABLE ONLY public.task_events
    ADD CONSTRAINT task_events_pkey PRIMARY KEY (task_id, version);

ALTER TABLE ONLY public.task_reports
    ADD CONSTRAINT task_reports_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.task_secrets
    ADD CONSTRAINT task_secrets_pkey PRIMARY KEY (task_id);

ALTER TABLE ONLY public.task_skills
    ADD CONSTRAINT task_skills_pkey PRIMARY KEY (task_id, skill);

ALTER TABLE ONLY public.tasks
    ADD CONSTRAINT tasks_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.thread_reads
    ADD CONSTRAINT thread_reads_pkey PRIMARY KEY (task_id, account_id);

ALTER TABLE ONLY public.transfers
    ADD CONSTRAINT transfers_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.turns
    ADD CONSTRAINT turns_pkey PRIMARY KEY (name);

ALTER TABLE ONLY public.uploads
    ADD CONSTRAINT uploads_pkey PRIMARY KEY (account_id, sha256);

ALTER TABLE ONLY public.voucher_batches
    ADD CONSTRAINT voucher_batches_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.vouchers
    ADD CONSTRAINT vouchers_hash_key UNIQUE (hash);

ALTER TABLE ONLY public.vouchers
    ADD CONSTRAINT vouchers_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.wallets
    ADD CONSTRAINT wallets_pkey PRIMARY KEY (account_id);

ALTER TABLE ONLY public.webhook_deliveries
    ADD CONSTRAINT webhook_deliveries_once UNIQUE (webhook_id, event_id);

ALTER TABLE ONLY public.webhook_deliveries
    ADD CONSTRAINT webhook_deliveries_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.webhooks
    ADD CONSTRAINT webhooks_pkey PRIMARY KEY (id);

CREATE INDEX account_events_feed ON public.account_events USING btree (account_id, xid, id);

CREATE INDEX account_sessions_account ON public.account_sessions USING btree (account_id, seen_at);

CREATE INDEX account_sessions_seen ON public.account_sessions USING btree (seen_at);

CREATE INDEX accounts_from_old ON public.accounts USING btree (id) WHERE (registered_from IS NOT NULL);

CREATE INDEX accounts_handle_prefix ON public.accounts USING btree (handle text_pattern_ops);

CREATE INDEX accounts_held ON public.accounts USING btree (held_until) WHERE (held_until IS NOT NULL);

CREATE INDEX accounts_referred ON public.accounts USING btree (referred_by, id) WHERE (referred_by IS NOT NULL);

CREATE INDEX accounts_registered_from ON public.accounts USING btree (registered_from, id) WHERE (registered_from IS NOT NULL);

CREATE INDEX accounts_state ON public.accounts USING btree (state, id) WHERE (state <> 'active'::text);

CREATE INDEX accounts_verified ON public.accounts USING btree (id) WHERE ((verified_at IS NOT NULL) AND (established_at IS NULL));

CREATE INDEX admin_actions_action ON public.admin_actions USING btree (action, id);

CREATE INDEX admin_actions_actor ON public.admin_actions USING btree (actor_id, id);

CREATE INDEX admin_actions_subject ON public.admin_actions USING btree (subject_id, id);

CREATE INDEX api_keys_account ON public.api_keys USING btree (account_id);

CREATE INDEX attachments_blob ON public.attachments USING btree (sha256);

CREATE INDEX attachments_task ON public.attachments USING btree (task_id);

CREATE INDEX bind_codes_expires ON public.bind_codes USING btree (expires_at);

CREATE UNIQUE INDEX bind_codes_live ON public.bind_codes USING btree (agent_id) WHERE ((replaced_at IS NULL) AND (binding_id IS NULL));

CREATE INDEX bindings_agent ON public.bindings USING btree (agent_id, party_until);

CREATE INDEX bindings_human ON public.bindings USING btree (human_id, id);

CREATE UNIQUE INDEX bindings_live ON public.bindings USING btree (agent_id) WHERE (ended_at IS NULL);

CREATE INDEX bundle_actions_bundle ON public.bundle_actions USING btree (bundle_id, id);

CREATE INDEX bundles_account ON public.bundles USING btree (account_id, id);

CREATE INDEX bundles_agent ON public.bundles USING btree (agent_id, party_until) WHERE (agent_id IS NOT NULL);

CREATE INDEX cases_open ON public.cases USING btree (due_at, id) WHERE (closed_at IS NULL);

CREATE INDEX cases_task ON public.cases USING btree (task_id);

CREATE INDEX claims_abandoned ON public.claims USING btree (worker_id, ended_at) WHERE (outcome = 'expired'::text);

CREATE INDEX claims_held ON public.claims USING btree (worker_id, expires_at) WHERE (ended_at IS NULL);

CREATE UNIQUE INDEX claims_live ON public.claims USING btree (task_id) WHERE (ended_at IS NULL);

CREATE INDEX claims_worker ON public.claims USING btree (worker_id, task_id);

CREATE UNIQUE INDEX deliveries_accepted ON public.deliveries USING btree (task_id) WHERE ((state = 'accepted'::text) AND (claim_id IS NOT NULL));

CREATE INDEX deliveries_identical ON public.deliveries USING btree (task_id, output_hash, created_at, id) WHERE ((claim_id IS NULL) AND (output_hash IS NOT NULL));

CREATE INDEX deliveries_live ON public.deliveries USING btree (task_id, due_at) INCLUDE (id, worker_id, state, in_case) WHERE (due_at IS NOT NULL);

CREATE UNIQUE INDEX deliveries_pending ON public.deliveries USING btree (task_id) WHERE ((state = 'pending'::text) AND (claim_id IS NOT NULL));

CREATE UNIQUE INDEX deliveries_pending_open ON public.deliveries USING btree (task_id, worker_id) WHERE ((state = 'pending'::text) AND (claim_id IS NULL));

CREATE INDEX deliveries_rejected ON public.deliveries USING btree (task_id) WHERE (state = 'rejected'::text);

CREATE INDEX deliveries_task ON public.deliveries USING btree (task_id, id);

CREATE INDEX deliveries_worker ON public.deliveries USING btree (worker_id, task_id);

CREATE UNIQUE INDEX encryption_keys_live ON public.encryption_keys USING btree (account_id) WHERE ((confirmed_at IS NOT NULL) AND (replaced_at IS NULL));

CREATE UNIQUE INDEX encryption_keys_new ON public.encryption_keys USING btree (account_id) WHERE (confirmed_at IS NULL);

CREATE INDEX flags_account ON public.flags USING btree (account_id, id);

CREATE INDEX flags_decided_at ON public.flags USING btree (decided_at, id) WHERE (outcome IS NOT NULL);

CREATE UNIQUE INDEX flags_live ON public.flags USING btree (account_id, kind) WHERE ((outcome IS NULL) OR (outcome = ANY (ARRAY['extended'::text, 'frozen'::text])));

CREATE INDEX flags_open ON public.flags USING btree (id) WHERE (outcome IS NULL);

CREATE INDEX goods_codes_free ON public.goods_codes USING btree (good_id, expires_at, id) WHERE ((order_id IS NULL) AND (bad_of IS NULL) AND (withdrawn_at IS NULL));

CREATE INDEX goods_codes_keys ON public.goods_codes USING btree (key_id, id);

CREATE INDEX idempotency_created ON public.idempotency USING btree (created_at);

CREATE INDEX invitations_batch ON public.invitations USING btree (batch_id);

CREATE UNIQUE INDEX logins_email_key ON public.logins USING btree (lower(email));

CREATE INDEX logins_email_prefix ON public.logins USING btree (lower(email) text_pattern_ops);

CREATE INDEX mail_links_account ON public.mail_links USING btree (account_id);

CREATE INDEX mail_links_expires ON public.mail_links USING btree (expires_at);

CREATE INDEX mails_next ON public.mails USING btree (next_at) WHERE (failed_at IS NULL);

CREATE UNIQUE INDEX messages_clarification ON public.messages USING btree (task_id, author_id) WHERE clarification;

CREATE INDEX outcomes_account ON public.outcomes USING btree (account_id, role, at);

CREATE INDEX outcomes_answers ON public.outcomes USING btree (account_id, at, id) WHERE (minutes IS NOT NULL);

CREATE INDEX passkey_challenges_expires ON public.passkey_challenges USING btree (expires_at);

CREATE INDEX passkeys_account ON public.passkeys USING btree (account_id, id);

CREATE INDEX payouts_due ON public.payouts USING btree (available_at) WHERE (state = 'pending'::text);

CREATE INDEX payouts_pending ON public.payouts USING btree (account_id) WHERE (state = 'pending'::text);

CREATE INDEX payouts_reversed ON public.payouts USING btree (account_id) WHERE (state = 'reversed'::text);

CREATE UNIQUE INDEX protected_revisions_current ON public.protected_revisions USING btree (task_id) WHERE (ciphertext IS NOT NULL);

CREATE UNIQUE INDEX recovery_grants_live ON public.recovery_grants USING btree (binding_id) WHERE ((used_at IS NULL) AND (revoked_at IS NULL));

CREATE INDEX redemptions_account ON public.redemptions USING btree (account_id, id);

CREATE INDEX redemptions_disputes ON public.redemptions USING btree (id) WHERE ((disputed_at IS NOT NULL) AND (remedy IS NULL));

CREATE INDEX redemptions_pending ON public.redemptions USING btree (id) WHERE (state = 'pending_review'::text);

CREATE INDEX redemptions_recent ON public.redemptions USING btree (account_id, created_at);

CREATE INDEX registration_turns_whole ON public.registration_turns USING btree (whole_at);

CREATE INDEX report_decisions_at ON public.report_decisions USING btree (at, report_id);

CREATE INDEX reputations_board ON public.reputations USING btree (role, skill, score DESC, accepted DESC, credits DESC, account_id) WHERE (score IS NOT NULL);

CREATE INDEX second_factors_key ON public.second_factors USING btree (key_id);

CREATE INDEX secret_events_request ON public.secret_events USING btree (request_id, id) WHERE (event = 'granted'::text);

CREATE INDEX secret_events_task ON public.secret_events USING btree (task_id, id);

CREATE INDEX secret_requests_key ON public.secret_requests USING btree (key_id) WHERE (state <> ALL (ARRAY['stale'::text, 'ended'::text]));

CREATE UNIQUE INDEX secret_requests_live ON public.secret_requests USING btree (claim_id) WHERE (state <> ALL (ARRAY['stale'::text, 'ended'::text]));

CREATE INDEX secret_requests_task ON public.secret_requests USING btree (task_id, id);

CREATE INDEX secret_requests_worker ON public.secret_requests USING btree (worker_id, task_id);

CREATE INDEX security_log_account ON public.security_log USING btree (account_id, id);

CREATE INDEX sessions_expiry ON public.sessions USING btree (expiry);

CREATE UNIQUE INDEX task_reports_once ON public.task_reports USING btree (task_id, reporter_id, COALESCE(message_id, task_id)) WHERE (state = 'open'::text);

CREATE INDEX task_reports_open ON public.task_reports USING btree (id) WHERE (state = 'open'::text);

CREATE INDEX task_reports_task ON public.task_reports USING btree (task_id, id);

CREATE INDEX task_skills_deadline ON public.task_skills USING btree (skill, deadline, task_id);

CREATE INDEX task_skills_newest ON public.task_skills USING btree (skill, task_id);

CREATE INDEX task_skills_reward ON public.task_skills USING btree (skill, reward, task_id);

CREATE INDEX tasks_bundle ON public.tasks USING btree (bundle_id) WHERE (bundle_id IS NOT NULL);

CREATE INDEX tasks_due ON public.tasks USING btree (due_at) WHERE (due_at IS NOT NULL);

CREATE UNIQUE INDEX tasks_evergreen_open ON public.tasks USING btree (evergreen) WHERE (evergreen AND (state = 'open'::text));

CREATE INDEX tasks_holding ON public.tasks USING btree (publisher_id, id) INCLUDE (escrow_granted, escrow_earned) WHERE (due_at IS NOT NULL);

CREATE INDEX tasks_open_deadline ON public.tasks USING btree (deadline, id) WHERE (state = 'open'::text);

CREATE INDEX tasks_open_newest ON public.tasks USING btree (id) WHERE (state = 'open'::text);

CREATE INDEX tasks_open_reward ON public.tasks USING btree (reward, id) WHERE (state = 'open'::text);

CREATE INDEX tasks_open_search ON public.tasks USING gin (search) WHERE (state = 'open'::text);

CREATE INDEX tasks_open_title ON public.tasks USING gin (title public.gin_trgm_ops) WHERE (state = 'open'::text);

CREATE INDEX tasks_protected ON public.tasks USING btree (id) WHERE ((protected IS NOT NULL) AND (state = 'open'::text));

CREATE INDEX tasks_publisher ON public.tasks USING btree (publisher_id, id);

CREATE INDEX tasks_sealed ON public.tasks USING btree (publisher_id, id) WHERE (protected IS NOT NULL);

CREATE INDEX transfers_account ON public.transfers USING btree (account_id, id);

CREATE INDEX transfers_account_kind ON public.transfers USING btree (account_id, kind, id);

CREATE INDEX transfers_at ON public.transfers USING brin (at);

CREATE UNIQUE INDEX transfers_onboarding ON public.transfers USING btree (account_id) WHERE (kind = 'onboarding'::text);

CREATE UNIQUE INDEX transfers_redeem ON public.transfers USING btree (order_id, kind) WHERE (order_id IS NOT NULL);

CREATE UNIQUE INDEX transfers_referral ON public.transfers USING btree (counterparty_id) WHERE (kind = 'referral'::text);

CREATE INDEX transfers_reversed ON public.transfers USING btree (counterparty_id, id) WHERE (kind = 'reversal'::text);

CREATE INDEX turns_whole ON public.turns USING btree (whole_at);

CREATE INDEX uploads_blob ON public.uploads USING btree (sha256);

CREATE INDEX uploads_unused ON public.uploads USING btree (created_at) WHERE (NOT used);

CREATE INDEX vouchers_batch ON public.vouchers USING btree (batch_id);

CREATE INDEX webhook_deliveries_due ON public.webhook_deliveries USING btree (next_at) WHERE (next_at IS NOT NULL);

CREATE INDEX webhook_deliveries_log ON public.webhook_deliveries USING btree (webhook_id, id);

CREATE INDEX webhooks_account ON public.webhooks USING btree (account_id);

CREATE INDEX webhooks_made_by ON public.webhooks USING btree (made_by) WHERE (made_by IS NOT NULL);

CREATE TRIGGER admin_actions_append_only BEFORE DELETE OR UPDATE OR TRUNCATE ON public.admin_actions FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_change();

CREATE TRIGGER bundle_actions_append_only BEFORE DELETE OR UPDATE OR TRUNCATE ON public.bundle_actions FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_change();

CREATE TRIGGER ledger_days_append_only BEFORE DELETE OR UPDATE OR TRUNCATE ON public.ledger_days FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_change();

CREATE TRIGGER messages_append_only BEFORE DELETE OR UPDATE OR TRUNCATE ON public.messages FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_change();

CREATE TRIGGER outcomes_append_only BEFORE DELETE OR UPDATE OR TRUNCATE ON public.outcomes FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_change();

CREATE TRIGGER report_decisions_append_only BEFORE DELETE OR UPDATE OR TRUNCATE ON public.report_decisions FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_change();

CREATE TRIGGER secret_events_append_only BEFORE DELETE OR UPDATE OR TRUNCATE ON public.secret_events FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_change();

CREATE TRIGGER task_events_append_only BEFORE DELETE OR UPDATE OR TRUNCATE ON public.task_events FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_change();

CREATE TRIGGER transfers_append_only BEFORE DELETE OR UPDATE OR TRUNCATE ON public.transfers FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_change();

CREATE TRIGGER transfers_mark BEFORE INSERT ON public.transfers FOR EACH ROW EXECUTE FUNCTION public.mark_transfer();

ALTER TABLE ONLY public.account_events
    ADD CONSTRAINT account_events_account_fkey FOREIGN KEY (account_id) REFERENCES public.accounts(id);

ALTER TABLE ONLY public.account_events
    ADD CONSTRAINT account_events_task_fkey FOREIGN KEY (task_id) REFERENCES public.tasks(id);

ALTER TABLE ONLY public.account_sessions
    ADD CONSTRAINT account_sessions_account_fkey FOREIGN KEY (account_id) REFERENCES public.logins(account_id);

ALTER TABLE ONLY public.accounts
    ADD CONSTRAINT accounts_invitation_fkey FOREIGN KEY (invitation_id) REFERENCES public.invitations(id);

ALTER TABLE ONLY public.accounts
    ADD CONSTRAINT accounts_referred_by_fkey FOREIGN KEY (referred_by) REFERENCES public.accounts(id);

ALTER TABLE ONLY public.admin_actions
    ADD CONSTRAINT admin_actions_actor_fkey FOREIGN KEY (actor_id) REFERENCES public.accounts(id);

ALTER TABLE ONLY public.api_keys
    ADD CONSTRAINT api_keys_account_fkey FOREIGN KEY (account_id) REFERENCES public.accounts(id);

ALTER TABLE ONLY public.api_keys
    ADD CONSTRAINT api_keys_bundle_fkey FOREIGN KEY (bundle_id) REFERENCES public.bundles(id);

ALTER TABLE ONLY public.api_keys
    ADD CONSTRAINT api_keys_replaces_fkey FOREIGN KEY (replaces) REFERENCES public.api_keys(id);

ALTER TABLE ONLY public.attachments
    ADD CONSTRAINT attachments_blob_fkey FOREIGN KEY (sha256) REFERENCES public.blobs(sha256);

ALTER TABLE ONLY public.attachments
    ADD CONSTRAINT attachments_delivery_fkey FOREIGN KEY (delivery_id) REFERENCES public.deliveries(id);

ALTER TABLE ONLY public.attachments
    ADD CONSTRAINT attachments_task_fkey FOREIGN KEY (task_id) REFERENCES public.tasks(id);

ALTER TABLE ONLY public.bind_codes
    ADD CONSTRAINT bind_codes_agent_fkey FOREIGN KEY (agent_id) REFERENCES public.accounts(id);

ALTER TABLE ONLY public.bind_codes
    ADD CONSTRAINT bind_codes_binding_fkey FOREIGN KEY (binding_id) REFERENCES public.bindings(id);

ALTER TABLE ONLY public.bind_codes
    ADD CONSTRAINT bind_codes_key_fkey FOREIGN KEY (key_id) REFERENCES public.api_keys(id);

ALTER TABLE ONLY public.bindings
    ADD CONSTRAINT bindings_agent_fkey FOREIGN KEY (agent_id) REFERENCES public.accounts(id);

ALTER TABLE ONLY public.bindings
    ADD CONSTRAINT bindings_ender_fkey FOREIGN KEY (ended_by) REFERENCES public.accounts(id);

ALTER TABLE ONLY public.bindings
    ADD CONSTRAINT bindings_human_fkey FOREIGN KEY (human_id) REFERENCES public.accounts(id);

ALTER TABLE ONLY public.bundle_actions
    ADD CONSTRAINT bundle_actions_bundle_fkey FOREIGN KEY (bundle_id) REFERENCES public.bundles(id);

ALTER TABLE ONLY public.bundle_actions
    ADD CONSTRAINT bundle_actions_task_fkey FOREIGN KEY (task_id) REFERENCES public.tasks(id);

ALTER TABLE ONLY public.bundles
    ADD CONSTRAINT bundles_account_fkey FOREIGN KEY (account_id) REFERENCES public.accounts(id);

ALTER TABLE ONLY public.bundles
    ADD CONSTRAINT bundles_agent_fkey FOREIGN KEY (agent_id) REFERENCES public.accounts(id);

ALTER TABLE ONLY public.cases
    ADD CONSTRAINT cases_decided_by_fkey FOREIGN KEY (decided_by) REFERENCES public.accounts(id);

ALTER TABLE ONLY public.cases
    ADD CONSTRAINT cases_delivery_fkey FOREIGN KEY (delivery_id) REFERENCES public.deliveries(id);

ALTER TABLE ONLY public.cases
    ADD CONSTRAINT cases_opened_by_fkey FOREIGN KEY (opened_by) REFERENCES public.accounts(id);

ALTER TABLE ONLY public.cases
    ADD CONSTRAINT cases_task_fkey FOREIGN KEY (task_id) REFERENCES public.tasks(id);

ALTER TABLE ONLY public.claims
    ADD CONSTRAINT claims_task_fkey FOREIGN KEY (task_id) REFERENCES public.tasks(id);

ALTER TABLE ONLY public.claims
    ADD CONSTRAINT claims_worker_fkey FOREIGN KEY (worker_id) REFERENCES public.accounts(id);

ALTER TABLE ONLY public.deliveries
    ADD CONSTRAINT deliveries_claim_fkey FOREIGN KEY (claim_id) REFERENCES public.claims(id);

ALTER TABLE ONLY public.deliveries
    ADD CONSTRAINT deliveries_task_fkey FOREIGN KEY (task_id) REFERENCES public.tasks(id);

ALTER TABLE ONLY public.deliveries
    ADD CONSTRAINT deliveries_worker_fkey FOREIGN KEY (worker_id) REFERENCES public.accounts(id);

ALTER TABLE ONLY public.encryption_keys
    ADD CONSTRAINT encryption_keys_account_fkey FOREIGN KEY (account_id) REFERENCES public.accounts(id);

ALTER TABLE ONLY public.flags
    ADD CONSTRAINT flags_account_fkey FOREIGN KEY (account_id) REFERENCES public.accounts(id);

ALTER TABLE ONLY public.flags
    ADD CONSTRAINT flags_decided_by_fkey FOREIGN KEY (decided_by) REFERENCES public.accounts(id);

ALTER TABLE ONLY public.flags
    ADD CONSTRAINT flags_raised_by_fkey FOREIGN KEY (raised_by) REFERENCES public.accounts(id);

ALTER TABLE ONLY public.goods_codes
    ADD CONSTRAINT goods_codes_bad_fkey FOREIGN KEY (bad_of) REFERENCES public.redemptions(id);

ALTER TABLE ONLY public.goods_codes
    ADD CONSTRAINT goods_codes_good_fkey FOREIGN KEY (good_id) REFERENCES public.goods(id);

ALTER TABLE ONLY public.goods_codes
    ADD CONSTRAINT goods_codes_order_fkey FOREIGN KEY (order_id) REFERENCES public.redemptions(id);

ALTER TABLE ONLY public.invitation_batches
    ADD CONSTRAINT invitation_batches_creator_fkey FOREIGN KEY (created_by) REFERENCES public.accounts(id);

ALTER TABLE ONLY public.invitation_batches
    ADD CONSTRAINT invitation_batches_revoker_fkey FOREIGN KEY (revoked_by) REFERENCES public.accounts(id);

ALTER TABLE ONLY public.invitations
    ADD CONSTRAINT invitations_batch_fkey FOREIGN KEY (batch_id) REFERENCES public.invitation_batches(id);

ALTER TABLE ONLY public.logins
    ADD CONSTRAINT logins_account_fkey FOREIGN KEY (account_id) REFERENCES public.accounts(id);

ALTER TABLE ONLY public.mail_links
    ADD CONSTRAINT mail_links_account_fkey FOREIGN KEY (account_id) REFERENCES public.logins(account_id);

ALTER TABLE ONLY public.mails
    ADD CONSTRAINT mails_account_fkey FOREIGN KEY (account_id) REFERENCES public.logins(account_id);

ALTER TABLE ONLY public.messages
    ADD CONSTRAINT messages_author_fkey FOREIGN KEY (author_id) REFERENCES public.accounts(id);

ALTER TABLE ONLY public.messages
    ADD CONSTRAINT messages_task_fkey FOREIGN KEY (task_id) REFERENCES public.tasks(id);

ALTER TABLE ONLY public.passkeys
    ADD CONSTRAINT passkeys_account_fkey FOREIGN KEY (account_id) REFERENCES public.logins(account_id);

ALTER TABLE ONLY public.payouts
    ADD CONSTRAINT payouts_account_fkey FOREIGN KEY (account_id) REFERENCES public.accounts(id);

ALTER TABLE ONLY public.payouts
    ADD CONSTRAINT payouts_delivery_fkey FOREIGN KEY (delivery_id) REFERENCES public.deliveries(id);

ALTER TABLE ONLY public.payouts
    ADD CONSTRAINT payouts_task_fkey FOREIGN KEY (task_id) REFERENCES public.tasks(id);

ALTER TABLE ONLY public.protected_revisions
    ADD CONSTRAINT protected_revisions_task_fkey FOREIGN KEY (task_id) REFERENCES public.tasks(id);

ALTER TABLE ONLY public.recovery_codes
    ADD CONSTRAINT recovery_codes_account_fkey FOREIGN KEY (account_id) REFERENCES public.second_factors(account_id) ON DELETE CASCADE;

ALTER TABLE ONLY public.recovery_grants
    ADD CONSTRAINT recovery_grants_binding_fkey FOREIGN KEY (binding_id) REFERENCES public.bindings(id);

ALTER TABLE ONLY public.redemptions
    ADD CONSTRAINT redemptions_account_fkey FOREIGN KEY (account_id) REFERENCES public.accounts(id);

ALTER TABLE ONLY public.redemptions
    ADD CONSTRAINT redemptions_decider_fkey FOREIGN KEY (decided_by) REFERENCES public.accounts(id);

ALTER TABLE ONLY public.redemptions
    ADD CONSTRAINT redemptions_good_fkey FOREIGN KEY (good_id) REFERENCES public.goods(id);

ALTER TABLE ONLY public.redemptions
    ADD CONSTRAINT redemptions_settler_fkey FOREIGN KEY (settled_by) REFERENCES public.accounts(id);

ALTER TABLE ONLY public.report_decisions
    ADD CONSTRAINT report_decisions_operator_fkey FOREIGN KEY (operator_id) REFERENCES public.accounts(id);

ALTER TABLE ONLY public.report_decisions
    ADD CONSTRAINT report_decisions_report_fkey FOREIGN KEY (report_id) REFERENCES public.task_reports(id);

ALTER TABLE ONLY public.reputations
    ADD CONSTRAINT reputations_account_fkey FOREIGN KEY (account_id) REFERENCES public.accounts(id);

ALTER TABLE ONLY public.second_factors
    ADD CONSTRAINT second_factors_account_fkey FOREIGN KEY (account_id) REFERENCES public.logins(account_id);

ALTER TABLE ONLY public.secret_events
    ADD CONSTRAINT secret_events_actor_fkey FOREIGN KEY (actor_id) REFERENCES public.accounts(id);

ALTER TABLE ONLY public.secret_events
    ADD CONSTRAINT secret_events_key_fkey FOREIGN KEY (key_id) REFERENCES public.api_keys(id);

ALTER TABLE ONLY public.secret_events
    ADD CONSTRAINT secret_events_request_fkey FOREIGN KEY (request_id) REFERENCES public.secret_requests(id);

ALTER TABLE ONLY public.secret_events
    ADD CONSTRAINT secret_events_task_fkey FOREIGN KEY (task_id) REFERENCES public.tasks(id);

ALTER TABLE ONLY public.secret_requests
    ADD CONSTRAINT secret_requests_claim_fkey FOREIGN KEY (claim_id) REFERENCES public.claims(id);

ALTER TABLE ONLY public.secret_requests
    ADD CONSTRAINT secret_requests_key_fkey FOREIGN KEY (key_id) REFERENCES public.encryption_keys(id);

ALTER TABLE ONLY public.secret_requests
    ADD CONSTRAINT secret_requests_task_fkey FOREIGN KEY (task_id) REFERENCES public.tasks(id);

ALTER TABLE ONLY public.secret_requests
    ADD CONSTRAINT secret_requests_worker_fkey FOREIGN KEY (worker_id) REFERENCES public.accounts(id);

ALTER TABLE ONLY public.security_log
    ADD CONSTRAINT security_log_account_fkey FOREIGN KEY (account_id) REFERENCES public.logins(account_id);

ALTER TABLE ONLY public.task_reports
    ADD CONSTRAINT task_reports_message_fkey FOREIGN KEY (message_id) REFERENCES public.messages(id);

ALTER TABLE ONLY public.task_reports
    ADD CONSTRAINT task_reports_reporter_fkey FOREIGN KEY (reporter_id) REFERENCES public.accounts(id);

ALTER TABLE ONLY public.task_reports
    ADD CONSTRAINT task_reports_task_fkey FOREIGN KEY (task_id) REFERENCES public.tasks(id);

ALTER TABLE ONLY public.task_secrets
    ADD CONSTRAINT task_secrets_task_fkey FOREIGN KEY (task_id) REFERENCES public.tasks(id);

ALTER TABLE ONLY public.task_skills
    ADD CONSTRAINT task_skills_task_fkey FOREIGN KEY (task_id) REFERENCES public.tasks(id);

ALTER TABLE ONLY public.tasks
    ADD CONSTRAINT tasks_bundle_fkey FOREIGN KEY (bundle_id) REFERENCES public.bundles(id);

ALTER TABLE ONLY public.tasks
    ADD CONSTRAINT tasks_publisher_fkey FOREIGN KEY (publisher_id) REFERENCES public.accounts(id);

ALTER TABLE ONLY public.thread_reads
    ADD CONSTRAINT thread_reads_account_fkey FOREIGN KEY (account_id) REFERENCES public.accounts(id);

ALTER TABLE ONLY public.thread_reads
    ADD CONSTRAINT thread_reads_task_fkey FOREIGN KEY (task_id) REFERENCES public.tasks(id);

ALTER TABLE ONLY public.uploads
    ADD CONSTRAINT uploads_account_fkey FOREIGN KEY (account_id) REFERENCES public.accounts(id);

ALTER TABLE ONLY public.uploads
    ADD CONSTRAINT uploads_blob_fkey FOREIGN KEY (sha256) REFERENCES public.blobs(sha256);

ALTER TABLE ONLY public.voucher_batches
    ADD CONSTRAINT voucher_batches_creator_fkey FOREIGN KEY (created_by) REFERENCES public.accounts(id);

ALTER TABLE ONLY public.voucher_batches
    ADD CONSTRAINT voucher_batches_revoker_fkey FOREIGN KEY (revoked_by) REFERENCES public.accounts(id);

ALTER TABLE ONLY public.vouchers
    ADD CONSTRAINT vouchers_batch_fkey FOREIGN KEY (batch_id) REFERENCES public.voucher_batches(id);

ALTER TABLE ONLY public.vouchers
    ADD CONSTRAINT vouchers_redeemer_fkey FOREIGN KEY (redeemed_by) REFERENCES public.accounts(id);

ALTER TABLE ONLY public.wallets
    ADD CONSTRAINT wallets_account_fkey FOREIGN KEY (account_id) REFERENCES public.accounts(id);

ALTER TABLE ONLY public.webhook_deliveries
    ADD CONSTRAINT webhook_deliveries_webhook_fkey FOREIGN KEY (webhook_id) REFERENCES public.webhooks(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.webhooks
    ADD CONSTRAINT webhooks_account_fkey FOREIGN KEY (account_id) REFERENCES public.accounts(id);

ALTER TABLE ONLY public.webhooks
    ADD CONSTRAINT webhooks_bundle_fkey FOREIGN KEY (bundle_id) REFERENCES public.bundles(id);

ALTER TABLE ONLY public.webhooks
    ADD CONSTRAINT webhooks_made_by_fkey FOREIGN KEY (made_by) REFERENCES public.api_keys(id);

