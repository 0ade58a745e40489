//! What becomes of jobs when handlers, people or operating systems end things early.

mod handlers;
mod kill;
mod leases;
mod stop;
