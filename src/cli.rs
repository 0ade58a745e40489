//! The commands: what is asked, and how the answer is printed. Every decision is made in the rooms behind.
//!
//! Answers go to standard output, everything else to standard error. Exit codes: 0 done, 1 failed or findings, 2 usage.

pub mod bench;
pub mod check;
pub mod config;
pub mod demo;
pub mod doctor;
mod error;
pub mod events;
pub mod jobs;
pub mod options;
mod page;
pub mod queues;
pub mod redrive;
pub mod run;
pub mod schedules;
pub mod schema;
pub mod send;
mod spark;
pub mod top;

use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};
use clap_complete::Shell;

pub use error::Error;
pub use page::Page;

/// A worker for the jobs of a pg-boss that is already there.
#[derive(Debug, Parser)]
#[command(
    name = "strawboss",
    version,
    long_about = "A worker for the jobs of a pg-boss that is already there.\n\n\
        It speaks pg-boss's own schema on PostgreSQL, beside the Node app that runs it: it claims jobs, runs them over \
        HTTP, in programs or in Rust, retries them and dead-letters them exactly as pg-boss would.",
    after_help = "Examples:\n  \
        strawboss config example > strawboss.toml   a complete configuration to start from\n  \
        strawboss check                             what is wrong with it, and where each value comes from\n  \
        strawboss queues list                       what is waiting\n  \
        strawboss jobs list email --state failed    what went wrong\n\n\
        Without --config, ./strawboss.toml is read if it is there; DATABASE_URL alone is enough for most commands.\n\
        Exit codes: 0 done, 1 failed or findings, 2 usage.",
    disable_help_subcommand = true,
    arg_required_else_help = true
)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Demo(demo::Demo),
    Run(run::Run),
    Check(check::Check),
    Doctor(doctor::Doctor),
    Top(top::Top),
    Send(Box<send::Send>),
    Queues(queues::Queues),
    Jobs(Box<jobs::Jobs>),
    Redrive(redrive::Redrive),
    Schedules(schedules::Schedules),
    Events(events::Events),
    Schema(schema::Schema),
    Bench(bench::Bench),
    Config(config::Config),
    Completions(Completions),
}

/// Print completions for a shell.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    strawboss completions bash > /etc/bash_completion.d/strawboss\n  \
    strawboss completions zsh > ~/.zfunc/_strawboss\n  \
    strawboss completions fish > ~/.config/fish/completions/strawboss.fish")]
struct Completions {
    /// Which shell.
    shell: Shell,
}

/// How a command ended that did not fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Done {
    /// Nothing to complain of.
    Well,
    /// It did what it should, and what it found is not in order.
    Findings,
}

/// Runs one command to its end and prints what came of it.
pub async fn run(cli: Cli) -> ExitCode {
    let mut page = Page::standard();
    let ended = match cli.command {
        Command::Demo(demo) => Box::pin(demo.run(&mut page)).await,
        Command::Run(run) => run.run().await,
        Command::Check(check) => check.run(&mut page).await,
        Command::Doctor(doctor) => doctor.run(&mut page).await,
        Command::Top(top) => top.run(&mut page).await,
        Command::Send(send) => send.run(&mut page).await,
        Command::Queues(queues) => queues.run(&mut page).await,
        Command::Jobs(jobs) => jobs.run(&mut page).await,
        Command::Redrive(redrive) => redrive.run(&mut page).await,
        Command::Schedules(schedules) => schedules.run(&mut page).await,
        Command::Events(events) => events.run(&mut page).await,
        Command::Schema(schema) => schema.run(&mut page).await,
        Command::Bench(bench) => bench.run(&mut page).await,
        Command::Config(config) => config.run(&mut page),
        Command::Completions(Completions { shell }) => {
            // It panics where it cannot write, which a pipe that was closed would make it do.
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "strawboss", &mut script);
            page.write_all(&script).map(|()| Done::Well).map_err(Error::from)
        }
    };
    let ended = ended.and_then(|done| {
        page.finish()?;
        Ok(done)
    });
    match ended {
        Ok(Done::Well) => ExitCode::SUCCESS,
        Ok(Done::Findings) => ExitCode::from(1),
        // Whoever read our output has seen enough: `strawboss jobs list email | head`.
        Err(Error::Output(error)) if error.kind() == std::io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            let colour = page::colour_wanted(std::io::stderr().is_terminal());
            eprintln!("{} {error}", page::painted("error:", "1;31", colour));
            if let Some(next) = error.next_step() {
                eprintln!("{} {next}", page::painted("next:", "1;36", colour));
            }
            ExitCode::from(error.code())
        }
    }
}

/// Asks whether that is to be done to what was named, where there is somebody to be asked; a script means what it says.
fn agreed_by_name(yes: bool, what: &str) -> Result<(), Error> {
    agreed(yes || !std::io::stdin().is_terminal(), what)
}

/// Asks whether that is to be done, unless it was said already; where nobody can be asked, it is not.
fn agreed(yes: bool, what: &str) -> Result<(), Error> {
    if yes {
        eprintln!("about to {what}");
        return Ok(());
    }
    if std::io::stdin().is_terminal() {
        eprint!("{what}? [y/N] ");
        let mut answer = String::new();
        std::io::stdin().read_line(&mut answer)?;
        if matches!(answer.trim(), "y" | "Y" | "yes") {
            return Ok(());
        }
    }
    Err(Error::Refused {
        what: format!("this would {what}; nothing was done"),
        next: Some("--yes does it".to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_are_consistent() {
        Cli::command().debug_assert();
    }
}
