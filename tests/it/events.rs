//! The event system, after the sections of its contract.

mod handlers;
mod layers;
mod processes;
mod registration;
mod stage;
