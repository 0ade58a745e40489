//! The event system: what the app writes to its outbox reaches those who subscribed to it.

mod circuit;
mod deep;
mod delivery;
mod key;
mod keys;
pub mod layer;
mod retry;
mod validation;

pub use circuit::{Admission, Breaker, CircuitPolicy, CircuitState, Said};
pub use delivery::{Delivery, Metadata};
pub use key::{KeyTemplate, Missing};
pub use keys::{Entry, Held, KeyKeeper, Keys};
pub use retry::Backoff;
pub use validation::{Fault, PayloadSchema, Violation};
