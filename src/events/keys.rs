//! Who may run for an idempotency key: one at a time in all processes, and nobody once it is in the log.
//!
//! A key is held by an advisory lock of a session, on one connection per process that a servant of its own keeps, the
//! [`KeyKeeper`]. Handlers ask it through [`Keys`], so that no handler's runtime ever has to serve that connection.
//! The asks that gather while one is answered are answered together, by one statement for the locks and one for the log.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest, Sha256};
use tokio::sync::{mpsc, oneshot};
use tokio_postgres::types::Type;
use tokio_util::sync::CancellationToken;

use crate::observe::Pulse;
use crate::postgres::{Class, Client, Database, Error, Executor};

const LOCK: &str = include_str!("keys/lock.sql");
const UNLOCK: &str = include_str!("keys/unlock.sql");
const LOGGED: &str = include_str!("keys/logged.sql");

/// Asks answered together, at most.
const GROUP: usize = 500;
/// How often the keeper looks whether its connection is still there, and says that it is alive.
const BEAT: Duration = Duration::from_millis(500);
/// How long one round of questions may take before the connection is given up.
const PATIENCE: Duration = Duration::from_secs(10);
/// Pauses between tries while the database is away: the first, and the longest.
const PAUSE: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));
/// After a lost connection, how long locks of ours that somebody still holds are tried for: it may be the session that we
/// lost and the server has not given up yet.
const REGAIN: (u32, Duration) = (15, Duration::from_millis(200));

/// Where idempotency keys are entered; cheap to clone.
#[derive(Clone)]
pub struct Keys {
    scope: Arc<str>,
    asks: mpsc::Sender<Ask>,
}

/// What came of asking for a key.
#[derive(Debug)]
pub enum Entry {
    /// Nobody has run for it and nobody else will until the value is dropped.
    Entered(Held),
    /// The handler has run for it.
    Logged,
    /// Somebody runs for it right now.
    Busy,
    /// The database refuses to say; the reason.
    Refused(String),
}

/// A key that is held; dropped, it is let go.
#[derive(Debug)]
pub struct Held {
    grant: Grant,
    lost: CancellationToken,
    /// Never full: what is let go must not be lost.
    gone: mpsc::UnboundedSender<Grant>,
}

/// The lock, and which time it was granted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Grant {
    lock: i64,
    number: u64,
}

struct Ask {
    lock: i64,
    handler: Arc<str>,
    key: String,
    answer: oneshot::Sender<Entry>,
}

impl Keys {
    /// Asks for the key, stored form, of that handler. While the database is away, this waits.
    pub async fn enter(&self, handler: &Arc<str>, key: &str) -> Entry {
        let (answer, answered) = oneshot::channel();
        let ask = Ask {
            lock: lock_of(&self.scope, handler, key),
            handler: Arc::clone(handler),
            key: key.to_owned(),
            answer,
        };
        // Both fail only when the keeper is gone, which it is at the very end of a worker.
        let asked = self.asks.send(ask).await;
        match asked {
            Ok(()) => answered.await.unwrap_or_else(|_| stopped()),
            Err(_) => stopped(),
        }
    }
}

fn stopped() -> Entry {
    Entry::Refused("the worker is stopping".into())
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Keys").field(&self.scope).finish()
    }
}

impl Held {
    /// Waits until somebody else may have it: the connection was lost, and the lock could not be had again.
    pub async fn lost(&self) {
        self.lost.cancelled().await;
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // A keeper that is gone has let go of everything.
        let _ = self.gone.send(self.grant);
    }
}

/// The number of an advisory lock. Two keys that happen to share one wait for each other, and nothing worse.
fn lock_of(scope: &str, handler: &str, key: &str) -> i64 {
    let mut hash = Sha256::new();
    for part in ["strawboss.event", scope, handler, key] {
        hash.update(part.as_bytes());
        hash.update([0]);
    }
    let digest: [u8; 32] = hash.finalize().into();
    let mut number = [0; 8];
    number.copy_from_slice(&digest[..8]);
    i64::from_be_bytes(number)
}

/// The servant that holds the locks of this process.
pub struct KeyKeeper {
    database: Database,
    logged: String,
    asks: mpsc::Receiver<Ask>,
    gone: mpsc::UnboundedReceiver<Grant>,
    keys: mpsc::UnboundedSender<Grant>,
    held: HashMap<i64, (u64, CancellationToken)>,
    number: u64,
    client: Option<Client>,
}

impl KeyKeeper {
    /// A keeper over a pool of its own, and where it is asked; `log` is the app's `event_processing_log`, qualified and
    /// quoted.
    pub fn new(database: Database, log: &Arc<str>) -> (KeyKeeper, Keys) {
        let (asks, asked) = mpsc::channel(GROUP);
        let (keys, gone) = mpsc::unbounded_channel();
        let keeper = KeyKeeper {
            database,
            logged: LOGGED.replace("{log}", log),
            asks: asked,
            gone,
            keys,
            held: HashMap::new(),
            number: 0,
            client: None,
        };
        let keys = Keys {
            scope: Arc::clone(log),
            asks,
        };
        (keeper, keys)
    }

    /// Answers until it is told that all is over.
    pub async fn run(mut self, pulse: Pulse, over: CancellationToken) {
        let mut gathered = Vec::new();
        let mut freed = Vec::new();
        let mut asked = true;
        loop {
            pulse.beat();
            tokio::select! {
                () = over.cancelled() => return,
                got = self.asks.recv_many(&mut gathered, GROUP), if asked => {
                    // The last handler is gone; what it left may still wait to be written, and its key with it.
                    asked = got > 0;
                }
                Some(grant) = self.gone.recv() => freed.push(grant),
                () = tokio::time::sleep(BEAT) => {}
            }
            while let Ok(grant) = self.gone.try_recv() {
                freed.push(grant);
            }
            let mut pause = PAUSE.0;
            while let Err(error) = self.round(&mut freed, &mut gathered).await {
                self.end_session();
                if !matches!(error.class(), Class::Connection | Class::Transient) {
                    self.refuse(&mut gathered, &error);
                    break;
                }
                tracing::debug!(%error, "idempotency keys wait for the database");
                tokio::select! {
                    () = over.cancelled() => return,
                    () = tokio::time::sleep(pause) => {}
                }
                pulse.beat();
                pause = (pause * 2).min(PAUSE.1);
            }
        }
    }

    /// Whatever the session holds that nobody knows of goes with it.
    fn end_session(&mut self) {
        if let Some(client) = self.client.take() {
            client.discard();
        }
    }

    /// Nobody can run: the log is not there, or not to be read.
    fn refuse(&mut self, gathered: &mut Vec<Ask>, error: &Error) {
        tracing::warn!(%error, handlers = gathered.len(), "the log of the event system cannot be read; deliveries wait");
        for ask in gathered.drain(..) {
            let _ = ask
                .answer
                .send(Entry::Refused(format!("the event log cannot be read: {error}")));
        }
    }

    /// Lets go of what is freed and answers what was asked. What is left in either was not done.
    async fn round(&mut self, freed: &mut Vec<Grant>, gathered: &mut Vec<Ask>) -> Result<(), Error> {
        let database = self.database.clone();
        // What nobody waits for any more needs no lock.
        gathered.retain(|ask| !ask.answer.is_closed());
        let there = self.client.as_ref().is_some_and(|client| !client.driver().is_closed());
        if freed.is_empty() && gathered.is_empty() && (there || self.held.is_empty()) {
            return Ok(());
        }
        freed.retain(|grant| {
            self.held
                .get(&grant.lock)
                .is_some_and(|(number, _)| *number == grant.number)
        });
        for grant in freed.iter() {
            self.held.remove(&grant.lock);
        }
        if !there {
            // A new session holds nothing, so there is nothing to let go of.
            self.end_session();
            freed.clear();
            let client = database.within(PATIENCE, Box::pin(session(&database))).await?;
            self.client = Some(client);
            database.within(PATIENCE, self.regain()).await?;
        }
        if !freed.is_empty() {
            let locks: Vec<i64> = freed.iter().map(|grant| grant.lock).collect();
            let unlocking = async { self.ask(UNLOCK, &locks).await };
            database.within(PATIENCE, unlocking).await?;
            freed.clear();
        }
        let mut wanted = HashSet::new();
        wanted.extend(
            gathered
                .iter()
                .map(|ask| ask.lock)
                .filter(|lock| !self.held.contains_key(lock)),
        );
        let wanted: Vec<i64> = wanted.into_iter().collect();
        if wanted.is_empty() {
            for ask in gathered.drain(..) {
                let _ = ask.answer.send(Entry::Busy);
            }
            return Ok(());
        }
        let mut got: HashSet<i64> = database
            .within(PATIENCE, async { self.ask(LOCK, &wanted).await })
            .await?
            .into_iter()
            .collect();
        // Behind the locks: whoever held one before has written to the log before letting go of it.
        let handlers: Vec<&str> = gathered.iter().map(|ask| &*ask.handler).collect();
        let keys: Vec<&str> = gathered.iter().map(|ask| ask.key.as_str()).collect();
        let looked = async {
            let client = self.client.as_ref().ok_or_else(|| Error::Pool("no session".into()))?;
            client
                .query(
                    &self.logged,
                    &[(&handlers, Type::TEXT_ARRAY), (&keys, Type::TEXT_ARRAY)],
                )
                .await
        };
        let rows = database.within(PATIENCE, looked).await?;
        let logged: HashSet<i64> = rows.iter().map(|row| row.get(0)).collect();
        let mut answers = Vec::new();
        for (n, ask) in (1..).zip(gathered.drain(..)) {
            if logged.contains(&n) {
                answers.push((ask.answer, Entry::Logged));
            } else if got.remove(&ask.lock) {
                let held = self.grant(ask.lock);
                answers.push((ask.answer, Entry::Entered(held)));
            } else {
                answers.push((ask.answer, Entry::Busy));
            }
        }
        // Of those that were logged.
        freed.extend(got.into_iter().map(|lock| self.grant(lock).grant));
        for (answer, entry) in answers {
            // Whoever does not wait any more drops it, and so lets it go.
            let _ = answer.send(entry);
        }
        Ok(())
    }

    fn grant(&mut self, lock: i64) -> Held {
        self.number += 1;
        let lost = CancellationToken::new();
        self.held.insert(lock, (self.number, lost.clone()));
        Held {
            grant: Grant {
                lock,
                number: self.number,
            },
            lost,
            gone: self.keys.clone(),
        }
    }

    /// One statement over locks; returns the locks it names.
    async fn ask(&self, sql: &str, locks: &[i64]) -> Result<Vec<i64>, Error> {
        let client = self.client.as_ref().ok_or_else(|| Error::Pool("no session".into()))?;
        let rows = client.query(sql, &[(&locks, Type::INT8_ARRAY)]).await?;
        Ok(rows.iter().map(|row| row.get(0)).collect())
    }

    /// Takes the locks again that a lost session held. Where another has one by now, the run that relied on it is told.
    async fn regain(&mut self) -> Result<(), Error> {
        let mut missing: Vec<i64> = self.held.keys().copied().collect();
        for attempt in 0..REGAIN.0 {
            if missing.is_empty() {
                return Ok(());
            }
            if attempt > 0 {
                tokio::time::sleep(REGAIN.1).await;
            }
            let got: HashSet<i64> = self.ask(LOCK, &missing).await?.into_iter().collect();
            missing.retain(|lock| !got.contains(lock));
        }
        for lock in missing {
            if let Some((_, lost)) = self.held.remove(&lock) {
                tracing::warn!("an idempotency key was lost with its connection, and another worker has it now");
                lost.cancel();
            }
        }
        Ok(())
    }
}

/// A connection whose session is ours alone. Behind a pooler that lends a session for one transaction, a transaction is
/// begun and never ended: it holds no snapshot between statements, and so nothing up.
async fn session(database: &Database) -> Result<Client, Error> {
    let pooled = database.detect().await? != crate::postgres::Pooler::None;
    let client = database.client().await?;
    if pooled {
        client.batch("BEGIN").await?;
    }
    Ok(client)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_depends_on_every_part_and_on_nothing_else() {
        let locks = [
            lock_of("a", "b", "c"),
            lock_of("a", "bc", ""),
            lock_of("ab", "", "c"),
            lock_of("a", "b", "d"),
        ];
        assert_eq!(HashSet::from(locks).len(), 4);
        // Workers of other releases have to find the same.
        assert_eq!(lock_of("public", "inventory", "o-1"), -6516783779033289881);
    }
}
