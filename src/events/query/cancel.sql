-- Takes a question back, so that nobody runs it later. $1 text: the queue. $2 uuid: the job. Returns a row if it was not over.
-- Locks the row; by the primary key.
UPDATE {job} j SET state = 'cancelled', completed_on = {now}
WHERE j.name = $1::text AND j.id = $2::uuid AND j.state < 'completed'
RETURNING j.id
