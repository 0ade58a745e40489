use chrono::TimeDelta;
use uuid::Uuid;

use super::*;
use crate::cli::top::here::{Here, Rate};
use crate::cli::top::look::Look;
use crate::cli::top::state::Wish;
use crate::inspect::QueueFigures;

fn now() -> DateTime<Utc> {
    "2026-01-02T03:04:05Z".parse().expect("a time")
}

fn queue(name: &str, ready: i64, oldest: f64) -> Queue {
    Queue {
        figures: QueueFigures {
            name: name.to_owned(),
            policy: Some("standard".to_owned()),
            ready: Some(ready),
            active: Some(2),
            oldest,
            ..QueueFigures::default()
        },
        rate: Some(Rate {
            completed: 12.5,
            failed: 0.0,
        }),
        ..Queue::default()
    }
}

fn seen() -> State {
    let paused = Queue {
        paused: Some("the printer is on fire".to_owned()),
        dead: Some(4),
        ..queue("report", 7, 4000.0)
    };
    let failure = Failure {
        queue: "email".to_owned(),
        job: Uuid::nil(),
        retried: true,
        retry_count: 1,
        retry_limit: 5,
        began: Some(now() - TimeDelta::seconds(9)),
        message: "said \u{1b}[31m no\nand more".to_owned(),
    };
    let instance = |name: &str, version: &str, live| Instance {
        name: Some(name.to_owned()),
        host: "web-1".to_owned(),
        pid: 7,
        version: version.to_owned(),
        live,
        heartbeat_on: Some(now() - TimeDelta::seconds(100)),
        ..Instance::default()
    };
    let look = Look {
        version: Some(46),
        queues: vec![queue("email", 3, 12.0), paused],
        rates: Rates::All,
        workers: Workers::Known(vec![
            instance("billing", "strawboss 0.1.0", true),
            instance("app", "12.38.0", false),
        ]),
        here: Here::saying(r#"{"in_flight":3,"concurrency":64,"circuits":{"mailer":2,"audit":0}}"#),
        failures: Some(vec![failure]),
        ..Look::default()
    };
    let mut state = State::default();
    state.see(look, now());
    state
}

fn screen(state: &State, width: u16, height: u16) -> String {
    let area = Rect::new(0, 0, width, height);
    let mut screen = Buffer::empty(area);
    let view = View {
        state,
        place: "pgboss of app on db:5432",
        now: now(),
        paint: Paint { colour: false },
    };
    view.draw(area, &mut screen);
    assert!(
        screen
            .content()
            .iter()
            .all(|cell| cell.style().fg.is_none_or(|colour| colour == Color::Reset)),
        "there are colours"
    );
    super::super::text(&screen).join("\n")
}

#[test]
fn everything_is_on_a_wide_screen() {
    let screen = screen(&seen(), 140, 30);
    for text in [
        "03:04:05 UTC  schema 46  pgboss of app on db:5432",
        "queues 2  ready 10  active 4  failed -  done/s 25.0  fail/s 0 (all workers, last 10 s)",
        "standard",
        "paused: the printer is on fire",
        "66m",
        "127.0.0.1:9464 is ready, in flight: 3 of 64",
        "strawboss  billing 0.1.0  web-1:7  no queues",
        "node       app 12.38.0  web-1:7  no queues  silent for 100s",
        "open       mailer",
        "9s again    1/5  email  00000000-0000-0000-0000-000000000000  said \\u{1b}[31m no\\nand more",
        "q quit",
    ] {
        assert!(screen.contains(text), "{text}\n{screen}");
    }
    assert!(!screen.contains("audit"), "{screen}");
}

#[test]
fn a_small_screen_keeps_queues_and_keys_and_an_absurd_one_draws() {
    let small = screen(&seen(), 60, 12);
    for text in ["email", "report (paused)", "OLDEST", "q quit", "Last failures"] {
        assert!(small.contains(text), "{text}\n{small}");
    }
    assert!(!small.contains("FAIL/S") && !small.contains("Workers"), "{small}");
    let usual = screen(&seen(), 80, 24);
    for text in ["FAIL/S", "DEAD", "Workers", "open       mailer", "Last failures"] {
        assert!(usual.contains(text), "{text}\n{usual}");
    }
    assert!(usual.contains("\nreport (paused) "), "{usual}");
    assert!(usual.lines().all(|line| words::width(line) <= 80), "{usual}");
    for (width, height) in [(0, 0), (1, 1), (3, 2), (20, 5), (300, 100)] {
        let mut state = seen();
        screen(&state, width, height);
        state.obey(Wish::Typed('?'));
        screen(&state, width, height);
    }
}

#[test]
fn wide_and_hostile_names_stay_in_their_column() {
    let mut state = seen();
    let mut wide = queue("メール送信待ち行列メール送信待ち行列", 1, 0.0);
    wide.figures.policy = Some("\u{1b}]0;x\u{7}".to_owned());
    state.look.queues = vec![queue("a\u{202e}b\u{1b}[2J", 5, 0.0), wide];
    let screen = screen(&state, 100, 20);
    assert!(screen.contains("\na\\u{202e}b\\u{1b}[2J"), "{screen}");
    assert!(!screen.contains(['\u{1b}', '\u{202e}', '\u{7}']), "{screen}");
    let ends = |name: &str| {
        let line = screen.lines().find(|line| line.starts_with(name)).unwrap_or_default();
        words::width(line)
    };
    assert_eq!((ends("a\\"), ends("メ")), (100, 100), "{screen}");
    assert!(screen.contains('…'), "{screen}");
}

#[test]
fn what_is_not_there_is_said() {
    let mut state = State::default();
    let away = || Look {
        trouble: Some("connection refused".to_owned()),
        ..Look::default()
    };
    state.see(away(), now());
    let empty = screen(&state, 80, 24);
    assert!(
        empty.contains("nothing can be read, trying again: connection refused"),
        "{empty}"
    );
    assert!(!empty.contains("no queues"), "{empty}");

    // What was seen before stays, and is told to be old.
    let mut state = seen();
    state.see(away(), now() + TimeDelta::minutes(1));
    let old = screen(&state, 120, 24);
    assert!(
        old.contains("trying again (below is what was there at 03:04:05): connection"),
        "{old}"
    );
    assert!(old.contains("\nreport "), "{old}");

    let mut state = seen();
    state.look.workers = Workers::Unknown("who else works here is not known before schema 44");
    state.look.failures = None;
    let screen = screen(&state, 110, 30);
    assert!(screen.contains("not known before schema 44"), "{screen}");
    assert!(screen.contains("more than a second"), "{screen}");
}

#[test]
fn help_and_filter_are_shown() {
    let mut state = seen();
    state.obey(Wish::Typed('?'));
    let helped = screen(&state, 80, 24);
    assert!(
        helped.contains("the settings and the failures of that queue alone"),
        "{helped}"
    );
    assert!(
        HELP.iter()
            .all(|line| words::width(line) <= usize::from(HELP_WIDTH) - 2)
    );
    state.obey(Wish::Escape);
    for key in ['/', 'z'] {
        state.obey(Wish::Typed(key));
    }
    let filtered = screen(&state, 80, 24);
    assert!(
        filtered.contains("/z") && filtered.contains("no queue has that in its name"),
        "{filtered}"
    );
}

#[test]
fn all_of_it_has_room_in_the_height_it_asks_for() {
    let mut state = seen();
    state.look.queues = (0..300).map(|n| queue(&format!("q{n:03}"), 1, 0.0)).collect();
    let view = View {
        state: &state,
        place: "",
        now: now(),
        paint: Paint { colour: false },
    };
    let screen = screen(&state, 100, view.height());
    for text in [
        "\nq000 ",
        "\nq299 ",
        "node       app",
        "open       mailer",
        "again    1/5",
        "q quit",
    ] {
        assert!(screen.contains(text), "{text}\n{screen}");
    }
}

#[test]
fn colours_are_there_where_they_are_wanted() {
    let area = Rect::new(0, 0, 120, 30);
    let mut screen = Buffer::empty(area);
    let view = View {
        state: &seen(),
        place: "",
        now: now(),
        paint: Paint { colour: true },
    };
    view.draw(area, &mut screen);
    let colours = |colour| screen.content().iter().any(|cell| cell.fg == colour);
    assert!(colours(Color::Red) && colours(Color::Yellow));
}
