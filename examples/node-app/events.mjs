// The app's outbox: a row per event, written in the same database as what the event is about. The worker relays each to
// whoever subscribes to its name. The tables are those of the app's own migration; this is as much of it as the demo needs,
// `strawboss events install` makes them with all their indexes.

import { randomUUID } from 'node:crypto'

const tables = `
  CREATE TABLE IF NOT EXISTS event_outbox (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(), event_name varchar(255) NOT NULL, event_data jsonb NOT NULL,
    metadata jsonb NOT NULL, status varchar(50) NOT NULL DEFAULT 'pending', retry_count int NOT NULL DEFAULT 0,
    max_retries int NOT NULL DEFAULT 3, created_at timestamptz NOT NULL DEFAULT now(), processed_at timestamptz,
    error_message text);
  CREATE INDEX IF NOT EXISTS idx_event_outbox_status_created ON event_outbox (status, created_at);
  CREATE TABLE IF NOT EXISTS event_dead_letter (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(), original_event_id uuid NOT NULL, event_name varchar(255) NOT NULL,
    event_data jsonb NOT NULL, metadata jsonb NOT NULL, failure_reason text, retry_count int NOT NULL,
    failed_at timestamptz NOT NULL DEFAULT now());
  CREATE INDEX IF NOT EXISTS idx_event_dead_letter_original_event_id ON event_dead_letter (original_event_id);
  CREATE TABLE IF NOT EXISTS event_processing_log (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(), event_id uuid NOT NULL, handler_name varchar(255) NOT NULL,
    idempotency_key varchar(500) NOT NULL, processed_at timestamptz NOT NULL DEFAULT now());
  CREATE INDEX IF NOT EXISTS idx_event_processing_log_handler_idempotency
    ON event_processing_log (handler_name, idempotency_key);
  CREATE TABLE IF NOT EXISTS event_history (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(), event_id uuid NOT NULL, event_name varchar(255) NOT NULL,
    event_data jsonb NOT NULL, metadata jsonb NOT NULL, emitted_at timestamptz NOT NULL DEFAULT now());`

// Makes the tables, and returns what writes an event; both by pg-boss's connection, for the example has no other.
export async function outbox (db) {
  await db.executeSql(tables)
  return (eventName, data) => {
    const metadata = {
      eventId: randomUUID(),
      eventName,
      timestamp: new Date().toISOString(),
      sourceModule: 'shop',
      correlationId: randomUUID(),
      version: 'v1'
    }
    return db.executeSql(
      'INSERT INTO event_outbox (event_name, event_data, metadata) VALUES ($1, $2::jsonb, $3::jsonb)',
      [eventName, JSON.stringify(data), JSON.stringify(metadata)])
  }
}
