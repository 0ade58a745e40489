//! Handlers: what runs a job. A Rust function, an HTTP endpoint, a subprocess, or nothing at all.
//!
//! A function becomes a handler by [`typed`], which decodes the payload, or by [`raw`], which does not:
//!
//! ```
//! use strawboss::handler::{self, Context, HandlerError};
//! use strawboss::job::Job;
//!
//! #[derive(serde::Deserialize)]
//! struct Email {
//!     to: String,
//! }
//!
//! async fn send(job: Job<Email>, _context: Context) -> Result<(), HandlerError> {
//!     if !job.data.to.contains('@') {
//!         return Err(HandlerError::never_retry("that is no address"));
//!     }
//!     Ok(())
//! }
//!
//! let handler = handler::typed(send);
//! # let _ = handler;
//! ```
//!
//! The configured kinds are made by [`from_config`].

mod error;
mod exec;
mod function;
mod http;
mod noop;
mod output;
mod propagation;

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use crate::config::HandlerConfig;
use crate::job::{Job, Logged, RawJson};
use crate::observe::Metrics;
use crate::queue::QueueName;

pub use error::{HandlerError, SetupError, Then};
pub use function::{raw, typed};
pub(crate) use http::MoreHeaders;

/// What a handler is given beside its job.
#[derive(Debug, Clone)]
pub struct Context {
    /// Cancelled when the attempt is no longer wanted: its deadline passed, the job was cancelled or taken back,
    /// or the grace of a shutdown ran out. The handler's future is dropped soon after.
    pub cancelled: CancellationToken,
    /// When the attempt is cut off.
    pub deadline: Instant,
    /// The trace context of this attempt's span, for calls the handler makes; with traces off, the context the job was
    /// sent in.
    pub trace: opentelemetry::Context,
    /// What is to be written with the job's completion; empty unless the handler leaves something there.
    pub along: Along,
}

/// Where a handler leaves what is to be written with its job's completion, in the same statement; cheap to clone. What is
/// left there by an attempt that fails is dropped.
#[derive(Debug, Clone, Default)]
pub struct Along(Arc<Mutex<Option<Logged>>>);

impl Along {
    /// Leaves a row of the event system's log there.
    pub fn leave(&self, logged: Logged) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(logged);
    }

    /// Takes what was left.
    pub fn take(&self) -> Option<Logged> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Context {
    /// What is left until the deadline.
    pub fn remaining(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
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

    /// Why nothing should be claimed for this handler now, if so. Asked before each claim, and before a job that was
    /// claimed earlier is begun.
    fn paused(&self) -> Option<String> {
        None
    }
}

/// Makes the handler that `queues.NAME.handler` describes.
///
/// # Errors
/// Says what makes it unusable: a target that is no HTTP URL, a secret that is no key, a program that is not there.
pub fn from_config(
    config: &HandlerConfig,
    queue: &QueueName,
    metrics: &Metrics,
) -> Result<Arc<dyn Handler>, SetupError> {
    with_headers(config, queue, metrics, None)
}

/// As [`from_config`]; one of HTTP sends more headers.
pub(crate) fn with_headers(
    config: &HandlerConfig,
    queue: &QueueName,
    metrics: &Metrics,
    more: Option<MoreHeaders>,
) -> Result<Arc<dyn Handler>, SetupError> {
    Ok(match config {
        HandlerConfig::Http {
            url,
            timeout,
            secrets,
            headers,
            max_response_bytes,
        } => Arc::new(http::Http::new(
            http::Target {
                more,
                url,
                timeout: *timeout,
                secrets,
                headers,
                max_response_bytes: *max_response_bytes,
            },
            queue,
            metrics,
        )?),
        HandlerConfig::Exec {
            command,
            timeout,
            working_dir,
            env,
        } => Arc::new(exec::Exec::new(command, *timeout, working_dir.as_deref(), env)?),
        HandlerConfig::Noop => Arc::new(noop::Noop),
        HandlerConfig::Log => Arc::new(noop::Log),
    })
}
