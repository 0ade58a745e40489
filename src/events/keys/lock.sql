-- Takes advisory locks for the session, those that are free; returns the ones taken. $1 bigint[], without repetition.
SELECT k.lock FROM unnest($1::bigint[]) AS k(lock) WHERE pg_catalog.pg_try_advisory_lock(k.lock)
