-- What strawboss remembers of schedules, beside pg-boss's own rows.
CREATE TABLE {home}.schedule_catch_up (
  schema text NOT NULL,
  name text NOT NULL,
  key text NOT NULL,
  runs int NOT NULL CHECK (runs > 0),
  PRIMARY KEY (schema, name, key)
);
-- One row per occurrence, or rather per slot of a minute, which is what becomes a job.
CREATE TABLE {home}.schedule_occurrence (
  schema text NOT NULL,
  name text NOT NULL,
  key text NOT NULL,
  occurrence timestamptz NOT NULL,
  result text NOT NULL,
  job_id uuid,
  settled_on timestamptz NOT NULL,
  PRIMARY KEY (schema, name, key, occurrence)
);
CREATE INDEX schedule_occurrence_settled_on ON {home}.schedule_occurrence (schema, settled_on)
