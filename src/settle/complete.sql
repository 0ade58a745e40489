-- Completes attempts that are still theirs; returns (name, id) of those written.
-- Arrays of one length: $1 text[] queue, $2 uuid[] id, $3 int[] retry_count, $4 text[] output as JSON text or NULL,
-- $5 bool[] whether the row's heartbeat was lent by the claim, $6 text[] the ctid that the claim left it with. Locks the rows;
-- with the flag `by_ctid` only those that are still there, else by the primary key (name, id). Statistics of a queue are
-- never of the present, so what the planner might build on them is kept out of its sight: the fence by a CASE, the length
-- of the arrays by a sub-select. Without, it expects a row or none to be active, and compares every one that is with every
-- verdict.
-- On schemas 31 and 32 it also unblocks the children of what it completes, which later schemas leave to a supervisor.
WITH verdict AS (
  SELECT * FROM unnest((SELECT $1::text[]), (SELECT $2::uuid[]), (SELECT $3::int[]), (SELECT $4::text[]),
    (SELECT $5::bool[]), (SELECT $6::text[]::tid[])) AS v(name, id, retry_count, output, lent, place)
),
done AS (
  UPDATE {table} j
  SET state = 'completed'
    , completed_on = {now}
    , output = v.output::jsonb
    , heartbeat_seconds = CASE WHEN v.lent THEN NULL ELSE j.heartbeat_seconds END --? heartbeat
  FROM verdict v
  WHERE j.ctid = v.place AND j.id = v.id AND (j.name = v.name) IS TRUE         --? +by_ctid
  WHERE j.name = v.name AND j.id = v.id                                        --? !+by_ctid
    AND CASE WHEN j.state = 'active' THEN j.retry_count = v.retry_count END
  RETURNING j.name, j.id
    , j.blocking                                                               --? inline_flows
)
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
