//! `strawboss top`

mod draw;
mod exposition;
mod look;
mod state;

use std::io::{self, IsTerminal};
use std::time::Duration;

use chrono::Utc;
use clap::Args;
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use ratatui::{DefaultTerminal, Terminal};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use super::options::DatabaseOptions;
use super::page::colour_wanted;
use super::{Done, Error, Page};
use crate::config::Period;
use draw::{Paint, draw};
use look::Looker;
use state::{State, Wish};

/// The size of a screen that is only printed.
const PAPER: (u16, u16) = (120, 40);

/// Watch queues, workers and failures in the terminal.
///
/// Queues with their counts, rates and oldest wait; Node's and strawboss's workers as they have registered themselves
/// (schema 44 and later); the worker of this machine, if one answers at `http.listen`, with its circuits that are not closed;
/// and the last attempts that failed. It reads what the metrics read, along indexes and with a time limit, so it may be left
/// running on a large system. A database that is away is waited for.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    strawboss top\n  \
    strawboss top --interval 500ms\n  \
    strawboss top --once             print one screen and end; so does `strawboss top | cat`\n\n\
    Keys: q quit, arrows or j k choose a queue, Enter its failures, s order, / filter, p freeze, ? help.")]
pub struct Top {
    /// How often to look, at least 100ms
    #[arg(long, default_value = "2s", value_name = "TIME", value_parser = interval)]
    interval: Duration,
    /// Print one screen as plain text and end; exit code 1 if the database could not be read
    #[arg(long)]
    once: bool,
    #[command(flatten)]
    database: DatabaseOptions,
}

fn interval(text: &str) -> Result<Duration, String> {
    let Period(interval) = text.parse()?;
    if interval < Duration::from_millis(100) {
        return Err("it must be 100ms at least".to_owned());
    }
    Ok(interval)
}

impl Top {
    pub(super) async fn run(self, page: &mut Page) -> Result<Done, Error> {
        let listen = self.database.read().config.http.listen;
        let looker = Looker::new(self.database.open(2)?, listen);
        if self.once || !io::stdout().is_terminal() || !io::stdin().is_terminal() {
            return print(looker, page).await;
        }
        // Restores the terminal when it panics, too.
        let terminal = ratatui::try_init()?;
        let ended = watch(terminal, looker, self.interval).await;
        ratatui::restore();
        Ok(ended.map(|()| Done::Well)?)
    }
}

/// One screen, without a terminal.
async fn print(mut looker: Looker, page: &mut Page) -> Result<Done, Error> {
    let state = State {
        look: looker.look().await,
        ..State::default()
    };
    let mut paper = Terminal::new(TestBackend::new(PAPER.0, PAPER.1)).unwrap_or_else(|never| match never {});
    let paint = Paint { colour: false };
    paper
        .draw(|frame| draw(frame, &state, &looker.place(), Utc::now(), paint))
        .unwrap_or_else(|never| match never {});
    for line in text(paper.backend()) {
        page.line(&line)?;
    }
    Ok(match state.look.trouble {
        None => Done::Well,
        Some(_) => Done::Findings,
    })
}

/// What stands on a screen, without the line of keys and without the empty lines of the table.
fn text(backend: &TestBackend) -> Vec<String> {
    let buffer = backend.buffer();
    let cells = buffer.content().chunks(usize::from(buffer.area.width));
    let lines = cells.map(|row| row.iter().map(ratatui::buffer::Cell::symbol).collect::<String>());
    let mut lines: Vec<_> = lines.map(|line| line.trim_end().to_owned()).collect();
    lines.pop();
    lines.retain(|line| !line.is_empty());
    lines
}

async fn watch(mut terminal: DefaultTerminal, looker: Looker, interval: Duration) -> io::Result<()> {
    let place = looker.place();
    let paint = Paint {
        colour: colour_wanted(true),
    };
    let mut state = State::default();
    let (mut looks, frozen) = keep_looking(looker, interval);
    let mut keys = typed();
    let mut terminated = signal(SignalKind::terminate())?;
    let mut hung_up = signal(SignalKind::hangup())?;
    loop {
        terminal.draw(|frame| draw(frame, &state, &place, Utc::now(), paint))?;
        tokio::select! {
            look = looks.recv() => match look {
                Some(look) if !state.frozen => state.look = look,
                Some(_) => {}
                None => return Ok(()),
            },
            event = keys.recv() => match event {
                Some(Event::Key(key)) => {
                    if let Some(wish) = wish(key) && !state.obey(wish) {
                        return Ok(());
                    }
                    frozen.send_replace(state.frozen);
                }
                // The next drawing has the new size.
                Some(_) => {}
                None => return Ok(()),
            },
            _ = terminated.recv() => return Ok(()),
            _ = hung_up.recv() => return Ok(()),
        }
    }
}

/// Looks in a task of its own, so that a database that hangs holds up no key.
fn keep_looking(
    mut looker: Looker,
    interval: Duration,
) -> (mpsc::Receiver<look::Look>, tokio::sync::watch::Sender<bool>) {
    let (seen, looks) = mpsc::channel(1);
    let (frozen, mut freeze) = tokio::sync::watch::channel(false);
    tokio::spawn(async move {
        let mut ticks = tokio::time::interval(interval);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if freeze.wait_for(|frozen| !frozen).await.is_err() || seen.send(looker.look().await).await.is_err() {
                return;
            }
        }
    });
    (looks, frozen)
}

/// What is typed, and changes of size. The thread reads until the process ends.
fn typed() -> mpsc::Receiver<Event> {
    let (heard, events) = mpsc::channel(64);
    std::thread::spawn(move || {
        while let Ok(event) = event::read() {
            if heard.blocking_send(event).is_err() {
                return;
            }
        }
    });
    events
}

fn wish(key: KeyEvent) -> Option<Wish> {
    if key.kind == KeyEventKind::Release {
        return None;
    }
    match key.code {
        KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => Some(Wish::Quit),
        KeyCode::Char(_) if key.modifiers.intersects(KeyModifiers::CONTROL | KeyModifiers::ALT) => None,
        KeyCode::Char(character) => Some(Wish::Typed(character)),
        KeyCode::Enter => Some(Wish::Enter),
        KeyCode::Esc => Some(Wish::Escape),
        KeyCode::Backspace => Some(Wish::Backspace),
        KeyCode::Up => Some(Wish::Move(-1)),
        KeyCode::Down => Some(Wish::Move(1)),
        KeyCode::PageUp => Some(Wish::Move(-10)),
        KeyCode::PageDown => Some(Wish::Move(10)),
        KeyCode::Home => Some(Wish::Move(isize::MIN)),
        KeyCode::End => Some(Wish::Move(isize::MAX)),
        _ => None,
    }
}
