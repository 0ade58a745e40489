-- What firing schedules needs beside a worker's privileges, and the current role lacks: (object, privilege).
-- $1 text: the schema, unquoted. Reads the system catalogs only.
SELECT c.relname::text AS object, w.privilege
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
JOIN (VALUES ('version', 'UPDATE'), ('schedule', 'SELECT'), ('schedule', 'UPDATE')) AS w (object, privilege)
    ON w.object = c.relname
WHERE n.nspname = $1 AND NOT has_table_privilege(c.oid, w.privilege)
ORDER BY 1, 2
