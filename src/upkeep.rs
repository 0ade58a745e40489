//! The servants that look after rows nobody holds any more, and after the queues as a whole: what pg-boss calls supervision.

mod archive;
mod claim;
mod count;
mod flow;
mod history;
mod indexes;
mod lock;
mod pass;
mod registry;
mod rescue;
mod retention;
mod supervisor;
mod sweep;
mod vacuum;
mod warning;

pub use archive::{Counts, States, states};
pub use flow::{FlowResolver, Released, resolve_flow};
pub use indexes::{IndexKeeper, build, rebuild};
pub use pass::{Supervised, supervise};
pub use registry::{Activity, Instance, Post, Registrar, instances};
pub use rescue::Rescuer;
pub use supervisor::Supervisor;
pub use warning::Warning;
