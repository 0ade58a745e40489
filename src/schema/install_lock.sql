-- Waits for the lock under which pg-boss's schema is installed and migrated, holds it to the end of the
-- transaction, and says who does it and where, for messages.
-- $1 text: the schema in the spelling that locks are derived from.
SELECT current_user::text AS role, current_database()::text AS database,
       pg_advisory_xact_lock(
           ('x' || encode(sha224((current_database() || '.pgboss.' || $1)::bytea), 'hex'))::bit(64)::bigint)
