//! Integration tests.

mod cluster;
mod enqueue;
mod handler;
mod observe;
mod server;
mod support;
mod support_itself;
mod worker;
