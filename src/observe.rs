//! Names and labels as constants; metrics, traces, propagation, logs.

pub mod metrics;

pub use metrics::Metrics;
