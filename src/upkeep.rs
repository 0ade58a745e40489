//! The servants that look after rows nobody holds any more, and after the queues as a whole: what pg-boss calls supervision.

mod archive;
mod claim;
mod count;
mod flow;
mod history;
mod lock;
mod pass;
mod rescue;
mod retention;
mod supervisor;
mod sweep;
mod vacuum;
mod warning;

pub use archive::states;
pub use flow::{FlowResolver, Released, resolve_flow};
pub use pass::{Supervised, supervise};
pub use rescue::Rescuer;
pub use supervisor::Supervisor;
pub use warning::Warning;
