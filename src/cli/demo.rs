//! `strawboss demo`

use std::io::{IsTerminal, Write, stderr};
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use serde_json::Value;
use tokio::sync::oneshot;

use super::page::Align;
use super::spark::Growth;
use super::{Done, Error, Page};
use crate::config::LogFormat;
use crate::demo::{DEAD, Demo as Running, Figures};
use crate::lifecycle;
use crate::observe::log;

/// How often a line of progress is printed where there is no terminal to redraw one on.
const REPORT: Duration = Duration::from_secs(2);
/// How wide the picture of the throughput is.
const PARTS: usize = 32;
/// Log lines would tear the progress apart; failures are what the demo is there to show.
const FILTER: &str = "error";

/// See it work: a private PostgreSQL, sample jobs that succeed, retry and die, events, and what became of them.
///
/// Uses DATABASE_URL if it is set (in schemas of its own, dropped at the end); else it starts a private PostgreSQL from
/// binaries it finds, and removes it at the end.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    strawboss demo\n  \
    strawboss demo --keep   and look around: metrics, queues, jobs")]
pub struct Demo {
    /// Keep everything running after the last job, until Ctrl-C
    #[arg(long)]
    pub keep: bool,
}

impl Demo {
    pub(super) async fn run(self, page: &mut Page) -> Result<Done, Error> {
        let filter = log::filter().map_err(|error| refused(&error))?;
        let filter = filter.as_deref().unwrap_or(FILTER);
        log::init(LogFormat::Text, Some(filter)).map_err(|error| refused(&error))?;
        let (stop, mut stopped) = oneshot::channel();
        lifecycle::on_signals(stop).map_err(|error| refused(&error))?;
        let url = std::env::var("DATABASE_URL").ok().filter(|url| !url.is_empty());
        let say = Arc::new(|text: &str| eprintln!("{text}"));
        let private = url.is_none();
        let mut starting = pin!(Running::start(url, say));
        let demo = tokio::select! {
            demo = &mut starting => demo.map_err(|error| refused(&error))?,
            _ = &mut stopped => {
                // A private server goes with this process, finished or not; a schema in somebody's database does not.
                if !private && let Ok(demo) = starting.await {
                    demo.stop().await.map_err(|error| refused(&error))?;
                }
                return Ok(Done::Findings);
            }
        };
        let mut progress = Progress::new();
        let finished = tokio::select! {
            finished = demo.finished(|figures| progress.show(figures)) => finished.map(Some),
            _ = &mut stopped => Ok(None),
        };
        progress.end();
        let told = match finished {
            Ok(Some(took)) => self.show(page, &demo, took, &progress.growth, stopped).await,
            Ok(None) => Ok(Done::Findings),
            Err(error) => Err(refused(&error)),
        };
        let report = demo.stop().await.map_err(|error| refused(&error))?;
        page.line(&format!("Worker {report}"))?;
        told
    }

    /// Tells what happened, and stays if it is to.
    async fn show(
        &self,
        page: &mut Page,
        demo: &Running,
        took: Duration,
        growth: &Growth,
        stopped: oneshot::Receiver<()>,
    ) -> Result<Done, Error> {
        summary(page, demo, took, growth).await?;
        if self.keep {
            look_around(page, demo)?;
            page.finish()?;
            let _ = stopped.await;
        }
        Ok(Done::Well)
    }
}

fn refused(error: &dyn std::error::Error) -> Error {
    Error::Refused {
        what: error.to_string(),
        next: None,
    }
}

/// Figures while it runs: one line redrawn on a terminal, a line every now and then elsewhere.
struct Progress {
    terminal: bool,
    shown: Option<Instant>,
    began: Instant,
    growth: Growth,
}

impl Progress {
    fn new() -> Progress {
        Progress {
            terminal: stderr().is_terminal(),
            shown: None,
            began: Instant::now(),
            growth: Growth::default(),
        }
    }

    fn show(&mut self, figures: &[Figures]) {
        let done = figures.iter().map(|of| of.completed + of.dead).sum();
        self.growth.note(self.began.elapsed(), done);
        if !self.terminal && self.shown.is_some_and(|shown| shown.elapsed() < REPORT) {
            return;
        }
        self.shown = Some(Instant::now());
        let sum = |of: fn(&Figures) -> u64| figures.iter().map(of).sum::<u64>();
        let line = format!(
            "{} of {} jobs done: {} completed, {} dead-lettered; {} retries",
            sum(|of| of.completed + of.dead),
            sum(|of| of.sent),
            sum(|of| of.completed),
            sum(|of| of.dead),
            sum(|of| of.retried),
        );
        if self.terminal {
            eprint!("\r\x1b[K{line}");
            let _ = stderr().flush();
        } else {
            eprintln!("{line}");
        }
    }

    fn end(&self) {
        if self.terminal {
            eprintln!();
        }
    }
}

/// What happened, and where to look.
async fn summary(page: &mut Page, demo: &Running, took: Duration, growth: &Growth) -> Result<(), Error> {
    page.line("")?;
    let heading = [
        ("QUEUE", Align::Left),
        ("SHOWS", Align::Left),
        ("SENT", Align::Right),
        ("COMPLETED", Align::Right),
        ("RETRIES", Align::Right),
        ("DEAD-LETTERED", Align::Right),
    ];
    let rows: Vec<_> = demo
        .samples()
        .iter()
        .zip(demo.figures())
        .map(|(sample, of)| {
            let numbers = [of.sent, of.completed, of.retried, of.dead].map(|number| number.to_string());
            [sample.queue, sample.shows]
                .into_iter()
                .map(str::to_owned)
                .chain(numbers)
                .collect()
        })
        .collect();
    page.table(&heading, &rows)?;
    page.line("")?;
    if let Some((bars, most)) = growth.bars(PARTS) {
        page.line(&format!("Jobs done  {bars}  {most:.0}/s at most"))?;
    }
    page.line(&format!(
        "All of it took {:.1} s. Dead letters lie in queue {DEAD}, each with its reason:",
        took.as_secs_f64()
    ))?;
    for letter in demo.dead_letters(3).await.map_err(|error| refused(&error))? {
        page.line(&format!(
            "  {}  {}  {}",
            letter.source,
            text(&letter.data),
            text(&letter.reason)
        ))?;
    }
    page.line("  …")?;
    page.line("Events that a handler failed for good are in event_dead_letter, and can be replayed to it:")?;
    for letter in demo.dead_events(3).await.map_err(|error| refused(&error))? {
        page.line(&format!(
            "  {}  {}  {}  {}",
            letter.id,
            letter.event,
            letter.handler.unwrap_or_default(),
            letter.reason.unwrap_or_default()
        ))?;
    }
    page.line(&format!(
        "Metrics were served at http://{}/metrics all the while.",
        demo.http()
    ))?;
    Ok(())
}

fn look_around(page: &mut Page, demo: &Running) -> std::io::Result<()> {
    page.line("")?;
    page.line("Everything keeps running until Ctrl-C. In another terminal:")?;
    if let Some(url) = demo.private_url() {
        page.line(&format!("  export DATABASE_URL='{url}'"))?;
    }
    page.line(&format!("  strawboss queues list --schema {}", demo.schema()))?;
    page.line(&format!("  strawboss jobs list {DEAD} --schema {}", demo.schema()))?;
    if demo.private_url().is_some() {
        page.line("  strawboss events dead-letters")?;
        page.line("  strawboss events emit order.completed '{\"n\": 1}'")?;
    }
    page.line(&format!(
        "  strawboss send welcome-email '{{\"n\": 1}}' --schema {}",
        demo.schema()
    ))?;
    page.line(&format!("  curl http://{}/metrics", demo.http()))?;
    if let Some(url) = demo.empty_database() {
        page.line("")?;
        page.line("For an app of your own there is an empty database:")?;
        page.line(&format!("  export DATABASE_URL='{url}'"))?;
    }
    Ok(())
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
