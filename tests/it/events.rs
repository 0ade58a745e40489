//! The event system, after the sections of its contract.

mod handlers;
mod processes;
mod registration;
mod stage;
