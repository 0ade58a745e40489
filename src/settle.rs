//! The verdict is written: grouped, fenced, and again if the database was away.

mod jsonb;
mod lane;
mod output;
mod settler;
mod write;

pub use output::wrap;
pub use settler::{Settlement, Settler, Verdicts};
pub use write::{COMPLETE, FAIL, RELEASE};
