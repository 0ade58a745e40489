-- Deletes up to 10,000 attempts of schema $1 text that ended more than $2 float8 seconds ago, by the index over their end.
DELETE FROM {home}.attempt WHERE ctid = ANY (ARRAY(
  SELECT ctid FROM {home}.attempt WHERE ended_on < now() - $2::float8 * interval '1s' AND schema = $1 LIMIT 10000
))
