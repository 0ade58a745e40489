//! What stands around every run of an event's handler: [`tower`] layers, in this order from the outside in.
//!
//! 1. [`TraceLayer`]: a span and the metrics of the run.
//! 2. [`ValidationLayer`]: a payload that breaks its schema is dead-lettered at once.
//! 3. [`IdempotencyLayer`]: what ran for this key already is skipped, and no other worker runs it meanwhile.
//! 4. [`CircuitLayer`]: a handler that keeps failing is left alone for a while.
//! 5. [`TimeoutLayer`]: the handler is cut off when its time is over.
//!
//! A service here takes a [`Call`] and answers with an [`Answer`] or a [`HandlerError`]. Layers of one's own go in between:
//! [`HandlerOptions::layer`](super::HandlerOptions::layer) says where. Each of the built-in ones works alone, too:
//!
//! ```
//! use std::time::Duration;
//!
//! use strawboss::events::layer::{Answer, Call, TimeoutLayer};
//! use strawboss::handler::HandlerError;
//! use tower::{ServiceBuilder, ServiceExt, service_fn};
//!
//! # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
//! let slow = service_fn(|_call: Call| async {
//!     tokio::time::sleep(Duration::from_secs(60)).await;
//!     Ok::<_, HandlerError>(Answer::default())
//! });
//! let service = ServiceBuilder::new()
//!     .layer(TimeoutLayer::new(Duration::from_millis(20)))
//!     .service(slow);
//!
//! let call = Call::example("order.completed", r#"{"orderId":"o-1"}"#);
//! let error = service.oneshot(call).await.unwrap_err();
//! assert_eq!(error.name, "TimeoutError");
//! assert_eq!(error.message, "the handler was cut off after its timeout of 20ms");
//! # });
//! ```

mod circuit;
mod idempotency;
mod timeout;
mod trace;
mod validation;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use tower::util::BoxCloneSyncService;

pub use circuit::{Circuit, CircuitLayer};
pub use idempotency::IdempotencyLayer;
pub use timeout::TimeoutLayer;
pub use trace::TraceLayer;
pub use validation::ValidationLayer;

use super::Delivery;
use crate::handler::{Context, HandlerError};
use crate::job::{Job, Logged, RawJson};

/// One run of an event's handler, on its way in.
#[derive(Debug, Clone)]
pub struct Call {
    /// The event.
    pub event: Arc<Delivery>,
    /// The job that carries it. Its data is the app's event object, `{"metadata": …, "data": …}`, and nothing else.
    pub job: Arc<Job>,
    /// The attempt: its deadline, and whether it is still wanted.
    pub context: Context,
}

/// What a run came to, on its way out.
#[derive(Debug, Clone, Default)]
pub struct Answer {
    /// The job's output, if any.
    pub output: Option<RawJson>,
    /// The row of `event_processing_log` that is written with the job's completion.
    pub logged: Option<Logged>,
    /// The handler did not run, for it had run for this key before.
    pub skipped: bool,
}

/// A handler with layers around it.
pub type EventService = BoxCloneSyncService<Call, Answer, HandlerError>;

/// What services of this room give back.
pub(super) type Running = Pin<Box<dyn Future<Output = Result<Answer, HandlerError>> + Send>>;

/// Where a layer of one's own stands among the built-in ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Position {
    /// Around everything, tracing included.
    Outermost,
    /// Between tracing and validation.
    BeforeValidation,
    /// Between validation and idempotency: it sees valid payloads, duplicates included.
    BeforeIdempotency,
    /// Between idempotency and the circuit breaker: it sees no duplicates.
    BeforeCircuit,
    /// Between the circuit breaker and the timeout: its failures count as the handler's.
    BeforeTimeout,
    /// Between the timeout and the handler.
    Innermost,
}

/// Implements a service whose every call runs `inner` as its method `around` says. A clone is called, and waited for until it is
/// ready, so that any layer of anybody may be inside.
macro_rules! service {
    ($service:ident) => {
        impl<S> tower::Service<$crate::events::layer::Call> for $service<S>
        where
            S: tower::Service<
                    $crate::events::layer::Call,
                    Response = $crate::events::layer::Answer,
                    Error = $crate::handler::HandlerError,
                > + Clone
                + Send
                + 'static,
            S::Future: Send,
        {
            type Response = $crate::events::layer::Answer;
            type Error = $crate::handler::HandlerError;
            type Future = $crate::events::layer::Running;

            fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), Self::Error>> {
                std::task::Poll::Ready(Ok(()))
            }

            fn call(&mut self, call: $crate::events::layer::Call) -> Self::Future {
                let inner = self.inner.clone();
                Box::pin(self.layer.clone().around(inner, call))
            }
        }
    };
}
use service;

/// The bounds of a service within a layer.
pub(super) trait Inner:
    tower::Service<Call, Response = Answer, Error = HandlerError, Future: Send> + Clone + Send + 'static
{
}

impl<S> Inner for S where
    S: tower::Service<Call, Response = Answer, Error = HandlerError, Future: Send> + Clone + Send + 'static
{
}
