//! Integration tests.

mod architecture;
mod cli;
mod cluster;
mod differential;
mod enqueue;
mod faults;
mod examples;
mod handler;
mod lifecycle;
mod observe;
mod postgres;
mod readme;
mod schema;
mod server;
// Not every helper has its room's tests yet.
#[allow(dead_code, unused_imports)]
mod support;
mod support_itself;
mod worker;
