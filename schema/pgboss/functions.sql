-- The functions that Node's pg-boss calls by name, with the parameters it calls them with.
-- Wants: queue.sql, job.sql, upkeep.sql. Hole: {schema}, quoted.

-- Turns a statement written for the parent table `job` into the same statement for one job table: `.job` becomes
-- that table, and an index `job_iN` that table's own. A doubled per cent sign stands for one, as in format().
CREATE FUNCTION {schema}.job_table_format(command text, table_name text) RETURNS text
LANGUAGE sql IMMUTABLE
AS $body$
    SELECT replace(
        regexp_replace(
            regexp_replace($1, '\yjob_i(\d+)', $2 || '_i\1', 'g'),
            '\.job\y', '.' || quote_ident($2), 'g'),
        '%%', '%')
$body$;

-- Runs such a statement now: on the table of the queue named; else on the table named; else on every job table.
CREATE FUNCTION {schema}.job_table_run(command text, tbl_name text DEFAULT NULL, queue_name text DEFAULT NULL)
RETURNS void
LANGUAGE plpgsql
AS $body$
DECLARE
    targets text[];
    target text;
BEGIN
    IF queue_name IS NOT NULL THEN
        tbl_name := (SELECT q.table_name FROM {schema}.queue q WHERE q.name = queue_name);
    END IF;
    targets := CASE
        WHEN tbl_name IS NOT NULL THEN ARRAY[tbl_name]
        ELSE ARRAY['job_common'] || ARRAY(SELECT q.table_name FROM {schema}.queue q WHERE q.partition)
    END;
    -- Gathered first, so that no cursor on the queues is open while their tables are altered.
    FOREACH target IN ARRAY targets LOOP
        EXECUTE {schema}.job_table_format(command, target);
    END LOOP;
END
$body$;

-- Leaves such a statement in `bam`, a row per job table, for an instance that migrates to run later.
CREATE FUNCTION {schema}.job_table_run_async(
    command_name text, version integer, command text, tbl_name text DEFAULT NULL, queue_name text DEFAULT NULL)
RETURNS void
LANGUAGE plpgsql
AS $body$
BEGIN
    IF queue_name IS NOT NULL THEN
        tbl_name := (SELECT q.table_name FROM {schema}.queue q WHERE q.name = queue_name);
    END IF;
    INSERT INTO {schema}.bam (name, version, queue, table_name, command)
    SELECT command_name, version, t.queue, t.name, {schema}.job_table_format(command, t.name)
    FROM (
        SELECT queue_name AS queue, tbl_name AS name WHERE tbl_name IS NOT NULL
        UNION ALL
        SELECT NULL, 'job_common' WHERE tbl_name IS NULL
        UNION ALL
        SELECT q.name, q.table_name FROM {schema}.queue q WHERE q.partition AND tbl_name IS NULL
    ) t;
END
$body$;

-- Creates a queue, with a job table of its own if asked. A queue of that name that is already there stays as it is.
CREATE FUNCTION {schema}.create_queue(queue_name text, options jsonb) RETURNS void
LANGUAGE plpgsql
AS $body$
DECLARE
    own_table boolean := COALESCE((options ->> 'partition')::boolean, false);
    job_table text := 'job_common';
    command text;
    commands text[] := ARRAY[
        'ALTER TABLE {schema}.job ADD PRIMARY KEY (name, id)',
        'ALTER TABLE {schema}.job ADD CONSTRAINT q_fkey FOREIGN KEY (name) REFERENCES {schema}.queue (name)
            ON DELETE RESTRICT DEFERRABLE INITIALLY DEFERRED',
        'ALTER TABLE {schema}.job ADD CONSTRAINT dlq_fkey FOREIGN KEY (dead_letter) REFERENCES {schema}.queue (name)
            ON DELETE RESTRICT DEFERRABLE INITIALLY DEFERRED',
        $$CREATE UNIQUE INDEX job_i4 ON {schema}.job (name, singleton_on, COALESCE(singleton_key, ''))
            WHERE state <> 'cancelled' AND singleton_on IS NOT NULL$$,
        $$CREATE INDEX job_i7 ON {schema}.job (name, group_id) WHERE state = 'active' AND group_id IS NOT NULL$$,
        $$CREATE INDEX job_i9 ON {schema}.job (name, id) WHERE blocking AND state = 'completed'$$,
        $$CREATE INDEX job_i11 ON {schema}.job (name, priority DESC, created_on, start_after)
            WHERE state < 'active' AND NOT blocked$$,
        $$CREATE INDEX job_i12 ON {schema}.job (source_root_id) WHERE source_root_id IS NOT NULL$$,
        $$CREATE UNIQUE INDEX job_i13 ON {schema}.job (name, singleton_key)
            WHERE state = 'created' AND upsert_by_key$$,
        $$CREATE INDEX job_i14 ON {schema}.job (name, state, blocked, start_after)
            WHERE state IN ('created', 'retry', 'active', 'failed')$$,
        $$CREATE INDEX job_i15 ON {schema}.job (name, created_on)$$,
        $$CREATE INDEX job_i16 ON {schema}.job (name, completed_on) WHERE completed_on IS NOT NULL$$,
        $$CREATE INDEX job_i17 ON {schema}.job (name, singleton_key, created_on)
            WHERE state < 'active' AND singleton_key IS NOT NULL$$
    ];
BEGIN
    IF own_table THEN
        job_table := 'j' || encode(sha224(queue_name::bytea), 'hex');
    END IF;

    INSERT INTO {schema}.queue (
        name, policy, partition, table_name, dead_letter, notify, warning_queued, heartbeat_seconds,
        retry_limit, retry_delay, retry_backoff, retry_delay_max,
        expire_seconds, retention_seconds, deletion_seconds, created_on, updated_on)
    SELECT
        queue_name, options ->> 'policy', own_table, job_table, options ->> 'deadLetter',
        COALESCE((options ->> 'notify')::boolean, false),
        COALESCE((options ->> 'warningQueueSize')::integer, 0),
        (options ->> 'heartbeatSeconds')::integer,
        COALESCE((options ->> 'retryLimit')::integer, 2),
        COALESCE((options ->> 'retryDelay')::integer, 0),
        COALESCE((options ->> 'retryBackoff')::boolean, false),
        (options ->> 'retryDelayMax')::integer,
        COALESCE((options ->> 'expireInSeconds')::integer, 900),
        COALESCE((options ->> 'retentionSeconds')::integer, 1209600),
        COALESCE((options ->> 'deleteAfterSeconds')::integer, 604800),
        {schema}.job_now(), {schema}.job_now()
    ON CONFLICT DO NOTHING;
    IF NOT FOUND OR NOT own_table THEN
        RETURN;
    END IF;

    -- A table that serves one queue carries the index of that queue's policy and of no other.
    commands := commands || CASE options ->> 'policy'
        WHEN 'short' THEN ARRAY[
            $$CREATE UNIQUE INDEX job_i1 ON {schema}.job (name, COALESCE(singleton_key, ''))
                WHERE state = 'created' AND policy = 'short'$$]
        WHEN 'singleton' THEN ARRAY[
            $$CREATE UNIQUE INDEX job_i2 ON {schema}.job (name, COALESCE(singleton_key, ''))
                WHERE state = 'active' AND policy = 'singleton'$$]
        WHEN 'stately' THEN ARRAY[
            $$CREATE UNIQUE INDEX job_i3 ON {schema}.job (name, state, COALESCE(singleton_key, ''))
                WHERE state <= 'active' AND policy = 'stately'$$]
        WHEN 'exclusive' THEN ARRAY[
            $$CREATE UNIQUE INDEX job_i6 ON {schema}.job (name, COALESCE(singleton_key, ''))
                WHERE state <= 'active' AND policy = 'exclusive'$$]
        WHEN 'key_strict_fifo' THEN ARRAY[
            $$CREATE UNIQUE INDEX job_i8 ON {schema}.job (name, singleton_key)
                WHERE state IN ('active', 'retry', 'failed') AND policy = 'key_strict_fifo'$$,
            $$CREATE INDEX job_i10 ON {schema}.job (name, singleton_key, state DESC, created_on, id)
                INCLUDE (start_after) WHERE state < 'active' AND NOT blocked AND policy = 'key_strict_fifo'$$,
            $$ALTER TABLE {schema}.job ADD CONSTRAINT job_key_strict_fifo_singleton_key_check
                CHECK (NOT (policy = 'key_strict_fifo' AND singleton_key IS NULL))$$]
        ELSE ARRAY[]::text[]
    END;

    EXECUTE format('CREATE TABLE {schema}.%I (LIKE {schema}.job INCLUDING DEFAULTS)', job_table);
    FOREACH command IN ARRAY commands LOOP
        EXECUTE {schema}.job_table_format(command, job_table);
    END LOOP;
    -- The check lets the table be attached without being read.
    EXECUTE format('ALTER TABLE {schema}.%I ADD CONSTRAINT cjc CHECK (name = %L)', job_table, queue_name);
    EXECUTE format('ALTER TABLE {schema}.job ATTACH PARTITION {schema}.%I FOR VALUES IN (%L)', job_table, queue_name);
END
$body$;

-- Deletes a queue and its jobs. Another queue, or a job of one, that names it as dead letter forbids that.
CREATE FUNCTION {schema}.delete_queue(queue_name text) RETURNS void
LANGUAGE plpgsql
AS $body$
DECLARE
    doomed {schema}.queue;
BEGIN
    SELECT * INTO doomed FROM {schema}.queue q WHERE q.name = queue_name;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    IF doomed.partition THEN
        EXECUTE format('DROP TABLE IF EXISTS {schema}.%I', doomed.table_name);
    ELSE
        EXECUTE format('DELETE FROM {schema}.%I j WHERE j.name = $1', doomed.table_name) USING queue_name;
    END IF;
    DELETE FROM {schema}.queue q WHERE q.name = queue_name;
END
$body$;
