-- What attempts came to. No key but the one they are looked for by: a row is written once and deleted when it is old.
CREATE TABLE {home}.attempt (
  schema text NOT NULL,
  queue text NOT NULL,
  job_id uuid NOT NULL,
  retry_count int NOT NULL,
  worker text NOT NULL,
  started_on timestamptz NOT NULL,
  ended_on timestamptz NOT NULL,
  outcome text NOT NULL,
  error text,
  trace_id text
);
CREATE INDEX attempt_job ON {home}.attempt (job_id, started_on);
CREATE INDEX attempt_ended ON {home}.attempt (ended_on)
