//! Whether a worker would fire the schedules that are there and those it is configured with.

use tokio_postgres::types::Type;

use super::readiness::Readiness;
use crate::config::Config;
use crate::dialect::{Capability, Dialect, quoted};
use crate::postgres::{Error, Executor};
use crate::schedule::{self, CronVersion, Kind, Recurrence, Zones};

/// Looks at the zones, the privileges, and every schedule.
pub(super) async fn check_schedules(
    found: &mut Readiness,
    executor: &impl Executor,
    dialect: &Dialect,
    config: &Config,
) -> Result<(), Error> {
    let zones = match Zones::open(config.cron.zoneinfo.as_deref()) {
        Ok(zones) => zones,
        Err(error) => {
            found.error("cron.zoneinfo", error.to_string());
            return Ok(());
        }
    };
    found.facts.push(format!("time zones {zones}"));
    let sql = include_str!("schedule_privileges.sql");
    let lacking = executor.query(sql, &[(&dialect.schema(), Type::TEXT)]).await?;
    for row in &lacking {
        let (object, privilege): (String, String) = (row.try_get("object")?, row.try_get("privilege")?);
        let on = format!("{}.{}", quoted(dialect.schema()), quoted(&object));
        found.notice(
            "worker.schedule",
            format!("schedules cannot be fired without a privilege: GRANT {privilege} ON {on} TO CURRENT_USER"),
        );
    }
    if !lacking.is_empty() {
        return Ok(());
    }
    let rows = schedule::list(executor, dialect, None).await?;
    for row in &rows {
        if let Err(error) = row.recurrence(dialect, &zones) {
            let (name, key) = (&row.name, &row.key);
            found.notice(
                "worker.schedule",
                format!("the schedule of queue {name:?} (key {key:?}) never fires: {error}"),
            );
        }
    }
    found.facts.push(format!("schedules: {}", rows.len()));
    for (n, declared) in config.schedules.iter().enumerate() {
        let key = format!("schedules[{n}]");
        let zone = declared.timezone.as_deref().unwrap_or("UTC");
        let read = Recurrence::parse(&declared.cron, zone, &zones, CronVersion::of(dialect), "");
        if let Err(error) = read {
            found.error(key.clone(), error.to_string());
        }
        if let Err(error) = schedule::send_options(&declared.options, dialect) {
            found.error(format!("{key}.options"), error);
        }
        let needs_kind = declared.missed_once || Kind::of(&declared.cron) == Kind::Rrule;
        for (needed, what, capability) in [
            (!declared.key.is_empty(), "keys of schedules", Capability::RetryDelayMax),
            (
                needs_kind,
                "rules, nor policies for what was missed",
                Capability::ScheduleKind,
            ),
        ] {
            if needed && !dialect.has(capability) {
                found.error(
                    key.clone(),
                    super::readiness::lacks(dialect.version(), what, capability),
                );
            }
        }
    }
    Ok(())
}
