//! Two schemas of one release: Node works on one, strawboss on the other, and the rows are compared.

use std::sync::Arc;

use serde_json::value::RawValue;
use serde_json::{Value, json};
use strawboss::dialect::Dialect;
use strawboss::enqueue::{self, Error, QueueOptions, SendOptions};
use strawboss::queue::QueueName;
use tokio_postgres::Client;
use uuid::Uuid;

use crate::support::node::BossError;
use crate::support::{Boss, Release, Schema};

pub struct Pair {
    pub release: Release,
    /// Node's schema.
    pub theirs: Schema,
    pub boss: Boss,
    /// Strawboss's schema.
    pub ours: Schema,
    pub client: Client,
    pub dialect: Arc<Dialect>,
}

/// What either side answered to the same send.
pub struct Sent {
    pub theirs: Result<Value, BossError>,
    pub ours: Result<Option<Uuid>, Error>,
}

impl Sent {
    /// Whether a job went in, which both sides have to agree on.
    pub fn entered(&self, what: &str) -> bool {
        let theirs = match &self.theirs {
            Ok(answer) => !answer.is_null(),
            Err(error) => panic!("{what}: Node refused: {error:?}"),
        };
        let ours = match &self.ours {
            Ok(id) => id.is_some(),
            Err(error) => panic!("{what}: strawboss refused: {error}"),
        };
        assert_eq!(theirs, ours, "{what}: whether it went in, Node's answer on the left");
        ours
    }

    pub fn refused(&self, what: &str) -> (String, String) {
        match (&self.theirs, &self.ours) {
            (Err(theirs), Err(ours)) => (theirs.message.clone(), ours.to_string()),
            (theirs, ours) => panic!("{what}: both were to refuse it; Node: {theirs:?}, strawboss: {ours:?}"),
        }
    }
}

impl Pair {
    pub async fn new(release: Release) -> Pair {
        let theirs = Schema::new(release).await;
        let boss = Boss::start(release, &theirs.url, &theirs.name, json!({})).await;
        let ours = Schema::new(release).await;
        let client = ours.connect().await;
        let dialect = Dialect::read(&client, &ours.name).await.expect("the schema is there");
        Pair {
            release,
            theirs,
            boss,
            ours,
            client,
            dialect: Arc::new(dialect),
        }
    }

    pub fn version(&self) -> i32 {
        self.release.schema_version()
    }

    /// Creates the same queue on both sides.
    pub async fn queue(&self, name: &str, theirs: Value, ours: QueueOptions) {
        self.boss
            .call("createQueue", json!([name, theirs]))
            .await
            .unwrap_or_else(|error| panic!("Node creates {name}: {error:?}"));
        enqueue::create_queue(&self.client, &self.dialect, &name.into(), &ours)
            .await
            .unwrap_or_else(|error| panic!("strawboss creates {name}: {error}"));
    }

    /// Sends the same job on both sides.
    pub async fn send(&self, queue: &str, data: Value, theirs: Value, ours: &SendOptions) -> Sent {
        let raw = raw(&data);
        Sent {
            theirs: self.boss.call("send", json!([queue, data, theirs])).await,
            ours: enqueue::send(&self.client, &self.dialect, &name(queue), Some(&raw), ours).await,
        }
    }

    /// Both sides do the same by hand.
    pub async fn execute(&self, sql: &str) {
        self.theirs.execute(sql).await;
        self.ours.execute(sql).await;
    }

    /// Every job of both sides, oldest first, has the same columns but for random ids and the hour of the day.
    pub async fn assert_same_jobs(&self, what: &str) {
        let theirs = self.theirs.rows(&self.jobs()).await;
        let ours = self.ours.rows(&self.jobs()).await;
        assert_eq!(
            theirs, ours,
            "pg-boss {}: {what}; Node's rows on the left",
            self.release
        );
    }

    /// The jobs with times told relative to `created_on`, slots to the slot of `created_on` (of an hour, in every test here).
    fn jobs(&self) -> String {
        "select to_jsonb(j) - 'id' - 'created_on' \
            || jsonb_build_object( \
                'id', case when j.id::text like '00000000-%' then j.id::text else 'random' end, \
                'start_after', case when j.start_after between '2029-12-01' and '2030-12-01' then j.start_after::text \
                    else (j.start_after - j.created_on)::text end, \
                'keep_until', case when j.keep_until = '2029-06-01T00:00:00Z' then j.keep_until::text \
                    else (j.keep_until - j.start_after)::text end, \
                'singleton_on', (extract(epoch from j.singleton_on) - floor(extract(epoch from j.created_on) / 3600) * 3600)::int) \
            as job \
         from {schema}.job j order by j.created_on, j.priority, j.singleton_key, j.id"
            .to_owned()
    }
}

pub fn name(queue: &str) -> QueueName {
    QueueName::from(queue)
}

pub fn raw(data: &Value) -> Box<RawValue> {
    RawValue::from_string(data.to_string()).expect("it is JSON")
}
