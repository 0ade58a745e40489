-- Jobs: the parent that routes by queue name, the table most queues share, and who waits for whom.
-- Wants: queue.sql. Hole: {schema}, quoted.

CREATE TABLE {schema}.job (
    id                   uuid             NOT NULL DEFAULT gen_random_uuid(),
    name                 text             NOT NULL,
    priority             integer          NOT NULL DEFAULT 0,
    data                 jsonb,
    state                {schema}.job_state NOT NULL DEFAULT 'created',
    retry_limit          integer          NOT NULL DEFAULT 2,
    retry_count          integer          NOT NULL DEFAULT 0,
    retry_delay          integer          NOT NULL DEFAULT 0,
    retry_backoff        boolean          NOT NULL DEFAULT false,
    retry_delay_max      integer,
    expire_seconds       integer          NOT NULL DEFAULT 900,
    deletion_seconds     integer          NOT NULL DEFAULT 604800,
    singleton_key        text,
    -- The start of a throttle slot, in UTC and without saying so.
    singleton_on         timestamp,
    group_id             text,
    group_tier           text,
    start_after          timestamptz      NOT NULL DEFAULT now(),
    created_on           timestamptz      NOT NULL DEFAULT now(),
    started_on           timestamptz,
    completed_on         timestamptz,
    -- Fourteen days, spelt in seconds.
    keep_until           timestamptz      NOT NULL DEFAULT now() + interval '1209600',
    output               jsonb,
    dead_letter          text,
    -- A copy of the queue's policy; the partial unique indexes below read this one.
    policy               text,
    heartbeat_on         timestamptz,
    heartbeat_seconds    integer,
    blocked              boolean          NOT NULL DEFAULT false,
    blocking             boolean          NOT NULL DEFAULT false,
    pending_dependencies integer          NOT NULL DEFAULT 0,
    -- Where a dead letter came from.
    source_name          text,
    source_id            uuid,
    source_created_on    timestamptz,
    source_retry_count   integer,
    source_output        jsonb,
    source_root_id       uuid,
    trace_context        jsonb,
    upsert_by_key        boolean,
    CONSTRAINT job_pkey PRIMARY KEY (name, id)
) PARTITION BY LIST (name);

-- Constraints and indexes belong to each job table itself: the parent only has its key.
CREATE TABLE {schema}.job_common (
    LIKE {schema}.job INCLUDING DEFAULTS,
    CONSTRAINT job_common_pkey PRIMARY KEY (name, id),
    CONSTRAINT q_fkey FOREIGN KEY (name) REFERENCES {schema}.queue (name)
        ON DELETE RESTRICT DEFERRABLE INITIALLY DEFERRED,
    CONSTRAINT dlq_fkey FOREIGN KEY (dead_letter) REFERENCES {schema}.queue (name)
        ON DELETE RESTRICT DEFERRABLE INITIALLY DEFERRED,
    CONSTRAINT job_key_strict_fifo_singleton_key_check
        CHECK (NOT (policy = 'key_strict_fifo' AND singleton_key IS NULL))
);

-- One unique index per policy that promises something.
CREATE UNIQUE INDEX job_common_i1 ON {schema}.job_common (name, COALESCE(singleton_key, ''))
    WHERE state = 'created' AND policy = 'short';
CREATE UNIQUE INDEX job_common_i2 ON {schema}.job_common (name, COALESCE(singleton_key, ''))
    WHERE state = 'active' AND policy = 'singleton';
CREATE UNIQUE INDEX job_common_i3 ON {schema}.job_common (name, state, COALESCE(singleton_key, ''))
    WHERE state <= 'active' AND policy = 'stately';
CREATE UNIQUE INDEX job_common_i6 ON {schema}.job_common (name, COALESCE(singleton_key, ''))
    WHERE state <= 'active' AND policy = 'exclusive';
CREATE UNIQUE INDEX job_common_i8 ON {schema}.job_common (name, singleton_key)
    WHERE state IN ('active', 'retry', 'failed') AND policy = 'key_strict_fifo';

-- A throttle slot is taken once, and an upsert by key finds its one waiting job.
CREATE UNIQUE INDEX job_common_i4 ON {schema}.job_common (name, singleton_on, COALESCE(singleton_key, ''))
    WHERE state <> 'cancelled' AND singleton_on IS NOT NULL;
CREATE UNIQUE INDEX job_common_i13 ON {schema}.job_common (name, singleton_key)
    WHERE state = 'created' AND upsert_by_key;

-- Claims: the queue in its order, the heads of strict keys, the running jobs of a group.
CREATE INDEX job_common_i11 ON {schema}.job_common (name, priority DESC, created_on, start_after)
    WHERE state < 'active' AND NOT blocked;
CREATE INDEX job_common_i10 ON {schema}.job_common (name, singleton_key, state DESC, created_on, id)
    INCLUDE (start_after) WHERE state < 'active' AND NOT blocked AND policy = 'key_strict_fifo';
CREATE INDEX job_common_i7 ON {schema}.job_common (name, group_id)
    WHERE state = 'active' AND group_id IS NOT NULL;

-- Supervision and listings: finished parents, descendants of a dead letter, counts, pages, retention.
CREATE INDEX job_common_i9 ON {schema}.job_common (name, id) WHERE blocking AND state = 'completed';
CREATE INDEX job_common_i12 ON {schema}.job_common (source_root_id) WHERE source_root_id IS NOT NULL;
CREATE INDEX job_common_i14 ON {schema}.job_common (name, state, blocked, start_after)
    WHERE state IN ('created', 'retry', 'active', 'failed');
CREATE INDEX job_common_i15 ON {schema}.job_common (name, created_on);
CREATE INDEX job_common_i16 ON {schema}.job_common (name, completed_on) WHERE completed_on IS NOT NULL;
CREATE INDEX job_common_i17 ON {schema}.job_common (name, singleton_key, created_on)
    WHERE state < 'active' AND singleton_key IS NOT NULL;

ALTER TABLE {schema}.job ATTACH PARTITION {schema}.job_common DEFAULT;

-- Without foreign keys, since a job is deleted and inserted anew when it is retried.
CREATE TABLE {schema}.job_dependency (
    child_name  text NOT NULL,
    child_id    uuid NOT NULL,
    parent_name text NOT NULL,
    parent_id   uuid NOT NULL,
    CONSTRAINT job_dependency_pkey PRIMARY KEY (child_name, child_id, parent_name, parent_id)
);
CREATE INDEX job_dep_parent_idx ON {schema}.job_dependency (parent_name, parent_id);
