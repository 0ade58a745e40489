-- What supervision writes down: interval claims, background builds, warnings, history, running instances.
-- Wants: clock.sql. Hole: {schema}, quoted.

-- One row: the number of the schema, and when each pass over the whole schema was last claimed.
CREATE TABLE {schema}.version (
    version            integer NOT NULL,
    cron_on            timestamptz,
    bam_on             timestamptz,
    flow_on            timestamptz,
    reindex_on         timestamptz,
    monitor_backoff_on timestamptz,
    CONSTRAINT version_pkey PRIMARY KEY (version)
);

-- Indexes that a migration leaves to be built while jobs keep running.
CREATE TABLE {schema}.bam (
    id           uuid        NOT NULL DEFAULT gen_random_uuid(),
    name         text        NOT NULL,
    version      integer     NOT NULL,
    status       text        NOT NULL DEFAULT 'pending',
    queue        text,
    table_name   text        NOT NULL,
    command      text        NOT NULL,
    error        text,
    created_on   timestamptz NOT NULL DEFAULT clock_timestamp(),
    started_on   timestamptz,
    completed_on timestamptz,
    CONSTRAINT bam_pkey PRIMARY KEY (id)
);

CREATE TABLE {schema}.warning (
    id         uuid        NOT NULL DEFAULT gen_random_uuid(),
    type       text        NOT NULL,
    message    text        NOT NULL,
    data       jsonb,
    created_on timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT warning_pkey PRIMARY KEY (id)
);
CREATE INDEX warning_i1 ON {schema}.warning (created_on DESC);

-- The counts of every queue over time, a partition per UTC day so that old days are dropped, not deleted.
CREATE TABLE {schema}.queue_stats (
    id                   uuid        NOT NULL DEFAULT gen_random_uuid(),
    name                 text        NOT NULL,
    deferred_count       integer     NOT NULL DEFAULT 0,
    queued_count         integer     NOT NULL DEFAULT 0,
    ready_count          integer     NOT NULL DEFAULT 0,
    active_count         integer     NOT NULL DEFAULT 0,
    failed_count         integer     NOT NULL DEFAULT 0,
    total_count          integer     NOT NULL DEFAULT 0,
    created_delta        integer,
    completed_delta      integer,
    failed_delta         integer,
    delta_seconds        integer,
    delta_on             timestamptz,
    wait_bins            integer[],
    run_bins             integer[],
    ready_oldest_seconds integer,
    captured_on          timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT queue_stats_pkey PRIMARY KEY (id, captured_on)
) PARTITION BY RANGE (captured_on);
CREATE INDEX queue_stats_i1 ON {schema}.queue_stats (name, captured_on DESC)
    INCLUDE (deferred_count, queued_count, ready_count, active_count, failed_count, total_count);

-- Today and tomorrow, so that statistics can be kept before the first maintenance pass adds days.
DO $days$
DECLARE
    midnight timestamp := date_trunc('day', {schema}.job_now() AT TIME ZONE 'UTC');
    day timestamp;
BEGIN
    FOREACH day IN ARRAY ARRAY[midnight, midnight + interval '1 day'] LOOP
        EXECUTE format(
            'CREATE TABLE {schema}.%I PARTITION OF {schema}.queue_stats FOR VALUES FROM (%L) TO (%L)',
            to_char(day, '"queue_stats_"YYYYMMDD'),
            day AT TIME ZONE 'UTC',
            (day + interval '1 day') AT TIME ZONE 'UTC'
        );
    END LOOP;
END
$days$;

-- Who is running on this schema, in its own words.
CREATE TABLE {schema}.instance (
    id                   uuid        NOT NULL,
    name                 text,
    host                 text        NOT NULL,
    pid                  integer     NOT NULL,
    version              text        NOT NULL,
    node_version         text        NOT NULL,
    application_name     text,
    heartbeat_seconds    integer     NOT NULL,
    supervise            boolean     NOT NULL,
    schedule             boolean     NOT NULL,
    migrate              boolean     NOT NULL,
    persist_queue_stats  boolean     NOT NULL,
    persist_warnings     boolean     NOT NULL,
    pool_max             integer,
    pool_total           integer,
    pool_idle            integer,
    pool_waiting         integer,
    workers              jsonb       NOT NULL DEFAULT '[]',
    metrics              jsonb,
    config               jsonb       NOT NULL DEFAULT '{}',
    crash_restarts       integer     NOT NULL DEFAULT 0,
    crash_restarts_since timestamptz,
    started_on           timestamptz NOT NULL DEFAULT now(),
    heartbeat_on         timestamptz NOT NULL DEFAULT now(),
    stopped_on           timestamptz,
    CONSTRAINT instance_pkey PRIMARY KEY (id)
);
