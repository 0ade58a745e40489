//! What the viewer has chosen: the order, the filter, the queue under the cursor.

use std::cmp::Reverse;

use chrono::{DateTime, Utc};

use super::look::{Look, Queue};
use crate::inspect::Failure;

/// By what queues are ordered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Order {
    /// By name.
    #[default]
    Name,
    /// The most that are due first.
    Ready,
    /// The longest wait first.
    Oldest,
    /// The most that run first.
    Active,
    /// The most that have failed first.
    Failed,
    /// The fastest first.
    Rate,
}

impl Order {
    const ALL: [Order; 6] = [
        Order::Name,
        Order::Ready,
        Order::Oldest,
        Order::Active,
        Order::Failed,
        Order::Rate,
    ];

    fn next(self) -> Order {
        let at = Order::ALL.iter().position(|order| *order == self).unwrap_or_default();
        Order::ALL[(at + 1) % Order::ALL.len()]
    }

    /// Its name.
    pub fn word(self) -> &'static str {
        match self {
            Order::Name => "name",
            Order::Ready => "ready",
            Order::Oldest => "oldest",
            Order::Active => "active",
            Order::Failed => "failed",
            Order::Rate => "rate",
        }
    }
}

/// What a key asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wish {
    /// A character was typed.
    Typed(char),
    /// Enter.
    Enter,
    /// Escape.
    Escape,
    /// Backspace.
    Backspace,
    /// Up and down by so many.
    Move(isize),
    /// Ctrl-C.
    Quit,
}

/// What the viewer has chosen, over the last look.
#[derive(Debug, Default)]
pub(super) struct State {
    /// What was seen last.
    pub look: Look,
    /// When the database was last seen.
    pub as_of: Option<DateTime<Utc>>,
    /// The order of the queues.
    pub order: Order,
    /// Only queues that have this in their name.
    pub filter: String,
    /// The filter is being typed.
    pub typing: bool,
    /// Nothing is looked at meanwhile.
    pub frozen: bool,
    /// The keys are shown.
    pub help: bool,
    /// The queue under the cursor is looked at closely.
    pub narrow: bool,
    /// The name of the queue under the cursor, which stays under it when the order changes.
    chosen: Option<String>,
}

impl State {
    /// Takes in what was seen. Where the database was not, what was seen of it before stays.
    pub fn see(&mut self, look: Look, now: DateTime<Utc>) {
        if look.trouble.is_some() {
            self.look.trouble = look.trouble;
            self.look.here = look.here;
        } else {
            self.look = look;
            self.as_of = Some(now);
        }
    }

    /// The queues as they are shown.
    pub fn queues(&self) -> Vec<&Queue> {
        let filter = self.filter.to_lowercase();
        let queues = self.look.queues.iter();
        let mut shown: Vec<_> = queues
            .filter(|queue| queue.figures.name.to_lowercase().contains(&filter))
            .collect();
        // The sort is stable, so that equals stay in the order of their names.
        match self.order {
            Order::Name => {}
            Order::Ready => shown.sort_by_key(|queue| Reverse(queue.figures.ready)),
            Order::Oldest => shown.sort_by(|a, b| b.figures.oldest.total_cmp(&a.figures.oldest)),
            Order::Active => shown.sort_by_key(|queue| Reverse(queue.figures.active)),
            Order::Failed => shown.sort_by_key(|queue| Reverse(queue.figures.failed)),
            Order::Rate => {
                let done = |queue: &Queue| queue.rate.map_or(-1.0, |rate| rate.completed);
                shown.sort_by(|a, b| done(b).total_cmp(&done(a)));
            }
        }
        shown
    }

    /// Where the cursor is among the queues shown.
    pub fn cursor(&self, shown: &[&Queue]) -> Option<usize> {
        let chosen = self.chosen.as_ref()?;
        shown.iter().position(|queue| queue.figures.name == *chosen)
    }

    /// The queue that is looked at closely, whose failures alone are shown.
    pub fn narrowed(&self) -> Option<&str> {
        self.chosen.as_deref().filter(|_| self.narrow)
    }

    /// The failures as they are shown; `None` where they could not be read.
    pub fn failures(&self) -> Option<Vec<&Failure>> {
        let narrowed = self.narrowed();
        let failures = self.look.failures.as_ref()?.iter();
        Some(
            failures
                .filter(|failure| narrowed.is_none_or(|queue| failure.queue == queue))
                .collect(),
        )
    }

    /// Does what a key asks for; false when it asks to end.
    pub fn obey(&mut self, wish: Wish) -> bool {
        if wish == Wish::Quit {
            return false;
        }
        if self.typing {
            match wish {
                Wish::Typed(character) => self.filter.push(character),
                Wish::Backspace => drop(self.filter.pop()),
                Wish::Enter => self.typing = false,
                Wish::Escape => {
                    self.typing = false;
                    self.filter.clear();
                }
                Wish::Move(by) => self.step(by),
                Wish::Quit => {}
            }
            return true;
        }
        match wish {
            Wish::Typed('q') => return false,
            // One thing after the other is put away, and at last the view itself.
            Wish::Escape if self.help => self.help = false,
            Wish::Escape if self.narrow => self.narrow = false,
            Wish::Escape if !self.filter.is_empty() => self.filter.clear(),
            Wish::Escape => return false,
            Wish::Typed('?' | 'h') => self.help = !self.help,
            Wish::Typed('/') => self.typing = true,
            Wish::Typed('s') => self.order = self.order.next(),
            Wish::Typed('p' | ' ') => self.frozen = !self.frozen,
            Wish::Typed('j') => self.step(1),
            Wish::Typed('k') => self.step(-1),
            Wish::Typed('g') => self.step(isize::MIN),
            Wish::Typed('G') => self.step(isize::MAX),
            Wish::Move(by) => self.step(by),
            Wish::Enter => self.narrow = self.chosen.is_some() && !self.narrow,
            Wish::Typed(_) | Wish::Backspace | Wish::Quit => {}
        }
        true
    }

    fn step(&mut self, by: isize) {
        let shown = self.queues();
        let Some(last) = shown.len().checked_sub(1) else { return };
        let to = match self.cursor(&shown) {
            Some(at) => at.saturating_add_signed(by).min(last),
            None if by < 0 => last,
            None => 0,
        };
        self.chosen = Some(shown[to].figures.name.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::top::here::Rate;
    use crate::inspect::QueueFigures;

    fn state() -> State {
        let queue = |name: &str, ready, oldest, done: Option<f64>| Queue {
            figures: QueueFigures {
                name: name.to_owned(),
                ready: Some(ready),
                oldest,
                ..QueueFigures::default()
            },
            rate: done.map(|completed| Rate { completed, failed: 0.0 }),
            ..Queue::default()
        };
        let queues = vec![
            queue("email", 3, 60.0, Some(1.0)),
            queue("report", 9, 5.0, None),
            queue("thumbnail", 0, 0.0, Some(7.5)),
        ];
        State {
            look: Look {
                queues,
                ..Look::default()
            },
            ..State::default()
        }
    }

    fn names(state: &State) -> Vec<&str> {
        state.queues().iter().map(|queue| queue.figures.name.as_str()).collect()
    }

    fn type_in(state: &mut State, text: &str) {
        for character in text.chars() {
            assert!(state.obey(Wish::Typed(character)));
        }
    }

    #[test]
    fn s_goes_through_the_orders() {
        let mut state = state();
        assert_eq!(names(&state), ["email", "report", "thumbnail"]);
        type_in(&mut state, "s");
        assert_eq!(names(&state), ["report", "email", "thumbnail"]);
        type_in(&mut state, "s");
        assert_eq!(names(&state), ["email", "report", "thumbnail"]);
        type_in(&mut state, "sss");
        assert_eq!(
            (state.order, names(&state)),
            (Order::Rate, vec!["thumbnail", "email", "report"])
        );
        type_in(&mut state, "s");
        assert_eq!(state.order, Order::Name);
    }

    #[test]
    fn a_filter_takes_every_key_until_it_is_entered() {
        let mut state = state();
        type_in(&mut state, "/qEM");
        assert!(names(&state).is_empty());
        state.obey(Wish::Backspace);
        state.obey(Wish::Backspace);
        state.obey(Wish::Backspace);
        type_in(&mut state, "EM");
        state.obey(Wish::Enter);
        assert_eq!((state.typing, names(&state)), (false, vec!["email"]));
        assert!(state.obey(Wish::Escape), "it puts away the filter first");
        assert_eq!(names(&state).len(), 3);
        assert!(!state.obey(Wish::Escape));
    }

    #[test]
    fn the_cursor_stays_with_its_queue() {
        let mut state = state();
        state.obey(Wish::Move(1));
        state.obey(Wish::Move(1));
        assert_eq!(state.cursor(&state.queues()), Some(1));
        type_in(&mut state, "s");
        assert_eq!(
            state.cursor(&state.queues()),
            Some(0),
            "the same queue, which comes first now"
        );
        type_in(&mut state, "G");
        assert_eq!(state.cursor(&state.queues()), Some(2));
        type_in(&mut state, "jg");
        assert_eq!(state.cursor(&state.queues()), Some(0));
    }

    #[test]
    fn enter_shows_the_failures_of_one_queue() {
        let mut state = state();
        let failure = |queue: &str| Failure {
            queue: queue.to_owned(),
            job: uuid::Uuid::nil(),
            retried: false,
            retry_count: 0,
            retry_limit: 0,
            began: None,
            message: String::new(),
        };
        state.look.failures = Some(vec![failure("email"), failure("report")]);
        state.obey(Wish::Enter);
        assert_eq!(state.failures().expect("read").len(), 2, "nothing is chosen yet");
        state.obey(Wish::Move(1));
        state.obey(Wish::Enter);
        assert_eq!(state.failures().expect("read").len(), 1);
        state.obey(Wish::Escape);
        assert_eq!(state.failures().expect("read").len(), 2);
    }

    #[test]
    fn q_and_ctrl_c_end_it_and_a_q_in_a_filter_does_not() {
        let mut state = state();
        assert!(!state.obey(Wish::Typed('q')));
        type_in(&mut state, "/q");
        assert_eq!(state.filter, "q");
        assert!(!state.obey(Wish::Quit));
    }
}
