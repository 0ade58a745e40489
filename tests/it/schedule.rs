//! Schedules fire as Node's do.

mod vectors;
