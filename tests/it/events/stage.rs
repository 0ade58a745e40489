//! A pg-boss schema with the app's event tables beside it, and deliveries as the relay makes them.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use strawboss::config::{Config, QueueConfig};
use strawboss::events::{Defaults, Event, Handlers, queue_of};
use uuid::Uuid;

use crate::support::crew::{self, Crew};
use crate::support::{Release, Schema, wait_for};

/// The payload of the tests' event.
#[derive(Debug, Clone, PartialEq, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Order {
    pub order_id: String,
}

impl Event for Order {
    const NAME: &'static str = "payment:order.completed";
}

pub struct Stage {
    pub schema: Schema,
    /// Where the app's tables are.
    pub app: String,
}

impl Stage {
    pub async fn new() -> Stage {
        Stage::on(Release::NEWEST).await
    }

    pub async fn on(release: Release) -> Stage {
        let schema = Schema::new(release).await;
        let app = schema.own();
        schema
            .execute(&format!(
                "create schema {app};
                 create table {app}.event_processing_log (
                   id uuid primary key default gen_random_uuid(), event_id uuid not null,
                   handler_name varchar(255) not null, idempotency_key varchar(500) not null,
                   processed_at timestamptz not null default now());
                 create index idx_event_processing_log_handler_idempotency
                   on {app}.event_processing_log (handler_name, idempotency_key);"
            ))
            .await;
        Stage { schema, app }
    }

    /// Handlers that find the app's tables, with those defaults.
    pub fn handlers(&self, defaults: Defaults) -> Handlers {
        Handlers::new(defaults).in_schema(&self.app)
    }

    /// A configuration in which deliveries are looked for often.
    pub fn config(&self, handlers: &Handlers) -> Config {
        let mut config = crew::config(&self.schema, &[]);
        for registered in handlers.list() {
            let queue = QueueConfig {
                poll_interval: Duration::from_millis(25),
                ..QueueConfig::within(&config.worker)
            };
            config.queues.insert(registered.queue.to_string(), queue);
        }
        config
    }

    /// A worker with these handlers, once they are registered.
    pub async fn worker(&self, handlers: Handlers) -> Crew {
        let config = self.config(&handlers);
        self.worker_as(config, handlers).await
    }

    /// The same, configured otherwise.
    pub async fn worker_as(&self, config: Config, handlers: Handlers) -> Crew {
        let registered: Vec<_> = handlers.list().to_vec();
        let crew = Crew::equipped(config, |worker| {
            worker.handle_events(handlers);
        });
        for handler in registered {
            let known = format!(
                "(select count(*) = 1 from {{schema}}.subscription where event = '{}' and name = '{}')",
                handler.event, handler.queue
            );
            self.schema.until(&known).await;
        }
        crew
    }

    /// Delivers an event to a handler, with three retries.
    pub async fn deliver(&self, handler_id: &str, event: &Emitted) {
        self.deliver_with(handler_id, event, 3).await;
    }

    pub async fn deliver_with(&self, handler_id: &str, event: &Emitted, retry_limit: u32) {
        let data = event.object["data"].to_string();
        self.deliver_text(handler_id, event, &data, retry_limit).await;
    }

    /// The same with a payload that no value holds.
    pub async fn deliver_text(&self, handler_id: &str, event: &Emitted, data: &str, retry_limit: u32) {
        let queue = queue_of(handler_id);
        let (metadata, outbox_id) = (&event.object["metadata"], event.outbox_id);
        let data = format!("{{\"metadata\":{metadata},\"data\":{data},\"outboxId\":\"{outbox_id}\"}}");
        let sql = self.schema.sql(
            "insert into {schema}.job (id, name, data, policy, dead_letter, retry_limit, expire_seconds)
             select md5($2::text || $1)::uuid, q.name, $3::text::jsonb, q.policy, q.dead_letter, $4::int, q.expire_seconds
             from {schema}.queue q where q.name = $1",
        );
        let inserted = self
            .schema
            .client()
            .execute(
                &sql,
                &[
                    &queue.as_str(),
                    &event.outbox_id.to_string(),
                    &data,
                    &i32::try_from(retry_limit).expect("a few"),
                ],
            )
            .await
            .expect("the delivery is inserted");
        assert_eq!(inserted, 1, "the queue {queue} is there");
    }

    /// The job that delivers the event to the handler, once it is in that state.
    pub async fn job(&self, handler_id: &str, event: &Emitted, state: &str) -> Value {
        let row = format!(
            "select state::text, retry_count, retry_limit, output, started_on is null as fresh from {{schema}}.job
             where name = '{}' and data->>'outboxId' = '{}'",
            queue_of(handler_id),
            event.outbox_id
        );
        wait_for(&format!("a job of {handler_id} to be {state}"), async || {
            self.schema.row(&row).await["state"] == state
        })
        .await;
        self.schema.row(&row).await
    }

    /// Half of the event in the job that delivers it, as the database writes it.
    pub async fn text_of(&self, handler_id: &str, event: &Emitted, half: &str) -> String {
        let text = self
            .schema
            .value(&format!(
                "select (data->'{half}')::text as half from {{schema}}.job where name = '{}' and data->>'outboxId' = '{}'",
                queue_of(handler_id),
                event.outbox_id
            ))
            .await;
        text.as_str().expect("text").to_owned()
    }

    /// The keys in the log of that handler, in order.
    pub async fn logged(&self, handler_id: &str) -> Vec<String> {
        let rows = self
            .schema
            .rows(&format!(
                "select idempotency_key as key from {}.event_processing_log where handler_name = '{handler_id}' order by 1",
                self.app
            ))
            .await;
        rows.iter()
            .map(|row| row["key"].as_str().expect("a key").to_owned())
            .collect()
    }
}

/// An event as the app writes it.
#[derive(Debug, Clone)]
pub struct Emitted {
    pub outbox_id: Uuid,
    pub event_id: Uuid,
    pub object: Value,
}

impl Emitted {
    pub fn order(order_id: &str) -> Emitted {
        Emitted::with(json!({ "orderId": order_id }))
    }

    pub fn with(data: Value) -> Emitted {
        let event_id = Uuid::new_v4();
        let metadata = json!({
            "eventId": event_id, "eventName": Order::NAME, "timestamp": "2026-11-27T12:00:00.000Z",
            "sourceModule": "payment", "correlationId": "Köln 𝒳", "version": "v1",
        });
        Emitted {
            outbox_id: Uuid::new_v4(),
            event_id,
            object: json!({ "metadata": metadata, "data": data }),
        }
    }
}

/// What handlers did, in order, with when.
#[derive(Clone, Default)]
pub struct Diary(Arc<Mutex<Vec<(String, Instant)>>>);

impl Diary {
    pub fn note(&self, line: impl Into<String>) {
        self.0
            .lock()
            .expect("nobody panics with it")
            .push((line.into(), Instant::now()));
    }

    pub fn lines(&self) -> Vec<String> {
        let lines = self.0.lock().expect("nobody panics with it");
        lines.iter().map(|(line, _)| line.clone()).collect()
    }

    /// The time between each line and the next.
    pub fn pauses(&self) -> Vec<Duration> {
        let lines = self.0.lock().expect("nobody panics with it");
        lines.windows(2).map(|pair| pair[1].1 - pair[0].1).collect()
    }

    pub async fn until(&self, lines: usize) {
        wait_for(&format!("{lines} lines in the diary"), async || {
            self.lines().len() >= lines
        })
        .await;
    }
}
