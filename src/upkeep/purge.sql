-- Schema 24: deletes at most 10,000 rows of the archive that have been there for seven days. Under pg-boss's advisory lock.
-- Returns a row for each.
DELETE FROM {schema}.archive a WHERE a.ctid = ANY(ARRAY(
  SELECT o.ctid FROM {schema}.archive o WHERE o.archived_on < {now} - interval '7 days' LIMIT 10000
))
RETURNING 1
