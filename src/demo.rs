//! The embedded default: a private PostgreSQL for those who have none at hand.

pub mod cluster;
