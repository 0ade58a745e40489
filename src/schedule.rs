//! Schedules: on which day, at which time, and who fires.

mod expression;
mod field;
mod fires;

pub use expression::{Expression, Invalid, Syntax};
pub use fires::{Change, changed, fires, within};
