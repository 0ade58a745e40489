-- One of pg-boss's advisory locks, for the rest of the transaction. $1 text schema as pg-boss spells it, $2 text which one.
-- Flag `try`: says whether it could be had, and does not wait for it.
SELECT pg_advisory_xact_lock(                                                  --? !+try
SELECT pg_try_advisory_xact_lock(                                              --? +try
  ('x' || encode(sha224((current_database() || '.pgboss.' || $1::text || $2::text)::bytea), 'hex'))::bit(64)::bigint) AS ours
