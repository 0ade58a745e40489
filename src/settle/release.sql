-- Hands attempts back as if they had not been claimed: the next fetch finds `started_on` empty and counts no retry.
-- Returns (name, id) of those written.
-- Arrays of one length: $1 text[] queue, $2 uuid[] id, $3 int[] retry_count, $4 bool[] whether the heartbeat was lent by the
-- claim, $5 timestamptz[] started_on, $6 float8[] seconds from now before which it is not claimed again, or NULL. Locks the rows; by the primary key (name, id): `IS TRUE` keeps
-- the state out of the planner's sight, as in complete.sql.
-- Of all verdicts this one leaves retry_count to the next attempt, so that one is told from ours by its started_on: a
-- release that is written again because its answer was lost must not take the job from whoever has it by then.
-- A policy that has no room for the row in its state of old (flag `swap`) may have room in the other queued state.
UPDATE {table} j
SET state = CASE WHEN j.retry_count > 0 THEN 'retry' ELSE 'created' END::{schema}.job_state --? !+swap
SET state = CASE WHEN j.retry_count > 0 THEN 'created' ELSE 'retry' END::{schema}.job_state --? +swap
  , started_on = NULL
  , start_after = CASE WHEN v.after IS NULL THEN j.start_after ELSE {now} + v.after * interval '1s' END
  , heartbeat_on = NULL                                                        --? heartbeat
  , heartbeat_seconds = CASE WHEN v.lent THEN NULL ELSE j.heartbeat_seconds END --? heartbeat
FROM unnest($1::text[], $2::uuid[], $3::int[], $4::bool[], $5::timestamptz[], $6::float8[])
  AS v(name, id, retry_count, lent, started_on, after)
WHERE j.name = v.name AND j.id = v.id AND (j.state = 'active') IS TRUE AND j.retry_count = v.retry_count
  AND j.started_on = v.started_on
RETURNING j.name, j.id
