//! `strawboss top`

mod draw;
mod here;
mod instance;
mod look;
mod screen;
mod state;

use std::io::{self, IsTerminal};
use std::pin::pin;
use std::time::{Duration, Instant};

use chrono::Utc;
use clap::Args;
use crossterm::event::{Event, EventStream, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use crossterm::terminal;
use futures_util::StreamExt;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::Span;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};

use super::options::DatabaseOptions;
use super::page::colour_wanted;
use super::{Done, Error, Page};
use crate::config::Period;
use draw::{Paint, View};
use look::{Look, Looker, Rates};
pub use screen::Screen;
use state::{State, Wish};

/// How wide a screen is that is printed to nobody's terminal.
const PAPER: u16 = 120;
/// The database is left alone for so many times as long as a look has taken.
const REST: u32 = 4;

/// Watch queues, workers and failures in the terminal.
///
/// Queues with their counts, rates and oldest wait; Node's and strawboss's workers as they have registered themselves
/// (schema 44 and later); the worker that answers at `http.listen`, with its circuits that are not closed; and the last
/// attempts that failed, without payloads. It reads what the metrics read, along indexes and with a time limit, so it may be
/// left running on a large system. A database that is away is waited for.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    strawboss top\n  \
    strawboss top --interval 500ms\n  \
    strawboss top --once             print all of it and end; so does `strawboss top | cat`\n\n\
    Keys: q quit, arrows or j k choose a queue, Enter look at it closely, s order, / filter, p freeze, ? help.\n\
    Colours are left out where NO_COLOR is set. Exit codes: 0, with --once 1 if the database could not be read.")]
pub struct Top {
    /// How often to look, at least 100ms; it is less often where a look takes long
    #[arg(long, default_value = "2s", value_name = "TIME", value_parser = interval)]
    interval: Duration,
    /// Print everything as plain text and end; done by itself where there is no terminal
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
        // Of the configuration only `http` is wanted beside the database; whatever else is wrong with it is not asked here.
        let listen = self.database.read().config.http.listen;
        let looker = Looker::new(self.database.open(2)?, listen);
        if self.once || !io::stdout().is_terminal() || !io::stdin().is_terminal() {
            return print(looker, self.interval, page).await;
        }
        watch(looker, self.interval).await?;
        Ok(Done::Well)
    }
}

/// All there is to see, without a terminal.
async fn print(mut looker: Looker, interval: Duration, page: &mut Page) -> Result<Done, Error> {
    let mut look = looker.look(None).await;
    if look.rates == Rates::Unknown && look.version.is_some() && look.here.is_heard() {
        // The worker's rates are what was added between two looks.
        tokio::time::sleep(interval).await;
        look = looker.look(None).await;
    }
    let mut state = State::default();
    state.see(look, Utc::now());
    let view = View {
        state: &state,
        place: &looker.place(),
        now: Utc::now(),
        paint: Paint { colour: false },
    };
    let width = match terminal::size() {
        Ok((columns, _)) if io::stdout().is_terminal() => columns,
        _ => PAPER,
    };
    let area = Rect::new(0, 0, width, view.height());
    let mut paper = Buffer::empty(area);
    view.draw(area, &mut paper);
    let mut lines = text(&paper);
    // Nobody can press the keys.
    lines.pop();
    for line in lines {
        page.line(&line)?;
    }
    Ok(match state.look.trouble {
        None => Done::Well,
        Some(_) => Done::Findings,
    })
}

/// What stands on a screen, line by line.
fn text(screen: &Buffer) -> Vec<String> {
    let width = usize::from(screen.area.width).max(1);
    let line = |cells: &[ratatui::buffer::Cell]| {
        let mut line = String::new();
        let mut covered = 0_usize;
        for cell in cells {
            // A wide character lies over the cell behind it.
            if covered > 0 {
                covered -= 1;
                continue;
            }
            line.push_str(cell.symbol());
            covered = Span::raw(cell.symbol()).width().saturating_sub(1);
        }
        line.trim_end().to_owned()
    };
    screen.content().chunks(width).map(line).collect()
}

/// What the viewer wants of the next look.
#[derive(Debug, Clone, Default, PartialEq)]
struct Wanted {
    frozen: bool,
    closely: Option<String>,
}

async fn watch(looker: Looker, interval: Duration) -> io::Result<()> {
    let place = looker.place();
    let paint = Paint {
        colour: colour_wanted(true),
    };
    let mut state = State::default();
    let (wanted, wants) = watch::channel(Wanted::default());
    let (seen, mut looks) = mpsc::channel(1);
    let mut looking = pin!(keep_looking(looker, interval, wants, seen));
    let mut terminated = signal(SignalKind::terminate())?;
    let mut hung_up = signal(SignalKind::hangup())?;
    let mut interrupted = signal(SignalKind::interrupt())?;
    // Last, so that no signal ends the process while the terminal is taken.
    let mut screen = Screen::open()?;
    let mut keys = EventStream::new();
    loop {
        let view = View {
            state: &state,
            place: &place,
            now: Utc::now(),
            paint,
        };
        screen.draw(|area, buffer| view.draw(area, buffer))?;
        tokio::select! {
            () = &mut looking => return Ok(()),
            Some(look) = looks.recv() => if !state.frozen {
                state.see(look, Utc::now());
            },
            event = keys.next() => match event.transpose()? {
                Some(Event::Key(key)) => {
                    if let Some(wish) = wish(key) && !state.obey(wish) {
                        return Ok(());
                    }
                    let wants = Wanted { frozen: state.frozen, closely: state.narrowed().map(str::to_owned) };
                    wanted.send_if_modified(|wanted| {
                        let changed = *wanted != wants;
                        *wanted = wants;
                        changed
                    });
                }
                // The next drawing has the new size.
                Some(_) => {}
                None => return Ok(()),
            },
            _ = terminated.recv() => return Ok(()),
            _ = hung_up.recv() => return Ok(()),
            _ = interrupted.recv() => return Ok(()),
        }
    }
}

/// Looks again and again, until nobody wants to see it.
async fn keep_looking(
    mut looker: Looker,
    interval: Duration,
    mut wants: watch::Receiver<Wanted>,
    seen: mpsc::Sender<Look>,
) {
    loop {
        let Ok(wanted) = wants
            .wait_for(|wanted| !wanted.frozen)
            .await
            .map(|wanted| wanted.clone())
        else {
            return;
        };
        let began = Instant::now();
        let look = looker.look(wanted.closely.as_deref()).await;
        let rest = interval.max(began.elapsed() * REST);
        if seen.send(look).await.is_err() {
            return;
        }
        // A queue to be looked at closely is not waited for.
        let other = wants.wait_for(|wants| wants.closely != wanted.closely);
        if let Ok(Err(_)) = tokio::time::timeout(rest, other).await {
            return;
        }
    }
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
