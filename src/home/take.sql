-- Waits for the right to create in the schema $1 and holds it to the end of the transaction. $1 text: its name, unquoted.
SELECT pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended('strawboss.home.' || $1, 0))
