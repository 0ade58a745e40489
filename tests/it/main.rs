//! Integration tests.

mod acceptance;
mod architecture;
mod cli;
mod client;
mod cluster;
mod dashboard;
mod differential;
mod doctor;
mod enqueue;
mod events;
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
mod upkeep;
mod worker;
