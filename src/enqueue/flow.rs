//! Jobs that wait for each other, sent together or not at all.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use tokio_postgres::error::SqlState;
use tokio_postgres::types::Type;
use uuid::Uuid;

use super::batch::{Columns, Entry};
use super::insert::INSERT;
use super::{Error, SendOptions};
use crate::dialect::{Capability, Dialect};
use crate::job::RawJson;
use crate::postgres::{Executor, channel};
use crate::queue::{Policy, Queue, QueueName};
use crate::schema::spelling;

/// A job of a flow.
#[derive(Debug, Clone)]
pub struct FlowJob {
    /// Its name within the flow.
    pub reference: String,
    /// The queue it goes to.
    pub queue: QueueName,
    /// The payload; `None` and JSON's `null` are stored as SQL `NULL`.
    pub data: Option<RawJson>,
    /// What it asks for.
    pub options: SendOptions,
    /// The references of the jobs it waits for.
    pub depends_on: Vec<String>,
}

/// Sends jobs of which some wait for others: each runs once all it depends on are completed; a job that fails or is cancelled
/// never frees its children. Returns the id of each by its reference.
///
/// # Errors
/// A schema without flows (before 31), a flow that is none or runs in a circle, an unknown queue, options as for
/// [`send`](super::send()), or a job that a policy or a taken id keeps out, which keeps all out. Inside a transaction only
/// that and the database's refusal end the transaction.
pub async fn flow(
    executor: &impl Executor,
    dialect: &Dialect,
    jobs: &[FlowJob],
) -> Result<BTreeMap<String, Uuid>, Error> {
    if !dialect.has(Capability::Flows) {
        return Err(Error::unsupported("flow", Capability::Flows, dialect));
    }
    let parents = check(jobs).map_err(Error::Invalid)?;
    for (index, job) in jobs.iter().enumerate() {
        let entry = entry(job);
        let checked = job.options.validate(dialect).and_then(|()| entry.check_payload());
        checked.map_err(|reason| Error::InBatch {
            index,
            reason: Box::new(reason),
        })?;
    }
    let names: Vec<QueueName> = jobs
        .iter()
        .map(|job| job.queue.clone())
        .collect::<BTreeSet<_>>()
        .into_iter()
        .collect();
    let queues = Queue::read(executor, dialect, &names).await?;
    if let Some(missing) = names.iter().find(|name| queues.iter().all(|it| it.name != **name)) {
        return Err(Error::UnknownQueue(missing.clone()));
    }
    let strict = |name: &QueueName| {
        let of = |queue: &&Queue| queue.name == *name && queue.policy == Some(Policy::KeyStrictFifo);
        queues.iter().any(|queue| of(&queue))
    };
    if let Some(job) = jobs
        .iter()
        .find(|job| strict(&job.queue) && job.options.singleton_key.as_deref().unwrap_or_default().is_empty())
    {
        return Err(Error::KeyRequired(job.queue.clone()));
    }

    let ids: HashMap<&str, Uuid> = jobs
        .iter()
        .map(|job| (job.reference.as_str(), job.options.id.unwrap_or_else(Uuid::new_v4)))
        .collect();
    let by_reference: HashMap<&str, &FlowJob> = jobs.iter().map(|job| (job.reference.as_str(), job)).collect();
    let options: Vec<SendOptions> = jobs
        .iter()
        .map(|job| SendOptions {
            id: ids.get(job.reference.as_str()).copied(),
            ..job.options.clone()
        })
        .collect();
    let entries: Vec<Entry<'_>> = jobs
        .iter()
        .zip(&options)
        .map(|(job, options)| Entry {
            data: job.data.as_deref(),
            options,
        })
        .collect();
    let columns = Columns::of(&entries);
    let queue: Vec<&str> = jobs.iter().map(|job| job.queue.as_str()).collect();
    let distinct = |job: &FlowJob| job.depends_on.iter().collect::<BTreeSet<_>>().len();
    let pending: Vec<i32> = jobs
        .iter()
        .map(|job| i32::try_from(distinct(job)).unwrap_or(i32::MAX))
        .collect();
    let blocking: Vec<bool> = jobs
        .iter()
        .map(|job| parents.contains(job.reference.as_str()))
        .collect();
    let mut ties = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for job in jobs {
        for parent in job.depends_on.iter().collect::<BTreeSet<_>>() {
            let parent = by_reference[parent.as_str()];
            ties.0.push(job.queue.as_str());
            ties.1.push(ids[job.reference.as_str()]);
            ties.2.push(parent.queue.as_str());
            ties.3.push(ids[parent.reference.as_str()]);
        }
    }

    let (first, next_slot, channel) = ("", false, channel(&spelling(dialect.schema())));
    let mut params = columns.params(&first, &next_slot, &channel).to_vec();
    params.extend([
        (&queue as _, Type::TEXT_ARRAY),
        (&pending as _, Type::INT4_ARRAY),
        (&blocking as _, Type::BOOL_ARRAY),
        (&ties.0 as _, Type::TEXT_ARRAY),
        (&ties.1 as _, Type::UUID_ARRAY),
        (&ties.2 as _, Type::TEXT_ARRAY),
        (&ties.3 as _, Type::UUID_ARRAY),
    ]);
    executor
        .query(&INSERT.render_with(dialect, "job", &["flow"]), &params)
        .await
        .map_err(|error| {
            if error.code() == Some(&SqlState::DIVISION_BY_ZERO) {
                return Error::FlowRefused;
            }
            match names.as_slice() {
                [name, ..] => Error::of_insert(name, error),
                [] => error.into(),
            }
        })?;
    Ok(jobs
        .iter()
        .map(|job| (job.reference.clone(), ids[job.reference.as_str()]))
        .collect())
}

fn entry(job: &FlowJob) -> Entry<'_> {
    Entry {
        data: job.data.as_deref(),
        options: &job.options,
    }
}

/// Checks that it is a flow; the references of those that others wait for.
fn check(jobs: &[FlowJob]) -> Result<BTreeSet<&str>, String> {
    if jobs.len() < 2 {
        return Err("flow requires at least 2 jobs".to_owned());
    }
    let mut seen = BTreeSet::new();
    for job in jobs {
        if job.reference.is_empty() {
            return Err("each flow job must have a non-empty ref".to_owned());
        }
        if !seen.insert(job.reference.as_str()) {
            return Err(format!("duplicate ref: \"{}\"", job.reference));
        }
        if job.queue.as_str().is_empty() {
            return Err("each flow job must have a non-empty name".to_owned());
        }
        if job.options.singleton_next_slot {
            return Err("singleton_next_slot is for single jobs".to_owned());
        }
    }
    let mut parents = BTreeSet::new();
    for job in jobs {
        for parent in &job.depends_on {
            if *parent == job.reference {
                return Err(format!("job \"{parent}\" cannot depend on itself"));
            }
            if !seen.contains(parent.as_str()) {
                return Err(format!("dependsOn ref \"{parent}\" not found in flow"));
            }
            parents.insert(parent.as_str());
        }
    }
    if parents.is_empty() {
        return Err("flow requires at least one job with dependsOn".to_owned());
    }
    match circle(jobs) {
        Some(circle) => Err(format!("flow contains a dependency cycle: {}", circle.join(" -> "))),
        None => Ok(parents),
    }
}

/// The references along which a job waits for itself, parents first, if one does.
fn circle(jobs: &[FlowJob]) -> Option<Vec<&str>> {
    let mut left: BTreeMap<&str, BTreeSet<&str>> = jobs
        .iter()
        .map(|job| {
            (
                job.reference.as_str(),
                job.depends_on.iter().map(String::as_str).collect(),
            )
        })
        .collect();
    // Whatever waits for nothing that is left is in no circle.
    loop {
        let free: Vec<&str> = left
            .iter()
            .filter(|(_, parents)| parents.iter().all(|parent| !left.contains_key(parent)))
            .map(|(job, _)| *job)
            .collect();
        if free.is_empty() {
            break;
        }
        left.retain(|job, _| !free.contains(job));
    }
    let mut path = vec![*left.keys().next()?];
    loop {
        let last = path.last()?;
        let parent = left.get(last)?.iter().find(|parent| left.contains_key(**parent))?;
        if let Some(start) = path.iter().position(|job| job == parent) {
            let mut circle: Vec<&str> = path.drain(start..).collect();
            circle.push(parent);
            circle.reverse();
            return Some(circle);
        }
        path.push(parent);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(reference: &str, depends_on: &[&str]) -> FlowJob {
        FlowJob {
            reference: reference.to_owned(),
            queue: QueueName::from("q"),
            data: None,
            options: SendOptions::default(),
            depends_on: depends_on.iter().map(|it| (*it).to_owned()).collect(),
        }
    }

    #[test]
    fn a_flow_is_two_jobs_at_least_of_which_one_waits() {
        let diamond = [
            job("a", &[]),
            job("b", &["a"]),
            job("c", &["a"]),
            job("d", &["b", "c", "b"]),
        ];
        assert_eq!(check(&diamond), Ok(BTreeSet::from(["a", "b", "c"])));
        for (jobs, complaint) in [
            (vec![job("a", &[])], "at least 2 jobs"),
            (vec![job("a", &[]), job("", &["a"])], "non-empty ref"),
            (vec![job("a", &[]), job("a", &[])], "duplicate ref: \"a\""),
            (vec![job("a", &[]), job("b", &[])], "at least one job with dependsOn"),
            (vec![job("a", &["a"]), job("b", &[])], "cannot depend on itself"),
            (vec![job("a", &["c"]), job("b", &[])], "\"c\" not found"),
        ] {
            let refused = check(&jobs).expect_err(complaint);
            assert!(refused.contains(complaint), "{refused}");
        }
    }

    #[test]
    fn a_circle_is_named() {
        let jobs = [job("x", &["a"]), job("a", &["b"]), job("b", &["c"]), job("c", &["a"])];
        assert_eq!(
            check(&jobs),
            Err("flow contains a dependency cycle: a -> c -> b -> a".to_owned())
        );
    }
}
