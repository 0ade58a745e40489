//! strawboss: a worker for the jobs of a pg-boss that is already there.

pub mod bench;
pub mod claim;
#[doc(hidden)]
pub mod cli;
pub mod config;
pub mod demo;
pub mod dialect;
pub mod enqueue;
pub mod handler;
pub mod inspect;
pub mod job;
pub mod lifecycle;
pub mod observe;
pub mod postgres;
pub mod queue;
pub mod run;
pub mod schema;
pub mod server;
pub mod settle;
pub mod upkeep;
pub mod worker;
