-- The indexes of the job tables of the schema $1 text (unquoted) that are worth being built anew: more than a megabyte, fewer
-- than five entries on a page, and more than four times what their entries would need. Largest first, as (name, pages,
-- entries, bytes, owned). By what VACUUM and ANALYZE have noted; an index neither has seen is not judged.
SELECT i.relname AS name, i.relpages AS pages, floor(i.reltuples)::float8 AS entries
  , pg_relation_size(i.oid) AS bytes, pg_has_role(current_user, i.relowner, 'USAGE') AS owned
FROM pg_index x
JOIN pg_class i ON i.oid = x.indexrelid
JOIN pg_class t ON t.oid = x.indrelid
JOIN pg_namespace n ON n.oid = i.relnamespace
CROSS JOIN LATERAL (
  SELECT COALESCE(sum(COALESCE(plain.avg_width, expression.avg_width)), 0) + 20 AS width
  FROM unnest(x.indkey::int2[]) WITH ORDINALITY k(attnum, place)
  LEFT JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = k.attnum AND k.attnum > 0
  LEFT JOIN pg_stats plain ON plain.schemaname = n.nspname AND plain.tablename = t.relname AND plain.attname = a.attname
  LEFT JOIN pg_attribute e ON e.attrelid = i.oid AND e.attnum = k.place
  LEFT JOIN pg_stats expression ON expression.schemaname = n.nspname AND expression.tablename = i.relname AND expression.attname = e.attname
) entry
WHERE n.nspname = $1::text AND i.relkind = 'i' AND x.indisvalid
  AND (t.relname IN ('job', 'job_common') OR t.relname IN (SELECT q.table_name FROM {schema}.queue q))
  AND i.relpages > 128 AND i.reltuples >= 0 AND i.reltuples < 5 * i.relpages
  AND i.relpages > 4 * GREATEST(ceil(i.reltuples * entry.width / 8192), 1)
ORDER BY bytes DESC
