-- The handlers of events that any worker registered, each in its place.
CREATE TABLE {home}.event_handler (
  schema text NOT NULL,
  handler_id text NOT NULL,
  event text NOT NULL,
  module text NOT NULL,
  queue text NOT NULL,
  sequential boolean NOT NULL,
  max_attempts int,
  place bigint NOT NULL,
  registered_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (schema, handler_id)
)
