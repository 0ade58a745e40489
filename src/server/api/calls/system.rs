//! Schedules, supervision, and what is known of the installation.

use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use uuid::Uuid;

use super::{Backend, Done, json, name, nothing};
use crate::inspect::iso;
use crate::queue::{Policy, QueueName};
use crate::schedule::{Kind, Schedule, Wanted};
use crate::server::api::options::data;
use crate::server::api::shape::Table;

/// The names of what pg-boss has names for, each equal to its key.
pub(super) fn meta() -> String {
    let states = ["created", "retry", "active", "completed", "cancelled", "failed"];
    let events = ["error", "warning", "wip", "stopped", "bam", "flow"];
    let same = |names: &[&str]| -> Map<String, Value> {
        names.iter().map(|&name| (name.to_owned(), Value::from(name))).collect()
    };
    serde_json::json!({
        "states": same(&states),
        "policies": same(&Policy::ALL.map(Policy::as_str)),
        "events": same(&events),
    })
    .to_string()
}

impl Backend {
    pub(super) async fn schedule(&self, table: &Table<'_>) -> Done {
        let options = table.table("options");
        let own = |name: &str| options.and_then(|options| options.text(name)).map(str::to_owned);
        let mut of_jobs = options.map(Table::json).unwrap_or_default();
        of_jobs.retain(|name, _| !matches!(name.as_str(), "tz" | "key"));
        let wanted = Wanted {
            key: own("key").unwrap_or_default(),
            cron: table.text("cron").unwrap_or_default().to_owned(),
            timezone: own("tz"),
            data: data(table),
            missed: None,
            options: of_jobs,
        };
        self.client.schedule(name(table), &wanted).await?;
        nothing()
    }

    pub(super) async fn unschedule(&self, table: &Table<'_>) -> Done {
        let key = table.text("key").unwrap_or_default();
        self.client.unschedule(name(table), key).await?;
        nothing()
    }

    pub(super) async fn get_schedules(&self, table: &Table<'_>) -> Done {
        let (name, key) = (table.text("name"), table.text("key"));
        let mut schedules = self.client.get_schedules(name).await?;
        // pg-boss looks at the key of a named queue only.
        if let (Some(_), Some(key)) = (name, key) {
            schedules.retain(|schedule| schedule.key == key);
        }
        let newer = self.client.schema_version().await?.is_some_and(|version| version >= 41);
        let shown: Vec<_> = schedules.iter().map(|schedule| shown(schedule, newer)).collect();
        json(&shown)
    }

    pub(super) async fn supervise(&self, table: &Table<'_>) -> Done {
        let queue = table.text("name").map(QueueName::new);
        self.client.supervise(queue).await?;
        nothing()
    }

    pub(super) async fn resolve_flow(&self) -> Done {
        self.client.resolve_flow().await?;
        nothing()
    }
}

/// A schedule as that schema's pg-boss gives it back: its dates as their columns are called, and from 41 on as they are
/// called elsewhere.
#[derive(Serialize)]
struct Shown<'a> {
    name: &'a str,
    key: &'a str,
    #[serde(flatten)]
    newer: Option<Newer<'a>>,
    cron: &'a str,
    timezone: Option<&'a str>,
    data: Option<&'a RawValue>,
    options: Option<&'a RawValue>,
    #[serde(flatten)]
    older: Option<Older>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Newer<'a> {
    kind: &'a Kind,
    created_on: String,
    updated_on: String,
    last_job_id: Option<Uuid>,
}

#[derive(Serialize)]
struct Older {
    created_on: String,
    updated_on: String,
}

fn shown(schedule: &Schedule, newer: bool) -> Shown<'_> {
    let (created_on, updated_on) = (iso::text(&schedule.created_on), iso::text(&schedule.updated_on));
    Shown {
        name: &schedule.name,
        key: &schedule.key,
        newer: newer.then(|| Newer {
            kind: &schedule.kind,
            created_on: created_on.clone(),
            updated_on: updated_on.clone(),
            last_job_id: schedule.last_job_id,
        }),
        cron: &schedule.cron,
        timezone: schedule.timezone.as_deref(),
        data: schedule.data.as_deref(),
        options: schedule.options.as_deref(),
        older: (!newer).then_some(Older { created_on, updated_on }),
    }
}
