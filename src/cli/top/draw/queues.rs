//! The table of the queues.

use ratatui::buffer::Buffer;
use ratatui::layout::{Constraint, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::Line;
use ratatui::widgets::{Cell, Paragraph, Row, StatefulWidget, Table, TableState, Widget};

use super::words::{aged, counted, cut, rated, width};
use super::{Paint, View};
use crate::cli::page::harmless;
use crate::cli::top::look::Queue;

/// A due job that has waited for so many seconds stands out.
const LAGGING: f64 = 60.0;
/// The least a name is given.
const NAME: usize = 16;
/// The most the policy and the remark are given.
const REMARK: usize = 30;

/// A column beside the name.
struct Column {
    name: &'static str,
    width: usize,
    /// What is left out first of a narrow screen has the highest.
    rank: u8,
    text: fn(&Queue) -> String,
}

const fn column(name: &'static str, width: usize, rank: u8, text: fn(&Queue) -> String) -> Column {
    Column {
        name,
        width,
        rank,
        text,
    }
}

const COLUMNS: [Column; 11] = [
    column("POLICY", 15, 9, |it| {
        harmless(it.figures.policy.as_deref().unwrap_or("-"))
    }),
    column("READY", 8, 0, |it| counted(it.figures.ready)),
    column("DEFERRED", 8, 7, |it| counted(it.figures.deferred)),
    column("BLOCKED", 7, 8, |it| counted(it.figures.blocked)),
    column("ACTIVE", 7, 2, |it| counted(it.figures.active)),
    column("FAILED", 7, 3, |it| counted(it.figures.failed)),
    column("DEAD", 6, 5, |it| counted(it.dead)),
    column("OLDEST", 6, 1, |it| aged(it.figures.oldest)),
    column("DONE/S", 7, 4, |it| rated(it.rate.map(|rate| rate.completed))),
    column("FAIL/S", 7, 6, |it| rated(it.rate.map(|rate| rate.failed))),
    column("", 8, 10, remark),
];

fn remark(queue: &Queue) -> String {
    match &queue.paused {
        Some(reason) if reason.is_empty() => "paused".to_owned(),
        Some(reason) => format!("paused: {}", harmless(reason)),
        None if queue.figures.buries => "dead letters".to_owned(),
        None => String::new(),
    }
}

/// The columns there is room for beside a name, in their order.
fn fitting(room: usize) -> Vec<&'static Column> {
    let mut ranked: Vec<_> = COLUMNS.iter().collect();
    ranked.sort_by_key(|column| column.rank);
    let mut taken = NAME;
    let fit = ranked.iter().take_while(|column| {
        taken += column.width + 1;
        taken <= room
    });
    let last = fit.count();
    COLUMNS
        .iter()
        .filter(|column| usize::from(column.rank) < last)
        .collect()
}

pub(super) fn draw(view: &View<'_>, area: Rect, screen: &mut Buffer) {
    let state = view.state;
    let queues = state.queues();
    let columns = fitting(usize::from(area.width));
    let remarked = columns.iter().any(|column| column.name.is_empty());
    // That it is paused is said of a queue in any case, if need be behind its name.
    let names: Vec<_> = queues
        .iter()
        .map(|queue| match (&queue.paused, remarked) {
            (Some(_), false) => (harmless(&queue.figures.name), " (paused)"),
            _ => (harmless(&queue.figures.name), ""),
        })
        .collect();
    let heading = format!("QUEUE by {}", state.order.word());

    // The name takes what it needs, the remark what is left.
    let others: usize = columns.iter().map(|column| column.width + 1).sum();
    let room = usize::from(area.width).saturating_sub(others);
    let longest = names.iter().map(|(name, mark)| width(name) + mark.len());
    let longest = longest.chain([width(&heading)]).max();
    let named = longest.unwrap_or(NAME).clamp(NAME.min(room), room);
    let remark = columns
        .last()
        .map_or(0, |column| (column.width + room - named).min(REMARK));

    let cell = |column: &Column, queue: &Queue| {
        let text = (column.text)(queue);
        match column.name {
            "" => Cell::new(cut(text, remark)),
            "POLICY" => Cell::new(text),
            name => {
                let stands_out = match name {
                    "OLDEST" => (queue.figures.oldest >= LAGGING).then_some(Color::Yellow),
                    "DEAD" => queue.dead.filter(|dead| *dead > 0).map(|_| Color::Yellow),
                    "FAIL/S" => queue.rate.filter(|rate| rate.failed > 0.0).map(|_| Color::Red),
                    _ => None,
                };
                let style = stands_out.map_or(Style::new(), |colour| view.paint.of(colour));
                Cell::new(Line::styled(text, style).right_aligned())
            }
        }
    };
    let rows = queues.iter().zip(names).map(|(queue, (name, mark))| {
        let name = Cell::new(cut(name, named.saturating_sub(mark.len())) + mark);
        Row::new(
            [name]
                .into_iter()
                .chain(columns.iter().map(|column| cell(column, queue))),
        )
    });
    let title = |column: &&Column| match column.name {
        "" | "POLICY" => Cell::new(column.name),
        name => Cell::new(Line::from(name).right_aligned()),
    };
    let titles = [Cell::new(cut(heading, named))]
        .into_iter()
        .chain(columns.iter().map(title));
    let widths = [named]
        .into_iter()
        .chain(columns.iter().map(|column| match column.name {
            "" => remark,
            _ => column.width,
        }));
    let widths = widths.map(|width| Constraint::Length(super::rows(width)));
    let table = Table::new(rows, widths)
        .header(Row::new(titles).style(Paint::bold()))
        .row_highlight_style(Style::new().add_modifier(Modifier::REVERSED));
    let mut at = TableState::new().with_selected(state.cursor(&queues));
    StatefulWidget::render(table, area, screen, &mut at);
    if queues.is_empty() && area.height > 1 && state.look.version.is_some() {
        let below = Rect {
            y: area.y + 1,
            height: 1,
            ..area
        };
        let said = match state.look.queues.is_empty() {
            true => "no queues",
            false => "no queue has that in its name",
        };
        Paragraph::new(said).render(below, screen);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_matters_least_goes_first() {
        let names = |room| fitting(room).iter().map(|column| column.name).collect::<Vec<_>>();
        assert_eq!(names(10), [""; 0]);
        assert_eq!(names(40), ["READY", "ACTIVE", "OLDEST"]);
        let usual = [
            "READY", "DEFERRED", "ACTIVE", "FAILED", "DEAD", "OLDEST", "DONE/S", "FAIL/S",
        ];
        assert_eq!(names(80), usual);
        assert_eq!(names(200).len(), COLUMNS.len());
    }
}
