//! What the routes do: each is a call of [`Client`], and its result as JSON.

mod jobs;
mod queues;
mod system;

use serde::Serialize;

use super::routes::Method;
use super::shape::Table;
use crate::client::{self, Client};
use crate::dialect::Watch;
use crate::observe::Tracer;
use crate::postgres::Database;
use crate::queue::QueueName;

/// What the routes call; cheap to clone.
#[derive(Clone)]
pub struct Backend {
    client: Client,
}

/// Why a call came to nothing, in words for whoever may know.
#[derive(Debug)]
pub(super) struct Failure(pub String);

impl Failure {
    pub fn new(words: impl Into<String>) -> Failure {
        Failure(words.into())
    }
}

impl From<client::Error> for Failure {
    fn from(error: client::Error) -> Failure {
        Failure(error.to_string())
    }
}

type Done = Result<Vec<u8>, Failure>;

/// The JSON of a result.
fn json<T: Serialize>(result: &T) -> Done {
    serde_json::to_vec(result).map_err(|error| Failure(error.to_string()))
}

/// What a method answers that returns nothing.
fn nothing() -> Done {
    Ok(b"null".to_vec())
}

/// The queue a request names.
fn name(table: &Table<'_>) -> QueueName {
    QueueName::new(table.text("name").unwrap_or_default())
}

impl Backend {
    /// Calls what a worker of this process speaks to.
    pub fn new(database: Database, watch: Watch, schema: &str, tracer: Tracer) -> Backend {
        Backend {
            client: Client::watching(database, schema, watch)
                .gathering()
                .with_tracer(tracer),
        }
    }

    /// The same for a request that is part of a trace.
    pub(super) fn within(&self, trace: opentelemetry::Context) -> Backend {
        Backend {
            client: self.client.clone().within_trace(trace),
        }
    }

    /// Does what a request asks for.
    pub(super) async fn call(&self, method: Method, table: &Table<'_>) -> Done {
        match method {
            Method::Send => self.send(table).await,
            Method::SendAfter => self.send_after(table).await,
            Method::SendThrottled => self.send_in_slot(table, false).await,
            Method::SendDebounced => self.send_in_slot(table, true).await,
            Method::Insert => self.insert(table).await,
            Method::Update => self.update(table).await,
            Method::Upsert => self.upsert(table).await,
            Method::Flow => self.flow(table).await,
            Method::Fetch => self.fetch(table).await,
            Method::Complete => self.complete(table).await,
            Method::Fail => self.fail(table).await,
            Method::Touch | Method::Cancel | Method::Resume | Method::Retry | Method::Restore | Method::DeleteJob => {
                self.decide(method, table).await
            }
            Method::Redrive => self.redrive(table).await,
            Method::PreviewRedrive => self.preview_redrive(table).await,
            Method::DeleteQueuedJobs | Method::DeleteStoredJobs | Method::DeleteAllJobs => {
                self.delete(method, table).await
            }
            Method::FindJobs => self.find_jobs(table).await,
            Method::GetJobById => self.get_job_by_id(table).await,
            Method::GetDependencies | Method::GetDependents => self.relatives(method, table).await,
            Method::CreateQueue => self.create_queue(table).await,
            Method::UpdateQueue => self.update_queue(table).await,
            Method::DeleteQueue => self.delete_queue(table).await,
            Method::GetQueue => json(&self.client.get_queue(name(table)).await?),
            Method::GetQueues => self.get_queues(table).await,
            Method::GetQueueStats => self.get_queue_stats(table).await,
            Method::GetBlockedKeys => json(&self.client.get_blocked_keys(name(table), None, None).await?),
            Method::Publish => self.publish(table).await,
            Method::Subscribe | Method::Unsubscribe => self.subscription(method, table).await,
            Method::Schedule => self.schedule(table).await,
            Method::Unschedule => self.unschedule(table).await,
            Method::GetSchedules => self.get_schedules(table).await,
            Method::Supervise => self.supervise(table).await,
            Method::ResolveFlow => self.resolve_flow().await,
            Method::Meta => Ok(system::meta().into_bytes()),
            Method::IsInstalled => json(&self.client.is_installed().await?),
            Method::SchemaVersion => json(&self.client.schema_version().await?),
            Method::GetBamStatus => json(&self.client.get_bam_status().await?),
            Method::GetInstances => json(&self.client.get_instances().await?),
        }
    }
}
