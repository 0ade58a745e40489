-- Waits for the right to register handlers of the schema $1 and holds it to the end of the transaction. $1 text: pg-boss's
-- schema, unquoted.
SELECT pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended('strawboss.event_handler.' || $1, 0))
