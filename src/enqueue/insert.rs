//! One job, or many at once.

use std::collections::HashSet;

use serde_json::value::RawValue;
use uuid::Uuid;

use super::batch::{Columns, Entry};
use super::{Error, SendOptions};
use crate::dialect::{Dialect, Template};
use crate::job::RawJson;
use crate::postgres::{Executor, channel};
use crate::queue::QueueName;
use crate::schema::spelling;

/// Inserts jobs of one queue.
pub(super) const INSERT: Template = Template(include_str!("insert.sql"));

/// The most jobs that go into one statement; more gain nothing on the server and only hold its locks for longer.
const CHUNK_JOBS: usize = 5_000;
/// The most bytes of payload that go into one statement, a single larger payload aside.
const CHUNK_BYTES: usize = 16 << 20;

/// A job of a bulk insert.
#[derive(Debug, Clone, Default)]
pub struct JobInsert {
    /// The payload; `None` and JSON's `null` are stored as SQL `NULL`.
    pub data: Option<RawJson>,
    /// What it asks for.
    pub options: SendOptions,
}

/// Sends one job and returns its id, or `None` where the queue's policy, a throttle or a taken id keeps it out.
///
/// The payload goes to the database as it is, without being parsed. If the queue has `notify` on and the job may run at
/// once, its workers are woken when the surrounding transaction commits.
///
/// # Errors
/// An unknown queue, options that are not valid or not known to this schema, or the database's refusal. Inside a
/// transaction only the last of these ends the transaction.
pub async fn send(
    executor: &impl Executor,
    dialect: &Dialect,
    queue: &QueueName,
    data: Option<&RawValue>,
    options: &SendOptions,
) -> Result<Option<Uuid>, Error> {
    let entry = Entry { data, options };
    options.validate(dialect)?;
    entry.check_payload()?;
    let columns = Columns::of(&[entry]);
    let first = enter(executor, dialect, queue, &columns, false).await?;
    if first.is_empty() && options.singleton_next_slot {
        let next = enter(executor, dialect, queue, &columns.in_next_slot(), true).await?;
        return Ok(next.first().copied());
    }
    Ok(first.first().copied())
}

/// Inserts many jobs and returns the ids of those that went in; the queue's policy, a throttle or a taken id keeps
/// single ones out. Callers who have to know which give them ids.
///
/// Up to 5,000 jobs or 16 MiB of payload go in one statement. A larger batch takes several: run it inside a
/// transaction if it must go in whole, for outside of one the statements before a failing one stay done.
///
/// # Errors
/// As [`send`]; options and payloads are looked at before the first statement runs. Two jobs with the same id are
/// refused, and so is `singleton_next_slot`, which only `send` has.
pub async fn insert(
    executor: &impl Executor,
    dialect: &Dialect,
    queue: &QueueName,
    jobs: &[JobInsert],
) -> Result<Vec<Uuid>, Error> {
    check(dialect, jobs)?;
    let mut ids = Vec::with_capacity(jobs.len());
    let mut rest = jobs;
    while !rest.is_empty() {
        let (chunk, after) = rest.split_at(chunk_length(rest));
        rest = after;
        let entries: Vec<_> = chunk.iter().map(entry).collect();
        ids.extend(enter(executor, dialect, queue, &Columns::of(&entries), false).await?);
    }
    Ok(ids)
}

fn entry(job: &JobInsert) -> Entry<'_> {
    Entry {
        data: job.data.as_deref(),
        options: &job.options,
    }
}

fn check(dialect: &Dialect, jobs: &[JobInsert]) -> Result<(), Error> {
    let mut ids = HashSet::new();
    for (index, job) in jobs.iter().enumerate() {
        let checked = job
            .options
            .validate(dialect)
            .and_then(|()| entry(job).check_payload())
            .and_then(|()| {
                if job.options.singleton_next_slot {
                    return Err(Error::Invalid("singleton_next_slot is for single jobs".to_owned()));
                }
                Ok(())
            });
        checked.map_err(|reason| Error::InBatch {
            index,
            reason: Box::new(reason),
        })?;
        if let Some(id) = job.options.id
            && !ids.insert(id)
        {
            return Err(Error::DuplicateId(id));
        }
    }
    Ok(())
}

/// Looks at a job as [`insert`] does before its first statement.
pub(crate) fn check_one(dialect: &Dialect, job: &JobInsert) -> Result<(), Error> {
    check(dialect, std::slice::from_ref(job)).map_err(Error::alone)
}

/// How many of the jobs the next statement takes; at least one.
pub(crate) fn chunk_length<'a>(jobs: impl IntoIterator<Item = &'a JobInsert>) -> usize {
    let mut bytes = 0;
    let fitting = jobs
        .into_iter()
        .take(CHUNK_JOBS)
        .take_while(|job| {
            bytes += entry(job).size();
            bytes <= CHUNK_BYTES
        })
        .count();
    fitting.max(1)
}

/// Inserts a job and marks it as the one of its key, where the schema can (45).
pub(super) async fn enter_marked(
    executor: &impl Executor,
    dialect: &Dialect,
    queue: &QueueName,
    entry: Entry<'_>,
) -> Result<Vec<Uuid>, Error> {
    entry.check_payload()?;
    enter_with(executor, dialect, queue, &Columns::of(&[entry]), false, &["upsert"]).await
}

async fn enter(
    executor: &impl Executor,
    dialect: &Dialect,
    queue: &QueueName,
    columns: &Columns<'_>,
    next_slot: bool,
) -> Result<Vec<Uuid>, Error> {
    enter_with(executor, dialect, queue, columns, next_slot, &[]).await
}

async fn enter_with(
    executor: &impl Executor,
    dialect: &Dialect,
    queue: &QueueName,
    columns: &Columns<'_>,
    next_slot: bool,
    flags: &[&'static str],
) -> Result<Vec<Uuid>, Error> {
    let (name, channel) = (queue.as_str(), channel(&spelling(dialect.schema())));
    let params = columns.params(&name, &next_slot, &channel);
    let rows = executor
        .query(&INSERT.render_with(dialect, "job", flags), &params)
        .await
        .map_err(|error| Error::of_insert(queue, error))?;
    let Some(first) = rows.first() else {
        return Err(Error::UnknownQueue(queue.clone()));
    };
    let ids: Vec<Uuid> = rows.iter().filter_map(|row| row.get("id")).collect();
    if ids.is_empty() && columns.is_keyless() && first.get("strict") {
        return Err(Error::KeyRequired(queue.clone()));
    }
    Ok(ids)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(bytes: usize) -> JobInsert {
        let text = format!("\"{}\"", "x".repeat(bytes - 2));
        JobInsert {
            data: Some(RawValue::from_string(text).expect("it is JSON")),
            options: SendOptions::default(),
        }
    }

    #[test]
    fn a_statement_takes_so_many_jobs_and_so_many_bytes() {
        assert_eq!(chunk_length(&vec![job(2); CHUNK_JOBS + 1]), CHUNK_JOBS);
        assert_eq!(chunk_length(&vec![job(CHUNK_BYTES / 4); 9]), 4);
        assert_eq!(chunk_length(&[job(CHUNK_BYTES + 1), job(2)]), 1);
        assert_eq!(chunk_length(&[job(2), job(2)]), 2);
    }
}
