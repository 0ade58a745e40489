//! strawboss: a worker for the jobs of a pg-boss that is already there.
//!
//! [pg-boss](https://www.npmjs.com/package/pg-boss) keeps job queues in PostgreSQL. This crate speaks its schema, versions
//! 24 to 46 (npm releases 10.1.5 to 12.38), beside the Node app that owns it: it claims jobs, runs them, and writes what
//! came of them as pg-boss itself would. The program `strawboss` is a thin shell around it; a Rust program embeds it:
//!
//! ```no_run
//! use strawboss::{Config, Context, HandlerError, Job, Worker, handler};
//!
//! #[derive(serde::Deserialize)]
//! struct Email {
//!     to: String,
//! }
//!
//! async fn send(job: Job<Email>, _context: Context) -> Result<String, HandlerError> {
//!     if !job.data.to.contains('@') {
//!         // No other attempt can help: to the dead letter queue.
//!         return Err(HandlerError::never_retry("that is no address"));
//!     }
//!     // Any other error is tried again by the job's own rule: `?` is enough.
//!     let template = tokio::fs::read_to_string("welcome.txt").await?;
//!     Ok(format!("{} bytes to {}", template.len(), job.data.to))
//! }
//!
//! # async fn main_in_your_runtime() -> Result<(), Box<dyn std::error::Error>> {
//! let mut config = Config::default();
//! config.database.url = std::env::var("DATABASE_URL")?;
//!
//! let mut worker = Worker::new(config);
//! worker.handle("email", handler::typed(send));
//! let report = worker.run(async { drop(tokio::signal::ctrl_c().await) }).await?;
//! println!("{report}");
//! # Ok(())
//! # }
//! ```
//!
//! A job runs **at least once**: a worker that dies after it has done the work and before it has written so leaves the job
//! to another. The write itself is fenced: only the attempt that holds the row can settle it. See [`job::Attempt`].
//!
//! # The tour
//!
//! A job walks through the rooms from top to bottom:
//!
//! 1. [`enqueue`]: it is sent, here or by Node. On any [`postgres::Executor`], so inside your own transaction too.
//! 2. [`claim`]: a [`claim::Consumer`] per queue takes what there are free places for; a [`claim::Scout`] and a
//!    [`claim::Listener`] say when to look.
//! 3. [`run`]: one attempt in a [`handler::Handler`], within its deadline, its lease kept by a [`run::Keeper`].
//! 4. [`settle`]: a [`settle::Settler`] writes the verdicts in groups.
//!
//! Around them: [`worker`] puts the crew together, [`lifecycle`] starts and ends it, [`upkeep`] takes back the jobs of
//! workers that died, [`dialect`] says how the schema at hand is spoken and watches it, [`postgres`] is the road there,
//! [`schema`] creates and compares schemas, [`home`] is our own, [`inspect`] reads them for people, [`observe`] and [`server`] show what
//! happens, [`config`] is what all of them are told.
//!
//! The nouns are [`Job`], [`job::Attempt`], [`job::Verdict`] and [`job::Outcome`], [`QueueName`] and [`queue::Queue`].
//!
//! `ARCHITECTURE.md` in the repository has the map with its invariants.

pub mod bench;
pub mod claim;
#[doc(hidden)]
pub mod cli;
pub mod client;
pub mod config;
pub mod demo;
pub mod desk;
pub mod dialect;
pub mod enqueue;
pub mod handler;
pub mod home;
pub mod inspect;
pub mod job;
pub mod lifecycle;
pub mod observe;
pub mod postgres;
pub mod queue;
pub mod refusal;
pub mod run;
pub mod schedule;
pub mod schema;
pub mod server;
pub mod settle;
pub mod upkeep;
pub mod worker;

pub use client::Client;
pub use config::Config;
pub use dialect::Dialect;
pub use enqueue::{QueueOptions, SendOptions};
pub use handler::{Context, Handler, HandlerError};
pub use job::Job;
pub use observe::Metrics;
pub use postgres::Database;
pub use queue::QueueName;
pub use worker::Worker;

/// Has the Rust in README.md compiled.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
