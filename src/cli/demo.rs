//! `strawboss demo`

use clap::Args;

/// See it work: a private PostgreSQL, sample jobs that succeed, retry and die, and what became of them.
///
/// Uses DATABASE_URL if it is set; else it starts a private PostgreSQL from binaries it finds, and removes it at the end.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    strawboss demo\n  \
    strawboss demo --keep   and look around: metrics, queues, jobs")]
pub struct Demo {
    /// Keep everything running after the last job, until Ctrl-C
    #[arg(long)]
    pub keep: bool,
}
