//! Whose turn it is among the sequential handlers of an event.
//!
//! A delivery to a sequential handler waits until the deliveries of the same event to the sequential handlers in the places
//! before it are done: completed, failed for good, or cancelled. One of those that waits for its retry is not done. Whoever
//! waits long goes back to the queue, without using up an attempt, until the delivery ahead may run.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio_postgres::types::Type;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::delivery::delivery_id;
use crate::dialect::{Template, Watch};
use crate::handler::HandlerError;
use crate::home::Home;
use crate::observe::Pulse;
use crate::postgres::{Database, Error, Executor};

const AHEAD: Template = Template(include_str!("turns/ahead.sql"));

/// Questions answered together, at most.
const GROUP: usize = 500;
/// How often the servant says that it is alive.
const BEAT: Duration = Duration::from_secs(1);
/// How long the answer may take before the connection is given up.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long a delivery waits in its place before it goes back to the queue.
const WAIT: Duration = Duration::from_secs(2);
/// How often it asks meanwhile: at first, and at the least.
const ASK: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(200));
/// For how long it goes back to the queue: at least, and at most.
const AWAY: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(60));
/// The same while the order is not known.
const UNKNOWN: Duration = Duration::from_secs(5);

/// Where sequential handlers ask for their turn; cheap to clone.
#[derive(Clone)]
pub struct Turns {
    questions: mpsc::Sender<Question>,
}

struct Question {
    handler: Arc<str>,
    outbox_id: Uuid,
    answer: oneshot::Sender<Turn>,
}

/// What came of asking.
enum Turn {
    Come,
    /// Those ahead are not done, and the latest of them may run after so long.
    Ahead(Duration),
    Unknown(String),
}

impl Turns {
    /// Waits until the handler's turn has come for the event of that row of the outbox.
    ///
    /// # Errors
    /// That it has not, and when to ask again: the delivery is postponed.
    pub async fn wait(&self, handler: &Arc<str>, outbox_id: Uuid) -> Result<(), HandlerError> {
        let since = tokio::time::Instant::now();
        let mut pause = ASK.0;
        loop {
            match self.ask(handler, outbox_id).await {
                Turn::Come => return Ok(()),
                Turn::Ahead(due) if due > WAIT || since.elapsed() >= WAIT => {
                    let why = "a handler of the event in a place before this one is not done with it";
                    return Err(HandlerError::postpone(why, due.clamp(AWAY.0, AWAY.1)));
                }
                Turn::Ahead(_) => {
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(ASK.1);
                }
                Turn::Unknown(why) => return Err(HandlerError::postpone(why, UNKNOWN)),
            }
        }
    }

    async fn ask(&self, handler: &Arc<str>, outbox_id: Uuid) -> Turn {
        let (answer, answered) = oneshot::channel();
        let question = Question {
            handler: Arc::clone(handler),
            outbox_id,
            answer,
        };
        let stopping = || Turn::Unknown("the worker is stopping".into());
        match self.questions.send(question).await {
            Ok(()) => answered.await.unwrap_or_else(|_| stopping()),
            Err(_) => stopping(),
        }
    }
}

impl fmt::Debug for Turns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Turns")
    }
}

/// The servant that answers, one statement for all questions that have gathered.
pub struct TurnKeeper {
    database: Database,
    home: Home,
    questions: mpsc::Receiver<Question>,
}

impl TurnKeeper {
    /// A servant, and where it is asked.
    pub fn new(database: Database, home: Home) -> (TurnKeeper, Turns) {
        let (questions, asked) = mpsc::channel(GROUP);
        let keeper = TurnKeeper {
            database,
            home,
            questions: asked,
        };
        (keeper, Turns { questions })
    }

    /// Answers until it is told that all is over, or nobody can ask any more.
    pub async fn run(mut self, watch: Watch, pulse: Pulse, over: CancellationToken) {
        let mut gathered = Vec::new();
        loop {
            pulse.beat();
            tokio::select! {
                () = over.cancelled() => return,
                got = self.questions.recv_many(&mut gathered, GROUP) => {
                    if got == 0 {
                        return;
                    }
                }
                () = tokio::time::sleep(BEAT) => continue,
            }
            gathered.retain(|question| !question.answer.is_closed());
            let answers = tokio::select! {
                () = over.cancelled() => return,
                answers = self.database.within(PATIENCE, self.answers(&watch, &gathered)) => answers,
            };
            if let Err(error) = &answers {
                tracing::warn!(%error, "the turns of sequential handlers are not known; their deliveries wait");
            }
            for (n, question) in gathered.drain(..).enumerate() {
                let turn = match &answers {
                    Ok(ahead) => ahead[n].map_or(Turn::Come, Turn::Ahead),
                    Err(error) => Turn::Unknown(format!("the order of the event's handlers is not known: {error}")),
                };
                // Whoever does not wait any more asks again in its next attempt.
                let _ = question.answer.send(turn);
            }
        }
    }

    async fn answers(&self, watch: &Watch, questions: &[Question]) -> Result<Vec<Option<Duration>>, Error> {
        let dialect = watch.clone().spoken().await;
        let sql = AHEAD
            .render(&dialect, "job")
            .replace("{delivery_id}", &delivery_id("v.outbox", "ahead.queue"));
        let sql = self.home.render(&sql);
        let handlers: Vec<&str> = questions.iter().map(|question| &*question.handler).collect();
        let rows: Vec<Uuid> = questions.iter().map(|question| question.outbox_id).collect();
        let schema = dialect.schema();
        let found = self
            .database
            .client()
            .await?
            .query(
                &sql,
                &[
                    (&schema, Type::TEXT),
                    (&handlers, Type::TEXT_ARRAY),
                    (&rows, Type::UUID_ARRAY),
                ],
            )
            .await?;
        let mut ahead = vec![None; questions.len()];
        for row in found {
            let (place, seconds): (i64, f64) = (row.get(0), row.get(1));
            let n = usize::try_from(place - 1).unwrap_or(usize::MAX);
            if let Some(answer) = ahead.get_mut(n) {
                *answer = Some(Duration::try_from_secs_f64(seconds).unwrap_or(AWAY.1));
            }
        }
        Ok(ahead)
    }
}
