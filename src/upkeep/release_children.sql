-- Lets the children of finished parents go: of at most 1,000 parents of the queues $1 text[], all of one table. A child goes
-- when the last of its parents has finished; from schema 46 on it starts no sooner than now. Returns (parents, released).
-- Rows are locked in the order of the primary key; a parent that another is busy with is passed over. Wants i9.
WITH parent AS (
  SELECT j.name, j.id FROM {table} j
  WHERE j.blocking AND j.state = 'completed' AND j.name = ANY($1::text[])
  ORDER BY j.name, j.id
  LIMIT 1000
  FOR UPDATE OF j SKIP LOCKED
),
owed AS (
  SELECT d.child_name, d.child_id, count(*)::int AS parents
  FROM {schema}.job_dependency d JOIN parent p ON p.name = d.parent_name AND p.id = d.parent_id
  GROUP BY d.child_name, d.child_id
),
child AS (
  SELECT j.name, j.id, o.parents FROM {job} j JOIN owed o ON o.child_name = j.name AND o.child_id = j.id
  WHERE j.blocked
  ORDER BY j.name, j.id
  FOR UPDATE OF j
),
let_go AS (
  UPDATE {job} j SET pending_dependencies = GREATEST(j.pending_dependencies - c.parents, 0)
    , blocked = j.pending_dependencies > c.parents
    , start_after = CASE WHEN j.pending_dependencies > c.parents THEN j.start_after ELSE GREATEST(j.start_after, {now}) END --? retained_count
  FROM child c WHERE j.name = c.name AND j.id = c.id
  RETURNING j.blocked
),
done AS (
  UPDATE {table} j SET blocking = false FROM parent p WHERE j.name = p.name AND j.id = p.id
  RETURNING 1
)
SELECT (SELECT count(*) FROM done) AS parents, (SELECT count(*) FROM let_go l WHERE NOT l.blocked) AS released
