//! One attempt: deadline, lease, panic guard, and the verdict it comes to.

mod attempt;
mod lease;

pub(crate) use attempt::panicked;
pub use attempt::{Ended, attempt};
pub use lease::{Keeper, Leases, Lost, TOUCH};
