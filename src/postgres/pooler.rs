//! Whether a pooler such as PgBouncer hands our statements to whichever server connection is free.

use std::time::Duration;

use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, SimpleQueryMessage};

use super::connect::connect;
use super::{Error, Settings};

/// What stands between here and the server, for what a session may rely on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Pooler {
    /// Not known yet: [`Database::detect`](super::Database::detect) finds out, and until then nothing is relied on.
    #[default]
    Auto,
    /// The session is ours (no pooler, or one that pools by session): statements are prepared once, LISTEN works.
    None,
    /// The session is ours for one transaction only: nothing is prepared by name, LISTEN is off.
    Transaction,
}

/// How often the two connections are asked; a busy pooler might once give each a server of its own.
const ROUNDS: usize = 8;
const LIMIT: Duration = Duration::from_secs(15);

/// Opens two connections side by side and asks both in turn which server process serves them. Two sessions have two, and
/// each keeps its own; a pooler that lends a server for one transaction gives both the same, or one of them several.
pub(super) async fn detect(settings: &Settings) -> Result<Pooler, Error> {
    let (first, wire) = connect(settings).await?;
    // The wires end with their clients.
    tokio::spawn(wire);
    let second = match connect(settings).await {
        Ok((second, wire)) => {
            tokio::spawn(wire);
            second
        }
        // No room for a second connection, no answer: nothing is relied on.
        Err(error) if error.code() == Some(&SqlState::TOO_MANY_CONNECTIONS) => return Ok(Pooler::Auto),
        Err(error) => return Err(error),
    };
    tokio::time::timeout(LIMIT, compare(&first, &second))
        .await
        .unwrap_or_else(|_| {
            Err(Error::Pool(format!(
                "the server did not say within {} s whether a pooler stands before it",
                LIMIT.as_secs()
            )))
        })
}

async fn compare(first: &Client, second: &Client) -> Result<Pooler, Error> {
    let mut kept = None;
    for _ in 0..ROUNDS {
        let pair = (backend(first).await?, backend(second).await?);
        if pair.0 == pair.1 || *kept.get_or_insert_with(|| pair.clone()) != pair {
            return Ok(Pooler::Transaction);
        }
    }
    Ok(Pooler::None)
}

async fn backend(client: &Client) -> Result<Option<String>, Error> {
    let answer = client.simple_query("SELECT pg_backend_pid()").await?;
    Ok(answer.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
        _ => None,
    }))
}
