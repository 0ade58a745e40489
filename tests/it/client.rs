//! All that a user of pg-boss can do: the same call by the real pg-boss of a release and by us, rows and answers compared.

mod both;
mod deletes;
mod enters;
mod flows;
mod gathers;
mod pauses;
mod queues;
mod reads;
mod redrives;
mod refuses;
mod statements;
mod states;

use both::Both;
