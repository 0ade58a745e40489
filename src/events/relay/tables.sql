-- What the relays of all processes remember of the outbox of one schema. Rows of the outbox that are gone leave theirs behind
-- until the housekeeper sweeps.

-- Rows that could not be relayed, and until when they wait.
CREATE TABLE {home}.event_held (
  outbox_schema text NOT NULL,
  outbox_id uuid NOT NULL,
  due timestamptz NOT NULL,
  PRIMARY KEY (outbox_schema, outbox_id)
);
-- Rows that are `processing`, in which version, and since when that is known.
CREATE TABLE {home}.event_processing (
  outbox_schema text NOT NULL,
  outbox_id uuid NOT NULL,
  version text NOT NULL,
  seen timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (outbox_schema, outbox_id)
);
-- The handlers that some process runs, and when it last said so.
CREATE TABLE {home}.event_served (
  schema text NOT NULL,
  queue text NOT NULL,
  seen timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (schema, queue)
)
