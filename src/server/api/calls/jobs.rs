//! Jobs: sent, taken, settled, changed, found.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Backend, Done, Failure, json, name, nothing};
use crate::client::{FetchOptions, GroupLimit};
use crate::desk::{Redrive, Targets};
use crate::enqueue::{FlowJob, JobChanges, JobInsert, Match, SendOptions, Waiting};
use crate::inspect::{FindJobs, Page};
use crate::queue::QueueName;
use crate::server::api::options::{convert, data, id, ids, options_of, seconds, send_options, start_after, whole};
use crate::server::api::routes::Method;
use crate::server::api::shape::{Table, Value};

impl Backend {
    pub(super) async fn send(&self, table: &Table<'_>) -> Done {
        let options = options_of(table)?;
        json(&self.client.send(name(table), &table.data("data"), &options).await?)
    }

    pub(super) async fn send_after(&self, table: &Table<'_>) -> Done {
        let after = table.get("after").map_or(Ok(None), start_after)?;
        let options = SendOptions {
            start_after: after,
            ..options_of(table)?
        };
        json(&self.client.send(name(table), &table.data("data"), &options).await?)
    }

    pub(super) async fn send_in_slot(&self, table: &Table<'_>, next: bool) -> Done {
        let slot = seconds(table, "seconds")?.unwrap_or(Duration::ZERO);
        let (queue, data, options, key) = (name(table), table.data("data"), options_of(table)?, table.text("key"));
        let client = &self.client;
        let sent = if next {
            client.send_debounced(queue, &data, &options, slot, key).await?
        } else {
            client.send_throttled(queue, &data, &options, slot, key).await?
        };
        json(&sent)
    }

    pub(super) async fn insert(&self, table: &Table<'_>) -> Done {
        let jobs: Vec<JobInsert> = table
            .tables("jobs")
            .map(|job| {
                Ok(JobInsert {
                    data: data(job),
                    options: send_options(job)?,
                })
            })
            .collect::<Result<_, Failure>>()?;
        // pg-boss does not look whether the queue is there if nothing is to go into it.
        if jobs.is_empty() {
            return nothing();
        }
        let sent = self.client.insert(name(table), &jobs).await?;
        let wanted = table.table("options").and_then(|options| options.flag("returnId"));
        if wanted == Some(true) { json(&sent) } else { nothing() }
    }

    pub(super) async fn update(&self, table: &Table<'_>) -> Done {
        let (waiting, changes) = changes(table)?;
        json(&self.client.update(name(table), &waiting, &changes).await?)
    }

    pub(super) async fn upsert(&self, table: &Table<'_>) -> Done {
        let (waiting, changes) = changes(table)?;
        json(&self.client.upsert(name(table), &waiting, &changes).await?)
    }

    pub(super) async fn flow(&self, table: &Table<'_>) -> Done {
        let jobs: Vec<FlowJob> = table
            .tables("jobs")
            .map(|job| {
                let depends_on = job.texts("dependsOn").unwrap_or_default();
                Ok(FlowJob {
                    reference: job.text("ref").unwrap_or_default().to_owned(),
                    queue: name(job),
                    data: data(job),
                    options: options_of(job)?,
                    depends_on: depends_on.into_iter().map(str::to_owned).collect(),
                })
            })
            .collect::<Result<_, Failure>>()?;
        json(&self.client.flow(&jobs).await?)
    }

    pub(super) async fn fetch(&self, table: &Table<'_>) -> Done {
        let options = table
            .table("options")
            .map_or_else(|| Ok(FetchOptions::default()), fetch_options)?;
        json(&self.client.fetch(name(table), &options).await?)
    }

    pub(super) async fn complete(&self, table: &Table<'_>) -> Done {
        let (queue, jobs, output) = (name(table), ids(table)?, table.data("data"));
        let queued = table.table("options").and_then(|options| options.flag("includeQueued"));
        json(&match queued {
            Some(true) => self.client.complete_queued(queue, jobs, &output).await?,
            _ => self.client.complete(queue, jobs, &output).await?,
        })
    }

    pub(super) async fn fail(&self, table: &Table<'_>) -> Done {
        json(&self.client.fail(name(table), ids(table)?, &table.data("data")).await?)
    }

    /// What needs nothing but jobs.
    pub(super) async fn decide(&self, method: Method, table: &Table<'_>) -> Done {
        let (client, queue, jobs) = (&self.client, name(table), Targets::from(ids(table)?));
        json(&match method {
            Method::Touch => client.touch(queue, jobs).await?,
            Method::Cancel => client.cancel(queue, jobs).await?,
            Method::Resume => client.resume(queue, jobs).await?,
            Method::Retry => client.retry(queue, jobs).await?,
            Method::DeleteJob => client.delete_job(queue, jobs).await?,
            _ => {
                client.restore(queue, jobs).await?;
                return nothing();
            }
        })
    }

    pub(super) async fn redrive(&self, table: &Table<'_>) -> Done {
        json(&self.client.redrive(name(table), &redrive_options(table)?).await?)
    }

    pub(super) async fn preview_redrive(&self, table: &Table<'_>) -> Done {
        json(
            &self
                .client
                .preview_redrive(name(table), &redrive_options(table)?)
                .await?,
        )
    }

    pub(super) async fn delete(&self, method: Method, table: &Table<'_>) -> Done {
        match method {
            Method::DeleteQueuedJobs => drop(self.client.delete_queued_jobs(name(table)).await?),
            Method::DeleteStoredJobs => drop(self.client.delete_stored_jobs(name(table)).await?),
            _ => {
                let queue = table.text("name").map(QueueName::new);
                self.client.delete_all_jobs(queue).await?;
            }
        }
        nothing()
    }

    pub(super) async fn find_jobs(&self, table: &Table<'_>) -> Done {
        let text = |name| table.text(name).filter(|text| !text.is_empty());
        let data = text("dataKey").map(|key| {
            let value = table.text("dataValue");
            let object = serde_json::json!({ key: value });
            serde_json::value::to_raw_value(&object).map_err(|error| Failure(error.to_string()))
        });
        let wanted = FindJobs {
            id: text("id").map(id).transpose()?,
            key: text("key").map(str::to_owned),
            data: data.transpose()?,
            queued: table.flag("queued") == Some(true),
            ..FindJobs::default()
        };
        json(&self.client.find_jobs(name(table), &wanted).await?)
    }

    pub(super) async fn get_job_by_id(&self, table: &Table<'_>) -> Done {
        let id = id(table.text("id").unwrap_or_default())?;
        if table.flag("includeArchive") == Some(true) {
            return json(&self.client.get_job_by_id_or_archived(name(table), id).await?);
        }
        json(&self.client.get_job_by_id(name(table), id).await?)
    }

    pub(super) async fn relatives(&self, method: Method, table: &Table<'_>) -> Done {
        let id = id(table.text("id").unwrap_or_default())?;
        let (queue, page) = (name(table), Page::default());
        json(&match method {
            Method::GetDependencies => self.client.get_dependencies(queue, id, &page).await?,
            _ => self.client.get_dependents(queue, id, &page).await?,
        })
    }
}

/// Which queued jobs are to change, and what of them.
fn changes(table: &Table<'_>) -> Result<(Waiting, JobChanges), Failure> {
    let nothing = Table::default();
    let given = table.table("options").unwrap_or(&nothing);
    let matching = given.text("match").map(|name| match name {
        "oldest" => Match::Oldest,
        "all" => Match::All,
        _ => Match::Newest,
    });
    let options = send_options(given)?;
    let waiting = match (options.id, options.singleton_key, matching) {
        (Some(id), None, None) => Waiting::Id(id),
        (None, Some(key), matching) => Waiting::Key(key, matching.unwrap_or_default()),
        (Some(_), None, Some(_)) => return Err(Failure::new("match only goes with singletonKey")),
        _ => return Err(Failure::new("exactly one of id or singletonKey is required")),
    };
    let changes = JobChanges {
        trace: None,
        data: match table.get("data") {
            Some(Value::Null) => serde_json::value::to_raw_value(&()).ok(),
            _ => data(table),
        },
        priority: options.priority,
        start_after: options.start_after,
        retry_limit: options.retry_limit,
        retry_delay: options.retry_delay,
        retry_backoff: options.retry_backoff,
        retry_delay_max: options.retry_delay_max.map(Some),
        expire: options.expire,
        retention: options.retention,
        delete_after: options.delete_after,
        dead_letter: options.dead_letter.map(Some),
        group: options.group,
        heartbeat: options.heartbeat.map(Some),
    };
    Ok((waiting, changes))
}

fn fetch_options(table: &Table<'_>) -> Result<FetchOptions, Failure> {
    let group_concurrency = match table.get("groupConcurrency") {
        Some(Value::Number(default)) => Some(GroupLimit {
            default: convert("groupConcurrency", *default)?,
            tiers: BTreeMap::new(),
        }),
        Some(Value::Table(limits)) => {
            let tiers = match limits.get("tiers") {
                Some(Value::Numbers(tiers)) => tiers.as_slice(),
                _ => &[],
            };
            Some(GroupLimit {
                default: whole(limits, "default")?.unwrap_or_default(),
                tiers: tiers
                    .iter()
                    .map(|(tier, limit)| Ok((tier.clone(), convert("groupConcurrency", *limit)?)))
                    .collect::<Result<_, Failure>>()?,
            })
        }
        _ => None,
    };
    let ignored = table.texts("ignoreGroups").unwrap_or_default();
    Ok(FetchOptions {
        batch_size: whole(table, "batchSize")?,
        include_metadata: table.flag("includeMetadata") == Some(true),
        ignore_start_after: table.flag("ignoreStartAfter") == Some(true),
        priority: table.flag("priority"),
        order_by_created_on: table.flag("orderByCreatedOn"),
        min_priority: whole(table, "minPriority")?,
        max_priority: whole(table, "maxPriority")?,
        group_concurrency,
        ignore_groups: ignored.into_iter().map(str::to_owned).collect(),
    })
}

fn redrive_options(table: &Table<'_>) -> Result<Redrive, Failure> {
    let nothing = Table::default();
    let given = table.table("options").unwrap_or(&nothing);
    let limit = whole(given, "limit")?;
    if limit == Some(0) {
        return Err(Failure::new("limit must be an integer > 0"));
    }
    Ok(Redrive {
        destination: given.text("destination").map(QueueName::new),
        source_name: given.text("sourceName").map(QueueName::new),
        limit,
        ..Redrive::default()
    })
}
