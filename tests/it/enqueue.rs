//! Jobs and queues come in as the real pg-boss of that release would have put them there.

mod bulk;
mod delivery;
mod pair;
mod payload;
mod policies;
mod queues;
mod refusals;
mod rows;
mod throttle;
