//! The jobs of the demo: some succeed, some need several attempts, some can never succeed.

use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde_json::json;
use serde_json::value::to_raw_value;

use crate::enqueue::{JobInsert, QueueOptions};
use crate::handler::{Handler, HandlerError, typed};
use crate::job::Job;
use crate::queue::QueueName;

/// The dead letter queue of the jobs that never succeed.
pub const DEAD: &str = "payment-dead";

/// A queue with something to show.
#[derive(Debug, Clone, Copy)]
pub struct Sample {
    /// Its name.
    pub queue: &'static str,
    /// What it shows.
    pub shows: &'static str,
    /// How many jobs are sent to it.
    pub count: usize,
    kind: Kind,
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Succeeds,
    FailsFirst,
    NeverSucceeds,
}

#[derive(Deserialize)]
struct Payload {
    n: usize,
}

/// All of them.
pub(super) fn samples() -> Vec<Sample> {
    vec![
        Sample {
            queue: "welcome-email",
            shows: "jobs that succeed",
            count: 2000,
            kind: Kind::Succeeds,
        },
        Sample {
            queue: "thumbnail",
            shows: "jobs that fail twice, then succeed",
            count: 40,
            kind: Kind::FailsFirst,
        },
        Sample {
            queue: "payment",
            shows: "jobs that never succeed, and are dead-lettered",
            count: 10,
            kind: Kind::NeverSucceeds,
        },
    ]
}

impl Sample {
    /// The queue's options.
    pub(super) fn options(&self) -> QueueOptions {
        let dead_letter = matches!(self.kind, Kind::NeverSucceeds).then(|| QueueName::from(DEAD));
        QueueOptions {
            retry_limit: Some(2),
            retry_delay: Some(Duration::from_secs(1)),
            dead_letter,
            ..QueueOptions::default()
        }
    }

    /// Its jobs.
    pub(super) fn jobs(&self) -> Vec<JobInsert> {
        (1..=self.count)
            .map(|n| JobInsert {
                data: to_raw_value(&json!({ "n": n })).ok(),
                ..JobInsert::default()
            })
            .collect()
    }

    /// What runs them.
    pub(super) fn handler(&self) -> Arc<dyn Handler> {
        let kind = self.kind;
        typed(move |job: Job<Payload>, _| async move {
            // A little work, so that there is something to see.
            tokio::time::sleep(Duration::from_millis(20)).await;
            match kind {
                Kind::FailsFirst if job.attempt.retry_count < 2 => {
                    Err(HandlerError::retry("the image service is busy").named("BusyError"))
                }
                Kind::NeverSucceeds => Err(HandlerError::retry("the card was declined").named("CardError")),
                _ => Ok(json!({ "done": job.data.n })),
            }
        })
    }
}
