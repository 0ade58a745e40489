-- What interrupted rebuilds of indexes have left behind on the job tables of the schema $1 text (unquoted), as far as it may be
-- dropped by us and nobody builds an index on its table.
SELECT i.relname AS name
FROM pg_index x
JOIN pg_class i ON i.oid = x.indexrelid
JOIN pg_class t ON t.oid = x.indrelid
JOIN pg_namespace n ON n.oid = i.relnamespace
WHERE n.nspname = $1::text AND i.relkind = 'i' AND NOT x.indisvalid AND i.relname ~ '_ccnew[0-9]*$'
  AND (t.relname IN ('job', 'job_common') OR t.relname IN (SELECT q.table_name FROM {schema}.queue q))
  AND pg_has_role(current_user, i.relowner, 'USAGE')
  AND NOT EXISTS (SELECT FROM pg_stat_progress_create_index p WHERE p.relid = t.oid)
