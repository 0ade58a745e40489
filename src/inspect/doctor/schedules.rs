//! Schedules that nobody fires, or nobody can.

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use super::{Diagnosis, Urgency, lasting};
use crate::dialect::{Capability, Dialect, Template};
use crate::postgres::{Error, Executor};
use crate::schedule::{Expression, Syntax, fires};

/// The statement behind [`look`].
pub(super) const SCHEDULES: Template = Template(include_str!("schedules.sql"));

/// A pass is made every 30 s, and whoever makes none for so long has missed minutes.
const PATIENCE: f64 = 90.0;
/// Missed occurrences that are counted, at most.
const MOST: usize = 10_000;

pub(super) async fn look(executor: &impl Executor, dialect: &Dialect) -> Result<Vec<Diagnosis>, Error> {
    let rows = executor.query(&SCHEDULES.render(dialect, "job"), &[]).await?;
    // Schema 24 came with cron-parser 4, and so did 25 at first.
    let syntax = if dialect.has(Capability::Exclusive) {
        Syntax::V5
    } else {
        Syntax::V4
    };
    let (mut found, mut missed, mut silent) = (Vec::new(), 0, None);
    for row in &rows {
        let name: &str = row.try_get("name")?;
        let key: &str = row.try_get("key")?;
        let (cron, zone): (&str, &str) = (row.try_get("cron")?, row.try_get("timezone")?);
        let looked: Option<f64> = row.try_get("looked")?;
        silent = Some(looked.unwrap_or(f64::INFINITY));
        if row.try_get::<_, Option<&str>>("kind")? == Some("rrule") {
            continue;
        }
        let subject = if key.is_empty() {
            name.to_owned()
        } else {
            format!("{name} {key}")
        };
        let read = Expression::parse(cron, syntax, &format!("{name} {key}")).map_err(|error| error.to_string());
        let read = read.and_then(|cron| Ok((cron, TimeZone::get(zone).map_err(|error| error.to_string())?)));
        match read {
            Err(problem) => found.push(Diagnosis {
                severity: Urgency::Error,
                code: "invalid_schedule",
                subject,
                message: format!("it never fires: {problem}"),
                evidence: json!({ "cron": cron, "timezone": zone }),
                mend: format!("strawboss schedules set {name} '0 9 * * *' --tz Europe/Berlin (or `strawboss schedules remove {name}`)"),
            }),
            Ok((cron, zone)) => {
                let Some(looked) = looked.filter(|looked| *looked > PATIENCE) else { continue };
                let now = Timestamp::now();
                let since = SignedDuration::try_from_secs_f64(looked).ok().and_then(|ago| now.checked_sub(ago).ok());
                if let Some(since) = since {
                    missed += fires(&cron, &zone, since).take_while(|at| *at <= now).take(MOST).count();
                }
            }
        }
    }
    if let Some(silent) = silent.filter(|silent| *silent > PATIENCE) {
        let since = match silent.is_finite() {
            true => format!("for {}", lasting(silent)),
            false => "ever".to_owned(),
        };
        found.push(Diagnosis {
            severity: Urgency::Error,
            code: "schedules_not_fired",
            subject: format!("{} schedules", rows.len()),
            message: format!("nobody has looked for due ones {since}; {missed} occurrences were missed"),
            evidence: json!({ "schedules": rows.len(), "seconds": silent.is_finite().then(|| silent.round()), "missed": missed }),
            mend: "strawboss run (worker.schedule is on by default), or a Node pg-boss with schedule: true".to_owned(),
        });
    }
    Ok(found)
}
