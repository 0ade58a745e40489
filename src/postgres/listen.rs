//! The connection that hears NOTIFY, and comes back when it is lost.

use std::future::poll_fn;
use std::pin::pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use rand::RngExt;
use sha2::{Digest, Sha224};
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use tokio::time::Instant;
use tokio_postgres::{AsyncMessage, Client, SimpleQueryMessage};
use tokio_util::sync::CancellationToken;

use super::Settings;
use super::connect::{Wire, connect};
use super::error::describe;
use crate::dialect::quoted;

/// What the listening connection has to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListenEvent {
    /// From now on notifications are heard. Some may have been missed before: look at everything once.
    Connected,
    /// A notification and its payload.
    Notified(String),
    /// The connection is lost, and why; it is tried again.
    Disconnected(String),
}

/// How often a silent connection is asked whether it still listens.
const CHECK: Duration = Duration::from_secs(10);
/// How long it may take to answer.
const ANSWER: Duration = Duration::from_secs(5);
const SHORTEST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(30);

/// The channel on which pg-boss notifies of jobs in schema `schema` (as configured, unquoted).
pub fn channel(schema: &str) -> String {
    let digest = Sha224::digest(schema.as_bytes());
    let mut name = "pgboss_".to_owned();
    for byte in &digest[..12] {
        name.push_str(&format!("{byte:02x}"));
    }
    name
}

/// Listens on `channel` until `stop` is cancelled or nobody receives `events` any more.
///
/// It keeps one connection outside the pool, opens it again when it is lost (after 1 s, then longer, up to 30 s), and asks
/// it every 10 s whether it still listens. When `events` is full, notifications are dropped and a further
/// [`ListenEvent::Connected`] follows, which makes up for all of them.
pub async fn listen(settings: Settings, channel: String, events: mpsc::Sender<ListenEvent>, stop: CancellationToken) {
    let name = format!("{} listen", settings.application_name);
    let settings = settings.with_application_name(name);
    let mut lost = 0;
    let work = async {
        loop {
            let Err(reason) = hear(&settings, &channel, &events, &mut lost).await else {
                return;
            };
            if events.send(ListenEvent::Disconnected(reason)).await.is_err() {
                return;
            }
            let pause = backoff(lost, rand::rng().random());
            lost += 1;
            tokio::time::sleep(pause).await;
        }
    };
    tokio::select! {
        () = work => {}
        () = stop.cancelled() => {}
    }
}

/// One connection from its opening to its end; `lost` goes back to zero once it listens. `Ok` when nobody receives the
/// events any more, else the reason of the end.
async fn hear(
    settings: &Settings,
    channel: &str,
    events: &mpsc::Sender<ListenEvent>,
    lost: &mut u32,
) -> Result<(), String> {
    let (client, wire) = connect(settings).await.map_err(|error| error.to_string())?;
    let mut ears = Ears {
        wire,
        events,
        missed: false,
    };
    let listen = format!("LISTEN {}", quoted(channel));
    ears.during(client.batch_execute(&listen)).await?;
    *lost = 0;
    if events.send(ListenEvent::Connected).await.is_err() {
        return Ok(());
    }
    let mut check = tokio::time::interval_at(Instant::now() + CHECK, CHECK);
    loop {
        tokio::select! {
            ended = ears.until_closed_or_missed() => ended?,
            room = events.reserve(), if ears.missed => match room {
                Ok(room) => {
                    ears.missed = false;
                    room.send(ListenEvent::Connected);
                }
                Err(_) => return Ok(()),
            },
            () = events.closed() => return Ok(()),
            _ = check.tick() => {
                if !ears.during(still_listens(&client, channel)).await? {
                    return Err("the session no longer listens, as behind a pooler in transaction mode".to_owned());
                }
            }
        }
    }
}

async fn still_listens(client: &Client, channel: &str) -> Result<bool, tokio_postgres::Error> {
    let channels = client.simple_query("SELECT pg_listening_channels()").await?;
    Ok(channels.iter().any(|message| match message {
        SimpleQueryMessage::Row(row) => row.get(0) == Some(channel),
        _ => false,
    }))
}

/// The listening end of a connection.
struct Ears<'a> {
    wire: Wire,
    events: &'a mpsc::Sender<ListenEvent>,
    /// A notification found no room in `events`.
    missed: bool,
}

impl Ears<'_> {
    /// Listens while `work` asks the server something, which has to answer in time.
    async fn during<T>(&mut self, work: impl Future<Output = Result<T, tokio_postgres::Error>>) -> Result<T, String> {
        let mut work = pin!(work);
        let both = poll_fn(|cx| {
            // The wire first: when both end, it is the one that knows why.
            match self.poll_closed(cx) {
                Poll::Ready(reason) => Poll::Ready(Err(reason)),
                Poll::Pending => work.as_mut().poll(cx).map_err(|error| describe(&error)),
            }
        });
        match tokio::time::timeout(ANSWER, both).await {
            Ok(done) => done,
            Err(_) => Err(format!("no answer within {} s", ANSWER.as_secs())),
        }
    }

    /// Listens until a notification finds no room for the first time; the error is the reason of a closed connection.
    async fn until_closed_or_missed(&mut self) -> Result<(), String> {
        let missed_before = self.missed;
        poll_fn(|cx| match self.poll_closed(cx) {
            Poll::Ready(reason) => Poll::Ready(Err(reason)),
            Poll::Pending if self.missed && !missed_before => Poll::Ready(Ok(())),
            Poll::Pending => Poll::Pending,
        })
        .await
    }

    fn poll_closed(&mut self, cx: &mut Context<'_>) -> Poll<String> {
        loop {
            match ready!(self.wire.poll_message(cx)) {
                Some(Ok(AsyncMessage::Notification(heard))) => {
                    let event = ListenEvent::Notified(heard.payload().to_owned());
                    if let Err(TrySendError::Full(_)) = self.events.try_send(event) {
                        self.missed = true;
                    }
                }
                Some(Ok(_)) => {}
                Some(Err(error)) => return Poll::Ready(describe(&error)),
                None => return Poll::Ready("the server closed the connection".to_owned()),
            }
        }
    }
}

/// The pause before the next connection, after so many that were lost without having listened; `chance` in 0..1 keeps
/// many workers from coming back in step.
fn backoff(lost: u32, chance: f64) -> Duration {
    let whole = SHORTEST.saturating_mul(2_u32.saturating_pow(lost)).min(LONGEST);
    whole.mul_f64(0.5 + chance / 2.0)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{backoff, channel};

    #[test]
    fn the_channel_is_pg_bosss() {
        assert_eq!(channel("pgboss"), "pgboss_454650302e472074f72063fd");
    }

    #[test]
    fn pauses_grow_to_half_a_minute() {
        assert_eq!(backoff(0, 1.0), Duration::from_secs(1));
        assert_eq!(backoff(0, 0.0), Duration::from_millis(500));
        assert_eq!(backoff(3, 1.0), Duration::from_secs(8));
        assert_eq!(backoff(5, 1.0), Duration::from_secs(30));
        assert_eq!(backoff(u32::MAX, 1.0), Duration::from_secs(30));
    }
}
