//! The event system, after the sections of its contract.

mod emitting;
mod ground;
mod handlers;
mod outbox;
mod processes;
mod stage;
