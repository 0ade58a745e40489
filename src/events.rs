//! The event system: what the app writes to its outbox reaches those who subscribed to it.

mod circuit;
mod deep;
mod delivery;
mod handlers;
mod key;
mod keys;
pub mod layer;
mod options;
mod registrar;
mod retry;
mod runner;
mod turns;
mod typed;
mod validation;

pub use circuit::{Admission, Breaker, CircuitPolicy, CircuitState, Said};
pub use delivery::{Delivery, Metadata};
pub use handlers::{EventHandler, Handlers, RegisterError, Registered, queue_of};
pub use key::{KeyTemplate, Missing};
pub use keys::{Entry, Held, KeyKeeper, Keys};
pub use options::{Defaults, HandlerOptions, OwnLayers};
pub use registrar::{PART, register, unregister};
pub use retry::Backoff;
pub use runner::{Common, Runner};
pub use turns::{TurnKeeper, Turns};
pub use typed::{Event, Received};
pub use validation::{Fault, PayloadSchema, Violation};
