-- The facts of a schema that anything is decided by, one a row: (kind, relation, name).
-- $1 text: the schema. Reads the system catalogs only; takes no lock on the schema's own tables.
SELECT 'column' AS kind, c.relname::text AS relation, a.attname::text AS name
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE n.nspname = $1
  AND c.relname IN ('archive', 'bam', 'instance', 'job', 'job_common', 'job_dependency', 'queue', 'queue_stats',
                    'schedule', 'subscription', 'version', 'warning')
UNION ALL
SELECT 'function', '', p.proname::text
FROM pg_catalog.pg_proc p
JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
WHERE n.nspname = $1
UNION ALL
SELECT 'index', t.relname::text, i.relname::text
FROM pg_catalog.pg_index x
JOIN pg_catalog.pg_class i ON i.oid = x.indexrelid
JOIN pg_catalog.pg_class t ON t.oid = x.indrelid
JOIN pg_catalog.pg_namespace n ON n.oid = t.relnamespace
WHERE n.nspname = $1 AND t.relname = 'job_common' AND x.indisvalid
