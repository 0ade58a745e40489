//! What every room's tests stand on: a private PostgreSQL, a schema per test made by a real pg-boss, and that pg-boss
//! itself as the other party.

pub mod node;
pub mod schema;
pub mod server;
pub mod sink;
pub mod wait;

pub use node::{Boss, Release};
pub use schema::Schema;
pub use server::server;
pub use wait::wait_for;

/// Leaves a test that needs the real pg-boss when `STRAWBOSS_SKIP_INTEROP=1`, saying so.
macro_rules! needs_node {
    () => {
        if $crate::support::node::is_skipped() {
            eprintln!("skipped: STRAWBOSS_SKIP_INTEROP=1, and this test needs the real pg-boss under Node");
            return;
        }
    };
}
pub(crate) use needs_node;
