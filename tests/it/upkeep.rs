//! Supervision: what pg-boss's own supervisor does, done by us, beside it and without it.

mod alone;
mod claims;
mod ends;
mod flows;
mod indexes;
mod pass;
mod registry;
mod servants;
mod states;
mod vacuum;

use serde_json::{Value, json};
use strawboss::config::UpkeepConfig;
use strawboss::upkeep::{Supervised, supervise};

use crate::differential::{Pair, Straw};
use crate::support::{Release, Schema};

/// Warnings and history kept.
fn keeping() -> UpkeepConfig {
    UpkeepConfig {
        persist_warnings: true,
        persist_queue_stats: true,
        ..UpkeepConfig::default()
    }
}

/// The same for pg-boss.
fn their_keeping() -> Value {
    json!({"persistWarnings": true, "persistQueueStats": true})
}

/// One pass of ours.
async fn we_supervise(straw: &Straw, config: &UpkeepConfig) -> Supervised {
    supervise(&straw.database, &straw.dialect, config, None)
        .await
        .unwrap_or_else(|error| panic!("we supervise: {error:?}"))
}

impl Pair {
    /// One pass of theirs.
    async fn they_supervise(&self) {
        if self.release == Release::V10_4_2 {
            // What its timer runs, claim and all; the timer's own object cannot be reached.
            let run = "
                const { createRequire } = process.getBuiltinModule('node:module')
                const Boss = createRequire(`${process.env.STRAWBOSS_NODE_DIRECTORY}/`)('pg-boss-10.4.2/src/boss.js')
                const twelveHours = '43200 seconds'
                const config = { schema: args, maintenanceIntervalSeconds: 120, deleteAfter: '7 days', archiveInterval: twelveHours }
                const supervisor = new Boss(boss.getDb(), { ...config, archiveFailedInterval: twelveHours })
                const errors = []
                supervisor.on('error', error => errors.push(error.message))
                await supervisor.onSupervise()
                return errors";
            let errors = self.boss.eval(run, json!(self.theirs.name)).await;
            assert_eq!(errors.expect("pg-boss supervises"), json!([]));
        } else {
            self.boss
                .call("supervise", json!([]))
                .await
                .expect("pg-boss supervises");
        }
    }
}

impl Schema {
    /// Makes every claim of a supervisor an hour old, so that all of them are due but the daily ones.
    async fn an_hour_later(&self) {
        let set = match self.release {
            Release::V10_4_2 => "version set maintained_on = maintained_on - interval '1h'",
            release if release.schema_version() < 40 => "queue set monitor_on = monitor_on - interval '1h'",
            _ => "queue set monitor_claim_on = monitor_claim_on - interval '1h'",
        };
        self.execute(&format!("update {{schema}}.{set}")).await;
    }
}
