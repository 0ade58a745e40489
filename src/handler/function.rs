//! Handlers made of Rust functions.

use std::future::Future;
use std::marker::PhantomData;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Context, Handler, HandlerError, Run, output};
use crate::job::{Job, RawJson};

/// Makes a handler of `async fn(Job<T>, Context) -> Result<impl Serialize, HandlerError>`.
///
/// A payload that is no `T` fails for good at once: no retry can mend it. A job without a payload is read as `null`,
/// so that `Job<Option<T>>` and `Job<()>` take it. An output that is `null` in JSON, as `()` and `None` are, is none.
pub fn typed<T, O, F, Fut>(function: F) -> Arc<dyn Handler>
where
    T: DeserializeOwned + Send + 'static,
    O: Serialize,
    F: Fn(Job<T>, Context) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<O, HandlerError>> + Send + 'static,
{
    Arc::new(Typed {
        function,
        payload: PhantomData,
    })
}

/// Makes a handler of `async fn(Arc<Job>, Context) -> Result<Option<RawJson>, HandlerError>`, which is given the
/// payload as the JSON text it is and gives back its output as such.
pub fn raw<F, Fut>(function: F) -> Arc<dyn Handler>
where
    F: Fn(Arc<Job>, Context) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Option<RawJson>, HandlerError>> + Send + 'static,
{
    Arc::new(Raw { function })
}

struct Typed<T, F> {
    function: F,
    payload: PhantomData<fn() -> T>,
}

impl<T, O, F, Fut> Handler for Typed<T, F>
where
    T: DeserializeOwned + Send + 'static,
    O: Serialize,
    F: Fn(Job<T>, Context) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<O, HandlerError>> + Send + 'static,
{
    fn run(&self, job: Arc<Job>, context: Context) -> Run {
        let payload = match serde_json::from_str::<T>(job.data_text()) {
            Ok(payload) => payload,
            Err(error) => return Box::pin(std::future::ready(Err(unfit(&error)))),
        };
        let run = (self.function)(job.with_data(payload), context);
        Box::pin(async move {
            let output = run.await?;
            let text = serde_json::value::to_raw_value(&output)
                .map_err(|error| HandlerError::never_retry(format!("the handler's output is no JSON: {error}")))?;
            Ok(output::kept(text))
        })
    }
}

/// The error of a payload that is no `T`. What serde says of it quotes the payload, so it goes beside the message,
/// into the job's output, and not into the log.
fn unfit(error: &serde_json::Error) -> HandlerError {
    HandlerError::never_retry(format!(
        "the job's data does not fit its handler, at line {} column {}",
        error.line(),
        error.column()
    ))
    .named("PayloadError")
    .with("reason", error.to_string())
}

struct Raw<F> {
    function: F,
}

impl<F, Fut> Handler for Raw<F>
where
    F: Fn(Arc<Job>, Context) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Option<RawJson>, HandlerError>> + Send + 'static,
{
    fn run(&self, job: Arc<Job>, context: Context) -> Run {
        let run = (self.function)(job, context);
        Box::pin(async move { Ok(run.await?.and_then(output::kept)) })
    }
}
