-- A queue, or else a queue with a job, that names queue $1 text as its dead letter queue; no row if there is none. Takes no
-- lock; looks through the queues, and through all jobs where none of those does.
(SELECT name, true AS is_queue FROM {schema}.queue WHERE dead_letter = $1 AND name <> $1 LIMIT 1)
UNION ALL
(SELECT name, false FROM {job} WHERE dead_letter = $1 AND name <> $1 LIMIT 1)
LIMIT 1
