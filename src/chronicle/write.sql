-- Notes attempts. $1 text schema, $2 text worker; arrays of one length: $3 text[] queue, $4 uuid[] job, $5 int[] retry_count,
-- $6 timestamptz[] start, $7 float8[] the seconds it took, $8 text[] outcome, $9 text[] error, $10 text[] trace.
INSERT INTO {home}.attempt (schema, queue, job_id, retry_count, worker, started_on, ended_on, outcome, error, trace_id)
SELECT $1, v.queue, v.job_id, v.retry_count, $2, v.started_on, v.started_on + v.took * interval '1s', v.outcome, v.error, v.trace_id
FROM unnest($3::text[], $4::uuid[], $5::int[], $6::timestamptz[], $7::float8[], $8::text[], $9::text[], $10::text[])
  AS v(queue, job_id, retry_count, started_on, took, outcome, error, trace_id)
