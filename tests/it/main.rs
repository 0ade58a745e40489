//! Integration tests.

mod acceptance;
mod api;
mod architecture;
mod cli;
mod client;
mod cluster;
mod differential;
mod doctor;
mod enqueue;
mod examples;
mod faults;
mod handler;
mod home;
mod lifecycle;
mod observe;
mod postgres;
mod readme;
mod schedule;
mod schema;
mod server;
mod support;
mod support_itself;
mod worker;
