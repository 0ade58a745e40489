-- The privileges that a worker needs and the current role lacks: (object, privilege), sorted.
-- $1 text: the schema, unquoted. Reads the system catalogs only.
SELECT wanted.object, wanted.privilege
FROM (
    SELECT 'schema' AS object, 'USAGE' AS privilege, has_schema_privilege(n.oid, 'USAGE') AS granted
    FROM pg_catalog.pg_namespace n
    WHERE n.nspname = $1
    UNION ALL
    SELECT c.relname::text, p.privilege, has_table_privilege(c.oid, p.privilege)
    FROM pg_catalog.pg_class c
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    CROSS JOIN unnest(ARRAY ['SELECT', 'INSERT', 'UPDATE', 'DELETE']) AS p (privilege)
    WHERE n.nspname = $1
      AND c.relkind IN ('r', 'p')
      AND (c.relname = 'job' OR c.oid IN (
          SELECT i.inhrelid
          FROM pg_catalog.pg_inherits i
          JOIN pg_catalog.pg_class parent ON parent.oid = i.inhparent
          WHERE parent.relname = 'job' AND parent.relnamespace = n.oid))
    UNION ALL
    SELECT c.relname::text, 'SELECT', has_table_privilege(c.oid, 'SELECT')
    FROM pg_catalog.pg_class c
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = $1 AND c.relname IN ('queue', 'version')
) wanted
WHERE NOT wanted.granted
ORDER BY wanted.object, wanted.privilege
