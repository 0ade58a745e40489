//! The handler is cut off when its time is over.

use std::time::Duration;

use tower::{Layer, ServiceExt};

use super::{Answer, Call, Inner, service};
use crate::handler::HandlerError;

/// Cancels a run that takes longer than a limit: [`Context::cancelled`](crate::handler::Context::cancelled) is cancelled and
/// the handler's future dropped, so that nothing of it goes on. The attempt fails with the name `TimeoutError` and the
/// limit in its message, and is tried again as any other failure.
#[derive(Debug, Clone)]
pub struct TimeoutLayer {
    limit: Duration,
}

impl TimeoutLayer {
    /// Cuts runs off after that time.
    pub fn new(limit: Duration) -> TimeoutLayer {
        TimeoutLayer { limit }
    }

    async fn around<S: Inner>(self, inner: S, mut call: Call) -> Result<Answer, HandlerError> {
        let cancelled = call.context.cancelled.child_token();
        // Cancelled in whatever way this ends, before the handler's future is dropped.
        let cut = cancelled.clone().drop_guard();
        call.context.cancelled = cancelled;
        if let Some(limit) = std::time::Instant::now().checked_add(self.limit) {
            call.context.deadline = call.context.deadline.min(limit);
        }
        let mut run = Box::pin(inner.oneshot(call));
        match tokio::time::timeout(self.limit, &mut run).await {
            Ok(result) => result,
            Err(_) => {
                drop(cut);
                drop(run);
                let message = format!("the handler was cut off after its timeout of {:?}", self.limit);
                Err(HandlerError::retry(message).named("TimeoutError"))
            }
        }
    }
}

impl<S> Layer<S> for TimeoutLayer {
    type Service = Timeout<S>;

    fn layer(&self, inner: S) -> Timeout<S> {
        Timeout {
            layer: self.clone(),
            inner,
        }
    }
}

/// A service with a [`TimeoutLayer`] around it.
#[derive(Debug, Clone)]
pub struct Timeout<S> {
    layer: TimeoutLayer,
    inner: S,
}

service!(Timeout);
