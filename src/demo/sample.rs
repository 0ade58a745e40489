//! The jobs and the events of the demo: some succeed, some need several attempts, some can never succeed.

use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde_json::json;
use serde_json::value::to_raw_value;

use crate::enqueue::{JobInsert, QueueOptions};
use crate::events::{CircuitPolicy, HandlerOptions, Handlers, RegisterError};
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
    /// Deliveries of an event, by the handler of that name.
    Event(&'static str),
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
        Sample {
            queue: "event.inventory",
            shows: "events from the outbox, and a handler that succeeds",
            count: EVENTS,
            kind: Kind::Event("inventory"),
        },
        Sample {
            queue: "event.receipt",
            shows: "the same events, and one that fails some of them",
            count: EVENTS,
            kind: Kind::Event("receipt"),
        },
    ]
}

/// How many events are emitted.
pub(super) const EVENTS: usize = 100;

/// The event of the demo.
pub(super) const EVENT: &str = "order.completed";

/// The two handlers of the event, and what each does with it: every tenth receipt is sent at the second attempt, and three
/// can never be sent.
pub(super) fn handlers(mut handlers: Handlers) -> Result<Handlers, RegisterError> {
    for Sample { kind, .. } in samples() {
        let Kind::Event(name) = kind else { continue };
        let options = HandlerOptions {
            handler_id: Some(name.to_owned()),
            backoff: Some(Duration::from_millis(500)),
            // So many fail on purpose that it would open.
            circuit: Some(CircuitPolicy {
                threshold: 0,
                ..CircuitPolicy::default()
            }),
            ..HandlerOptions::of(name)
        };
        let handler = typed(move |job: Job<Received>, _| async move {
            let n = job.data.data.n;
            match name {
                "receipt" if n > EVENTS - 3 => Err(HandlerError::never_retry("the customer has no address")),
                "receipt" if n.is_multiple_of(10) && job.attempt.retry_count == 0 => {
                    Err(HandlerError::retry("the mail server is busy"))
                }
                _ => Ok(()),
            }
        });
        handlers.register_kind(EVENT, options, handler)?;
    }
    Ok(handlers)
}

#[derive(Deserialize)]
struct Received {
    data: Payload,
}

impl Sample {
    /// Whether its jobs come by the outbox.
    pub(super) fn is_of_events(&self) -> bool {
        matches!(self.kind, Kind::Event(_))
    }

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
