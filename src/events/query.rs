//! Request and reply: a question is a delivery to the one handler of an event, the answer is that job's output.

use std::time::{Duration, Instant};

use serde_json::value::RawValue;
use tokio_postgres::types::Type;
use uuid::Uuid;

use super::emit::refused;
use super::{EmitError, Emitter};
use crate::dialect::Template;
use crate::job::RawJson;
use crate::observe::Metrics;
use crate::postgres::{Client, Database, Executor};
use crate::queue::QueueName;

/// Asks.
pub const ASK: Template = Template(include_str!("query/ask.sql"));
/// Looks for the reply.
pub const LOOK: Template = Template(include_str!("query/look.sql"));
/// Takes the question back.
pub const CANCEL: Template = Template(include_str!("query/cancel.sql"));

/// How soon the reply is looked for, and how far apart looks get: pg-boss tells nobody that a job is done. At the least a look every
/// 2 ms in the first tenth of a second, then a twentieth of the time that has passed.
const LOOKS: (Duration, Duration) = (Duration::from_millis(2), Duration::from_millis(100));
/// The longest a question may take, as pg-boss lets a job run.
const LONGEST: Duration = Duration::from_secs(86_399);

/// What came of a question.
#[derive(Debug, Clone)]
pub struct Reply {
    /// The answer; `None` where the handler gave none, or failed.
    pub data: Option<RawJson>,
    /// Why the handler failed, if it did.
    pub error: Option<String>,
}

/// Why there is no reply.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum QueryError {
    /// Nobody subscribes to the event.
    #[error("nobody subscribes to {0:?}, so nobody can answer")]
    NoSubscriber(String),
    /// More than one queue subscribes to the event.
    #[error("{} queues subscribe to {event:?} ({}); a query is for one", queues.len(), names(queues))]
    Several {
        /// The event's name.
        event: String,
        /// The queues.
        queues: Vec<QueueName>,
    },
    /// Nobody answered in time, and nobody will: the question was taken back.
    #[error("no reply to {event:?} within {limit:?}; the question was taken back")]
    Timeout {
        /// The event's name.
        event: String,
        /// How long the reply was waited for.
        limit: Duration,
    },
    /// Somebody else took the question back.
    #[error("the question {0:?} was cancelled")]
    Cancelled(String),
    /// The question was not taken.
    #[error(transparent)]
    NotAsked(#[from] EmitError),
}

fn names(queues: &[QueueName]) -> String {
    let names: Vec<&str> = queues.iter().map(QueueName::as_str).collect();
    names.join(", ")
}

/// A question that waits for its reply.
struct Question<'a> {
    emitter: &'a Emitter,
    queue: String,
    id: Uuid,
}

impl Emitter {
    /// Asks the one handler of an event, in whatever process and language, and waits for its reply. The question is never tried
    /// again and is no event: it leaves neither history nor dead letter.
    ///
    /// # Errors
    /// Nobody to ask or more than one, no reply in time, or what keeps an event from being emitted. A handler that failed is a
    /// [`Reply`] with an error.
    pub async fn query(
        &self,
        database: &Database,
        name: &str,
        payload: &RawValue,
        source_module: &str,
        timeout: Duration,
    ) -> Result<Reply, QueryError> {
        self.check(name, payload)?;
        let began = Instant::now();
        let timeout = timeout.clamp(Duration::from_millis(1), LONGEST);
        // A connection for each look: many questions may wait at once.
        let connection = async || database.client().await.map_err(EmitError::Database);
        let client = connection().await?;
        let question = self.ask(&client, name, payload, source_module, timeout).await?;
        drop(client);
        loop {
            let client = connection().await?;
            if let Some(reply) = question.look(&client, name).await? {
                return Ok(reply);
            }
            let passed = began.elapsed();
            if passed >= timeout {
                let taken = question.cancel(&client).await?;
                // It was answered in the last moment.
                return match (taken, question.look(&client, name).await) {
                    (false, Ok(Some(reply))) => Ok(reply),
                    _ => Err(QueryError::Timeout {
                        event: name.to_owned(),
                        limit: timeout,
                    }),
                };
            }
            drop(client);
            let pause = (passed / 20).clamp(LOOKS.0, LOOKS.1);
            tokio::time::sleep(pause.min(timeout - passed)).await;
        }
    }

    /// As [`Emitter::query`], and counts how long it took.
    ///
    /// # Errors
    /// As [`Emitter::query`].
    pub async fn query_measured(
        &self,
        database: &Database,
        name: &str,
        payload: &RawValue,
        source_module: &str,
        timeout: Duration,
        metrics: &Metrics,
    ) -> Result<Reply, QueryError> {
        let began = Instant::now();
        let asked = self.query(database, name, payload, source_module, timeout).await;
        let outcome = match &asked {
            Ok(Reply { error: None, .. }) => "replied",
            Ok(_) => "failed",
            Err(QueryError::Timeout { .. }) => "timeout",
            Err(_) => "refused",
        };
        metrics
            .event_query_duration
            .with_label_values(&[name, outcome])
            .observe(began.elapsed().as_secs_f64());
        asked
    }

    async fn ask(
        &self,
        client: &Client,
        name: &str,
        payload: &RawValue,
        source_module: &str,
        timeout: Duration,
    ) -> Result<Question<'_>, QueryError> {
        let (id, event_id) = (Uuid::new_v4(), Uuid::new_v4());
        let seconds = i32::try_from(timeout.as_millis().div_ceil(1000)).unwrap_or(i32::MAX);
        let (text, correlation, channel) = (payload.get(), None::<String>, self.place.channel());
        let rows = client
            .query(
                &self.place.render(ASK, &[]),
                &[
                    (&name, Type::TEXT),
                    (&id, Type::UUID),
                    (&text, Type::TEXT),
                    (&event_id, Type::UUID),
                    (&source_module, Type::TEXT),
                    (&correlation, Type::TEXT),
                    (&seconds, Type::INT4),
                    (&channel, Type::TEXT),
                ],
            )
            .await
            .map_err(refused)?;
        let mut queues: Vec<String> = rows.first().map(|row| row.get("queues")).unwrap_or_default();
        match queues.len() {
            0 => Err(QueryError::NoSubscriber(name.to_owned())),
            1 => Ok(Question {
                emitter: self,
                queue: queues.remove(0),
                id,
            }),
            _ => Err(QueryError::Several {
                event: name.to_owned(),
                queues: queues.into_iter().map(QueueName::new).collect(),
            }),
        }
    }
}

impl Question<'_> {
    async fn look(&self, client: &Client, name: &str) -> Result<Option<Reply>, QueryError> {
        let sql = self.emitter.place.render(LOOK, &[]);
        let rows = client
            .query(&sql, &[(&self.queue, Type::TEXT), (&self.id, Type::UUID)])
            .await
            .map_err(refused)?;
        let Some(row) = rows.first() else {
            return Ok(None);
        };
        let (state, output): (String, Option<String>) = (row.get(0), row.get(1));
        match state.as_str() {
            "completed" => Ok(Some(replied(output))),
            "cancelled" => Err(QueryError::Cancelled(name.to_owned())),
            _ => Ok(Some(Reply {
                data: None,
                error: Some(failure(output.as_deref())),
            })),
        }
    }

    async fn cancel(&self, client: &Client) -> Result<bool, QueryError> {
        let sql = self.emitter.place.render(CANCEL, &[]);
        let rows = client
            .query(&sql, &[(&self.queue, Type::TEXT), (&self.id, Type::UUID)])
            .await
            .map_err(refused)?;
        Ok(!rows.is_empty())
    }
}

/// The reply in a completed job's output: `{data, error}` as it is, anything else is the data; what pg-boss wrapped is unwrapped.
fn replied(output: Option<String>) -> Reply {
    #[derive(serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Answer {
        #[serde(default)]
        data: Option<RawJson>,
        #[serde(default)]
        error: Option<serde_json::Value>,
    }
    #[derive(serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Wrapped {
        value: RawJson,
    }
    let Some(output) = output else {
        return Reply {
            data: None,
            error: None,
        };
    };
    if let Ok(answer) = serde_json::from_str::<Answer>(&output)
        && output != "{}"
    {
        return Reply {
            data: answer.data.filter(|data| data.get() != "null"),
            error: answer.error.and_then(|error| match error {
                serde_json::Value::Null => None,
                serde_json::Value::String(text) => Some(text),
                other => Some(failure(Some(&other.to_string()))),
            }),
        };
    }
    let text = match serde_json::from_str::<Wrapped>(&output) {
        Ok(wrapped) => wrapped.value,
        Err(_) => RawValue::from_string(output).expect("PostgreSQL writes JSON"),
    };
    Reply {
        data: Some(text),
        error: None,
    }
}

/// The message in a failed job's output.
fn failure(output: Option<&str>) -> String {
    #[derive(serde::Deserialize)]
    struct Failure {
        message: Option<String>,
        value: Option<serde_json::Value>,
    }
    let Some(output) = output else {
        return "the handler failed without saying why".to_owned();
    };
    let read = serde_json::from_str::<Failure>(output).ok();
    let said = read.and_then(|failure| {
        failure.message.or_else(|| match failure.value? {
            serde_json::Value::String(text) => Some(text),
            value => value.get("message")?.as_str().map(str::to_owned),
        })
    });
    said.unwrap_or_else(|| output.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_output_is_read_as_a_reply() {
        let read = |output: &str| {
            let Reply { data, error } = replied(Some(output.to_owned()));
            (data.map(|data| data.get().to_owned()), error)
        };
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(read(r#"{"data":{"n":1e400}}"#), (some(r#"{"n":1e400}"#), None));
        assert_eq!(read(r#"{"data":null,"error":"no"}"#), (None, some("no")));
        assert_eq!(read(r#"{"data":null,"error":{"message":"no"}}"#), (None, some("no")));
        assert_eq!(read(r#"{"price":3}"#), (some(r#"{"price":3}"#), None));
        assert_eq!(read(r#"{"value":[1,2]}"#), (some("[1,2]"), None));
        assert_eq!(read(r#"{}"#), (some("{}"), None));
        assert_eq!(
            failure(Some(r#"{"value":{"message":"job timed out"}}"#)),
            "job timed out"
        );
        assert_eq!(failure(Some(r#"{"message":"no","name":"Error"}"#)), "no");
        assert_eq!(failure(Some(r#"{"value":"gone"}"#)), "gone");
    }
}
