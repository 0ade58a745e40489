-- The app's four tables and their indexes, as its migration makes them; what is there already is left as it is.
CREATE TABLE IF NOT EXISTS {events}.event_outbox (
  id uuid PRIMARY KEY DEFAULT gen_random_uuid() NOT NULL,
  event_name varchar(255) NOT NULL,
  event_data jsonb NOT NULL,
  metadata jsonb NOT NULL,
  status varchar(50) DEFAULT 'pending' NOT NULL,
  retry_count integer DEFAULT 0 NOT NULL,
  max_retries integer DEFAULT 3 NOT NULL,
  created_at timestamp with time zone DEFAULT now() NOT NULL,
  processed_at timestamp with time zone,
  error_message text
);
CREATE TABLE IF NOT EXISTS {events}.event_dead_letter (
  id uuid PRIMARY KEY DEFAULT gen_random_uuid() NOT NULL,
  original_event_id uuid NOT NULL,
  event_name varchar(255) NOT NULL,
  event_data jsonb NOT NULL,
  metadata jsonb NOT NULL,
  failure_reason text,
  retry_count integer NOT NULL,
  failed_at timestamp with time zone DEFAULT now() NOT NULL
);
CREATE TABLE IF NOT EXISTS {events}.event_processing_log (
  id uuid PRIMARY KEY DEFAULT gen_random_uuid() NOT NULL,
  event_id uuid NOT NULL,
  handler_name varchar(255) NOT NULL,
  idempotency_key varchar(500) NOT NULL,
  processed_at timestamp with time zone DEFAULT now() NOT NULL
);
CREATE TABLE IF NOT EXISTS {events}.event_history (
  id uuid PRIMARY KEY DEFAULT gen_random_uuid() NOT NULL,
  event_id uuid NOT NULL,
  event_name varchar(255) NOT NULL,
  event_data jsonb NOT NULL,
  metadata jsonb NOT NULL,
  emitted_at timestamp with time zone DEFAULT now() NOT NULL
);
CREATE INDEX IF NOT EXISTS idx_event_outbox_status_created ON {events}.event_outbox (status, created_at);
CREATE INDEX IF NOT EXISTS idx_event_outbox_event_name ON {events}.event_outbox (event_name);
CREATE INDEX IF NOT EXISTS idx_event_outbox_created_at ON {events}.event_outbox (created_at);
CREATE INDEX IF NOT EXISTS idx_event_dead_letter_event_name ON {events}.event_dead_letter (event_name);
CREATE INDEX IF NOT EXISTS idx_event_dead_letter_failed_at ON {events}.event_dead_letter (failed_at);
CREATE INDEX IF NOT EXISTS idx_event_dead_letter_original_event_id ON {events}.event_dead_letter (original_event_id);
CREATE INDEX IF NOT EXISTS idx_event_processing_log_handler_idempotency ON {events}.event_processing_log (handler_name, idempotency_key);
CREATE INDEX IF NOT EXISTS idx_event_processing_log_event_id ON {events}.event_processing_log (event_id);
CREATE INDEX IF NOT EXISTS idx_event_processing_log_processed_at ON {events}.event_processing_log (processed_at);
CREATE INDEX IF NOT EXISTS idx_event_history_event_name ON {events}.event_history (event_name);
CREATE INDEX IF NOT EXISTS idx_event_history_emitted_at ON {events}.event_history (emitted_at);
CREATE INDEX IF NOT EXISTS idx_event_history_event_id ON {events}.event_history (event_id)
