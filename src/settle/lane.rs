//! Verdicts of one kind for one table: which of them the next statement writes, and what a refusal teaches about it.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Verdicts written by one statement, at most.
pub(super) const GROUP: usize = 1000;
/// Bytes of output in one statement, at most, unless a single one has more.
const BYTES: usize = 8 << 20;
/// Pauses between tries while the database is away: the first, and the longest.
const PAUSE: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));
/// The same for one verdict that is refused by itself, while its siblings go on.
const APART: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));

/// A queue of verdicts, of which one group is written at a time, and beside it one of those that are tried apart.
#[derive(Debug)]
pub(super) struct Lane<T> {
    waiting: VecDeque<Tried<T>>,
    /// Refused when written alone, in the order in which they are tried again, so that they hold up no others.
    apart: VecDeque<(Instant, Tried<T>)>,
    /// As many as the next group may have: fewer once the database refused one, so that the one at fault is found.
    most: usize,
    /// Before that moment nothing is tried.
    resume: Option<Instant>,
    pause: Duration,
    under_way: usize,
    apart_under_way: bool,
    by_parent: bool,
}

/// A verdict and what was learnt of it in vain tries.
#[derive(Debug)]
pub(super) struct Tried<T> {
    pub(super) item: T,
    bytes: usize,
    /// Refused for what it is: written with a substitute for what may be refused.
    pub(super) cautious: bool,
    /// An earlier write may have arrived although its answer did not.
    pub(super) doubtful: bool,
    /// How often it was refused while tried apart; 0 for one that goes with the others.
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
            apart_under_way: false,
            by_parent: false,
        }
    }
}

impl<T> Tried<T> {
    /// Whether it is tried apart from the others.
    pub(super) fn is_apart(&self) -> bool {
        self.alone > 0
    }
}

impl<T> Lane<T> {
    /// Adds a verdict of about that size at the end.
    pub(super) fn add(&mut self, item: T, bytes: usize) {
        self.waiting.push_back(Tried {
            item,
            bytes,
            cautious: false,
            doubtful: false,
            alone: 0,
        });
    }

    /// How many verdicts there are, those under way included.
    pub(super) fn held(&self) -> usize {
        self.waiting.len() + self.apart.len() + self.under_way + usize::from(self.apart_under_way)
    }

    /// The table to write to: the parent of all, which is always right, once the queue's own turned out to be gone.
    pub(super) fn table<'a>(&self, own: &'a str) -> &'a str {
        if self.by_parent { "job" } else { own }
    }

    /// When there will be something to write, as far as that depends on nothing else.
    pub(super) fn ready(&self, now: Instant) -> Option<Instant> {
        let group = (self.under_way == 0 && !self.waiting.is_empty()).then_some(now);
        let apart = self.apart.front().map(|(due, _)| *due);
        let apart = apart.filter(|_| !self.apart_under_way);
        let first = group.into_iter().chain(apart).min()?;
        Some(self.resume.map_or(first, |resume| resume.max(first)))
    }

    /// What to write next, if it is time for something.
    pub(super) fn next(&mut self, now: Instant) -> Option<Vec<Tried<T>>> {
        if self.resume.is_some_and(|resume| now < resume) {
            return None;
        }
        if !self.apart_under_way && self.apart.front().is_some_and(|(due, _)| *due <= now) {
            self.apart_under_way = true;
            return self.apart.pop_front().map(|(_, tried)| vec![tried]);
        }
        if self.under_way > 0 || self.waiting.is_empty() {
            return None;
        }
        let mut room = BYTES;
        let fits = |tried: &&Tried<T>| {
            let fits = !tried.cautious && tried.bytes <= room;
            room = room.saturating_sub(tried.bytes);
            fits
        };
        let count = self.waiting.iter().take(self.most).take_while(fits).count().max(1);
        self.under_way = count;
        Some(self.waiting.drain(..count).collect())
    }

    /// Takes note of what came of a group; returns what will never be written. Where it was written, it may be empty.
    pub(super) fn after(&mut self, mut group: Vec<Tried<T>>, apart: bool, answer: Answer, now: Instant) -> Option<T> {
        if apart {
            self.apart_under_way = false;
        } else {
            self.under_way = 0;
        }
        let count = group.len();
        self.resume = None;
        match answer {
            Answer::Written => {
                self.pause = PAUSE.0;
                self.most = (self.most * 2).min(GROUP);
                if apart {
                    // Whatever was in the way of this one may have been in the way of the others, too.
                    self.waiting
                        .extend(self.apart.drain(..).map(|(_, tried)| Tried { alone: 0, ..tried }));
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
            if tried.alone > 0 {
                self.apart.push_front((now, tried));
            } else {
                self.waiting.push_front(tried);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A lane with these verdicts, and the time.
    fn lane(items: std::ops::Range<u32>) -> (Lane<u32>, Instant) {
        let mut lane = Lane::default();
        items.for_each(|item| lane.add(item, 1));
        (lane, Instant::now())
    }

    fn items(group: &[Tried<u32>]) -> Vec<u32> {
        group.iter().map(|tried| tried.item).collect()
    }

    /// Plays a database that answers by what is in a group until the lane rests; returns what was written and what was
    /// given up, in their order, and the number of writes.
    fn play(
        lane: &mut Lane<u32>,
        now: Instant,
        answer: impl Fn(&[Tried<u32>]) -> Answer,
    ) -> (Vec<u32>, Vec<u32>, usize) {
        let (mut written, mut refused, mut writes, mut now) = (Vec::new(), Vec::new(), 0, now);
        while let Some(ready) = lane.ready(now).filter(|ready| *ready < now + APART.0) {
            now = now.max(ready);
            let group = lane.next(now).expect("it is ready");
            let (apart, answer) = (group[0].is_apart(), answer(&group));
            writes += 1;
            let rest = if answer == Answer::Written {
                written.extend(items(&group));
                Vec::new()
            } else {
                group
            };
            refused.extend(lane.after(rest, apart, answer, now));
        }
        (written, refused, writes)
    }

    #[test]
    fn one_group_is_under_way_at_a_time_and_what_gathers_is_the_next() {
        let (mut lane, now) = lane(0..3);
        let group = lane.next(now).expect("there are some");
        assert_eq!(items(&group), [0, 1, 2]);
        lane.add(3, 1);
        lane.add(4, 1);
        assert!(lane.next(now).is_none());
        assert_eq!((lane.held(), lane.ready(now)), (5, None));
        assert_eq!(lane.after(Vec::new(), false, Answer::Written, now), None);
        assert_eq!(items(&lane.next(now).expect("there are some")), [3, 4]);
    }

    #[test]
    fn a_group_is_no_larger_than_a_statement_takes() {
        let (mut lane, now) = lane(0..GROUP as u32 + 1);
        assert_eq!(lane.next(now).map(|group| group.len()), Some(GROUP));
    }

    #[test]
    fn large_outputs_make_small_groups_and_the_largest_goes_alone() {
        let mut lane = Lane::default();
        let now = Instant::now();
        for (item, bytes) in [(0, BYTES / 2), (1, BYTES / 2), (2, 1), (3, BYTES * 2), (4, 1)] {
            lane.add(item, bytes);
        }
        let mut groups = Vec::new();
        while let Some(group) = lane.next(now) {
            groups.push(items(&group));
            lane.after(Vec::new(), false, Answer::Written, now);
        }
        assert_eq!(groups, [vec![0, 1], vec![2], vec![3], vec![4]]);
    }

    #[test]
    fn a_database_that_is_away_is_asked_again_later_and_later_and_nothing_is_lost() {
        let (mut lane, mut now) = lane(0..10);
        let mut pauses = Vec::new();
        for _ in 0..8 {
            let group = lane.next(now).expect("it is time");
            assert_eq!(lane.after(group, false, Answer::Away, now), None);
            assert!(lane.next(now).is_none(), "not at once");
            let ready = lane.ready(now).expect("there are some");
            pauses.push(ready - now);
            now = ready;
        }
        assert_eq!((pauses[0], pauses[7]), PAUSE);
        assert_eq!(play(&mut lane, now, |_| Answer::Written).0, (0..10).collect::<Vec<_>>());
    }

    #[test]
    fn the_one_that_will_never_be_taken_is_found_and_the_others_are_written() {
        let (mut lane, now) = lane(0..1000);
        let bad = |group: &[Tried<u32>]| group.iter().any(|tried| tried.item == 700);
        let (mut written, refused, writes) =
            play(
                &mut lane,
                now,
                |group| {
                    if bad(group) { Answer::Never } else { Answer::Written }
                },
            );
        written.sort_unstable();
        assert_eq!(written, (0..1000).filter(|item| *item != 700).collect::<Vec<_>>());
        assert_eq!(refused, [700]);
        assert!(writes < 60, "{writes}");
        assert_eq!(lane.held(), 0);
    }

    #[test]
    fn the_one_that_will_never_be_taken_is_tried_with_a_substitute_first() {
        let (mut lane, now) = lane(0..3);
        let (written, refused, _) = play(&mut lane, now, |group| match group {
            [alone] if alone.item == 1 && alone.cautious => Answer::Written,
            group if group.iter().any(|tried| tried.item == 1) => Answer::Never,
            _ => Answer::Written,
        });
        assert_eq!(written, [0, 1, 2]);
        assert_eq!(refused, [0; 0]);
    }

    #[test]
    fn the_one_that_is_in_the_way_is_tried_apart_while_others_go_on() {
        let (mut lane, now) = lane(0..100);
        let bad = |group: &[Tried<u32>]| group.iter().any(|tried| tried.item == 40);
        let answer = |group: &[Tried<u32>]| if bad(group) { Answer::Refused } else { Answer::Written };
        let (written, refused, _) = play(&mut lane, now, answer);
        assert_eq!((written.len(), refused.len(), lane.held()), (99, 0, 1));
        let later = now + APART.1;
        let apart = lane.next(later).expect("it is tried again");
        assert!(apart[0].is_apart());
        lane.add(200, 1);
        assert_eq!(items(&lane.next(later).expect("nothing waits for it")), [200]);
        assert_eq!(lane.after(apart, true, Answer::Refused, later), None);
        assert_eq!(lane.after(Vec::new(), false, Answer::Written, later), None);
        assert!(lane.ready(later).is_some_and(|ready| ready > later + APART.0));
    }

    #[test]
    fn when_one_that_was_in_the_way_gets_through_the_others_follow_at_once() {
        let (mut lane, now) = lane(0..100);
        let (written, ..) = play(&mut lane, now, |_| Answer::Refused);
        assert_eq!((written.len(), lane.held()), (0, 100));
        let mut later = lane.ready(now).expect("they are tried again");
        let group = lane.next(later).expect("it is tried again");
        assert_eq!(
            lane.after(Vec::new(), group[0].is_apart(), Answer::Written, later),
            None
        );
        later += Duration::from_millis(1);
        assert_eq!(play(&mut lane, later, |_| Answer::Written).0.len(), 99);
    }

    #[test]
    fn a_table_that_is_gone_is_replaced_by_the_parent_of_all() {
        let (mut lane, now) = lane(0..2);
        assert_eq!(lane.table("j1"), "j1");
        let group = lane.next(now).expect("there are some");
        assert_eq!(lane.after(group, false, Answer::Gone, now), None);
        assert_eq!(lane.table("j1"), "job");
        assert_eq!(items(&lane.next(now).expect("at once")), [0, 1]);
    }
}
