-- Every object of a schema and what it is like, one a row: (kind, relation, name, definition, sound).
-- $1 oid: the namespace. Wants that namespace first in search_path, so that definitions do not name it.
-- Daily partitions of queue_stats are left out: they come and go. Takes no lock on the schema's own tables.
WITH tables AS (
    SELECT c.*
    FROM pg_catalog.pg_class c
    LEFT JOIN pg_catalog.pg_inherits h ON h.inhrelid = c.oid
    LEFT JOIN pg_catalog.pg_class parent ON parent.oid = h.inhparent
    WHERE c.relnamespace = $1 AND c.relkind IN ('r', 'p') AND parent.relname IS DISTINCT FROM 'queue_stats'
)
SELECT 'table' AS kind, t.relname::text AS relation, '' AS name,
       concat_ws(' ',
           CASE WHEN t.relkind = 'p' THEN 'partitioned by ' || pg_get_partkeydef(t.oid) END,
           CASE WHEN t.relispartition THEN 'partition of job ' || pg_get_expr(t.relpartbound, t.oid) END,
           CASE WHEN t.relrowsecurity THEN 'row level security' END) AS definition,
       true AS sound
FROM tables t
UNION ALL
SELECT 'column', t.relname::text, a.attname::text,
       concat_ws(' ',
           format_type(a.atttypid, a.atttypmod),
           CASE WHEN a.attnotnull THEN 'NOT NULL' END,
           CASE WHEN a.attidentity <> '' THEN 'IDENTITY' END,
           CASE WHEN a.attgenerated <> '' THEN 'GENERATED' ELSE 'DEFAULT' END || ' ' || pg_get_expr(d.adbin, d.adrelid)),
       true
FROM tables t
JOIN pg_catalog.pg_attribute a ON a.attrelid = t.oid AND a.attnum > 0 AND NOT a.attisdropped
LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
UNION ALL
-- Names of constraints differ with a schema's history; what they demand does not.
SELECT 'constraint', t.relname::text, pg_get_constraintdef(k.oid), '', k.convalidated
FROM tables t
JOIN pg_catalog.pg_constraint k ON k.conrelid = t.oid AND k.contype <> 'n'
UNION ALL
SELECT 'index', t.relname::text, i.relname::text,
       CASE WHEN x.indisunique THEN 'UNIQUE ' ELSE '' END
           || substring(pg_get_indexdef(i.oid) FROM ' USING (.*)$'),
       x.indisvalid
FROM tables t
JOIN pg_catalog.pg_index x ON x.indrelid = t.oid
JOIN pg_catalog.pg_class i ON i.oid = x.indexrelid
WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_constraint k WHERE k.conindid = i.oid AND k.contype IN ('p', 'u', 'x'))
UNION ALL
SELECT 'function', '', p.proname || '(' || pg_get_function_identity_arguments(p.oid) || ')',
       concat_ws(' ',
           '(' || pg_get_function_arguments(p.oid) || ')',
           'RETURNS ' || pg_get_function_result(p.oid),
           'LANGUAGE ' || l.lanname,
           CASE p.provolatile WHEN 'i' THEN 'IMMUTABLE' WHEN 's' THEN 'STABLE' ELSE 'VOLATILE' END,
           CASE WHEN p.proisstrict THEN 'STRICT' END,
           CASE WHEN p.prosecdef THEN 'SECURITY DEFINER' END),
       true
FROM pg_catalog.pg_proc p
JOIN pg_catalog.pg_language l ON l.oid = p.prolang
WHERE p.pronamespace = $1 AND p.prokind = 'f'
UNION ALL
SELECT 'body', '', p.proname || '(' || pg_get_function_identity_arguments(p.oid) || ')', p.prosrc, true
FROM pg_catalog.pg_proc p
WHERE p.pronamespace = $1 AND p.prokind = 'f'
UNION ALL
SELECT 'enum', '', y.typname::text, string_agg(e.enumlabel::text, ', ' ORDER BY e.enumsortorder), true
FROM pg_catalog.pg_type y
JOIN pg_catalog.pg_enum e ON e.enumtypid = y.oid
WHERE y.typnamespace = $1
GROUP BY y.typname
