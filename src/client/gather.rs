//! Sends of many callers, written together: what comes in while a statement is under way goes with the next one.
//!
//! A commit waits for the disk, and so it costs much the same for one job as for fifty. An idle queue's send goes at once
//! and alone. Each caller has the answer that a statement of its own would have given, after the commit.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;
use uuid::Uuid;

use super::Error;
use super::tongue::Tongue;
use crate::enqueue::{self, JobInsert, SendOptions};
use crate::job::RawJson;
use crate::postgres::{Class, Database};
use crate::queue::QueueName;

/// The most jobs that go into one statement.
const MOST: usize = 500;

/// Where sends gather, by queue; cheap to clone.
#[derive(Clone)]
pub(super) struct Gatherer {
    road: Database,
    tongue: Tongue,
    /// A queue has an entry while a task writes what comes in for it.
    lanes: Arc<Mutex<HashMap<QueueName, Vec<Sending>>>>,
}

/// A job and whoever waits for its id.
struct Sending {
    job: JobInsert,
    answer: oneshot::Sender<Result<Option<Uuid>, Error>>,
}

/// Whether a job may share a statement: one that could conflict with another by its id, key or slot might wait for
/// somebody's transaction, and hold up its neighbours.
pub(super) fn may_gather(options: &SendOptions) -> bool {
    options.id.is_none() && options.singleton_key.is_none() && options.singleton_seconds.is_none()
}

impl Gatherer {
    pub fn new(road: Database, tongue: Tongue) -> Gatherer {
        Gatherer {
            road,
            tongue,
            lanes: Arc::default(),
        }
    }

    /// Sends a job with whatever else is sent to the queue meanwhile.
    ///
    /// A caller that goes away takes its job along, unless the statement has begun.
    pub async fn send(&self, queue: QueueName, data: RawJson, options: &SendOptions) -> Result<Option<Uuid>, Error> {
        let options = SendOptions {
            // Chosen here, so that it is known whose row went in.
            id: Some(Uuid::new_v4()),
            ..options.clone()
        };
        let job = JobInsert {
            data: Some(data),
            options,
        };
        let dialect = self.tongue.dialect(&self.road).await?;
        enqueue::check_one(&dialect, &job)?;
        let (answer, answered) = oneshot::channel();
        let sending = Sending { job, answer };
        let idle = match self.lanes().entry(queue.clone()) {
            Entry::Occupied(mut lane) => {
                lane.get_mut().push(sending);
                false
            }
            Entry::Vacant(lane) => {
                lane.insert(vec![sending]);
                true
            }
        };
        if idle {
            // In a task of its own: the caller may go away, and the others' jobs are to be written nonetheless.
            tokio::spawn(self.clone().serve(queue));
        }
        answered.await.unwrap_or_else(|_| {
            Err(Error::Unspoken(
                "the program is ending; whether the job was sent is not known".into(),
            ))
        })
    }

    fn lanes(&self) -> MutexGuard<'_, HashMap<QueueName, Vec<Sending>>> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes until nothing has come in meanwhile.
    async fn serve(self, queue: QueueName) {
        while let Some(batch) = self.next(&queue) {
            self.write(&queue, batch).await;
        }
    }

    fn next(&self, queue: &QueueName) -> Option<Vec<Sending>> {
        let mut lanes = self.lanes();
        let lane = lanes.get_mut(queue)?;
        lane.retain(|sending| !sending.answer.is_closed());
        if lane.is_empty() {
            lanes.remove(queue);
            return None;
        }
        let jobs = lane.iter().map(|sending| &sending.job);
        let fitting = enqueue::chunk_length(jobs).min(MOST);
        Some(lane.drain(..fitting).collect())
    }

    async fn write(&self, queue: &QueueName, batch: Vec<Sending>) {
        let (jobs, answers): (Vec<_>, Vec<_>) = batch.into_iter().map(|it| (it.job, it.answer)).unzip();
        match self.insert(queue, &jobs).await {
            Ok(ids) => {
                let ids: HashSet<_> = ids.into_iter().collect();
                for (job, answer) in jobs.iter().zip(answers) {
                    // Whoever asked may have gone.
                    let _ = answer.send(Ok(job.options.id.filter(|id| ids.contains(id))));
                }
            }
            // Nothing was written, for the sake of one of them perhaps: each is judged by itself.
            Err(error) if jobs.len() > 1 && !is_lost(&error) => {
                for (job, answer) in jobs.into_iter().zip(answers) {
                    let sent = self.insert(queue, std::slice::from_ref(&job)).await;
                    let _ = answer.send(sent.map(|ids| ids.first().copied()));
                }
            }
            Err(error) => {
                let error = Arc::new(error);
                for answer in answers {
                    let _ = answer.send(Err(Error::Together(Arc::clone(&error))));
                }
            }
        }
    }

    async fn insert(&self, queue: &QueueName, jobs: &[JobInsert]) -> Result<Vec<Uuid>, Error> {
        let dialect = self.tongue.dialect(&self.road).await?;
        let inserted = enqueue::insert(&self.road, &dialect, queue, jobs).await;
        self.tongue.noted(inserted.map_err(enqueue::Error::alone))
    }
}

/// Whether it is not known if the statement was run, or whether it would fare the same for each job of it.
fn is_lost(error: &Error) -> bool {
    match error.database() {
        Some(error) => matches!(error.class(), Class::Connection | Class::Transient),
        None => matches!(
            error,
            Error::Unspoken(_) | Error::Enqueue(enqueue::Error::UnknownQueue(_) | enqueue::Error::KeyRequired(_))
        ),
    }
}
