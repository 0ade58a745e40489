-- The queues that have a job table of their own: name, policy, table.
-- No parameters. Hole: {schema}, quoted. Wants schema 25 or later.
SELECT q.name, q.policy, q.table_name
FROM {schema}.queue q
WHERE q.partition
ORDER BY q.name
