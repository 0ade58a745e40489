-- Where pg-boss is: the schemas whose name is $1 in any case, and whether each holds a table `version`; and who asks.
-- $1 text: the schema. Reads the catalog only, so that no privilege on the schema is needed.
SELECT n.nspname::text AS schema,
       EXISTS (
           SELECT FROM pg_catalog.pg_class c
           WHERE c.relnamespace = n.oid AND c.relname = 'version' AND c.relkind = 'r'
       ) AS has_version,
       current_user::text AS role
FROM pg_catalog.pg_namespace n
WHERE lower(n.nspname) = lower($1)
ORDER BY n.nspname <> $1, n.nspname
