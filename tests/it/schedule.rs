//! Schedules: what is accepted, what fires when.

mod vectors;
