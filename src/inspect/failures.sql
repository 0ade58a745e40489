-- The last jobs of the queues $1 text[] whose attempt has failed, those to be tried again among them, latest attempt first;
-- $2 bigint in all. Of the output only the message, where that is text.
-- Takes no lock. With i14 (schema 46) the cost is bounded: of each queue and state the $2 that came due last, which of jobs
-- that were sent together and failed at once may be any; hence by i16 also those among its last 500 that have ended. Before,
-- the job tables are read, and the caller sets a time limit.
SELECT f.name, f.id, f.state::text AS state, f.retry_count, f.retry_limit, f.started_on
  , left(CASE WHEN jsonb_typeof(f.output -> 'message') = 'string' THEN f.output ->> 'message'
      WHEN jsonb_typeof(f.output -> 'value') = 'string' THEN f.output ->> 'value' ELSE '' END, 500) AS message
FROM (
  SELECT DISTINCT ON (j.started_on, j.id) j.* FROM unnest($1::text[]) AS q (name) --? live_index
  CROSS JOIN LATERAL (                                                         --? live_index
    (SELECT * FROM {job} j WHERE j.name = q.name AND j.state = 'failed' AND j.blocked = false --? live_index
      ORDER BY j.start_after DESC LIMIT $2)                                    --? live_index
    UNION ALL                                                                  --? live_index
    (SELECT * FROM {job} j WHERE j.name = q.name AND j.state = 'retry' AND j.blocked = false --? live_index
      ORDER BY j.start_after DESC LIMIT $2)                                    --? live_index
    UNION ALL                                                                  --? live_index finished_index
    (SELECT * FROM (SELECT * FROM {job} j WHERE j.name = q.name AND j.completed_on IS NOT NULL --? live_index finished_index
      ORDER BY j.completed_on DESC LIMIT 500) e WHERE e.state = 'failed')      --? live_index finished_index
  ) j                                                                          --? live_index
  SELECT * FROM {job} j WHERE j.name = ANY ($1) AND j.state IN ('failed', 'retry') --? !live_index
  ORDER BY started_on DESC NULLS LAST, id
  LIMIT $2
) f
ORDER BY f.started_on DESC NULLS LAST, f.id
