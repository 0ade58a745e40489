//! Schedules: on which day, at which time, and who fires.

mod rule;

pub use rule::{Refused, Rule, is_rule};
