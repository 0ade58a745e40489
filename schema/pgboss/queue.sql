-- Queues, and what hangs on a queue: schedules and subscriptions.
-- Wants: clock.sql. Hole: {schema}, quoted.

CREATE TABLE {schema}.queue (
    name                 text        NOT NULL,
    policy               text        NOT NULL,
    -- What a job inherits that does not say otherwise.
    retry_limit          integer     NOT NULL,
    retry_delay          integer     NOT NULL,
    retry_backoff        boolean     NOT NULL,
    retry_delay_max      integer,
    expire_seconds       integer     NOT NULL,
    retention_seconds    integer     NOT NULL,
    deletion_seconds     integer     NOT NULL,
    dead_letter          text,
    -- Where its jobs live: a table of its own, or the shared one.
    partition            boolean     NOT NULL,
    table_name           text        NOT NULL,
    -- The counts of the last supervision pass, and how they moved since the pass before.
    deferred_count       integer     NOT NULL DEFAULT 0,
    blocked_count        integer     NOT NULL DEFAULT 0,
    queued_count         integer     NOT NULL DEFAULT 0,
    ready_count          integer     NOT NULL DEFAULT 0,
    warning_queued       integer     NOT NULL DEFAULT 0,
    active_count         integer     NOT NULL DEFAULT 0,
    failed_count         integer     NOT NULL DEFAULT 0,
    total_count          integer     NOT NULL DEFAULT 0,
    retained_count       integer,
    retained_on          timestamptz,
    created_delta        integer     NOT NULL DEFAULT 0,
    completed_delta      integer     NOT NULL DEFAULT 0,
    failed_delta         integer     NOT NULL DEFAULT 0,
    delta_on             timestamptz,
    delta_seconds        integer,
    wait_bins            integer[],
    run_bins             integer[],
    ready_oldest_seconds integer,
    ready_history        integer[]   NOT NULL DEFAULT '{}',
    heartbeat_seconds    integer,
    notify               boolean     NOT NULL DEFAULT false,
    singletons_active    text[],
    -- Who supervises writes the hour here, and the others leave the queue alone for an interval.
    monitor_claim_on     timestamptz,
    monitor_on           timestamptz,
    maintain_on          timestamptz,
    created_on           timestamptz NOT NULL DEFAULT now(),
    updated_on           timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT queue_pkey PRIMARY KEY (name),
    CONSTRAINT queue_dead_letter_fkey FOREIGN KEY (dead_letter) REFERENCES {schema}.queue (name),
    CONSTRAINT queue_check CHECK (dead_letter IS DISTINCT FROM name)
);

CREATE TABLE {schema}.schedule (
    name        text,
    key         text        NOT NULL DEFAULT '',
    kind        text        NOT NULL DEFAULT 'cron',
    cron        text        NOT NULL,
    timezone    text                 DEFAULT 'UTC',
    data        jsonb,
    options     jsonb,
    created_on  timestamptz NOT NULL DEFAULT now(),
    updated_on  timestamptz NOT NULL DEFAULT now(),
    last_job_id uuid,
    CONSTRAINT schedule_pkey PRIMARY KEY (name, key),
    CONSTRAINT schedule_name_fkey FOREIGN KEY (name) REFERENCES {schema}.queue (name) ON DELETE CASCADE,
    CONSTRAINT schedule_kind_check CHECK (kind IN ('cron', 'rrule'))
);

CREATE TABLE {schema}.subscription (
    event      text        NOT NULL,
    name       text        NOT NULL,
    created_on timestamptz NOT NULL DEFAULT now(),
    updated_on timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT subscription_pkey PRIMARY KEY (event, name),
    CONSTRAINT subscription_name_fkey FOREIGN KEY (name) REFERENCES {schema}.queue (name) ON DELETE CASCADE
);
