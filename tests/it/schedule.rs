//! Schedules fire as Node's do.

mod cli;
mod firing;
mod mixed;
mod rows;
mod rule;
mod vectors;

use std::sync::Arc;

use strawboss::config::CronConfig;
use strawboss::dialect::{Dialect, Watch, Watcher};
use strawboss::home::Home;
use strawboss::observe::Metrics;
use strawboss::postgres::{Database, Error, Settings};
use strawboss::schedule::{Crier, Memory, Pass, Porter, Zones};
use tokio::sync::Notify;

use crate::support::Schema;

/// A crier and a porter of ours who do as they are told.
pub struct Straw {
    pub dialect: Arc<Dialect>,
    pub database: Database,
    pub metrics: Metrics,
    pub home: Home,
    crier: Crier,
    porter: Porter,
    memory: Memory,
}

impl Straw {
    /// On a schema, by a URL that may have options.
    pub async fn on(schema: &Schema, url: &str) -> Straw {
        let database = Database::new(&Settings::parse(url).expect("a URL").with_pool_size(2)).expect("a pool");
        // Tests have servers of their own; a session is theirs.
        database.detect().await.expect("an answer");
        let client = database.client().await.expect("a connection");
        let dialect = Dialect::read(&client, &schema.name).await.expect("the schema is there");
        drop(client);
        let (metrics, home) = (Metrics::new(), Home::new(schema.own()));
        // Nobody watches: the dialect is told.
        let (_, watch): (Watcher, Watch) = Watcher::new(database.clone(), &schema.name, Vec::new(), metrics.clone());
        let (bell, zones) = (Arc::new(Notify::new()), Zones::bundled());
        let config = CronConfig::default();
        Straw {
            dialect: Arc::new(dialect),
            crier: Crier {
                database: database.clone(),
                watch: watch.clone(),
                zones: zones.clone(),
                home: home.clone(),
                config: config.clone(),
                declared: Vec::new(),
                keep_warnings: true,
                metrics: metrics.clone(),
                bell: Arc::clone(&bell),
            },
            porter: Porter {
                database: database.clone(),
                watch,
                home: home.clone(),
                interval: config.worker_interval,
                metrics: metrics.clone(),
                bell,
            },
            memory: Memory::new(zones),
            database,
            metrics,
            home,
        }
    }

    /// One attempt at a pass that may fail.
    pub async fn try_pass(&mut self) -> Result<Pass, Error> {
        self.crier.pass(&self.dialect, &mut self.memory).await
    }

    /// One attempt at a pass.
    pub async fn pass(&mut self) -> Pass {
        self.try_pass()
            .await
            .unwrap_or_else(|error| panic!("a pass fails: {error:?}"))
    }

    /// Forwards all that is filed; tells how much that was.
    pub async fn forward(&self) -> usize {
        let mut forwarded = 0;
        loop {
            let batch = self.porter.forward(&self.dialect).await;
            let batch = batch.unwrap_or_else(|error| panic!("nothing is forwarded: {error:?}"));
            if batch == 0 {
                return forwarded;
            }
            forwarded += batch;
        }
    }
}
