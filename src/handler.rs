//! Handlers: what runs a job. A Rust function, an HTTP endpoint, a subprocess, or nothing at all.

use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio_util::sync::CancellationToken;

use crate::job::{Job, RawJson};

/// What a handler is given beside its job.
#[derive(Debug, Clone)]
pub struct Context {
    /// Cancelled when the attempt is no longer wanted: its deadline passed, the job was cancelled or taken back,
    /// or the grace of a shutdown ran out. The handler's future is dropped soon after.
    pub cancelled: CancellationToken,
    /// When the attempt is cut off.
    pub deadline: Instant,
    /// The trace context of this attempt's span, for calls the handler makes (empty when traces are off).
    pub trace: opentelemetry::Context,
}

impl Context {
    /// What is left until the deadline.
    pub fn remaining(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }
}

/// Why an attempt failed, and what should follow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HandlerError {
    /// The kind of error, as JavaScript would name it (`Error`, `TimeoutError`, `HttpError`…).
    pub name: String,
    /// What happened, for people; becomes `output.message`.
    pub message: String,
    /// Where it happened, where that is known; becomes `output.stack`.
    pub stack: Option<String>,
    /// What should follow.
    pub then: Then,
}

/// What should follow a failed attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    /// The job's own retry rule decides.
    Retry,
    /// As [`Then::Retry`], but no sooner than this from now.
    RetryNoSooner(Duration),
    /// As [`Then::Retry`], but exactly this long from now, whatever the backoff says.
    RetryAfter(Duration),
    /// No other attempt can help: fail for good, to the dead letter queue if there is one.
    DeadLetter,
}

impl HandlerError {
    /// A failure that the job's own retry rule takes care of.
    pub fn retry(message: impl Into<String>) -> Self {
        Self {
            name: "Error".into(),
            message: message.into(),
            stack: None,
            then: Then::Retry,
        }
    }

    /// A failure to be tried again exactly `delay` from now, as long as the job has retries left.
    pub fn retry_after(message: impl Into<String>, delay: Duration) -> Self {
        Self {
            then: Then::RetryAfter(delay),
            ..Self::retry(message)
        }
    }

    /// A failure that no other attempt can mend.
    pub fn never_retry(message: impl Into<String>) -> Self {
        Self {
            then: Then::DeadLetter,
            ..Self::retry(message)
        }
    }

    /// The same error under another name.
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }
}

impl std::fmt::Display for HandlerError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

/// Any error is a reason to try again; say [`HandlerError::never_retry`] where it is not.
impl<E: std::error::Error> From<E> for HandlerError {
    fn from(error: E) -> Self {
        let mut stack = String::new();
        let mut source = error.source();
        while let Some(cause) = source {
            stack.push_str(&format!("\n    caused by: {cause}"));
            source = cause.source();
        }
        let message = error.to_string();
        let stack = (!stack.is_empty()).then(|| format!("{message}{stack}"));
        Self {
            stack,
            ..Self::retry(message)
        }
    }
}

/// What a run gives back: the job's output as JSON text, if it has any.
pub type Run = Pin<Box<dyn Future<Output = Result<Option<RawJson>, HandlerError>> + Send>>;

/// Runs the jobs of a queue.
///
/// The future is dropped when the attempt is over for another reason, so it must be safe to drop at any await.
pub trait Handler: Send + Sync + 'static {
    /// Runs one attempt. The output is given as the handler has it; it is wrapped as pg-boss wraps it later.
    fn run(&self, job: Arc<Job>, context: Context) -> Run;

    /// Why nothing should be claimed for this handler now, if so.
    fn paused(&self) -> Option<String> {
        None
    }
}

/// A handler made of an async function of the job's payload.
struct Typed<T, F> {
    function: F,
    payload: PhantomData<fn() -> T>,
}

/// Makes a handler of `async fn(T, Arc<Job>, Context) -> Result<impl Serialize, HandlerError>`.
///
/// A payload that is no `T` fails for good at once: no retry can mend it.
pub fn typed<T, O, F, Fut>(function: F) -> Arc<dyn Handler>
where
    T: DeserializeOwned + Send + 'static,
    O: Serialize,
    F: Fn(T, Arc<Job>, Context) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<O, HandlerError>> + Send + 'static,
{
    Arc::new(Typed {
        function,
        payload: PhantomData,
    })
}

impl<T, O, F, Fut> Handler for Typed<T, F>
where
    T: DeserializeOwned + Send + 'static,
    O: Serialize,
    F: Fn(T, Arc<Job>, Context) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<O, HandlerError>> + Send + 'static,
{
    fn run(&self, job: Arc<Job>, context: Context) -> Run {
        let payload = match serde_json::from_str::<T>(job.data_text()) {
            Ok(payload) => payload,
            Err(error) => {
                let error = HandlerError::never_retry(format!("the job's data does not fit its handler: {error}"));
                return Box::pin(std::future::ready(Err(error.named("PayloadError"))));
            }
        };
        let run = (self.function)(payload, job, context);
        Box::pin(async move {
            let output = run.await?;
            let text = serde_json::value::to_raw_value(&output)
                .map_err(|error| HandlerError::never_retry(format!("the handler's output is no JSON: {error}")))?;
            Ok(Some(text))
        })
    }
}
