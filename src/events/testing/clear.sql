-- Forgets every event and every job of the test bus. {app}: its tables; {boss}: its pg-boss schema.
DELETE FROM {boss}.job;
DELETE FROM {app}.event_outbox;
DELETE FROM {app}.event_dead_letter;
DELETE FROM {app}.event_processing_log;
DELETE FROM {app}.event_history
