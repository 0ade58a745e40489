//! The app's tables as `events install` makes them, rows as the app writes them, and a worker that relays.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use strawboss::config::{Config, EventsConfig};
use strawboss::dialect::Dialect;
use strawboss::events::{Handlers, Place, install};
use strawboss::home::Home;
use strawboss::postgres::{Client, Database, Settings};
use uuid::Uuid;

use crate::support::crew::{self, Crew};
use crate::support::{Release, Schema};

pub struct Ground {
    pub schema: Schema,
    /// Where the app's tables are.
    pub app: String,
    pub database: Database,
    pub place: Place,
}

impl Ground {
    pub async fn new() -> Ground {
        Ground::on(Release::NEWEST).await
    }

    pub async fn on(release: Release) -> Ground {
        let schema = Schema::new(release).await;
        let app = schema.own();
        let settings = Settings::parse(&schema.url).expect("a URL").with_pool_size(6);
        let database = Database::new(&settings).expect("a pool");
        let home = Home::new(app.as_str());
        let mut client = database.client().await.expect("it is up");
        install(&mut client, &home, &app, false).await.expect("installed");
        let dialect = Dialect::read(&client, &schema.name).await.expect("it is spoken");
        let place = Place::new(Arc::new(dialect), home, &app);
        place.prepare(&mut client).await.expect("prepared");
        drop(client);
        Ground {
            schema,
            app,
            database,
            place,
        }
    }

    pub async fn client(&self) -> Client {
        self.database.client().await.expect("it is up")
    }

    /// `{app}` in the text becomes the schema of the app's tables.
    pub fn sql(&self, text: &str) -> String {
        text.replace("{app}", &self.app)
    }

    pub async fn execute(&self, text: &str) {
        self.schema.execute(&self.sql(text)).await;
    }

    pub async fn rows(&self, text: &str) -> Vec<Value> {
        self.schema.rows(&self.sql(text)).await
    }

    pub async fn value(&self, text: &str) -> Value {
        self.schema.value(&self.sql(text)).await
    }

    pub async fn until(&self, condition: &str) {
        self.schema.until(&self.sql(condition)).await;
    }

    /// A queue that is subscribed to the event, as a Node module has it.
    pub async fn subscriber(&self, event: &str, queue: &str, options: Value) {
        self.schema.queue(queue, options).await;
        self.execute(&format!(
            "insert into {{schema}}.subscription (event, name) values ('{event}', '{queue}')"
        ))
        .await;
    }

    /// A row as the app writes it, with that payload as JSON text; its id.
    pub async fn emit(&self, event: &str, payload: &str) -> Uuid {
        let event_id = Uuid::new_v4();
        let metadata = json!({
            "eventId": event_id, "eventName": event, "timestamp": "2026-01-02T03:04:05.678Z",
            "sourceModule": "test", "correlationId": "Zusammenhang 𝒳", "version": "v1",
        });
        let sql = self.sql(
            "insert into {app}.event_outbox (event_name, event_data, metadata) values ($1, $2::text::jsonb, $3) returning id",
        );
        let row = self
            .schema
            .client()
            .query_one(&sql, &[&event, &payload, &metadata])
            .await
            .expect("the row is taken");
        row.get(0)
    }

    /// Many rows at once, with the payloads `{"n": 1}` and so on.
    pub async fn emit_many(&self, event: &str, count: usize) {
        self.execute(&format!(
            "insert into {{app}}.event_outbox (event_name, event_data, metadata)
             select '{event}', jsonb_build_object('n', n), jsonb_build_object('eventId', gen_random_uuid(), 'eventName', '{event}',
               'timestamp', '2026-01-02T03:04:05.678Z', 'sourceModule', 'test', 'correlationId', n::text, 'version', 'v1')
             from generate_series(1, {count}) n"
        ))
        .await;
    }

    pub async fn row(&self, id: Uuid) -> Value {
        self.rows(&format!("select * from {{app}}.event_outbox where id = '{id}'"))
            .await
            .remove(0)
    }

    pub async fn dead_letters(&self) -> Vec<Value> {
        self.rows("select * from {app}.event_dead_letter order by failed_at")
            .await
    }

    /// A configuration that relays, and looks often.
    pub fn events(&self) -> EventsConfig {
        EventsConfig {
            enabled: true,
            outbox_schema: self.app.clone(),
            polling_interval: Duration::from_millis(50),
            backoff: Duration::from_millis(100),
            jitter: false,
            ..EventsConfig::default()
        }
    }

    pub fn config(&self, events: EventsConfig) -> Config {
        Config {
            events,
            ..crew::config(&self.schema, &[])
        }
    }

    /// A worker that relays and has these handlers.
    pub fn worker(&self, events: EventsConfig, handlers: Handlers) -> Crew {
        Crew::equipped(self.config(events), |worker| {
            worker.handle_events(handlers);
        })
    }

    /// A worker that relays and has none.
    pub fn relay(&self, events: EventsConfig) -> Crew {
        self.worker(events, Handlers::default())
    }
}
