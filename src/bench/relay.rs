//! How fast the outbox is relayed.

use std::sync::Arc;

use serde::Serialize;
use tokio_postgres::types::Type;

use super::{Bench, Error, Used, rounded};
use crate::config::{Config, EventsConfig};
use crate::events::{Place, RelayTerms, install, subscribe, unsubscribe};
use crate::home::Home;
use crate::postgres::Executor;
use crate::queue::QueueName;

/// The events of the measurement.
const EVENT: &str = "strawboss:bench";
/// Writes them, as the app does.
const FILL: &str = include_str!("relay.sql");

/// Fill an outbox of its own, then time how long it takes to relay all of it.
#[derive(Debug, Clone)]
pub struct Relay {
    /// Events to relay.
    pub events: usize,
    /// Queues that are subscribed. The deliveries stay in them.
    pub subscribers: usize,
    /// Rows of one transaction; as `run` would have it where not said.
    pub batch_size: Option<usize>,
    /// The schema of the outbox; created if it is not there.
    pub outbox_schema: String,
}

/// What relaying came to.
#[derive(Debug, Clone, Serialize)]
pub struct RelayedAll {
    /// Events relayed.
    pub events: u64,
    /// Queues that each of them went to.
    pub subscribers: u64,
    /// How long it took.
    pub seconds: f64,
    /// Events by seconds.
    pub events_per_s: f64,
    /// CPU seconds of this process.
    pub cpu_s: f64,
    /// Its largest resident size so far.
    pub rss_mb: f64,
}

impl Relay {
    /// Runs it, one relay on one connection.
    ///
    /// # Errors
    /// Where the database or the schema does not allow it.
    pub async fn run(&self, config: &Config) -> Result<RelayedAll, Error> {
        let bench = Bench::open(config).await?;
        let home = Home::new(&config.database.own_schema);
        let mut client = bench.database.client().await?;
        install(&mut client, &home, &self.outbox_schema, false).await?;
        let place = Place::new(Arc::new(bench.dialect.clone()), home, &self.outbox_schema);
        place.prepare(&mut client).await?;
        let queues: Vec<QueueName> = (0..self.subscribers)
            .map(|n| QueueName::new(format!("strawboss-bench-events-{n}")))
            .collect();
        for queue in &queues {
            subscribe(&client, &place, EVENT, queue).await?;
        }
        let count = i64::try_from(self.events).unwrap_or(i64::MAX);
        let fill = FILL.replace("{events}", &crate::dialect::quoted(&self.outbox_schema));
        client
            .query(&fill, &[(&EVENT, Type::TEXT), (&count, Type::INT8)])
            .await?;
        let terms = RelayTerms {
            batch_size: self.batch_size.unwrap_or(config.events.batch_size),
            ..RelayTerms::from(&EventsConfig::default())
        };
        let start = Used::now();
        let mut relayed = 0;
        loop {
            let batch = terms.relay(&mut client, &place, terms.batch_size).await?;
            let rows: u64 = batch.iter().map(|relayed| relayed.rows).sum();
            if rows == 0 {
                break;
            }
            relayed += rows;
        }
        let (seconds, cpu_s, rss_mb) = Used::now().since(start);
        for queue in &queues {
            unsubscribe(&client, &place, Some(EVENT), queue.as_str()).await?;
        }
        Ok(RelayedAll {
            events: relayed,
            subscribers: queues.len() as u64,
            seconds: rounded(seconds),
            events_per_s: rounded(relayed as f64 / seconds),
            cpu_s: rounded(cpu_s),
            rss_mb,
        })
    }
}
