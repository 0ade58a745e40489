-- How many asynchronous migrations are in which state, and when the newest of each was queued. Takes no lock.
SELECT status, count(*)::int AS count, max(created_on) AS last_created_on
FROM {schema}.bam
GROUP BY status
ORDER BY status
