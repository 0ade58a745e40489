-- Lets go of advisory locks of the session; returns those that it had. $1 bigint[].
SELECT k.lock FROM unnest($1::bigint[]) AS k(lock) WHERE pg_catalog.pg_advisory_unlock(k.lock)
