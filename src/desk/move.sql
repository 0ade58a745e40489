-- Moves jobs of queue $1 from state to state and returns the ids of those moved: no row if the queue does not exist, one with
-- a NULL id if none was moved. $1 text queue, $2 uuid[] ids, $3 int[] the attempts beside them, or NULL for whichever is the
-- latest, $4 text output as JSON, or NULL. One flag says what is done: `complete` (with `queued`: also what nobody fetched),
-- `cancel`, `resume`, `retry`, `restore`, `touch`. Locks the rows; by the primary key. A unique index of a policy may refuse
-- what `resume`, `retry` and `restore` put back. With `counts` what is resumed is taken off the queue's count of finished jobs
-- (schema 46), whose row is locked for that.
-- On schemas 31 and 32 completing also unblocks the children, which later schemas leave to a supervisor.
WITH target AS MATERIALIZED (
  SELECT DISTINCT v.id, v.retry_count
    , (SELECT c.completed_on FROM {job} c WHERE c.name = $1 AND c.id = v.id) AS completed_on --? +resume +counts retained_count
  FROM unnest($2::uuid[], $3::int[]) AS v(id, retry_count)
),
done AS (
  UPDATE {job} j
  SET state = 'completed', completed_on = {now}, output = $4::text::jsonb      --? +complete
    , blocked = false, pending_dependencies = 0                                --? +complete +queued flows
  SET state = 'cancelled', completed_on = {now}                                --? +cancel
  SET state = 'created', completed_on = NULL                                   --? +resume
  SET state = 'retry', retry_limit = j.retry_limit + 1                         --? +retry
    , completed_on = NULL                                                      --? +retry retry_clears
    , start_after = GREATEST(j.start_after, {now})                             --? +retry start_now
    , start_after = GREATEST(j.start_after, {now})                             --? +resume start_now
    , upsert_by_key = NULL                                                     --? +resume upsert_by_key
  SET state = 'created', started_on = NULL                                     --? +restore
    , heartbeat_on = NULL                                                      --? +restore heartbeat
    , upsert_by_key = NULL                                                     --? +restore upsert_by_key
  SET heartbeat_on = {now}                                                     --? +touch
  FROM target v
  WHERE j.name = $1 AND j.id = v.id
    AND (v.retry_count IS NULL OR (j.retry_count = v.retry_count AND j.state = 'active'))
    AND j.state = 'active'                                                     --? +complete !+queued
    AND j.state < 'completed'                                                  --? +complete +queued
    AND j.state < 'completed'                                                  --? +cancel
    AND j.state = 'cancelled'                                                  --? +resume
    AND j.state = 'failed'                                                     --? +retry
    AND j.state = 'active'                                                     --? +touch
  RETURNING j.name, j.id
    , j.blocking                                                               --? inline_flows
    , v.completed_on                                                           --? +resume +counts retained_count
)
, counted AS (                                                                 --? +resume +counts retained_count
  UPDATE {schema}.queue q                                                      --? +resume +counts retained_count
  SET retained_count = CASE WHEN q.retained_count IS NOT NULL THEN GREATEST(q.retained_count - c.kept, 0) END --? +resume +counts retained_count
  FROM (SELECT count(*)::int AS kept FROM done JOIN {schema}.queue o ON o.name = $1 --? +resume +counts retained_count
    WHERE done.completed_on <= o.retained_on) c                                --? +resume +counts retained_count
  WHERE q.name = $1 AND c.kept > 0                                             --? +resume +counts retained_count
)                                                                              --? +resume +counts retained_count
, freed AS (                                                                   --? +complete inline_flows
  SELECT d.child_name, d.child_id, count(*)::int AS parents                    --? +complete inline_flows
  FROM done JOIN {schema}.job_dependency d                                     --? +complete inline_flows
    ON d.parent_name = done.name AND d.parent_id = done.id                     --? +complete inline_flows
  WHERE done.blocking                                                          --? +complete inline_flows
  GROUP BY d.child_name, d.child_id                                            --? +complete inline_flows
), child AS (                                                                  --? +complete inline_flows
  SELECT c.name, c.id, freed.parents                                           --? +complete inline_flows
  FROM {job} c JOIN freed ON freed.child_name = c.name AND freed.child_id = c.id --? +complete inline_flows
  WHERE c.blocked                                                              --? +complete inline_flows
  ORDER BY c.name, c.id                                                        --? +complete inline_flows
  FOR UPDATE OF c                                                              --? +complete inline_flows
), unblocked AS (                                                              --? +complete inline_flows
  UPDATE {job} c                                                               --? +complete inline_flows
  SET pending_dependencies = GREATEST(c.pending_dependencies - child.parents, 0) --? +complete inline_flows
    , blocked = c.pending_dependencies > child.parents                         --? +complete inline_flows
  FROM child WHERE c.name = child.name AND c.id = child.id                     --? +complete inline_flows
)                                                                              --? +complete inline_flows
SELECT done.id
FROM {schema}.queue q
LEFT JOIN done ON true
WHERE q.name = $1
