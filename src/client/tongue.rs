//! How the schema at hand is spoken to, and who finds out.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::Error;
use crate::dialect::{Dialect, Support, Watch};
use crate::postgres::{Class, Executor};

/// How long what was read of a schema is taken for granted.
const FRESH: Duration = Duration::from_secs(60);

/// How long a call waits for the first look of whoever watches the schema: a program that has just started knows nothing yet.
const FIRST: Duration = Duration::from_secs(2);

/// Where a client has its dialect from.
#[derive(Clone)]
pub(super) struct Tongue {
    schema: Arc<str>,
    source: Source,
}

/// What was read, and when.
type Known = (Instant, Arc<Dialect>);

#[derive(Clone)]
enum Source {
    Own(Arc<Mutex<Option<Known>>>),
    Watched(Watch),
}

impl Tongue {
    pub(super) fn own(schema: String) -> Tongue {
        Tongue {
            schema: schema.into(),
            source: Source::Own(Arc::default()),
        }
    }

    pub(super) fn watched(schema: String, watch: Watch) -> Tongue {
        Tongue {
            schema: schema.into(),
            source: Source::Watched(watch),
        }
    }

    pub(super) fn schema(&self) -> &str {
        &self.schema
    }

    /// The dialect, read if need be.
    pub(super) async fn dialect(&self, road: &impl Executor) -> Result<Arc<Dialect>, Error> {
        let known = match &self.source {
            Source::Watched(watch) => {
                let spoken = watch.known(FIRST).await;
                return spoken
                    .dialect()
                    .cloned()
                    .ok_or_else(|| Error::Unspoken(spoken.trouble().unwrap_or("the schema is not spoken").to_owned()));
            }
            Source::Own(known) => known,
        };
        let remembered = known.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some((since, dialect)) = &remembered
            && since.elapsed() < FRESH
        {
            return Ok(Arc::clone(dialect));
        }
        let read = Dialect::read(road, &self.schema).await?;
        if Support::of(read.version()) == Support::TooOld {
            return Err(Error::Unspoken(format!(
                "schema \"{}\" has version {}, and the oldest that is spoken is {}",
                self.schema,
                read.version(),
                crate::dialect::OLDEST
            )));
        }
        // One that speaks alike has its statements rendered already.
        let dialect = match remembered {
            Some((_, dialect)) if *dialect == read => dialect,
            _ => Arc::new(read),
        };
        *known.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), Arc::clone(&dialect)));
        Ok(dialect)
    }

    /// Has the schema looked at again where an error says that it is not what it was.
    pub(super) fn noted<T, F: Into<Error>>(&self, done: Result<T, F>) -> Result<T, Error> {
        done.map_err(|error| {
            let error = error.into();
            if error.database().is_some_and(|error| error.class() == Class::Schema) {
                match &self.source {
                    Source::Own(known) => *known.lock().unwrap_or_else(PoisonError::into_inner) = None,
                    Source::Watched(watch) => watch.nudge(),
                }
            }
            error
        })
    }
}
