//! Why a handler failed, and why one cannot be made.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Map, Value};

/// How much of a message is logged, in characters; the job's output has all of it.
const LOGGED: usize = 500;

/// Why an attempt failed, and what should follow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HandlerError {
    /// The kind of error, as JavaScript would name it (`Error`, `TimeoutError`, `HttpError`…).
    pub name: String,
    /// What happened, for people and for the log; becomes `output.message`.
    pub message: String,
    /// Where it happened, where that is known; becomes `output.stack`.
    pub stack: Option<String>,
    /// More that is known of it, beside those in `output`; never logged.
    pub detail: Map<String, Value>,
    /// What should follow.
    pub then: Then,
}

/// What should follow a failed attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    /// The job's own retry rule decides.
    Retry,
    /// As [`Then::Retry`], but no sooner than this from now.
    RetryNoSooner(Duration),
    /// As [`Then::Retry`], but exactly this long from now, whatever the backoff says.
    RetryAfter(Duration),
    /// This was no attempt: back to the queue without using one up, to be claimed again no sooner than this from now.
    Postpone(Duration),
    /// No other attempt can help: fail for good, to the dead letter queue if there is one.
    DeadLetter,
}

impl HandlerError {
    /// A failure that the job's own retry rule takes care of.
    pub fn retry(message: impl Into<String>) -> Self {
        Self {
            name: "Error".into(),
            message: message.into(),
            stack: None,
            detail: Map::new(),
            then: Then::Retry,
        }
    }

    /// A failure to be tried again exactly `delay` from now, as long as the job has retries left.
    pub fn retry_after(message: impl Into<String>, delay: Duration) -> Self {
        Self {
            then: Then::RetryAfter(delay),
            ..Self::retry(message)
        }
    }

    /// A failure to be tried again by the job's own retry rule, but no sooner than `floor` from now.
    pub fn retry_no_sooner(message: impl Into<String>, floor: Duration) -> Self {
        Self {
            then: Then::RetryNoSooner(floor),
            ..Self::retry(message)
        }
    }

    /// No failure: the job cannot be run yet, and goes back to the queue for `delay` without using up an attempt.
    pub fn postpone(message: impl Into<String>, delay: Duration) -> Self {
        Self {
            then: Then::Postpone(delay),
            ..Self::retry(message)
        }
    }

    /// A failure that no other attempt can mend.
    pub fn never_retry(message: impl Into<String>) -> Self {
        Self {
            then: Then::DeadLetter,
            ..Self::retry(message)
        }
    }

    /// The same error under another name.
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// The message as a log has it: what a program wrote to its standard error may have many lines, and one of them could
    /// look like ours.
    pub(crate) fn in_one_line(&self) -> String {
        let mut line: String = self
            .message
            .chars()
            .take(LOGGED)
            .map(|c| if c.is_control() { ' ' } else { c })
            .collect();
        if self.message.chars().nth(LOGGED).is_some() {
            line.push('…');
        }
        line
    }

    /// The same error with one more thing to know about it, beside the message in the job's output.
    pub fn with(mut self, key: impl Into<String>, value: impl Into<Value>) -> Self {
        self.detail.insert(key.into(), value.into());
        self
    }
}

impl std::fmt::Display for HandlerError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

/// Any error is a reason to try again; say [`HandlerError::never_retry`] where it is not.
impl<E: std::error::Error> From<E> for HandlerError {
    fn from(error: E) -> Self {
        let mut stack = String::new();
        let mut source = error.source();
        while let Some(cause) = source {
            stack.push_str(&format!("\n    caused by: {cause}"));
            source = cause.source();
        }
        let message = error.to_string();
        let stack = (!stack.is_empty()).then(|| format!("{message}{stack}"));
        Self {
            stack,
            ..Self::retry(message)
        }
    }
}

/// Why a configured handler cannot be made. No variant repeats a secret.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The target is no URL.
    #[error("`http` is no URL: {0}")]
    Url(String),
    /// The target is a URL of another kind.
    #[error("`http` has the scheme `{0}`; only `http` and `https` are spoken")]
    Scheme(String),
    /// A secret cannot be a key; counted from 1.
    #[error("secret {position} {problem}")]
    Secret {
        /// Which one, counted from 1.
        position: usize,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A header that cannot be sent.
    #[error("header `{name}` {problem}")]
    Header {
        /// The header's name as configured.
        name: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// There is nothing to verify a server's certificate with.
    #[error(
        "no root certificates were found on this system, so https cannot be verified; \
         install them (Debian: `ca-certificates`) or name a file in SSL_CERT_FILE"
    )]
    NoRoots,
    /// The HTTP client could not be made.
    #[error("the HTTP client cannot be made: {0}")]
    Client(String),
    /// `exec` is an empty list.
    #[error("`exec` names no program")]
    NoProgram,
    /// The program is not where it was looked for.
    #[error("`exec`: there is no program `{0}`; give its path, or a name found in PATH")]
    ProgramNotFound(String),
    /// The file is there, but cannot be run.
    #[error("`exec`: {0} cannot be executed; mend it with `chmod +x`")]
    NotExecutable(PathBuf),
    /// The working directory is not there.
    #[error("`working_dir`: {0} is no directory")]
    WorkingDirectory(PathBuf),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_are_kept_as_the_stack() {
        let cause = std::io::Error::other("disk on fire");
        let error = HandlerError::from(std::io::Error::other(Wrapped(cause)));
        assert_eq!(error.message, "could not save");
        assert_eq!(
            error.stack.as_deref(),
            Some("could not save\n    caused by: disk on fire")
        );
    }

    #[test]
    fn a_log_has_one_short_line_of_it() {
        let error = HandlerError::retry("no luck\n2026-01-01 WARN forged\u{1b}[31m");
        assert_eq!(error.in_one_line(), "no luck 2026-01-01 WARN forged [31m");
        let long = HandlerError::retry("é".repeat(LOGGED + 1)).in_one_line();
        assert_eq!(long, format!("{}…", "é".repeat(LOGGED)));
    }

    #[derive(Debug, thiserror::Error)]
    #[error("could not save")]
    struct Wrapped(#[source] std::io::Error);
}
