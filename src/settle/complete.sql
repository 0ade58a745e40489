-- Completes attempts that are still theirs; returns (name, id) of those written.
-- Arrays of one length: $1 text[] queue, $2 uuid[] id, $3 int[] retry_count, $4 text[] output as JSON text or NULL,
-- $5 bool[] whether the row's heartbeat was lent by the claim; with the flag `logged`, $6 uuid[] event_id, $7 text[] handler
-- and $8 text[] key of the row that each leaves in the event system's log, the hole {log}. Locks the rows; by the primary key (name, id): `IS TRUE` keeps
-- the state out of the planner's sight, which without statistics would go by i14 through everything that is active.
-- On schemas 31 and 32 it also unblocks the children of what it completes, which later schemas leave to a supervisor.
WITH verdict AS (
  SELECT * FROM unnest($1::text[], $2::uuid[], $3::int[], $4::text[], $5::bool[]
    , $6::uuid[], $7::text[], $8::text[]                                       --? +logged
  ) AS v(name, id, retry_count, output, lent
    , event_id, handler, key                                                   --? +logged
  )
),
done AS (
  UPDATE {table} j
  SET state = 'completed'
    , completed_on = {now}
    , output = v.output::jsonb
    , heartbeat_seconds = CASE WHEN v.lent THEN NULL ELSE j.heartbeat_seconds END --? heartbeat
  FROM verdict v
  WHERE j.name = v.name AND j.id = v.id AND (j.state = 'active') IS TRUE AND j.retry_count = v.retry_count
  RETURNING j.name, j.id
    , j.blocking                                                               --? inline_flows
    , v.event_id, v.handler, v.key                                             --? +logged
)
, logged AS (                                                                  --? +logged
  INSERT INTO {log} (event_id, handler_name, idempotency_key)                  --? +logged
  SELECT event_id, handler, key FROM done                                      --? +logged
)                                                                              --? +logged
, freed AS (                                                                   --? inline_flows
  SELECT d.child_name, d.child_id, count(*)::int AS parents                    --? inline_flows
  FROM done JOIN {schema}.job_dependency d                                     --? inline_flows
    ON d.parent_name = done.name AND d.parent_id = done.id                     --? inline_flows
  WHERE done.blocking                                                          --? inline_flows
  GROUP BY d.child_name, d.child_id                                            --? inline_flows
), child AS (                                                                  --? inline_flows
  SELECT c.name, c.id, freed.parents                                           --? inline_flows
  FROM {job} c JOIN freed ON freed.child_name = c.name AND freed.child_id = c.id --? inline_flows
  WHERE c.blocked                                                              --? inline_flows
  ORDER BY c.name, c.id                                                        --? inline_flows
  FOR UPDATE OF c                                                              --? inline_flows
), unblocked AS (                                                              --? inline_flows
  UPDATE {job} c                                                               --? inline_flows
  SET pending_dependencies = GREATEST(c.pending_dependencies - child.parents, 0) --? inline_flows
    , blocked = c.pending_dependencies > child.parents                         --? inline_flows
  FROM child WHERE c.name = child.name AND c.id = child.id                     --? inline_flows
)                                                                              --? inline_flows
SELECT name, id FROM done
