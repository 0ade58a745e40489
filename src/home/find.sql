-- Whether the schema $1 is there, and its table of steps. $1 text: its name, unquoted. Takes no locks.
SELECT EXISTS (SELECT FROM pg_catalog.pg_namespace n WHERE n.nspname = $1) AS home,
       EXISTS (
         SELECT FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
         WHERE n.nspname = $1 AND c.relname = 'step'
       ) AS steps
