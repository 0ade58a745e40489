-- The last jobs of the queues $1 text[] whose attempt has failed, those to be tried again among them, latest attempt first;
-- $2 bigint of each queue and state and as many in all. Of the output only what stands for its message.
-- Takes no lock. With i14 (schema 46) the cost is bounded; before, the job tables are read, and the caller sets a time limit.
SELECT j.name, j.id, j.state::text AS state, j.retry_count, j.retry_limit, j.started_on,
       left(coalesce(j.output ->> 'message', j.output ->> 'value', ''), 500) AS message
FROM unnest($1::text[]) AS q (name) --? live_index
CROSS JOIN LATERAL ( --? live_index
  (SELECT * FROM {job} j WHERE j.name = q.name AND j.state = 'failed' AND j.blocked = false --? live_index
    ORDER BY j.start_after DESC LIMIT $2) --? live_index
  UNION ALL --? live_index
  (SELECT * FROM {job} j WHERE j.name = q.name AND j.state = 'retry' AND j.blocked = false --? live_index
    ORDER BY j.start_after DESC LIMIT $2) --? live_index
) j --? live_index
FROM {job} j WHERE j.name = ANY ($1) AND j.state IN ('failed', 'retry') --? !live_index
ORDER BY j.started_on DESC NULLS LAST, j.id
LIMIT $2
