//! What the worker tells about itself: metrics, traces, logs, and whether it is well.
//!
//! Nothing in here decides anything, and nothing in here ever sees a payload: labels, attributes and log fields are
//! names, ids, states, times and error texts.

pub mod health;
pub mod labels;
pub mod log;
pub mod metrics;
pub mod propagation;
pub mod span;
mod summary;
pub mod survey;
pub mod trace;

pub use health::{Condition, Health, Pulse};
pub use labels::{EventOutcome, PoolState, Rescue, SettleOp, Wakeup};
pub use metrics::Metrics;
pub use span::{Failure, OperationSpan, ProcessSpan, RunLink};
pub use survey::{Survey, Surveyed};
pub use trace::{TraceError, Tracer};
