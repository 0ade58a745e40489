-- Wakes the relays once for each statement that writes to the outbox. The lock is that of CREATE TRIGGER: writers wait for it.
CREATE TRIGGER strawboss_event_outbox_notify AFTER INSERT ON {events}.event_outbox
FOR EACH STATEMENT EXECUTE FUNCTION {home}.event_outbox_notify()
