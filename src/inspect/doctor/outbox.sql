-- The outbox in the schema of the hole `{outbox}`: how many events wait, for how long the first of them (seconds), how many are
-- held as `processing` for more than half an hour, how many failed. Through the app's own index (status, created_at).
SELECT count(*) FILTER (WHERE o.status = 'pending') AS pending,
       EXTRACT(epoch FROM clock_timestamp() - min(o.created_at) FILTER (WHERE o.status = 'pending'))::float8 AS oldest,
       count(*) FILTER (WHERE o.status = 'processing' AND o.created_at < clock_timestamp() - interval '30 minutes') AS stranded,
       count(*) FILTER (WHERE o.status = 'failed') AS failed
FROM {outbox}.event_outbox o
WHERE o.status IN ('pending', 'processing', 'failed')
