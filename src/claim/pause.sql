-- Which queues of a pg-boss schema are paused, for every strawboss worker of the database; Node does not look here.
CREATE TABLE {home}.pause (
  schema text NOT NULL,
  queue text NOT NULL,
  since timestamptz NOT NULL DEFAULT now(),
  reason text,
  PRIMARY KEY (schema, queue)
)
