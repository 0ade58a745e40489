-- The last jobs of the queues $1 text[] whose attempt has failed, those to be tried again among them, latest attempt first;
-- $2 bigint of each queue and state and as many in all. Of the output only the message, where that is text.
-- Takes no lock. With i14 (schema 46) the cost is bounded: of each queue those that came due last. Before, the job tables are
-- read, and the caller sets a time limit.
SELECT f.name, f.id, f.state::text AS state, f.retry_count, f.retry_limit, f.started_on
  , left(CASE WHEN jsonb_typeof(f.output -> 'message') = 'string' THEN f.output ->> 'message'
      WHEN jsonb_typeof(f.output -> 'value') = 'string' THEN f.output ->> 'value' ELSE '' END, 500) AS message
FROM (
  SELECT j.* FROM unnest($1::text[]) AS q (name)                               --? live_index
  CROSS JOIN LATERAL (                                                         --? live_index
    (SELECT * FROM {job} j WHERE j.name = q.name AND j.state = 'failed' AND j.blocked = false --? live_index
      ORDER BY j.start_after DESC LIMIT $2)                                    --? live_index
    UNION ALL                                                                  --? live_index
    (SELECT * FROM {job} j WHERE j.name = q.name AND j.state = 'retry' AND j.blocked = false --? live_index
      ORDER BY j.start_after DESC LIMIT $2)                                    --? live_index
  ) j                                                                          --? live_index
  SELECT * FROM {job} j WHERE j.name = ANY ($1) AND j.state IN ('failed', 'retry') --? !live_index
  ORDER BY started_on DESC NULLS LAST, id
  LIMIT $2
) f
ORDER BY f.started_on DESC NULLS LAST, f.id
