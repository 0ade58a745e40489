//! What the world does to a worker: the database, the network and the schema change under it.

mod database;
mod demand;
mod network;
mod schema;
mod statements;
