//! Claims of queues: whoever moves the time of a queue's last pass does the work of the next.

use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio_postgres::types::Type;

use crate::dialect::{Dialect, Template};
use crate::postgres::{Error, Executor};

pub(super) const CLAIM: Template = Template(include_str!("claim.sql"));
pub(super) const GIVE_BACK: Template = Template(include_str!("give_back.sql"));

/// What is claimed.
#[derive(Debug, Clone, Copy)]
pub(super) enum Duty {
    /// Counting and expiry.
    Monitor,
    /// Deletion.
    Maintain,
}

/// Queues that are ours to look after.
pub(super) struct Claimed {
    /// Sorted.
    pub(super) queues: Vec<String>,
    /// Whether they are to be counted: not while that has to rest.
    pub(super) counting: bool,
    /// What the claim has written; `None` if it got none.
    stamp: Option<DateTime<Utc>>,
    duty: Duty,
}

impl Duty {
    fn flags(self) -> &'static [&'static str] {
        match self {
            Duty::Monitor => &["monitor"],
            Duty::Maintain => &["maintain"],
        }
    }

    /// Claims those of the queues whose last pass is that long ago.
    pub(super) async fn claim(
        self,
        executor: &impl Executor,
        dialect: &Dialect,
        queues: &[&str],
        interval: Duration,
    ) -> Result<Claimed, Error> {
        let sql = CLAIM.render_with(dialect, "job", self.flags());
        let params = [
            (&queues as &(dyn tokio_postgres::types::ToSql + Sync), Type::TEXT_ARRAY),
            (&interval.as_secs_f64(), Type::FLOAT8),
        ];
        let mut claimed = Claimed {
            queues: Vec::new(),
            counting: true,
            stamp: None,
            duty: self,
        };
        for row in executor.query(&sql, &params).await? {
            claimed.queues.push(row.try_get("name")?);
            claimed.counting &= row.try_get::<_, bool>("counting")?;
            claimed.stamp = Some(row.try_get("stamp")?);
        }
        claimed.queues.sort();
        Ok(claimed)
    }
}

impl Claimed {
    /// The queues.
    pub(super) fn names(&self) -> Vec<&str> {
        self.queues.iter().map(String::as_str).collect()
    }

    /// Gives the claims of those queues back, so that whoever comes next does their work.
    pub(super) async fn give_back(
        &self,
        executor: &impl Executor,
        dialect: &Dialect,
        queues: &[&str],
    ) -> Result<(), Error> {
        let sql = GIVE_BACK.render_with(dialect, "job", self.duty.flags());
        executor
            .query(&sql, &[(&queues, Type::TEXT_ARRAY), (&self.stamp, Type::TIMESTAMPTZ)])
            .await?;
        Ok(())
    }
}
