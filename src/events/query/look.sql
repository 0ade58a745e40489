-- Whether a question was answered. $1 text: the queue. $2 uuid: the job. Returns (state, output as JSON text) of one that is over.
-- Takes no locks; by the primary key.
SELECT j.state::text, j.output::text FROM {job} j WHERE j.name = $1::text AND j.id = $2::uuid AND j.state > 'active'
