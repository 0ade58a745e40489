//! The event system: what the app writes to its outbox reaches those who subscribed to it.

mod circuit;
mod deep;
mod key;
mod retry;
mod validation;

pub use circuit::{Admission, Breaker, CircuitPolicy, CircuitState, Said};
pub use key::{KeyTemplate, Missing};
pub use retry::Backoff;
pub use validation::{Fault, PayloadSchema, Violation};
