//! Schedules fire as Node's do.

mod rule;
mod vectors;
