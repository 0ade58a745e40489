-- Which of the app's event tables, their indexes and our trigger are there. $1 text: their schema, unquoted. Returns (name, schema):
-- a row for each that is, and one with a NULL name where at least the schema is. Takes no locks.
SELECT NULL::text AS name FROM pg_catalog.pg_namespace n WHERE n.nspname = $1
UNION ALL
SELECT c.relname::text FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = $1 AND (c.relname IN ('event_outbox', 'event_dead_letter', 'event_processing_log', 'event_history')
  OR c.relname LIKE 'idx\_event\_%')
UNION ALL
SELECT t.tgname::text FROM pg_catalog.pg_trigger t JOIN pg_catalog.pg_class c ON c.oid = t.tgrelid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = $1 AND c.relname = 'event_outbox' AND t.tgname = 'strawboss_event_outbox_notify' AND NOT t.tgisinternal
