//! The screen: sums, the queues, the workers, the circuits, the last failures, the keys.

mod queues;
#[cfg(test)]
mod tests;
mod words;

use chrono::{DateTime, Utc};
use ratatui::buffer::Buffer;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Borders, Clear, Paragraph, Widget};

use super::instance::Instance;
use super::look::{Queue, Rates, Workers};
use super::state::State;
use crate::cli::page::harmless;
use crate::inspect::{Failure, QueueRecord};
use words::{aged, counted, lasting, rated};

const KEYS: &str = "q quit  ↑↓ choose  enter look closely  s order  / filter  p freeze  ? help";
const HELP: [&str; 12] = [
    "q, Esc, Ctrl-C   end; Esc puts away help, choice and filter first",
    "↑ ↓  j k  g G    choose a queue",
    "Enter            the settings and the failures of that queue alone",
    "s                order by name, ready, oldest, active, failed, rate",
    "/                only queues with that in their name",
    "p, space         freeze and go on",
    "",
    "DEAD    jobs that wait in the queue's dead letter queue",
    "OLDEST  for how long the first of the jobs that are due has waited",
    "DONE/S  jobs that complete, FAIL/S jobs that fail for good, a second;",
    "        the line above says whose. Those of one worker are attempts",
    "-       not known: before schema 46 what no supervisor has counted",
];
/// The widest the help is.
const HELP_WIDTH: u16 = 74;
/// A lost worker is news for so many seconds.
const NEWS: f64 = 600.0;

/// How the view is painted.
#[derive(Debug, Clone, Copy)]
pub(super) struct Paint {
    /// With colours.
    pub colour: bool,
}

impl Paint {
    fn of(self, colour: Color) -> Style {
        if self.colour {
            Style::new().fg(colour)
        } else {
            Style::new()
        }
    }

    fn bold() -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }
}

/// What is drawn.
#[derive(Clone, Copy)]
pub(super) struct View<'a> {
    /// What was seen and chosen.
    pub state: &'a State,
    /// Where the database is.
    pub place: &'a str,
    /// The time.
    pub now: DateTime<Utc>,
    /// Colours or none.
    pub paint: Paint,
}

/// A part of the screen below the queues.
struct Section {
    title: String,
    lines: Vec<Line<'static>>,
    /// It is left out of a screen that is lower than this.
    least: u16,
    /// Where there is not room for all, it may have one part of so many of the height.
    share: u16,
}

impl Section {
    fn height(&self) -> u16 {
        match self.lines.len() {
            0 => 0,
            lines => rows(lines + 1),
        }
    }
}

fn rows(lines: usize) -> u16 {
    u16::try_from(lines).unwrap_or(u16::MAX)
}

impl View<'_> {
    /// How many rows it takes to show everything.
    pub fn height(&self) -> u16 {
        let sections = self.sections().iter().map(Section::height).fold(0, u16::saturating_add);
        let queues = rows(self.state.queues().len().max(1) + 1);
        rows(self.head().len())
            .saturating_add(queues)
            .saturating_add(sections)
            .saturating_add(1)
    }

    /// Draws as much as there is room for.
    pub fn draw(&self, area: Rect, screen: &mut Buffer) {
        let head = self.head();
        let sections = self.sections();
        let roomy = self.height() <= area.height;
        let height = |section: &Section| match section.height() {
            height if roomy => height,
            _ if area.height < section.least => 0,
            height => height.min((area.height / section.share).max(2)),
        };
        let mut wanted = vec![Constraint::Length(rows(head.len())), Constraint::Min(3)];
        wanted.extend(sections.iter().map(|section| Constraint::Length(height(section))));
        wanted.push(Constraint::Length(1));
        let areas = Layout::vertical(wanted).split(area);

        Paragraph::new(head).render(areas[0], screen);
        queues::draw(self, areas[1], screen);
        for (section, area) in sections.into_iter().zip(&areas[2..]) {
            let block = Block::new().borders(Borders::TOP).title(format!(" {} ", section.title));
            Paragraph::new(section.lines).block(block).render(*area, screen);
        }
        let last = if self.state.typing {
            format!("/{}█   enter keeps it, esc drops it", harmless(&self.state.filter))
        } else {
            KEYS.to_owned()
        };
        let last = Paragraph::new(last).style(self.paint.of(Color::DarkGray));
        last.render(areas[areas.len() - 1], screen);
        if self.state.help {
            help(area, screen);
        }
    }

    fn head(&self) -> Vec<Line<'static>> {
        let look = &self.state.look;
        let schema = look
            .version
            .map_or_else(String::new, |version| format!("schema {version}  "));
        let frozen = if self.state.frozen { "  frozen" } else { "" };
        let place = harmless(self.place);
        let mut lines = vec![Line::from(vec![
            Span::styled("strawboss top", Paint::bold()),
            Span::raw(format!(
                "  {}{frozen}  {schema}{place}",
                self.now.format("%H:%M:%S UTC")
            )),
        ])];
        if look.version.is_some() {
            lines.push(Line::raw(self.sums()));
        }
        if let Some(trouble) = &look.trouble {
            let said = match self.state.as_of {
                Some(at) => format!(" (below is what was there at {})", at.format("%H:%M:%S")),
                None => String::new(),
            };
            let said = format!("nothing can be read, trying again{said}: {}", harmless(trouble));
            lines.push(Line::styled(said, self.paint.of(Color::Red)));
        }
        if !self.state.filter.is_empty() && !self.state.typing {
            let filter = harmless(&self.state.filter);
            lines.push(Line::raw(format!("only queues with \"{filter}\" in their name")));
        }
        lines
    }

    fn sums(&self) -> String {
        let look = &self.state.look;
        let sum = |of: fn(&Queue) -> Option<i64>| {
            let counts: Vec<_> = look.queues.iter().filter_map(of).collect();
            counted((!counts.is_empty()).then(|| counts.iter().sum()))
        };
        let flow = |of: fn(&Queue) -> Option<f64>| {
            let rates: Vec<_> = look.queues.iter().filter_map(of).collect();
            rated((!rates.is_empty()).then(|| rates.iter().sum()))
        };
        let whose = match look.rates {
            Rates::All => "all workers, last 10 s",
            Rates::Counted => "all workers, as counted last",
            Rates::Here => "the worker here alone",
            Rates::Unknown => "not known here",
        };
        format!(
            "queues {}  ready {}  active {}  failed {}  done/s {}  fail/s {} ({whose})",
            look.queues.len(),
            sum(|queue| queue.figures.ready),
            sum(|queue| queue.figures.active),
            sum(|queue| queue.figures.failed),
            flow(|queue| queue.rate.map(|rate| rate.completed)),
            flow(|queue| queue.rate.map(|rate| rate.failed)),
        )
    }

    fn sections(&self) -> Vec<Section> {
        let look = &self.state.look;
        let narrowed = self.state.narrowed();
        let closely = look.closely.as_ref().filter(|record| narrowed == Some(&record.name));
        let title = match narrowed {
            Some(queue) => format!("Last failures of {}", harmless(queue)),
            None => "Last failures".to_owned(),
        };
        vec![
            Section {
                title: closely.map(|record| harmless(&record.name)).unwrap_or_default(),
                lines: closely.map(settings).unwrap_or_default(),
                least: 14,
                share: 5,
            },
            Section {
                title: "Workers".to_owned(),
                lines: self.workers(),
                least: 20,
                share: 5,
            },
            Section {
                title: "Circuits that are not closed".to_owned(),
                lines: self.circuits(),
                least: 20,
                share: 6,
            },
            Section {
                title,
                lines: self.failures(),
                least: 12,
                share: 3,
            },
        ]
    }

    fn workers(&self) -> Vec<Line<'static>> {
        let look = &self.state.look;
        let faint = self.paint.of(Color::DarkGray);
        let mut lines = Vec::new();
        if let Some(listen) = look.here.listen {
            let unready = look.here.unready();
            lines.push(match &look.here.silent {
                Some(why) => Line::styled(format!("here       none answers at {listen}: {}", harmless(why)), faint),
                None if unready.is_empty() => {
                    let status = &look.here.status;
                    let (running, most) = (status.in_flight, status.concurrency);
                    Line::raw(format!("here       {listen} is ready, in flight: {running} of {most}"))
                }
                None => {
                    let reasons = harmless(&unready.join("; "));
                    let said = format!("here       {listen} is not ready: {reasons}");
                    Line::styled(said, self.paint.of(Color::Red))
                }
            });
        }
        match &look.workers {
            Workers::Unknown(why) => lines.push(Line::styled(*why, faint)),
            Workers::Known(instances) => {
                lines.extend(instances.iter().filter(|it| it.live).map(instance));
                // One that said farewell is no news; one that did not is, for a while.
                let lost = instances.iter().filter(|it| !it.live && it.stopped_on.is_none());
                let lost = lost.filter(|it| it.silent_for(self.now) < NEWS);
                lines.extend(lost.map(|it| {
                    let mut line = instance(it);
                    line.push_span(Span::raw(format!("  silent for {}", aged(it.silent_for(self.now)))));
                    line.style(self.paint.of(Color::Red))
                }));
            }
        }
        lines
    }

    fn circuits(&self) -> Vec<Line<'static>> {
        let circuits = self.state.look.here.status.circuits.iter();
        let line = |(handler, state): (&String, &u8)| {
            let (word, colour) = match state {
                0 => return None,
                1 => ("half-open", Color::Yellow),
                _ => ("open", Color::Red),
            };
            let said = format!("{word:<10} {}", harmless(handler));
            Some(Line::styled(said, self.paint.of(colour)))
        };
        circuits.filter_map(line).collect()
    }

    fn failures(&self) -> Vec<Line<'static>> {
        let faint = self.paint.of(Color::DarkGray);
        if self.state.look.version.is_none() {
            return Vec::new();
        }
        match self.state.failures() {
            None => {
                let said = "to look for them takes more than a second here: before schema 46 no index leads to them";
                vec![Line::styled(said, faint)]
            }
            Some(failures) if failures.is_empty() => vec![Line::styled("none", faint)],
            Some(failures) => failures.into_iter().map(|failure| self.failure(failure)).collect(),
        }
    }

    fn failure(&self, failure: &Failure) -> Line<'static> {
        let since = failure.began.map(|began| (self.now - began).as_seconds_f64());
        let began = since.map_or_else(|| "-".to_owned(), aged);
        let tries = format!("{}/{}", failure.retry_count, failure.retry_limit);
        let (fate, colour) = if failure.retried {
            ("again", Color::Yellow)
        } else {
            ("failed", Color::Red)
        };
        Line::from(vec![
            Span::raw(format!("{began:>5} ")),
            Span::styled(format!("{fate:<6} "), self.paint.of(colour)),
            Span::raw(format!("{tries:>5}  {}  {}  ", harmless(&failure.queue), failure.job)),
            Span::raw(harmless(&failure.message)),
        ])
    }
}

fn instance(instance: &Instance) -> Line<'static> {
    let (kind, version) = instance.kind();
    let queues = instance.queues();
    let serves = match queues.is_empty() {
        true => "no queues".to_owned(),
        false => queues.join(", "),
    };
    let name = instance.name.as_deref().unwrap_or("-");
    let text = format!(
        "{kind:<10} {name} {version}  {}:{}  {serves}",
        instance.host, instance.pid
    );
    Line::raw(harmless(&text))
}

/// What a queue is set to; `-` is left to whoever sends or works.
fn settings(record: &QueueRecord) -> Vec<Line<'static>> {
    let number = |value: Option<i32>| counted(value.map(i64::from));
    let backoff = match (record.retry_backoff, record.retry_delay_max) {
        (Some(true), Some(most)) => format!(", doubling up to {}", lasting(Some(most))),
        (Some(true), None) => ", doubling".to_owned(),
        _ => String::new(),
    };
    let lines = [
        format!(
            "policy {}  retries {} after {}{backoff}  expires after {}  notify {}",
            record.policy.as_deref().unwrap_or("-"),
            number(record.retry_limit),
            lasting(record.retry_delay),
            lasting(record.expire_in_seconds),
            if record.notify { "on" } else { "off" },
        ),
        format!(
            "dead letter queue {}  waits {} at most, is kept for {} when it has ended  table {}",
            record.dead_letter.as_deref().unwrap_or("-"),
            lasting(record.retention_seconds),
            lasting(record.delete_after_seconds),
            record.table,
        ),
    ];
    lines.map(|line| Line::raw(harmless(&line))).into()
}

fn help(area: Rect, screen: &mut Buffer) {
    let width = HELP_WIDTH.min(area.width);
    let height = rows(HELP.len() + 2).min(area.height);
    let over = Rect {
        x: area.x + (area.width - width) / 2,
        y: area.y + (area.height - height) / 2,
        width,
        height,
    };
    Clear.render(over, screen);
    let lines: Vec<_> = HELP.iter().map(|line| Line::raw(*line)).collect();
    let block = Block::bordered().title(" Keys and columns ");
    Paragraph::new(lines).block(block).render(over, screen);
}
