-- Takes the right to make this pass, if the last one is $1 (float8) seconds ago: whoever moves `cron_on` owns the interval.
-- Returns when the last one was, how many seconds ago, whether this one is ours, and the time by which it judges.
-- Locks the only row of `version` to the end of the transaction.
WITH prior AS (
    SELECT cron_on FROM {schema}.version
),
claimed AS (
    UPDATE {schema}.version SET cron_on = {now}
    WHERE date_part('epoch', {now} - COALESCE(cron_on, {now} - interval '1 week')) >= $1::float8
    RETURNING true
)
SELECT
    prior.cron_on,
    date_part('epoch', {now} - prior.cron_on)::float8 AS elapsed,
    EXISTS (SELECT FROM claimed) AS claimed,
    {now} AS now
FROM prior
