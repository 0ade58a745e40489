//! The screen: a line of sums, the queues, the workers, the circuits, the last failures, the keys.

use chrono::{DateTime, Utc};
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Borders, Cell, Clear, Paragraph, Row, Table, TableState};

use super::look::{Instance, Look, Queue, Rates};
use super::state::State;
use crate::cli::page::harmless;
use crate::inspect::Failure;

const KEYS: &str = "q quit  ↑↓ choose  enter its failures  s order  / filter  p freeze  ? help";
const HELP: [&str; 9] = [
    "q, Esc, Ctrl-C   end; Esc puts away help, choice and filter first",
    "↑ ↓  j k  g G    choose a queue",
    "Enter            only the failures of the chosen queue",
    "s                order by name, ready, oldest, active, failed, rate",
    "/                only queues with that in their name",
    "p, space         freeze and go on",
    "",
    "Rates: schema 46 tells them for all workers, over the last 10 s;",
    "before, they are those of the worker at http.listen, where it answers.",
];

/// How the view is painted.
#[derive(Debug, Clone, Copy)]
pub(super) struct Paint {
    /// With colours.
    pub colour: bool,
}

impl Paint {
    fn of(self, colour: Color) -> Style {
        if self.colour { Style::new().fg(colour) } else { Style::new() }
    }

    fn bold() -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }
}

/// Draws all of it, as much as there is room for.
pub(super) fn draw(frame: &mut Frame<'_>, state: &State, place: &str, now: DateTime<Utc>, paint: Paint) {
    let look = &state.look;
    let area = frame.area();
    let queues = state.queues();
    let head = head(state, place, now, paint);
    let workers = worker_lines(look, now, paint);
    let circuits = circuit_lines(look, paint);
    let failures = failure_lines(state, now, paint);

    // What is asked for, and what the rest may take of a low terminal: the queues and the failures come first.
    let roomy = area.height >= 20;
    let height = |lines: usize, most: u16| u16::try_from(lines).unwrap_or(most).min(most);
    let wanted_workers = if roomy { height(workers.len(), area.height / 5) + 1 } else { 0 };
    let wanted_circuits = if roomy && !circuits.is_empty() {
        height(circuits.len(), area.height / 6) + 1
    } else {
        0
    };
    let wanted_failures = height(failures.len(), area.height / 3).max(1) + 1;
    let [top, middle, at_workers, at_circuits, at_failures, bottom] = Layout::vertical([
        Constraint::Length(height(head.len(), 6)),
        Constraint::Min(3),
        Constraint::Length(wanted_workers),
        Constraint::Length(wanted_circuits),
        Constraint::Length(if area.height >= 12 { wanted_failures } else { 0 }),
        Constraint::Length(1),
    ])
    .areas(area);

    frame.render_widget(Paragraph::new(head), top);
    draw_queues(frame, middle, state, &queues, paint);
    section(frame, at_workers, "Workers", workers);
    section(frame, at_circuits, "Circuits that are not closed", circuits);
    let title = match state.narrowed() {
        Some(queue) => format!("Last failures of {}", harmless(queue)),
        None => "Last failures".to_owned(),
    };
    section(frame, at_failures, &title, failures);
    let last = if state.typing {
        format!("/{}█   enter keeps it, esc drops it", harmless(&state.filter))
    } else {
        KEYS.to_owned()
    };
    frame.render_widget(Paragraph::new(last).style(paint.of(Color::DarkGray)), bottom);
    if state.help {
        help(frame, area);
    }
}

fn head(state: &State, place: &str, now: DateTime<Utc>, paint: Paint) -> Vec<Line<'static>> {
    let look = &state.look;
    let schema = look.version.map_or_else(String::new, |version| format!("  schema {version}"));
    let frozen = if state.frozen { "  frozen" } else { "" };
    let mut lines = vec![Line::from(vec![
        Span::styled("strawboss top", Paint::bold()),
        Span::raw(format!("  {}{schema}  {}{frozen}", harmless(place), now.format("%H:%M:%S UTC"))),
    ])];
    let sum = |of: fn(&Queue) -> Option<i64>| -> String {
        let counts: Vec<_> = look.queues.iter().filter_map(of).collect();
        if counts.is_empty() {
            return "-".to_owned();
        }
        counted(Some(counts.iter().sum()))
    };
    let flow = |of: fn(&Queue) -> Option<f64>| {
        let rates: Vec<_> = look.queues.iter().filter_map(of).collect();
        rated((!rates.is_empty()).then(|| rates.iter().sum()))
    };
    let whose = match look.rates {
        Rates::All => "all workers",
        Rates::Here => "the worker here",
        Rates::Unknown => "unknown",
    };
    lines.push(Line::raw(format!(
        "queues {}  ready {}  active {}  failed {}  done/s {}  failed/s {} ({whose})",
        look.queues.len(),
        sum(|queue| queue.figures.ready),
        sum(|queue| queue.figures.active),
        sum(|queue| queue.figures.failed),
        flow(|queue| queue.done),
        flow(|queue| queue.failed),
    )));
    if let Some(trouble) = &look.trouble {
        let said = format!("nothing can be read, trying again: {}", harmless(trouble));
        lines.push(Line::styled(said, paint.of(Color::Red)));
    }
    if !state.filter.is_empty() && !state.typing {
        lines.push(Line::raw(format!("only queues with {:?} in their name", state.filter)));
    }
    lines
}

fn draw_queues(frame: &mut Frame<'_>, area: Rect, state: &State, queues: &[&Queue], paint: Paint) {
    // Columns that a narrow screen can do without are left out, the name never.
    let wide = area.width >= 96;
    let middling = area.width >= 64;
    let mut heading = vec!["QUEUE", "READY", "ACTIVE", "FAILED", "OLDEST"];
    let mut widths = vec![
        Constraint::Min(12),
        Constraint::Length(8),
        Constraint::Length(8),
        Constraint::Length(8),
        Constraint::Length(7),
    ];
    if middling {
        heading.extend(["DONE/S", "FAIL/S"]);
        widths.extend([Constraint::Length(8), Constraint::Length(7)]);
    }
    if wide {
        heading.extend(["DEFERRED", "BLOCKED", ""]);
        widths.extend([Constraint::Length(8), Constraint::Length(8), Constraint::Length(18)]);
    }
    let right = |text: String| Cell::new(Line::from(text).right_aligned());
    let rows = queues.iter().map(|queue| {
        let it = &queue.figures;
        let name = harmless(&it.name);
        let name = match (&queue.paused, wide) {
            (Some(_), false) => format!("{name} (paused)"),
            _ => name,
        };
        let lagging = it.oldest >= 60.0;
        let oldest = Line::from(aged(it.oldest)).right_aligned();
        let mut cells = vec![
            Cell::new(name),
            right(counted(it.ready)),
            right(counted(it.active)),
            right(counted(it.failed)),
            Cell::new(if lagging { oldest.style(paint.of(Color::Yellow)) } else { oldest }),
        ];
        if middling {
            cells.extend([right(rated(queue.done)), right(rated(queue.failed))]);
        }
        if wide {
            let mark = match (&queue.paused, it.buries) {
                (Some(reason), _) if reason.is_empty() => "paused".to_owned(),
                (Some(reason), _) => format!("paused: {}", harmless(reason)),
                (None, true) => "dead letters".to_owned(),
                (None, false) => String::new(),
            };
            cells.extend([right(counted(it.deferred)), right(counted(it.blocked)), Cell::new(mark)]);
        }
        Row::new(cells)
    });
    let names = heading.iter().enumerate().map(|(at, name)| {
        let name = match *name {
            "QUEUE" => format!("QUEUE by {}", state.order.word()),
            name => name.to_owned(),
        };
        if at == 0 || name.is_empty() { Cell::new(name) } else { right(name) }
    });
    let table = Table::new(rows, widths)
        .header(Row::new(names).style(Paint::bold()))
        .row_highlight_style(Style::new().add_modifier(Modifier::REVERSED));
    let mut at = TableState::new().with_selected(state.cursor(queues));
    frame.render_stateful_widget(table, area, &mut at);
    if queues.is_empty() && area.height > 1 && state.look.trouble.is_none() {
        let below = Rect {
            y: area.y + 1,
            height: 1,
            ..area
        };
        let said = if state.look.queues.is_empty() { "no queues" } else { "no queue has that in its name" };
        frame.render_widget(Paragraph::new(said), below);
    }
}

fn worker_lines(look: &Look, now: DateTime<Utc>, paint: Paint) -> Vec<Line<'static>> {
    let mut lines = Vec::new();
    if let Some(listen) = look.here.listen {
        let line = match &look.here.silent {
            Some(why) => Line::styled(
                format!("here       none answers at {listen}: {}", harmless(why)),
                paint.of(Color::DarkGray),
            ),
            None if look.here.unready.is_empty() => {
                let (running, limit) = look.here.in_flight;
                let most = if limit > 0.0 { format!(" of {limit}") } else { String::new() };
                Line::raw(format!("here       {listen} is ready, in flight: {running}{most}"))
            }
            None => Line::styled(
                format!("here       {listen} is not ready: {}", harmless(&look.here.unready.join("; "))),
                paint.of(Color::Red),
            ),
        };
        lines.push(line);
    }
    match &look.workers {
        None if look.version.is_some() => {
            lines.push(Line::styled("others cannot be told before schema 44", paint.of(Color::DarkGray)));
        }
        None => {}
        Some(instances) => {
            let live = instances.iter().filter(|instance| instance.live);
            lines.extend(live.map(|instance| instance_line(instance)));
            // One that said farewell is no news; one that did not is, for ten minutes.
            let lost = instances.iter().filter(|it| !it.live && it.stopped_on.is_none() && it.silent_for(now) < 600.0);
            lines.extend(lost.map(|instance| {
                let mut line = instance_line(instance);
                line.push_span(Span::raw(format!("  silent for {}", aged(instance.silent_for(now)))));
                line.style(paint.of(Color::Red))
            }));
        }
    }
    lines
}

fn instance_line(instance: &Instance) -> Line<'static> {
    let version = instance.version.as_deref().unwrap_or("");
    let (kind, version) = match version.strip_prefix("strawboss") {
        Some(ours) => ("strawboss", ours.trim()),
        None => ("node", version),
    };
    let mut queues: Vec<&str> = instance
        .workers
        .iter()
        .flatten()
        .filter_map(|serves| serves.name.as_deref())
        .collect();
    queues.sort_unstable();
    queues.dedup();
    let serves = if queues.is_empty() { "no queues".to_owned() } else { queues.join(", ") };
    let text = format!(
        "{kind:<10} {} {version}  {}:{}  {serves}",
        instance.name.as_deref().unwrap_or("-"),
        instance.host.as_deref().unwrap_or("-"),
        instance.pid.map_or_else(|| "-".to_owned(), |pid| pid.to_string()),
    );
    Line::raw(harmless(&text))
}

fn circuit_lines(look: &Look, paint: Paint) -> Vec<Line<'static>> {
    let open = look.here.circuits.iter().filter(|(_, state)| **state > 0.0);
    open.map(|(handler, state)| {
        let (word, colour) = if *state > 1.5 { ("open", Color::Red) } else { ("half-open", Color::Yellow) };
        Line::styled(format!("{word:<10} {}", harmless(handler)), paint.of(colour))
    })
    .collect()
}

fn failure_lines(state: &State, now: DateTime<Utc>, paint: Paint) -> Vec<Line<'static>> {
    if state.look.version.is_none() {
        return Vec::new();
    }
    let Some(failures) = state.failures() else {
        let said = "to look for them takes more than a second here: before schema 46 no index leads to them";
        return vec![Line::styled(said, paint.of(Color::DarkGray))];
    };
    if failures.is_empty() {
        return vec![Line::styled("none", paint.of(Color::DarkGray))];
    }
    failures.into_iter().map(|failure| failure_line(failure, now, paint)).collect()
}

fn failure_line(failure: &Failure, now: DateTime<Utc>, paint: Paint) -> Line<'static> {
    let ago = failure.began.map_or_else(
        || "-".to_owned(),
        |began| aged((now - began).num_milliseconds().max(0) as f64 / 1000.0),
    );
    let tries = format!("{}/{}", failure.retry_count, failure.retry_limit);
    let (fate, colour) = if failure.retried { ("again", Color::Yellow) } else { ("failed", Color::Red) };
    let message = failure.message.lines().next().unwrap_or_default();
    Line::from(vec![
        Span::raw(format!("{ago:>6} ")),
        Span::styled(format!("{fate:<6} "), paint.of(colour)),
        Span::raw(format!("{tries:>5}  {}  {}  ", harmless(&failure.queue), failure.job)),
        Span::raw(harmless(message)),
    ])
}

fn section(frame: &mut Frame<'_>, area: Rect, title: &str, lines: Vec<Line<'static>>) {
    if area.height == 0 {
        return;
    }
    let block = Block::new().borders(Borders::TOP).title(format!(" {title} "));
    frame.render_widget(Paragraph::new(lines).block(block), area);
}

fn help(frame: &mut Frame<'_>, area: Rect) {
    let width = 74.min(area.width);
    let height = (u16::try_from(HELP.len()).unwrap_or(u16::MAX) + 2).min(area.height);
    let over = Rect {
        x: area.x + (area.width - width) / 2,
        y: area.y + (area.height - height) / 2,
        width,
        height,
    };
    frame.render_widget(Clear, over);
    let lines: Vec<_> = HELP.iter().map(|line| Line::raw(*line)).collect();
    frame.render_widget(Paragraph::new(lines).block(Block::bordered().title(" Keys ")), over);
}

fn counted(count: Option<i64>) -> String {
    count.map_or_else(|| "-".to_owned(), |count| count.to_string())
}

fn rated(rate: Option<f64>) -> String {
    match rate {
        None => "-".to_owned(),
        Some(0.0) => "0".to_owned(),
        Some(rate) => format!("{rate:.1}"),
    }
}

/// A time as the two digits that matter: `0s`, `12s`, `3m`, `5h`, `2d`.
fn aged(seconds: f64) -> String {
    match seconds as u64 {
        seconds @ 0..120 => format!("{seconds}s"),
        seconds @ 120..7200 => format!("{}m", seconds / 60),
        seconds @ 7200..172_800 => format!("{}h", seconds / 3600),
        seconds => format!("{}d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use ratatui::Terminal;
    use ratatui::backend::TestBackend;
    use uuid::Uuid;

    use super::super::look::Here;
    use super::super::state::Wish;
    use super::*;
    use crate::inspect::QueueFigures;

    fn now() -> DateTime<Utc> {
        "2026-01-02T03:04:05Z".parse().expect("a time")
    }

    fn seen() -> State {
        let queue = |name: &str, ready: i64, oldest: f64| Queue {
            figures: QueueFigures {
                name: name.to_owned(),
                ready: Some(ready),
                active: Some(2),
                oldest,
                ..QueueFigures::default()
            },
            done: Some(12.5),
            failed: Some(0.0),
            ..Queue::default()
        };
        let mut paused = queue("report", 7, 4000.0);
        paused.paused = Some("the printer is on fire".to_owned());
        let failure = Failure {
            queue: "email".to_owned(),
            job: Uuid::nil(),
            retried: true,
            retry_count: 1,
            retry_limit: 5,
            began: Some(now() - chrono::TimeDelta::seconds(9)),
            message: "said \u{1b}[31m no\nand more".to_owned(),
        };
        let instance = |name: &str, version: &str, live| Instance {
            name: Some(name.to_owned()),
            host: Some("web-1".to_owned()),
            pid: Some(7),
            version: Some(version.to_owned()),
            live,
            stopped_on: None,
            heartbeat_on: Some(now() - chrono::TimeDelta::seconds(100)),
            workers: None,
        };
        State {
            look: Look {
                version: Some(46),
                queues: vec![queue("email", 3, 12.0), paused],
                rates: Rates::All,
                workers: Some(vec![instance("billing", "strawboss 0.1.0", true), instance("app", "12.38.0", false)]),
                here: Here {
                    listen: Some("127.0.0.1:9464".parse().expect("an address")),
                    in_flight: (3.0, 64.0),
                    circuits: BTreeMap::from([("mailer".to_owned(), 2.0), ("audit".to_owned(), 0.0)]),
                    ..Here::default()
                },
                failures: Some(vec![failure]),
                trouble: None,
            },
            ..State::default()
        }
    }

    fn screen(state: &State, width: u16, height: u16) -> String {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("a screen");
        let paint = Paint { colour: false };
        terminal
            .draw(|frame| draw(frame, state, "pgboss in app on db:5432", now(), paint))
            .expect("drawn");
        terminal.backend().to_string()
    }

    #[test]
    fn everything_is_on_a_usual_screen() {
        let screen = screen(&seen(), 110, 30);
        for text in [
            "pgboss in app on db:5432  schema 46  03:04:05 UTC",
            "queues 2  ready 10  active 4  failed -  done/s 25.0  failed/s 0 (all workers)",
            "paused: the printe",
            "66m",
            "127.0.0.1:9464 is ready, in flight: 3 of 64",
            "strawboss  billing 0.1.0  web-1:7  no queues",
            "node       app 12.38.0  web-1:7  no queues  silent for 100s",
            "open       mailer",
            "9s again    1/5  email  00000000-0000-0000-0000-000000000000  said \\u{1b}[31m no",
            "q quit",
        ] {
            assert!(screen.contains(text), "{text}\n{screen}");
        }
        assert!(!screen.contains("audit") && !screen.contains("and more"), "{screen}");
    }

    #[test]
    fn a_small_screen_keeps_queues_and_keys_and_an_absurd_one_draws() {
        let small = screen(&seen(), 60, 12);
        for text in ["email", "report (paused)", "OLDEST", "q quit", "Last failures"] {
            assert!(small.contains(text), "{text}\n{small}");
        }
        assert!(!small.contains("DONE/S"), "{small}");
        for (width, height) in [(1, 1), (3, 2), (20, 5), (300, 100)] {
            screen(&seen(), width, height);
        }
    }

    #[test]
    fn what_is_not_there_is_said() {
        let mut state = State::default();
        state.look.trouble = Some("connection refused".to_owned());
        assert!(screen(&state, 80, 24).contains("nothing can be read, trying again: connection refused"));
        let mut state = seen();
        state.look.workers = None;
        state.look.failures = None;
        let screen = screen(&state, 110, 30);
        assert!(screen.contains("others cannot be told before schema 44"), "{screen}");
        assert!(screen.contains("more than a second"), "{screen}");
    }

    #[test]
    fn help_and_filter_are_shown() {
        let mut state = seen();
        state.obey(Wish::Typed('?'));
        assert!(screen(&state, 80, 24).contains("only the failures of the chosen queue"));
        state.obey(Wish::Escape);
        for key in ['/', 'z'] {
            state.obey(Wish::Typed(key));
        }
        let screen = screen(&state, 80, 24);
        assert!(screen.contains("/z") && screen.contains("no queue has that in its name"), "{screen}");
    }

    #[test]
    fn times_have_two_digits_or_so() {
        for (seconds, text) in [(0.4, "0s"), (119.0, "119s"), (120.0, "2m"), (7200.0, "2h"), (200_000.0, "2d")] {
            assert_eq!(aged(seconds), text);
        }
    }
}
