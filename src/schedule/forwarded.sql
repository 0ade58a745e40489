-- Occurrences have been forwarded: their rows, $1 uuid[], are completed by the transaction that has locked them since they
-- were queued, so that there is no attempt that could have lost them.
UPDATE {job} j
SET state = 'completed', started_on = COALESCE(j.started_on, {now}), completed_on = {now}, output = NULL
WHERE j.name = '__pgboss__send-it' AND j.id = ANY ($1::uuid[])
