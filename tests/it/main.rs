//! Integration tests.

mod cli;
mod cluster;
mod differential;
mod enqueue;
mod handler;
mod observe;
mod postgres;
mod schema;
mod server;
mod support;
mod support_itself;
mod worker;
