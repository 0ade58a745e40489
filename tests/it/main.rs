//! Integration tests.

mod acceptance;
mod architecture;
mod cli;
mod cluster;
mod differential;
mod docs;
mod doctor;
mod enqueue;
mod examples;
mod faults;
mod gauges;
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
mod upkeep;
mod worker;
