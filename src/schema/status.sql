-- What the catalog says of a schema at a glance: one row.
-- $1 text: the schema. Takes no lock on the schema's own tables.
SELECT
    (SELECT count(*) FROM pg_catalog.pg_class c
     WHERE c.relnamespace = n.oid AND c.relkind IN ('r', 'p')) AS tables,
    (SELECT count(*) FROM pg_catalog.pg_inherits h
     JOIN pg_catalog.pg_class p ON p.oid = h.inhparent
     WHERE p.relnamespace = n.oid AND p.relname = 'job') AS job_tables,
    ARRAY(SELECT i.relname::text FROM pg_catalog.pg_index x
          JOIN pg_catalog.pg_class i ON i.oid = x.indexrelid
          WHERE i.relnamespace = n.oid AND NOT x.indisvalid ORDER BY 1) AS invalid_indexes
FROM pg_catalog.pg_namespace n
WHERE n.nspname = $1
