-- Whether there are dependencies at all, and the queues of the finished parents that have not released their children yet.
-- Takes no locks. Wants i9. Schema 33 and later.
SELECT EXISTS (SELECT FROM {schema}.job_dependency) AS any
  , ARRAY(SELECT DISTINCT j.name FROM {job} j WHERE j.blocking AND j.state = 'completed') AS queues
