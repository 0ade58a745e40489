//! A payload that breaks its schema reaches no handler.

use std::sync::Arc;

use tower::{Layer, ServiceExt};

use super::{Answer, Call, Inner, service};
use crate::events::PayloadSchema;
use crate::handler::HandlerError;

/// Compares each payload with a JSON Schema. One that breaks it is dead-lettered at once, with the JSON pointer and the rule
/// in the message: no retry can mend it.
#[derive(Debug, Clone)]
pub struct ValidationLayer {
    schema: Arc<PayloadSchema>,
}

impl ValidationLayer {
    /// Compares with that schema.
    pub fn new(schema: Arc<PayloadSchema>) -> ValidationLayer {
        ValidationLayer { schema }
    }

    async fn around<S: Inner>(self, inner: S, call: Call) -> Result<Answer, HandlerError> {
        if let Err(violation) = self.schema.check(&call.event.data) {
            return Err(HandlerError::never_retry(violation.to_string()).named("ValidationError"));
        }
        inner.oneshot(call).await
    }
}

impl<S> Layer<S> for ValidationLayer {
    type Service = Validation<S>;

    fn layer(&self, inner: S) -> Validation<S> {
        Validation {
            layer: self.clone(),
            inner,
        }
    }
}

/// A service with a [`ValidationLayer`] around it.
#[derive(Debug, Clone)]
pub struct Validation<S> {
    layer: ValidationLayer,
    inner: S,
}

service!(Validation);
