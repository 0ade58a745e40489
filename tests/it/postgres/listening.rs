//! The connection that listens, and how it comes back.

use strawboss::postgres::{ListenEvent, Settings, listen};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_postgres::Client;
use tokio_util::sync::CancellationToken;

use crate::support::pooler::Pooler;
use crate::support::proxy::{Mode, Proxy};
use crate::support::server::{connect, server};
use crate::support::wait::PATIENCE;
use crate::support::wait_for;

struct Listening {
    /// Also the name of its session, followed by ` listen`.
    channel: String,
    events: mpsc::Receiver<ListenEvent>,
    stop: CancellationToken,
    task: JoinHandle<()>,
    administrator: Client,
}

impl Listening {
    async fn at(url: &str, room: usize) -> Listening {
        let channel = format!("ch_{}", &uuid::Uuid::new_v4().simple().to_string()[..12]);
        let (sender, events) = mpsc::channel(room);
        let stop = CancellationToken::new();
        let settings = Settings::parse(url)
            .expect("understood")
            .with_application_name(&channel);
        let task = tokio::spawn(listen(settings, channel.clone(), sender, stop.clone()));
        Listening {
            channel,
            events,
            stop,
            task,
            administrator: connect(&server().url).await,
        }
    }

    async fn next(&mut self) -> ListenEvent {
        timeout(PATIENCE, self.events.recv())
            .await
            .expect("something happens")
            .expect("it goes on")
    }

    async fn lost(&mut self) -> String {
        match self.next().await {
            ListenEvent::Disconnected(reason) => reason,
            other => panic!("{other:?} instead of an end"),
        }
    }

    async fn notify(&self, payload: &str) {
        self.administrator
            .execute("select pg_notify($1, $2)", &[&self.channel, &payload])
            .await
            .expect("it is allowed");
    }

    async fn sessions(&self) -> Vec<i32> {
        let sql = "select pid from pg_stat_activity where application_name = $1 || ' listen'";
        let rows = self.administrator.query(sql, &[&self.channel]).await.expect("it runs");
        rows.iter().map(|row| row.get(0)).collect()
    }
}

fn notified(payload: &str) -> ListenEvent {
    ListenEvent::Notified(payload.to_owned())
}

#[tokio::test]
async fn a_notification_is_heard_from_the_moment_it_says_connected() {
    let mut listening = Listening::at(&server().url, 16).await;
    assert_eq!(listening.next().await, ListenEvent::Connected);
    listening.notify("one").await;
    listening.notify("two").await;
    assert_eq!(listening.next().await, notified("one"));
    assert_eq!(listening.next().await, notified("two"));
}

#[tokio::test]
async fn a_lost_connection_comes_back_and_says_so() {
    let mut listening = Listening::at(&server().url, 16).await;
    assert_eq!(listening.next().await, ListenEvent::Connected);
    for pid in listening.sessions().await {
        let ended = listening
            .administrator
            .execute("select pg_terminate_backend($1)", &[&pid])
            .await;
        ended.expect("it is allowed");
    }
    let reason = listening.lost().await;
    assert!(
        reason.contains("57P01"),
        "the server's own reason is passed on: {reason}"
    );
    assert_eq!(listening.next().await, ListenEvent::Connected);
    listening.notify("again").await;
    assert_eq!(listening.next().await, notified("again"));
}

#[tokio::test]
async fn a_server_that_is_away_is_waited_for() {
    let proxy = Proxy::before(&server().url).await;
    proxy.set(Mode::Refuse);
    let mut listening = Listening::at(&proxy.url(&server().url), 16).await;
    for _ in 0..2 {
        let reason = listening.lost().await;
        assert!(reason.contains("connection refused"), "{reason}");
    }
    proxy.set(Mode::Pass);
    while listening.next().await != ListenEvent::Connected {}
    proxy.outage().await;
    listening.lost().await;
    proxy.set(Mode::Pass);
    while listening.next().await != ListenEvent::Connected {}
}

#[tokio::test]
async fn a_silent_connection_is_found_out() {
    let proxy = Proxy::before(&server().url).await;
    let mut listening = Listening::at(&proxy.url(&server().url), 16).await;
    assert_eq!(listening.next().await, ListenEvent::Connected);
    proxy.set(Mode::Stall);
    let reason = listening.lost().await;
    assert!(reason.contains("no answer within 5 s"), "{reason}");
}

#[tokio::test]
async fn a_session_that_forgot_its_channel_is_left() {
    let pooler = Pooler::before(&server().url, 1).await;
    let mut listening = Listening::at(&pooler.url(), 16).await;
    assert_eq!(listening.next().await, ListenEvent::Connected);
    // Somebody else is lent the same session.
    connect(&pooler.url())
        .await
        .batch_execute("unlisten *")
        .await
        .expect("it is allowed");
    let reason = listening.lost().await;
    assert!(reason.contains("no longer listens"), "{reason}");
}

#[tokio::test]
async fn stopping_ends_the_session() {
    let mut listening = Listening::at(&server().url, 16).await;
    assert_eq!(listening.next().await, ListenEvent::Connected);
    listening.stop.cancel();
    timeout(PATIENCE, &mut listening.task)
        .await
        .expect("it stops")
        .expect("without a panic");
    wait_for("its session to end", async || listening.sessions().await.is_empty()).await;
}

#[tokio::test]
async fn what_found_no_room_is_made_up_for() {
    let mut listening = Listening::at(&server().url, 1).await;
    assert_eq!(listening.next().await, ListenEvent::Connected);
    let burst = "select pg_notify($1, n::text) from generate_series(1, 1000) n";
    listening
        .administrator
        .execute(burst, &[&listening.channel])
        .await
        .expect("it is allowed");
    let mut heard = 0;
    while listening.next().await != ListenEvent::Connected {
        heard += 1;
    }
    assert!((1..1000).contains(&heard), "there was no room for all: {heard}");
}

#[tokio::test]
async fn it_ends_when_nobody_receives_any_more() {
    let mut listening = Listening::at(&server().url, 4).await;
    assert_eq!(listening.next().await, ListenEvent::Connected);
    listening.events.close();
    timeout(PATIENCE, listening.task)
        .await
        .expect("it ends")
        .expect("without a panic");
}
