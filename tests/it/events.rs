//! The event system, after the sections of its contract.

mod bus;
mod emitting;
mod ground;
mod handlers;
mod layers;
mod outbox;
mod processes;
mod registration;
mod stage;
mod together;
mod variables;
