//! The servant that looks after rows nobody holds any more.

mod rescue;

pub use rescue::Rescuer;
