-- Claims the next of the commands that migrations have put off: the oldest that was not begun, then, without the flag
-- `pending`, one that failed or whose instance died. None while one is under way, and none before an earlier one of its
-- migration and table is through. $1 text schema, unquoted. Returns (id, name, command, again). Under the advisory lock
-- `bamClaim`. An index is under way for as long as its table is locked for it: whoever builds it may be of another role, and
-- locks are what all roles see.
WITH state AS MATERIALIZED (
  SELECT b.*, b.status = 'in_progress' AND NOT (b.started_on < {now} - interval '5 minutes' AND NOT EXISTS (
      SELECT FROM pg_locks l
      WHERE l.locktype = 'relation' AND l.granted AND l.mode = 'ShareUpdateExclusiveLock'
        AND l.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())
        AND l.relation = to_regclass(quote_ident($1::text) || '.' || quote_ident(b.table_name))
    )) AS running
  FROM {schema}.bam b
  WHERE b.status <> 'completed'
),
next AS (
  SELECT b.id, b.status AS before FROM {schema}.bam b JOIN state s ON s.id = b.id AND s.status = b.status
  WHERE NOT EXISTS (SELECT FROM state r WHERE r.running)
    AND b.status = 'pending'                                                   --? +pending
    AND NOT EXISTS (SELECT FROM state p WHERE p.version = s.version AND p.table_name = s.table_name AND p.created_on < s.created_on)
  ORDER BY b.status <> 'pending', b.created_on
  LIMIT 1
  FOR UPDATE OF b SKIP LOCKED
)
UPDATE {schema}.bam b SET status = 'in_progress', started_on = {now}
FROM next n WHERE b.id = n.id
RETURNING b.id, b.name, b.command, n.before <> 'pending' AS again
