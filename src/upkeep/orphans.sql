-- Deletes dependencies of which a job is gone, where that job was of the queues $1 text[], all of one table; at most 10,000.
-- Runs under the advisory lock `<table>cleanupDependencies`. Schema 31 and later. Returns a row for each.
DELETE FROM {schema}.job_dependency d WHERE d.ctid = ANY(ARRAY(
  SELECT o.ctid FROM {schema}.job_dependency o
  WHERE (o.child_name = ANY($1::text[])
      AND NOT EXISTS (SELECT FROM {table} j WHERE j.name = o.child_name AND j.id = o.child_id))
    OR (o.parent_name = ANY($1::text[])
      AND NOT EXISTS (SELECT FROM {table} j WHERE j.name = o.parent_name AND j.id = o.parent_id))
  LIMIT 10000
))
RETURNING 1
