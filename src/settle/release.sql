-- Hands attempts back as if they had not been claimed: the next fetch finds `started_on` empty and counts no retry.
-- Returns (name, id) of those written.
-- Arrays of one length: $1 text[] queue, $2 uuid[] id, $3 int[] retry_count, $4 bool[] whether the heartbeat was lent by the
-- claim, $5 timestamptz[] started_on, $6 text[] ctid. Locks the rows; with the flag `by_ctid` only those that are still
-- there, else by the primary key (name, id); CASE and sub-selects as in complete.sql.
-- Of all verdicts this one leaves retry_count to the next attempt, so that one is told from ours by its started_on: a
-- release that is written again because its answer was lost must not take the job from whoever has it by then.
-- A policy that has no room for the row in its state of old (flag `swap`) may have room in the other queued state.
UPDATE {table} j
SET state = CASE WHEN j.retry_count > 0 THEN 'retry' ELSE 'created' END::{schema}.job_state --? !+swap
SET state = CASE WHEN j.retry_count > 0 THEN 'created' ELSE 'retry' END::{schema}.job_state --? +swap
  , started_on = NULL
  , heartbeat_on = NULL                                                        --? heartbeat
  , heartbeat_seconds = CASE WHEN v.lent THEN NULL ELSE j.heartbeat_seconds END --? heartbeat
FROM unnest((SELECT $1::text[]), (SELECT $2::uuid[]), (SELECT $3::int[]), (SELECT $4::bool[]),
  (SELECT $5::timestamptz[]), (SELECT $6::text[]::tid[])) AS v(name, id, retry_count, lent, started_on, place)
WHERE j.ctid = v.place AND j.id = v.id AND (j.name = v.name) IS TRUE           --? +by_ctid
WHERE j.name = v.name AND j.id = v.id                                          --? !+by_ctid
  AND CASE WHEN j.state = 'active' THEN j.retry_count = v.retry_count END
  AND j.started_on = v.started_on
RETURNING j.name, j.id
