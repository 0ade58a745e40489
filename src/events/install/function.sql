-- What the trigger of an outbox runs: wakes the relays. It lives with us, for nothing of ours is in the app's schema but the trigger.
CREATE FUNCTION {home}.event_outbox_notify() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM pg_catalog.pg_notify('strawboss_event_outbox', TG_TABLE_SCHEMA);
  RETURN NULL;
END
$$
