//! A servant's room: schedules, cron and rrule, fired beside Node so that each occurrence is one job.

mod cron;
mod rule;
mod zone;

pub use cron::{Cron, CronVersion};
pub use rule::{Refused, Rule, is_rule};
pub use zone::{ZoneError, Zones};
