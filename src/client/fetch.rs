//! Jobs are taken by hand.

use std::collections::{BTreeMap, HashMap};
use std::ops::Deref;
use std::sync::Arc;

use serde::{Serialize, Serializer};
use serde_json::value::to_raw_value;

use super::{Client, Error};
use crate::claim::{self, Terms};
use crate::dialect::Capability;
use crate::inspect::{JobRecord, jobs_by_id};
use crate::job::Job;
use crate::postgres::Executor;
use crate::queue::{Queue, QueueName};
use crate::refusal::Refusal;

/// Which due jobs are taken, and how many.
#[derive(Debug, Clone, Default)]
pub struct FetchOptions {
    /// At most so many; 1 by default.
    pub batch_size: Option<u32>,
    /// Whether all that the rows have is read.
    pub include_metadata: bool,
    /// Jobs that are not due are taken, too.
    pub ignore_start_after: bool,
    /// `Some(false)` does not look at priorities (before pg-boss 12.30, which always does).
    pub priority: Option<bool>,
    /// `Some(false)` does not look at the age of jobs (before pg-boss 12.30, which always does).
    pub order_by_created_on: Option<bool>,
    /// Jobs of a lower priority stay.
    pub min_priority: Option<i32>,
    /// Jobs of a higher priority stay.
    pub max_priority: Option<i32>,
    /// How many jobs of one group may be active at once (pg-boss 12.6 and later).
    pub group_concurrency: Option<GroupLimit>,
    /// Jobs of these groups stay (pg-boss 12.6 and later).
    pub ignore_groups: Vec<String>,
}

/// How many jobs of one group may be active at once, all workers together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GroupLimit {
    /// Of a group without a tier, or of a tier that is not listed.
    pub default: u32,
    /// By tier.
    pub tiers: BTreeMap<String, u32>,
}

/// A job that was taken; it has to be settled by [`Client::complete`] or [`Client::fail`] before it expires. It serialises to
/// the JSON of pg-boss's own `Job`, or with metadata `JobWithMetadata`.
#[derive(Debug, Clone)]
pub struct Fetched {
    /// The job.
    pub job: Arc<Job>,
    /// All that its row has, if that was asked for.
    pub record: Option<Box<JobRecord>>,
    /// Whether pg-boss of this schema tells the attempt of a job without metadata.
    counted: bool,
}

impl Deref for Fetched {
    type Target = Job;

    fn deref(&self) -> &Job {
        &self.job
    }
}

impl Serialize for Fetched {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if let Some(record) = &self.record {
            return record.serialize(serializer);
        }
        let job = &self.job;
        let expire = job.expire.as_secs_f64();
        Brief {
            id: job.id(),
            name: job.queue.as_str(),
            data: job.data.as_deref(),
            retry_count: self.counted.then_some(job.attempt.retry_count),
            expire_in_seconds: Seconds(expire),
            heartbeat_seconds: job.heartbeat.map(|heartbeat| heartbeat.seconds),
            group_id: job.group.as_ref().map(|group| group.id.as_str()),
            group_tier: job.group.as_ref().and_then(|group| group.tier.as_deref()),
        }
        .serialize(serializer)
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Brief<'a> {
    id: uuid::Uuid,
    name: &'a str,
    data: Option<&'a serde_json::value::RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_count: Option<i32>,
    expire_in_seconds: Seconds,
    heartbeat_seconds: Option<i32>,
    group_id: Option<&'a str>,
    group_tier: Option<&'a str>,
}

/// Whole numbers as JavaScript writes them, without a point.
struct Seconds(f64);

impl Serialize for Seconds {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0.fract() == 0.0 {
            serializer.serialize_i64(self.0 as i64)
        } else {
            serializer.serialize_f64(self.0)
        }
    }
}

impl FetchOptions {
    fn terms(&self) -> Result<Terms, Refusal> {
        if let (Some(least), Some(most)) = (self.min_priority, self.max_priority)
            && least > most
        {
            return Err(Refusal::Invalid(
                "minPriority cannot be greater than maxPriority".to_owned(),
            ));
        }
        let limit = self.group_concurrency.as_ref();
        if let Some(limit) = limit
            && (limit.default == 0 || limit.tiers.values().any(|most| *most == 0))
        {
            return Err(Refusal::Invalid("groupConcurrency must be an integer >= 1".to_owned()));
        }
        let tiers = limit.filter(|limit| !limit.tiers.is_empty());
        Ok(Terms {
            lease: None,
            min_priority: self.min_priority,
            max_priority: self.max_priority,
            group_limit: limit.map(|limit| i32::try_from(limit.default).unwrap_or(i32::MAX)),
            group_tiers: tiers.and_then(|limit| to_raw_value(&limit.tiers).ok()),
            without_groups: self.ignore_groups.clone(),
            early: self.ignore_start_after,
            any_priority: self.priority == Some(false),
            any_age: self.order_by_created_on == Some(false),
        })
    }
}

impl<E: Executor> Client<E> {
    /// Takes due jobs of the queue, as a worker would. In a transaction, two fetches that meet at the unique index of a policy
    /// end that of the loser; outside of one, the loser finds nothing.
    ///
    /// # Errors
    /// An unknown queue, options that make no sense or that the schema has nothing for, or the database's refusal.
    pub async fn fetch(&self, queue: impl Into<QueueName>, options: &FetchOptions) -> Result<Vec<Fetched>, Error> {
        let queue = queue.into();
        let dialect = self.tongue.dialect(&self.road).await?;
        let terms = options.terms()?;
        if options.group_concurrency.is_some() || !options.ignore_groups.is_empty() {
            Refusal::unless(&dialect, "groupConcurrency", Capability::Groups)?;
        }
        let limit = options.batch_size.unwrap_or(1);
        if limit == 0 {
            return Err(Refusal::Invalid("batchSize must be an integer > 0".to_owned()).into());
        }
        let found = self
            .tongue
            .noted(Queue::read(&self.road, &dialect, std::slice::from_ref(&queue)).await)?;
        let Some(found) = found.first() else {
            return Err(Refusal::UnknownQueue(queue).into());
        };
        let sql = terms.render(&dialect, found);
        let jobs = claim::claim(&self.road, &sql, &terms, &queue, limit as usize).await;
        let jobs = self.tongue.noted(jobs)?;
        let mut records = HashMap::new();
        if options.include_metadata && !jobs.is_empty() {
            let ids: Vec<_> = jobs.iter().map(|job| job.id()).collect();
            let read = jobs_by_id(&self.road, &dialect, &queue, &ids).await;
            let read = self.tongue.noted(read)?;
            records.extend(read.into_iter().map(|record| (record.id, Box::new(record))));
        }
        let counted = dialect.has(Capability::SourceOutput);
        Ok(jobs
            .into_iter()
            .map(|job| Fetched {
                record: records.remove(&job.id()),
                counted,
                job,
            })
            .collect())
    }
}
