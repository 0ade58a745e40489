//! What pg-boss does to its own tables in the background: it builds the indexes that its migrations have put off, and rebuilds
//! bloated ones. Done where `worker.maintain_schema` asks for it; otherwise bloat is warned of and nothing is touched.

use std::time::{Duration, Instant};

use serde_json::json;
use tokio_postgres::types::Type;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::flow::spoken;
use super::lock;
use super::warning::Warning;
use crate::dialect::{Capability, Dialect, Template, Watch};
use crate::observe::Pulse;
use crate::postgres::{Class, Client, Database, Error, Executor, Param};

const CLAIM: Template = Template(include_str!("build_claim.sql"));
const NEXT: Template = Template(include_str!("build_next.sql"));
const DONE: Template = Template(include_str!("build_done.sql"));
const INDEX: Template = Template(include_str!("index.sql"));
const BLOATED: Template = Template(include_str!("bloated.sql"));
const LEFTOVER: Template = Template(include_str!("leftover.sql"));
/// How often it is looked for commands, and for bloat; pg-boss's own intervals.
pub(super) const BUILD: Duration = Duration::from_secs(60);
pub(super) const REBUILD: Duration = Duration::from_secs(24 * 60 * 60);
/// A larger index is for somebody to rebuild who has chosen the hour.
const LARGEST: i64 = 2 << 30;
/// How often a keeper with nothing to do, or an index to wait for, says that it is alive.
const BEAT: Duration = Duration::from_secs(15);

/// Keeps the indexes of a schema.
pub struct IndexKeeper {
    /// Where; a pool of its own, for building an index may take hours.
    pub database: Database,
    /// To know the dialect.
    pub watch: Watch,
    /// Build and rebuild; otherwise only warn.
    pub maintain: bool,
    /// Keep warnings in pg-boss's table.
    pub persist_warnings: bool,
}

impl IndexKeeper {
    /// Keeps them until told to stop.
    pub async fn run(mut self, pulse: Pulse, stop: CancellationToken) {
        let mut next = Instant::now() + BUILD;
        let mut bloat = next;
        let mut told = Vec::new();
        loop {
            pulse.beat();
            let pause = next.saturating_duration_since(Instant::now()).min(BEAT);
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = stop.cancelled() => return,
            }
            if Instant::now() < next {
                continue;
            }
            next = Instant::now() + BUILD;
            let dialect = tokio::select! {
                dialect = spoken(&mut self.watch, &pulse) => dialect,
                () = stop.cancelled() => return,
            };
            let looks_for_bloat = self.maintain || Instant::now() >= bloat;
            let work = async {
                if self.maintain {
                    build(&self.database, &dialect).await?;
                }
                if looks_for_bloat {
                    self.rebuild(&dialect, &mut told).await?;
                }
                Ok::<(), Error>(())
            };
            let mut work = std::pin::pin!(work);
            let done = loop {
                tokio::select! {
                    done = &mut work => break done,
                    () = tokio::time::sleep(BEAT) => pulse.beat(),
                    () = stop.cancelled() => return,
                }
            };
            match done {
                Ok(()) if looks_for_bloat => bloat = Instant::now() + REBUILD,
                Ok(()) => {}
                Err(error) => match error.class() {
                    Class::Connection | Class::Transient => {}
                    Class::Schema => self.watch.nudge(),
                    _ => tracing::warn!(%error, "the indexes could not be looked after"),
                },
            }
        }
    }

    /// Rebuilds bloated indexes, if that is asked for and due, and warns of those that stay as they are, once each.
    async fn rebuild(&self, dialect: &Dialect, told: &mut Vec<Warning>) -> Result<(), Error> {
        let stay = if self.maintain {
            rebuild(&self.database, dialect).await?
        } else if dialect.has(Capability::Reindex) {
            let client = self.database.client().await?;
            let found = bloated(&client, dialect).await?;
            Some(
                found
                    .iter()
                    .map(|index| index.warning("worker.maintain_schema is off"))
                    .collect(),
            )
        } else {
            None
        };
        let Some(stay) = stay else { return Ok(()) };
        let before = std::mem::replace(told, stay);
        let client = self.database.client().await?;
        for warning in told {
            if !before.iter().any(|known| known.data["name"] == warning.data["name"]) {
                warning.say(&client, dialect, self.persist_warnings).await?;
            }
        }
        Ok(())
    }
}

async fn claim(
    executor: &impl Executor,
    dialect: &Dialect,
    what: &'static str,
    interval: Duration,
) -> Result<bool, Error> {
    let sql = CLAIM.render_with(dialect, "job", &[what]);
    let rows = executor.query(&sql, &[(&interval.as_secs_f64(), Type::FLOAT8)]).await?;
    Ok(!rows.is_empty())
}

/// Runs the commands that migrations have put off, one after another, if nobody has looked for a minute; how many.
///
/// # Errors
/// Whatever the database says; a command that fails is not among it, its row says so.
pub async fn build(database: &Database, dialect: &Dialect) -> Result<usize, Error> {
    if !dialect.catalog().has_table("bam") {
        return Ok(0);
    }
    let mut client = database.client().await?;
    if !claim(&client, dialect, "build", BUILD).await? {
        return Ok(0);
    }
    let mut done = 0;
    // What has failed before is tried once a pass, and not again and again.
    let mut flags: &[&'static str] = &[];
    while let Some(command) = next(&mut client, dialect, flags).await? {
        flags = &["pending"];
        tracing::info!(name = command.name, "doing what a migration of pg-boss has put off");
        let error = command.run(&client, dialect).await.err();
        if let Some(error) = &error {
            tracing::warn!(
                name = command.name,
                error,
                "what a migration of pg-boss has put off could not be done"
            );
        }
        let sql = DONE.render(dialect, "job");
        client
            .query(&sql, &[(&command.id, Type::UUID), (&error, Type::TEXT)])
            .await?;
        done += 1;
    }
    Ok(done)
}

/// A command that is ours to run.
struct Command {
    id: Uuid,
    name: String,
    text: String,
    /// It was tried before.
    again: bool,
}

async fn next(client: &mut Client, dialect: &Dialect, flags: &[&'static str]) -> Result<Option<Command>, Error> {
    let schema = dialect.schema();
    let sql = NEXT.render_with(dialect, "job", flags);
    let work = lock::waited(client, dialect, &["bamClaim"]).await?;
    let rows = work.query(&sql, &[(&schema, Type::TEXT)]).await?;
    work.commit().await?;
    let command = |row: &tokio_postgres::Row| {
        Ok(Command {
            id: row.try_get("id")?,
            name: row.try_get("name")?,
            text: row.try_get("command")?,
            again: row.try_get("again")?,
        })
    };
    rows.first().map(command).transpose()
}

impl Command {
    /// Runs it; an index that an earlier try has left half built is dropped first, and one that it has built is left.
    async fn run(&self, client: &Client, dialect: &Dialect) -> Result<(), String> {
        let index = built_index(&self.text);
        if let (Some(index), true) = (index, self.again) {
            match valid(client, dialect, index).await? {
                Some(true) => return Ok(()),
                Some(false) => {
                    let dropping = format!("DROP INDEX CONCURRENTLY IF EXISTS {}", dialect.qualified(index));
                    whole(client, &dropping).await?;
                }
                None => {}
            }
        }
        whole(client, &self.text).await?;
        match index {
            Some(index) if valid(client, dialect, index).await? != Some(true) => Err(format!(
                "the index {index} is not there, or not valid, after it was built"
            )),
            _ => Ok(()),
        }
    }
}

/// Runs a statement for as long as it takes: no patience is right for all sizes of a table.
async fn whole(client: &Client, sql: &str) -> Result<(), String> {
    let done = client.driver().batch_execute(sql).await;
    done.map_err(|error| Error::Postgres(error).to_string())
}

async fn valid(client: &Client, dialect: &Dialect, index: &str) -> Result<Option<bool>, String> {
    let (schema, sql) = (dialect.schema(), INDEX.render(dialect, "job"));
    let params: [Param; 2] = [(&schema, Type::TEXT), (&index, Type::TEXT)];
    let rows = client.query(&sql, &params).await.map_err(|error| error.to_string())?;
    Ok(rows.first().map(|row| row.get("valid")))
}

/// The name of the index that a command builds, if it builds one without locking others out.
fn built_index(command: &str) -> Option<&str> {
    let mut words = command.split_whitespace().peekable();
    let is = |word: Option<&&str>, what: &str| word.is_some_and(|word| word.eq_ignore_ascii_case(what));
    if !is(words.next().as_ref(), "create") {
        return None;
    }
    words.next_if(|word| word.eq_ignore_ascii_case("unique"));
    if !is(words.next().as_ref(), "index") || !is(words.next().as_ref(), "concurrently") {
        return None;
    }
    if is(words.peek(), "if") {
        words.nth(2);
    }
    words.next().map(|name| name.trim_matches('"'))
}

/// An index that is larger than it has to be.
struct Bloated {
    name: String,
    pages: i32,
    entries: f64,
    bytes: i64,
    owned: bool,
}

impl Bloated {
    fn warning(&self, why: &str) -> Warning {
        Warning {
            kind: "index_bloat",
            message: format!(
                "the index {:?} has {} MB for some {} entries and was not rebuilt ({why}); REINDEX INDEX CONCURRENTLY does it",
                self.name,
                self.bytes >> 20,
                self.entries
            ),
            data: json!({ "name": self.name, "pages": self.pages, "entries": self.entries, "bytes": self.bytes, "owned": self.owned }),
        }
    }
}

async fn bloated(executor: &impl Executor, dialect: &Dialect) -> Result<Vec<Bloated>, Error> {
    let schema = dialect.schema();
    let rows = executor
        .query(&BLOATED.render(dialect, "job"), &[(&schema, Type::TEXT)])
        .await?;
    let index = |row: &tokio_postgres::Row| {
        Ok(Bloated {
            name: row.try_get("name")?,
            pages: row.try_get("pages")?,
            entries: row.try_get("entries")?,
            bytes: row.try_get("bytes")?,
            owned: row.try_get("owned")?,
        })
    };
    rows.iter().map(index).collect()
}

/// Rebuilds the bloated indexes of the job tables without locking anybody out, if nobody has for a day (schema 39 and
/// later); a warning for each that stays as it is, or `None` where it was not due.
///
/// # Errors
/// Whatever the database says; an index that cannot be rebuilt is not among it.
pub async fn rebuild(database: &Database, dialect: &Dialect) -> Result<Option<Vec<Warning>>, Error> {
    if !dialect.has(Capability::Reindex) {
        return Ok(None);
    }
    let client = database.client().await?;
    if !claim(&client, dialect, "rebuild", REBUILD).await? {
        return Ok(None);
    }
    let mut stay = Vec::new();
    let found = bloated(&client, dialect).await?;
    if found.iter().any(|index| index.owned && index.bytes <= LARGEST) {
        let schema = dialect.schema();
        for row in client
            .query(&LEFTOVER.render(dialect, "job"), &[(&schema, Type::TEXT)])
            .await?
        {
            let name: &str = row.try_get("name")?;
            let dropping = format!("DROP INDEX CONCURRENTLY IF EXISTS {}", dialect.qualified(name));
            if let Err(error) = whole(&client, &dropping).await {
                tracing::warn!(
                    index = name,
                    error,
                    "what is left of an interrupted rebuild could not be dropped"
                );
            }
        }
    }
    for index in found {
        let why = if !index.owned {
            "it belongs to another role".to_owned()
        } else if index.bytes > LARGEST {
            "it has more than 2 GB".to_owned()
        } else {
            let rebuilding = format!("REINDEX INDEX CONCURRENTLY {}", dialect.qualified(&index.name));
            match whole(&client, &rebuilding).await {
                Ok(()) => {
                    tracing::info!(index = index.name, "rebuilt a bloated index");
                    continue;
                }
                Err(error) => error,
            }
        };
        stay.push(index.warning(&why));
    }
    Ok(Some(stay))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_index_of_a_command_is_known() {
        for (command, index) in [
            (
                "CREATE INDEX CONCURRENTLY job_common_i9 ON s.job_common (name, id)",
                Some("job_common_i9"),
            ),
            (
                "create  unique index concurrently\n if not exists \"j_i13\" on x (y)",
                Some("j_i13"),
            ),
            ("DROP INDEX CONCURRENTLY IF EXISTS s.job_common_i5", None),
            ("CREATE INDEX job_i1 ON s.job (name)", None),
            ("UPDATE s.job SET x = 1", None),
            ("", None),
        ] {
            assert_eq!(built_index(command), index, "{command}");
        }
    }
}
