//! A servant's room: schedules, cron and rrule, fired beside Node so that each occurrence is one job.
//!
//! [`set`], [`list`] and [`remove`] keep the rows of pg-boss's table `schedule`. A [`Recurrence`] is such a row's text,
//! understood; an occurrence is a whole second whose wall clock in the schedule's zone matches it.
//!
//! The [`Crier`] makes passes: whoever moves `version.cron_on`, here or under Node, has the interval, looks at every
//! schedule once and files what came due in the last minute as jobs of pg-boss's own queue. There a unique index makes it
//! one job per schedule and minute, whoever files it. The [`Porter`] forwards what was filed, by whomever, to the queue it
//! is for, within the transaction that completes it.

mod crier;
mod cron;
mod ledger;
mod options;
mod pass;
mod porter;
mod recurrence;
mod row;
mod rule;
mod zone;

pub use crier::{Crier, Memory, Pass};
pub use cron::{Cron, CronVersion};
pub use ledger::{Fate, Occurrence, catch_ups, history, set_catch_up};
pub use options::{send_options, spelled};
pub use porter::Porter;
pub use recurrence::{Kind, Misread, Recurrence, Upset, WINDOW, slot};
pub use row::{Error, Missed, Schedule, Wanted, list, remove, seed, set};
pub use rule::{Refused, Rule, is_rule};
pub use zone::{ZoneError, Zones};

use crate::dialect::Template;

/// The queue of pg-boss's own in which due occurrences are filed.
pub const INTERNAL: &str = "__pgboss__send-it";

/// As many occurrences go into one statement.
const LINES: usize = 1000;

/// The statements of this room, each with what it is for.
pub const STATEMENTS: [(&str, Template); 9] = [
    ("claim a pass", crier::CLAIM),
    ("look at schedules", crier::DUE),
    ("file occurrences", crier::FILE),
    ("take occurrences", porter::TAKE),
    ("complete occurrences", porter::FORWARDED),
    ("list schedules", row::LIST),
    ("set a schedule", row::SET),
    ("remove a schedule", row::REMOVE),
    ("note last jobs", porter::LAST_JOBS),
];
