//! Verdicts of one kind for one table: which of them the next statement writes, and what a refusal teaches about it.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Verdicts written by one statement, at most.
pub(super) const GROUP: usize = 1000;
/// Pauses between tries while the database is away: the first, and the longest.
const PAUSE: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));
/// The same for one verdict that is refused by itself, while its siblings go on.
const APART: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));

/// A queue of verdicts, of which at most one group is being written at a time.
#[derive(Debug)]
pub(super) struct Lane<T> {
    waiting: VecDeque<Tried<T>>,
    /// Refused when written alone, in the order in which they are tried again, alone.
    apart: VecDeque<(Instant, Tried<T>)>,
    /// As many as the next group may have: fewer once the database refused one, so that the one at fault is found.
    most: usize,
    /// Before that moment nothing is tried.
    resume: Option<Instant>,
    pause: Duration,
    under_way: usize,
    by_parent: bool,
}

/// A verdict and what was learnt of it in vain tries.
#[derive(Debug)]
pub(super) struct Tried<T> {
    pub(super) item: T,
    /// Refused for what it is: written with a substitute for what may be refused.
    pub(super) cautious: bool,
    /// An earlier write may have arrived although its answer did not.
    pub(super) doubtful: bool,
    alone: u32,
}

/// What came of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    /// The group is written.
    Written,
    /// Nothing was said about the rows: the database is away, or speaks no more as it did.
    Away,
    /// The table is gone, as that of a queue that was deleted.
    Gone,
    /// One of the rows may be in the way, and not for ever: a lock, a full disk, a trigger.
    Refused,
    /// One of the verdicts will never be taken as it is.
    Never,
}

impl<T> Default for Lane<T> {
    fn default() -> Self {
        Lane {
            waiting: VecDeque::new(),
            apart: VecDeque::new(),
            most: GROUP,
            resume: None,
            pause: PAUSE.0,
            under_way: 0,
            by_parent: false,
        }
    }
}

impl<T> Lane<T> {
    /// Adds a verdict at the end.
    pub(super) fn add(&mut self, item: T) {
        self.waiting.push_back(Tried {
            item,
            cautious: false,
            doubtful: false,
            alone: 0,
        });
    }

    /// How many verdicts there are, those under way included.
    pub(super) fn held(&self) -> usize {
        self.waiting.len() + self.apart.len() + self.under_way
    }

    /// The table to write to: the parent of all, which is always right, once the queue's own turned out to be gone.
    pub(super) fn table<'a>(&self, own: &'a str) -> &'a str {
        if self.by_parent { "job" } else { own }
    }

    /// When there will be something to write, as far as that depends on nothing else.
    pub(super) fn ready(&self) -> Option<Instant> {
        let first = match (self.waiting.is_empty(), self.apart.front()) {
            _ if self.under_way > 0 => return None,
            (true, None) => return None,
            (true, Some((due, _))) => Some(*due),
            (false, _) => None,
        };
        Some(first.max(self.resume).unwrap_or_else(Instant::now))
    }

    /// The next group to write, if it is time for one and none is under way.
    pub(super) fn next(&mut self, now: Instant) -> Option<Vec<Tried<T>>> {
        if self.under_way > 0 || self.resume.is_some_and(|resume| now < resume) {
            return None;
        }
        let group: Vec<_> = if self.apart.front().is_some_and(|(due, _)| *due <= now) {
            self.apart.pop_front().into_iter().map(|(_, tried)| tried).collect()
        } else if self.waiting.front().is_some_and(|tried| tried.cautious) {
            self.waiting.pop_front().into_iter().collect()
        } else {
            let plain = self.waiting.iter().take(self.most).take_while(|tried| !tried.cautious);
            let count = plain.count();
            self.waiting.drain(..count).collect()
        };
        self.under_way = group.len();
        (!group.is_empty()).then_some(group)
    }

    /// Takes note of what came of a group; returns what will never be written.
    pub(super) fn after(&mut self, mut group: Vec<Tried<T>>, answer: Answer, now: Instant) -> Option<T> {
        let was_apart = group.first().is_some_and(|tried| tried.alone > 0);
        let count = std::mem::take(&mut self.under_way);
        self.resume = None;
        match answer {
            Answer::Written => {
                self.pause = PAUSE.0;
                self.most = (self.most * 2).min(GROUP);
                if was_apart {
                    // Whatever was in the way of this one may have been in the way of the others, too.
                    self.waiting.extend(self.apart.drain(..).map(|(_, tried)| tried));
                }
                return None;
            }
            Answer::Gone if !self.by_parent => self.by_parent = true,
            Answer::Away | Answer::Gone => {
                self.resume = Some(now + self.pause);
                self.pause = (self.pause * 2).min(PAUSE.1);
            }
            Answer::Refused | Answer::Never if count > 1 => {
                self.most = count / 2;
                if answer == Answer::Refused {
                    self.resume = Some(now + PAUSE.0);
                }
            }
            Answer::Refused => {
                self.resume = Some(now + PAUSE.0);
                for mut tried in group.drain(..) {
                    let rest = APART.0.saturating_mul(2_u32.saturating_pow(tried.alone)).min(APART.1);
                    tried.alone += 1;
                    let due = now + rest;
                    let place = self.apart.partition_point(|(other, _)| *other <= due);
                    self.apart.insert(place, (due, tried));
                }
            }
            Answer::Never => {
                if let Some(tried) = group.pop_if(|tried| tried.cautious) {
                    return Some(tried.item);
                }
                group.iter_mut().for_each(|tried| tried.cautious = true);
            }
        }
        for tried in group.into_iter().rev() {
            if tried.alone > 0 && !tried.cautious {
                self.apart.push_front((now, tried));
            } else {
                self.waiting.push_front(tried);
            }
        }
        None
    }
}
