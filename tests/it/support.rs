//! What every room's tests stand on: a private PostgreSQL, a schema per test made by a real pg-boss, and that pg-boss
//! itself as the other party.

pub mod client;
pub mod crew;
pub mod lines;
pub mod node;
pub mod otlp;
pub mod pooler;
pub mod proxy;
pub mod schema;
pub mod server;
pub mod sink;
pub mod terminal;
pub mod wait;

pub use node::{Boss, Release};
pub use schema::Schema;
pub use server::server;
pub use wait::wait_for;

/// Tells a person who waits for the first run; not captured with a test's own output, which is shown on failure only.
pub fn say(line: &str) {
    use std::io::Write;
    // Nobody may be listening.
    let _ = writeln!(std::io::stderr(), "{line}");
}

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
