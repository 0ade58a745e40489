//! Handlers at the other end of an HTTP request: the payload is posted, and the answer decides.

mod answer;
mod client;
mod request;
mod signature;

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use chrono::Utc;
use http::{HeaderMap, StatusCode};
use prometheus::IntCounterVec;
use reqwest::{Client, Response, Url};
use tokio::time::timeout;

use self::answer::{Answer, status_class};
use self::signature::Secret;
use super::propagation::Trace;
use super::{Context, Handler, HandlerError, Run, SetupError, Then, output};
use crate::job::{Job, RawJson};
use crate::observe::Metrics;
use crate::queue::QueueName;

/// How much of the body of a failing answer is kept for people, in bytes.
const FAILURE_BODY: usize = 2048;
/// How long the body of a failing answer is waited for at most.
const FAILURE_BODY_WAIT: Duration = Duration::from_secs(1);

/// What is configured of a target.
pub(super) struct Target<'a> {
    pub(super) more: Option<MoreHeaders>,
    pub(super) url: &'a str,
    pub(super) timeout: Duration,
    pub(super) secrets: &'a [String],
    pub(super) headers: &'a BTreeMap<String, String>,
    pub(super) max_response_bytes: usize,
}

/// Says what else a request has in its headers, given the job: names in lower case, values of visible ASCII.
pub(crate) type MoreHeaders = Arc<dyn Fn(&Job) -> Vec<(&'static str, String)> + Send + Sync>;

/// Posts each job to an endpoint.
pub(super) struct Http {
    endpoint: Arc<Endpoint>,
}

struct Endpoint {
    client: Client,
    url: Url,
    /// The URL as it may be shown: no credentials, no query.
    shown: String,
    timeout: Duration,
    headers: HeaderMap,
    more: Option<MoreHeaders>,
    secrets: Vec<Secret>,
    max_response_bytes: usize,
    queue: QueueName,
    requests: IntCounterVec,
    /// Set once the endpoint said that it is gone; only a restart, with another configuration, helps.
    gone: OnceLock<String>,
}

/// What an answer left to do.
enum Exchanged {
    Done(Option<RawJson>),
    Failed(Response, Then),
}

impl Http {
    pub(super) fn new(target: Target<'_>, queue: &QueueName, metrics: &Metrics) -> Result<Http, SetupError> {
        let url = Url::parse(target.url).map_err(|error| SetupError::Url(error.to_string()))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(SetupError::Scheme(url.scheme().to_owned()));
        }
        let secrets = target
            .secrets
            .iter()
            .enumerate()
            .map(|(index, text)| {
                Secret::parse(text).map_err(|problem| SetupError::Secret {
                    position: index + 1,
                    problem,
                })
            })
            .collect::<Result<_, _>>()?;
        Ok(Http {
            endpoint: Arc::new(Endpoint {
                client: client::client(&url)?,
                shown: shown(&url),
                url,
                timeout: target.timeout,
                headers: request::configured(target.headers)?,
                more: target.more,
                secrets,
                max_response_bytes: target.max_response_bytes,
                queue: queue.clone(),
                requests: metrics.http_push_requests.clone(),
                gone: OnceLock::new(),
            }),
        })
    }
}

impl Handler for Http {
    fn run(&self, job: Arc<Job>, context: Context) -> Run {
        let endpoint = Arc::clone(&self.endpoint);
        Box::pin(async move { endpoint.attempt(&job, &context).await })
    }

    fn paused(&self) -> Option<String> {
        self.endpoint.gone.get().cloned()
    }
}

impl Endpoint {
    /// One request, within the smaller of the handler's timeout and what is left of the job's expiry.
    async fn attempt(&self, job: &Job, context: &Context) -> Result<Option<RawJson>, HandlerError> {
        let left = context.remaining();
        if left.is_zero() {
            return Err(HandlerError::retry("nothing was left of the job's expiry").named("TimeoutError"));
        }
        let limit = left.min(self.timeout);
        let mut counted = Counted {
            endpoint: self,
            class: "cancelled",
        };
        let exchanged = tokio::select! {
            biased;
            result = timeout(limit, self.exchange(job, context, &mut counted)) => result.unwrap_or_else(|_| {
                counted.class = "timeout";
                let whose = if left < self.timeout { ", which was left of the job's expiry" } else { "" };
                Err(HandlerError::retry(format!("{} gave no full answer within {limit:.1?}{whose}", self.shown))
                    .named("TimeoutError"))
            }),
            () = context.cancelled.cancelled() => {
                Err(HandlerError::retry(format!("the request to {} was cut off", self.shown)).named("AbortError"))
            }
        };
        match exchanged? {
            Exchanged::Done(output) => Ok(output),
            // The status has said what follows, so no timeout may unsay it while the body is read for people.
            Exchanged::Failed(response, then) => {
                let wait = FAILURE_BODY_WAIT.min(context.remaining() / 2);
                Err(self.failure(response, then, wait).await)
            }
        }
    }

    async fn exchange(
        &self,
        job: &Job,
        context: &Context,
        counted: &mut Counted<'_>,
    ) -> Result<Exchanged, HandlerError> {
        let mut headers = self.headers.clone();
        let trace = Trace::of(&context.trace);
        request::of_attempt(&mut headers, job, &trace, &self.secrets, Utc::now());
        if let Some(more) = &self.more {
            request::add(&mut headers, more(job));
        }
        let sent = self
            .client
            .post(self.url.clone())
            .headers(headers)
            .body(job.data_text().to_owned())
            .send()
            .await;
        let response = sent.map_err(|error| self.no_answer(&error, counted))?;
        let status = response.status();
        let exchanged = match Answer::of(status, response.headers(), SystemTime::now()) {
            Answer::Done => Exchanged::Done(
                self.read_output(response)
                    .await
                    .map_err(|error| self.no_answer(&error, counted))?,
            ),
            Answer::Failed(then) => Exchanged::Failed(response, then),
            Answer::Gone => {
                self.pause();
                Exchanged::Failed(response, Then::DeadLetter)
            }
        };
        counted.class = status_class(status);
        Ok(exchanged)
    }

    /// The body of a good answer, if it is JSON. It is read to its end, since a connection that breaks off in it may
    /// have cut it; what is beyond the cap is not read, and the job is done all the same.
    async fn read_output(&self, mut response: Response) -> Result<Option<RawJson>, reqwest::Error> {
        let cap = self.max_response_bytes;
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await? {
            if body.len() + chunk.len() > cap {
                return Ok(Some(output::dropped(&format!(
                    "the answer was larger than {cap} bytes"
                ))));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(output::from_bytes(&body))
    }

    /// The error of an answer that is no success.
    async fn failure(&self, response: Response, then: Then, wait: Duration) -> HandlerError {
        let status = response.status();
        let mut error = HandlerError {
            then,
            ..HandlerError::retry(format!("{} answered {}", self.shown, said(status)))
        }
        .named("HttpError")
        .with("status", status.as_u16());
        let body = read_start(response, wait).await;
        if !body.is_empty() {
            error = error.with("body", body);
        }
        error
    }

    /// The error of a request that got no answer, or not all of it.
    fn no_answer(&self, error: &reqwest::Error, counted: &mut Counted<'_>) -> HandlerError {
        if error.is_timeout() {
            counted.class = "timeout";
            let limit = client::CONNECT_TIMEOUT;
            return HandlerError::retry(format!("{} could not be connected to within {limit:?}", self.shown))
                .named("TimeoutError");
        }
        counted.class = "error";
        HandlerError::retry(format!("{} could not be asked: {}", self.shown, client::causes(error)))
            .named("NetworkError")
    }

    fn pause(&self) {
        let reason = format!("{} answered 410 Gone", self.shown);
        if self.gone.set(reason).is_ok() {
            tracing::error!(
                queue = %self.queue,
                endpoint = self.shown,
                "the endpoint is gone: nothing more is claimed for it until a restart"
            );
        }
    }
}

/// Counts a request once, however it ends; `cancelled` is one whose attempt was no longer wanted.
struct Counted<'a> {
    endpoint: &'a Endpoint,
    class: &'static str,
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.endpoint
            .requests
            .with_label_values(&[self.endpoint.queue.as_str(), self.class])
            .inc();
    }
}

/// The start of a failing answer's body as text; what cannot be read is left out.
async fn read_start(mut response: Response, wait: Duration) -> String {
    let mut start = Vec::new();
    let read = async {
        while start.len() < FAILURE_BODY {
            match response.chunk().await {
                Ok(Some(chunk)) => start.extend_from_slice(&chunk),
                Ok(None) | Err(_) => break,
            }
        }
    };
    // Whether it came to its end makes no difference: the start that is there is kept.
    let _ = timeout(wait, read).await;
    start.truncate(FAILURE_BODY);
    String::from_utf8_lossy(&start).into_owned()
}

/// A status as people know it, such as `503 Service Unavailable`.
fn said(status: StatusCode) -> String {
    match status.canonical_reason() {
        Some(reason) => format!("{} {reason}", status.as_u16()),
        None => status.as_u16().to_string(),
    }
}

/// A URL without what may be secret in it.
fn shown(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    format!("{}://{host}{port}{}", url.scheme(), url.path())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_shown_without_credentials_and_query() {
        let url = Url::parse("https://user:pw@app.example:8443/api/jobs?token=s3cret#x").expect("a URL");
        assert_eq!(shown(&url), "https://app.example:8443/api/jobs");
    }

    fn refused(url: &str) -> String {
        let headers = BTreeMap::new();
        let target = Target {
            more: None,
            url,
            timeout: Duration::from_secs(1),
            secrets: &[],
            headers: &headers,
            max_response_bytes: 1,
        };
        match Http::new(target, &"q".into(), &Metrics::new()) {
            Ok(_) => panic!("{url} was accepted"),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn only_http_urls_are_targets() {
        assert!(refused("app/jobs").contains("no URL"));
        assert!(refused("").contains("no URL"));
        assert!(refused("ftp://app/").contains("`ftp`"));
        assert!(refused("unix:/run/app.sock").contains("`unix`"));
    }
}
