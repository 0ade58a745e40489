//! strawboss: a worker for the jobs of a pg-boss that is already there.

pub mod config;
pub mod dialect;
pub mod handler;
pub mod job;
pub mod observe;
pub mod postgres;
pub mod queue;
pub mod server;
