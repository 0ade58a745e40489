//! What ran for a key is not run for it again.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use serde_json::value::to_raw_value;
use tower::{Layer, ServiceExt};

use super::{Answer, Call, Inner, service};
use crate::events::key::{KeyTemplate, stored};
use crate::events::keys::{Entry, Held, Keys};
use crate::handler::HandlerError;
use crate::job::Logged;
use crate::observe::Metrics;

/// How long a run waits in its place for another one of the same key, and for how long it goes back to the queue then.
const WAIT: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(1));
/// How often it asks meanwhile: at first, and at the least.
const ASK: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(200));
/// How long a run stays away while the log cannot be read.
const UNREADABLE: Duration = Duration::from_secs(5);

/// Runs a handler once per idempotency key: a key that is in `event_processing_log` for this handler is answered as
/// skipped, and while one run holds a key no other one in any process does. A run that succeeds leaves the row of the
/// log in its [`Answer`], with the key in hand: whoever completes the job writes both in one statement, and lets go of the key then.
#[derive(Clone)]
pub struct IdempotencyLayer {
    handler: Arc<str>,
    template: Option<Arc<KeyTemplate>>,
    log: Arc<str>,
    keys: Keys,
    metrics: Metrics,
}

impl IdempotencyLayer {
    /// Runs that handler once per key: `metadata.eventId`, or what the template makes of the event. `log` is the app's
    /// `event_processing_log`, qualified and quoted.
    pub fn new(
        handler: impl Into<Arc<str>>,
        template: Option<KeyTemplate>,
        log: Arc<str>,
        keys: Keys,
        metrics: &Metrics,
    ) -> IdempotencyLayer {
        IdempotencyLayer {
            handler: handler.into(),
            template: template.map(Arc::new),
            log,
            keys,
            metrics: metrics.clone(),
        }
    }

    async fn around<S: Inner>(self, inner: S, call: Call) -> Result<Answer, HandlerError> {
        let event = Arc::clone(&call.event);
        let key = match &self.template {
            None => event.metadata.event_id.to_string(),
            Some(template) => template
                .key(&event.metadata_text, &event.data)
                .map_err(|missing| HandlerError::never_retry(missing.to_string()).named("IdempotencyKeyError"))?,
        };
        let key = stored(&key).into_owned();
        let Some(held) = self.enter(&key).await? else {
            self.metrics
                .event_duplicates_skipped
                .with_label_values(&[&*self.handler])
                .inc();
            let output = json!({ "skipped": "duplicate", "idempotencyKey": key });
            return Ok(Answer {
                output: to_raw_value(&output).ok(),
                logged: None,
                skipped: true,
            });
        };
        let mut answer = tokio::select! {
            biased;
            result = inner.oneshot(call) => result?,
            () = held.lost() => {
                let why = "the idempotency key was lost with the connection that held it";
                return Err(HandlerError::postpone(why, WAIT.1));
            }
        };
        answer.logged = Some(Logged {
            table: self.log,
            event: event.metadata.event_id,
            handler: self.handler,
            key,
            hold: Arc::new(held),
        });
        Ok(answer)
    }

    /// Has the key, or `None` once it is in the log.
    async fn enter(&self, key: &str) -> Result<Option<Held>, HandlerError> {
        let since = tokio::time::Instant::now();
        let mut pause = ASK.0;
        loop {
            match self.keys.enter(&self.handler, key).await {
                Entry::Entered(held) => return Ok(Some(held)),
                Entry::Logged => return Ok(None),
                Entry::Refused(why) => return Err(HandlerError::postpone(why, UNREADABLE)),
                Entry::Busy if since.elapsed() >= WAIT.0 => {
                    let why = "another run holds the idempotency key";
                    return Err(HandlerError::postpone(why, WAIT.1));
                }
                Entry::Busy => {
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(ASK.1);
                }
            }
        }
    }
}

impl<S> Layer<S> for IdempotencyLayer {
    type Service = Idempotent<S>;

    fn layer(&self, inner: S) -> Idempotent<S> {
        Idempotent {
            layer: self.clone(),
            inner,
        }
    }
}

/// A service with an [`IdempotencyLayer`] around it.
#[derive(Clone)]
pub struct Idempotent<S> {
    layer: IdempotencyLayer,
    inner: S,
}

service!(Idempotent);
