//! A handler that writes down what it is called with, and fails when it is told to.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::de::DeserializeOwned;
use tokio::sync::watch;

use super::Error;
use crate::events::layer::{Answer, Call, EventService};
use crate::events::{Delivery, Metadata};
use crate::handler::HandlerError;
use crate::job::{Attempt, RawJson};

/// A handler of the [`TestBus`](super::TestBus) that stands in for a real one; cheap to clone.
#[derive(Debug, Clone)]
pub struct MockHandler {
    event: Arc<str>,
    state: Arc<Mutex<State>>,
    count: Arc<watch::Sender<usize>>,
}

#[derive(Debug, Default)]
struct State {
    calls: Vec<MockCall>,
    failures: VecDeque<HandlerError>,
}

/// One call of a mock: one attempt at one event, failed ones included.
#[derive(Debug, Clone)]
pub struct MockCall {
    /// The event, as it came.
    pub delivery: Arc<Delivery>,
    /// Which attempt it was: 0 retries on the first.
    pub attempt: Attempt,
    /// Whether it was made to fail.
    pub failed: bool,
}

impl MockCall {
    /// What is known of the event.
    pub fn metadata(&self) -> &Metadata {
        &self.delivery.metadata
    }

    /// The payload as a value of that type.
    ///
    /// # Errors
    /// If it is no such thing.
    pub fn payload<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_str(self.delivery.data.get())
    }

    /// The payload as the JSON text it is.
    pub fn text(&self) -> &RawJson {
        &self.delivery.data
    }
}

impl MockHandler {
    pub(super) fn new(event: &str) -> MockHandler {
        MockHandler {
            event: event.into(),
            state: Arc::default(),
            count: Arc::new(watch::Sender::new(0)),
        }
    }

    /// The name of the event it handles.
    pub fn event(&self) -> &str {
        &self.event
    }

    /// Whether it was called at all.
    pub fn was_called(&self) -> bool {
        !self.state().calls.is_empty()
    }

    /// Its calls in their order.
    pub fn calls(&self) -> Vec<MockCall> {
        self.state().calls.clone()
    }

    /// Has the next `count` calls fail, to be tried again as the retry policy says.
    pub fn fail_next(&self, count: usize) {
        self.fail_next_with(count, HandlerError::retry("a mock was told to fail"));
    }

    /// Has the next `count` calls fail with that error.
    pub fn fail_next_with(&self, count: usize, error: HandlerError) {
        self.state().failures.extend(std::iter::repeat_n(error, count));
    }

    /// Waits until it has been called so often since it was made or cleared.
    ///
    /// # Errors
    /// If it has not within that time.
    pub async fn wait_for_calls(&self, count: usize, timeout: Duration) -> Result<Vec<MockCall>, Error> {
        let mut calls = self.count.subscribe();
        let waited = tokio::time::timeout(timeout, calls.wait_for(|calls| *calls >= count)).await;
        match waited {
            Ok(_) => Ok(self.calls()),
            Err(_) => Err(Error::NotCalled {
                event: self.event.to_string(),
                wanted: count,
                got: self.calls().len(),
                timeout,
            }),
        }
    }

    /// Forgets its calls, and what it was told.
    pub fn clear(&self) {
        *self.state() = State::default();
        self.count.send_replace(0);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn called(&self, call: &Call) -> Result<Answer, HandlerError> {
        let mut state = self.state();
        let failure = state.failures.pop_front();
        state.calls.push(MockCall {
            delivery: Arc::clone(&call.event),
            attempt: call.job.attempt,
            failed: failure.is_some(),
        });
        self.count.send_replace(state.calls.len());
        failure.map_or_else(|| Ok(Answer::default()), Err)
    }

    pub(super) fn service(&self) -> EventService {
        let mock = self.clone();
        EventService::new(tower::service_fn(move |call: Call| {
            std::future::ready(mock.called(&call))
        }))
    }
}
