//! Handlers made of Rust functions, typed by their event's payload.

use std::future::Future;
use std::marker::PhantomData;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use tower::Service;

use super::deep::{self, Huge};
use super::layer::{Answer, Call, EventService, Running};
use super::{Delivery, Metadata};
use crate::handler::{Context, Handler, HandlerError};
use crate::job::Attempt;

/// A kind of event: ties a payload to the name under which it travels.
///
/// ```
/// use strawboss::events::Event;
///
/// #[derive(serde::Serialize, serde::Deserialize)]
/// #[serde(rename_all = "camelCase")]
/// struct OrderCompleted {
///     order_id: String,
/// }
///
/// impl Event for OrderCompleted {
///     const NAME: &'static str = "payment:order.completed";
/// }
/// ```
pub trait Event {
    /// The event's name, of 1 to 255 characters.
    const NAME: &'static str;
}

/// An event as a function gets it.
#[derive(Debug, Clone)]
pub struct Received<T> {
    /// The payload.
    pub payload: T,
    /// What is known of the event.
    pub metadata: Metadata,
    /// The event as it came, in raw JSON.
    pub delivery: Arc<Delivery>,
    /// Which run this is: 0 retries on the first.
    pub attempt: Attempt,
}

/// A service of `async fn(Received<T>, Context) -> Result<impl Serialize, HandlerError>`.
pub(super) fn service<T, O, F, Fut>(function: F) -> EventService
where
    T: DeserializeOwned + Send + 'static,
    O: Serialize + 'static,
    F: Fn(Received<T>, Context) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<O, HandlerError>> + Send + 'static,
{
    EventService::new(Typed {
        function: Arc::new(function),
        payload: PhantomData,
    })
}

struct Typed<T, F> {
    function: Arc<F>,
    payload: PhantomData<fn() -> T>,
}

impl<T, F> Clone for Typed<T, F> {
    fn clone(&self) -> Self {
        Typed {
            function: Arc::clone(&self.function),
            payload: PhantomData,
        }
    }
}

impl<T, O, F, Fut> Service<Call> for Typed<T, F>
where
    T: DeserializeOwned + Send + 'static,
    O: Serialize + 'static,
    F: Fn(Received<T>, Context) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<O, HandlerError>> + Send + 'static,
{
    type Response = Answer;
    type Error = HandlerError;
    type Future = Running;

    fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), HandlerError>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, call: Call) -> Running {
        let function = Arc::clone(&self.function);
        Box::pin(async move {
            let payload = decode::<T>(&call.event.data)?;
            let received = Received {
                payload,
                metadata: call.event.metadata.clone(),
                attempt: call.job.attempt,
                delivery: call.event,
            };
            let output = function(received, call.context).await?;
            let text = serde_json::value::to_raw_value(&output)
                .map_err(|error| HandlerError::never_retry(format!("the handler's output is no JSON: {error}")))?;
            Ok(Answer {
                output: (text.get() != "null").then_some(text),
                ..Answer::default()
            })
        })
    }
}

/// Decodes a payload, also one that is nested deeper than serde_json goes by itself.
fn decode<T: DeserializeOwned>(data: &RawValue) -> Result<T, HandlerError> {
    let unfit = |why: String| {
        HandlerError::never_retry("the event's payload does not fit its handler")
            .named("PayloadError")
            .with("reason", why)
    };
    match serde_json::from_str(data.get()) {
        Ok(payload) => Ok(payload),
        Err(error) if error.to_string().starts_with("recursion limit exceeded") => {
            let value = deep::read(data.get(), Huge::Refused).map_err(|why| unfit(why.to_string()))?;
            T::deserialize(value).map_err(|error| unfit(error.to_string()))
        }
        Err(error) => Err(unfit(error.to_string())),
    }
}

/// A service of any kind of handler that the worker has. Its job's data is the event object.
#[derive(Clone)]
pub(super) struct Kind {
    pub(super) handler: Arc<dyn Handler>,
}

impl Service<Call> for Kind {
    type Response = Answer;
    type Error = HandlerError;
    type Future = Running;

    fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), HandlerError>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, call: Call) -> Running {
        let handler = Arc::clone(&self.handler);
        Box::pin(async move {
            let output = handler.run(call.job, call.context).await?;
            Ok(Answer {
                output,
                ..Answer::default()
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn raw(text: &str) -> Box<RawValue> {
        RawValue::from_string(text.to_owned()).expect("it is JSON")
    }

    #[test]
    fn a_payload_of_two_hundred_levels_is_decoded() {
        let text = format!("{}1{}", "[".repeat(200), "]".repeat(200));
        let value: Value = decode(&raw(&text)).expect("it is decoded");
        assert_eq!(value.to_string(), text);
        let kept: Box<RawValue> = decode(&raw(&"9".repeat(309))).expect("it is passed on");
        assert_eq!(kept.get(), "9".repeat(309));
    }

    #[test]
    fn what_does_not_fit_is_not_quoted_in_the_message() {
        for text in [
            "\"s3cret\"",
            &format!("{}\"s3cret\"{}", "[".repeat(200), "]".repeat(200)),
            &"9".repeat(310),
        ] {
            let error = decode::<i32>(&raw(text)).expect_err("no number");
            assert_eq!(error.then, crate::handler::Then::DeadLetter);
            assert!(!error.message.contains("s3cret"), "{}", error.message);
        }
    }
}
