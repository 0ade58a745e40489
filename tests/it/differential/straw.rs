//! Our own side, driven by its parts.

use std::sync::Arc;
use std::time::SystemTime;

use strawboss::claim::{self, Served, Terms};
use strawboss::dialect::{Dialect, Watch, Watcher};
use strawboss::job::{Attempt, Job, Outcome, Verdict};
use strawboss::observe::{Health, Metrics, Tracer};
use strawboss::postgres::{Database, Settings};
use strawboss::queue::{Queue, QueueName};
use strawboss::run::Leases;
use strawboss::settle::{Settlement, Settler};
use strawboss::upkeep::Rescuer;
use tokio::sync::{oneshot, watch};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::support::Schema;
use crate::support::wait::PATIENCE;

/// The parts of a worker, without the loops that start by themselves.
pub struct Straw {
    pub database: Database,
    pub dialect: Arc<Dialect>,
    watch: Watch,
    health: Health,
    _over: DropGuard,
}

impl Straw {
    pub async fn on(schema: &Schema) -> Straw {
        let settings = Settings::parse(&schema.url).expect("the test's URL").with_pool_size(3);
        let database = Database::new(&settings).expect("a pool");
        let over = CancellationToken::new();
        let (health, metrics) = (Health::new(), Metrics::new());
        let (watcher, mut watch) = Watcher::new(database.clone(), &schema.name, Vec::new(), metrics.clone());
        tokio::spawn(watcher.run(health.register("watcher", PATIENCE), over.clone()));
        let dialect = watch.spoken().await;
        Straw {
            database,
            dialect,
            watch,
            health,
            _over: over.drop_guard(),
        }
    }

    pub async fn queue(&self, name: &str) -> Queue {
        let client = self.database.client().await.expect("a connection");
        let mut found = Queue::read(&client, &self.dialect, &[QueueName::from(name)])
            .await
            .expect("the queue is read");
        assert_eq!(found.len(), 1, "the queue {name} is there");
        found.remove(0)
    }

    pub async fn claim(&self, queue: &str, limit: usize, terms: &Terms) -> Vec<Arc<Job>> {
        let queue = self.queue(queue).await;
        let sql = terms.render(&self.dialect, &queue);
        let client = self.database.client().await.expect("a connection");
        claim::claim(&client, &sql, terms, &queue.name, limit)
            .await
            .unwrap_or_else(|error| panic!("{error}\n{sql}"))
    }

    /// The ids of what a claim brings, sorted.
    pub async fn claim_ids(&self, queue: &str, limit: usize, terms: &Terms) -> Vec<String> {
        let jobs = self.claim(queue, limit, terms).await;
        let mut ids: Vec<String> = jobs.iter().map(|job| job.id().to_string()).collect();
        ids.sort();
        ids
    }

    /// A job as a claim would have brought it, as far as settling it looks.
    pub fn held(&self, queue: &str, id: &str, retry_count: i32) -> Arc<Job> {
        let moment = chrono::Utc::now();
        Arc::new(Job {
            attempt: Attempt {
                id: id.parse().expect("an id"),
                retry_count,
            },
            queue: QueueName::from(queue),
            data: None,
            retry_limit: 0,
            priority: 0,
            created_on: moment,
            start_after: moment,
            started_on: moment,
            expire: PATIENCE,
            heartbeat: None,
            group: None,
            singleton_key: None,
            trace_context: None,
            ctid: None,
        })
    }

    /// Writes the verdicts, all that are alike in one statement, and says what came of each.
    pub async fn settle(&self, verdicts: impl IntoIterator<Item = (Arc<Job>, Verdict)>) -> Vec<Outcome> {
        let (settler, sender) = Settler::new(
            self.database.clone(),
            self.watch.clone(),
            Leases::default(),
            Metrics::new(),
            Tracer::off(),
            1000,
        );
        let mut answers = Vec::new();
        for (job, verdict) in verdicts {
            let queue = Arc::new(self.queue(job.queue.as_str()).await);
            let span = Tracer::off().process_span(&job, SystemTime::now());
            let (tell, told) = oneshot::channel();
            answers.push(told);
            let settlement = Settlement {
                job,
                queue,
                verdict,
                expired: false,
                span,
                ran: None,
                told: Box::new(|outcome| tell.send(outcome).expect("somebody waits for it")),
            };
            sender.try_send(settlement).expect("there is room");
        }
        // It begins when all are there, and ends when all are written.
        drop(sender);
        let pulse = self.health.register("settler", PATIENCE);
        let written = tokio::time::timeout(PATIENCE, settler.run(pulse, CancellationToken::new())).await;
        written.expect("the verdicts are written");
        let answers = futures_util::future::join_all(answers).await;
        answers
            .into_iter()
            .map(|answer| answer.expect("the settler tells"))
            .collect()
    }

    /// A rescuer over those queues, which sweeps until the guard is dropped.
    pub async fn rescue(&self, queues: &[&str]) -> DropGuard {
        let mut served = Vec::new();
        for name in queues {
            let queue = Arc::new(self.queue(name).await);
            let dialect = Arc::clone(&self.dialect);
            served.push(watch::channel(Some(Served { dialect, queue })).1);
        }
        let rescuer = Rescuer {
            database: self.database.clone(),
            watch: self.watch.clone(),
            leases: Leases::default(),
            served,
            metrics: Metrics::new(),
        };
        let stop = CancellationToken::new();
        tokio::spawn(rescuer.run(self.health.register("rescuer", PATIENCE), stop.clone()));
        stop.drop_guard()
    }
}
