//! pg-boss's API over HTTP: a JSON object is posted to the name of a method, or a query asks for one, and the answer is
//! `{"ok":true,"result":…}` or `{"ok":false,"error":{"message":…}}`. The contract is that of pg-boss's own proxy, so its
//! clients need not know who answers.

mod calls;
mod cors;
mod guard;
mod issue;
mod openapi;
mod options;
mod pages;
mod request;
mod routes;
mod shape;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::response::Response;
use http::header::{self, HeaderMap, HeaderValue};
use http::{Method as HttpMethod, StatusCode};
use serde_json::value::RawValue;
use tokio_util::task::TaskTracker;

use crate::config::ApiConfig;
use crate::observe::propagation;
pub use calls::Backend;
use calls::Failure;
use cors::Cors;
use guard::Guard;
use issue::Issue;
use pages::Pages;
use request::Media;
use routes::{ROUTES, Route, Verb};
use shape::{Table, Value};

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=UTF-8");

/// What a client is told of a failure that is none of its business.
const UNSAID: &str = "Internal server error";

/// Whether there is a route of that name.
pub(crate) fn is_route(name: &str) -> bool {
    routes::find(name).is_some()
}

/// The route whose name is the most like that.
pub(crate) fn nearest_route(name: &str) -> &'static str {
    let names = ROUTES.iter().map(|route| route.name);
    names
        .min_by_key(|route| strsim::damerau_levenshtein(&name.to_lowercase(), &route.to_lowercase()))
        .unwrap_or_default()
}

/// The API, ready to answer; cheap to clone.
#[derive(Clone)]
pub struct Api(Arc<Inner>);

/// Says where it is, and nothing of who may use it.
impl fmt::Debug for Api {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Api")
            .field("prefix", &self.0.prefix)
            .finish_non_exhaustive()
    }
}

struct Inner {
    /// With its slash at the end.
    prefix: String,
    expose_errors: bool,
    body_limit: usize,
    log_requests: bool,
    allow: Vec<String>,
    deny: Vec<String>,
    guard: Option<Guard>,
    cors: Option<Cors>,
    pages: Pages,
    backend: Backend,
    /// The requests that are being answered; closed when no more are taken.
    busy: TaskTracker,
}

impl Api {
    /// The API as configured, over what it is to call.
    pub fn new(config: &ApiConfig, backend: Backend) -> Api {
        let served = |route: &Route| serves(&config.allow, &config.deny, route);
        Api(Arc::new(Inner {
            prefix: format!("{}/", config.prefix),
            expose_errors: config.expose_errors,
            body_limit: config.body_limit,
            log_requests: config.log_requests,
            allow: config.allow.clone(),
            deny: config.deny.clone(),
            guard: Guard::of(config),
            cors: config.cors.as_ref().map(Cors::of),
            pages: Pages::of(config, served),
            backend,
            busy: TaskTracker::new(),
        }))
    }

    /// Takes no more requests, and waits for those that are being answered.
    pub async fn close(&self) {
        self.0.busy.close();
        self.0.busy.wait().await;
    }

    /// Answers what is asked below the prefix, or for one of the pages; hands back what is not.
    pub(super) async fn answer(&self, request: Request) -> Result<Response, Request> {
        let inner = &self.0;
        let path = request.uri().path();
        let Some(name) = inner.below(path).map(str::to_owned) else {
            let page = matches!(*request.method(), HttpMethod::GET | HttpMethod::HEAD).then(|| inner.pages.at(path));
            return page.flatten().ok_or(request);
        };
        if inner.prefix == "/"
            && matches!(*request.method(), HttpMethod::GET | HttpMethod::HEAD)
            && let Some(page) = inner.pages.at(path)
        {
            return Ok(page);
        }
        let _busy = inner.busy.token();
        if inner.busy.is_closed() {
            let mut answer = plain(StatusCode::SERVICE_UNAVAILABLE, "503 Service Unavailable");
            answer
                .headers_mut()
                .insert(header::CONNECTION, HeaderValue::from_static("close"));
            return Ok(answer);
        }
        let (begun, verb) = (Instant::now(), request.method().clone());
        let answer = inner.guarded(&name, request).await;
        if inner.log_requests {
            inner.log(&verb, &name, answer.status(), begun.elapsed());
        }
        Ok(answer)
    }
}

/// Whether a route is served: `meta` always is, as it is by the proxy.
fn serves(allow: &[String], deny: &[String], route: &Route) -> bool {
    let named = |names: &[String]| names.iter().any(|name| name == route.name);
    route.name == "meta" || ((allow.is_empty() || named(allow)) && !named(deny))
}

impl Inner {
    /// What of a path is the name of a route.
    fn below<'p>(&self, path: &'p str) -> Option<&'p str> {
        let bare = self.prefix.trim_end_matches('/');
        path.strip_prefix(&self.prefix).or((path == bare).then_some(""))
    }

    fn log(&self, verb: &HttpMethod, name: &str, status: StatusCode, took: Duration) {
        // The name comes from whoever asks; only those that are routes are worth a line of their own.
        let route = routes::find(name).map_or("(no route)", |route| route.name);
        tracing::info!(%verb, route, status = status.as_u16(), milliseconds = took.as_millis(), "answered");
    }

    async fn guarded(&self, name: &str, request: Request) -> Response {
        let (head, body) = request.into_parts();
        // A browser that asks beforehand cannot come with credentials.
        if let Some(cors) = self.cors.as_ref().filter(|_| head.method == HttpMethod::OPTIONS) {
            let mut answer = Response::new(Body::empty());
            *answer.status_mut() = StatusCode::NO_CONTENT;
            *answer.headers_mut() = cors.preflight(&head.headers);
            return answer;
        }
        if let Some(guard) = &self.guard
            && !guard.admits(head.headers.get(header::AUTHORIZATION))
        {
            let mut answer = plain(StatusCode::UNAUTHORIZED, "Unauthorized");
            let headers = answer.headers_mut();
            headers.insert(header::WWW_AUTHENTICATE, guard.challenge());
            headers.insert(
                header::CONTENT_TYPE,
                HeaderValue::from_static("text/plain;charset=UTF-8"),
            );
            return answer;
        }
        let query = head.uri.query().unwrap_or_default();
        let mut answer = self.routed(name, &head.method, &head.headers, query, body).await;
        if let Some(cors) = &self.cors {
            cors.answer(&head.headers, answer.headers_mut());
        }
        answer
    }

    async fn routed(&self, name: &str, verb: &HttpMethod, headers: &HeaderMap, query: &str, body: Body) -> Response {
        let length = request::length(headers);
        let limit = self.body_limit;
        if *verb == HttpMethod::POST && length.is_some_and(|length| length > limit as u64) {
            return self.too_large();
        }
        let route = routes::find(name).filter(|route| serves(&self.allow, &self.deny, route));
        let verb = match *verb {
            HttpMethod::GET | HttpMethod::HEAD => Verb::Get,
            HttpMethod::POST => Verb::Post,
            _ => return plain(StatusCode::NOT_FOUND, "404 Not Found"),
        };
        let Some(route) = route.filter(|route| route.verb == verb) else {
            return plain(StatusCode::NOT_FOUND, "404 Not Found");
        };
        // What the caller's trace is, its jobs are to be a part of.
        let traced = headers
            .contains_key("traceparent")
            .then(|| self.backend.within(propagation::received(headers)));
        let backend = traced.as_ref().unwrap_or(&self.backend);
        if verb == Verb::Get {
            return self.called(backend, route, &request::query(query)).await;
        }
        let Ok(bytes) = axum::body::to_bytes(body, limit).await else {
            return self.too_large();
        };
        match request::media(headers, bytes.is_empty()) {
            Media::Json => self.called(backend, route, &request::text(&bytes)).await,
            // Nothing that is needed can be in there, so pg-boss itself would be at a loss.
            Media::Nothing => match route.shape.and_then(shape::nothing) {
                Some(table) => self.done(backend, route, &table).await,
                None => self.failed("there is no body"),
            },
            Media::Foreign => self.failed("Unsupported Media Type"),
        }
    }

    async fn called(&self, backend: &Backend, route: &'static Route, text: &str) -> Response {
        let Some(shape) = route.shape else {
            return self.done(backend, route, &Table::default()).await;
        };
        let Ok(raw) = serde_json::from_str::<&RawValue>(text) else {
            return self.failed("Malformed JSON in request body");
        };
        match shape::read(shape, raw) {
            Ok(Value::Table(table)) => self.done(backend, route, &table).await,
            Ok(_) => self.failed("the request is no object"),
            Err(issues) => refused(StatusCode::BAD_REQUEST, &Issue::message(&issues)),
        }
    }

    async fn done(&self, backend: &Backend, route: &Route, table: &Table<'_>) -> Response {
        match backend.call(route.method, table).await {
            Ok(result) => {
                let mut text = Vec::with_capacity(result.len() + 24);
                text.extend_from_slice(b"{\"ok\":true,\"result\":");
                text.extend_from_slice(&result);
                text.push(b'}');
                json(StatusCode::OK, text)
            }
            Err(Failure(message)) => {
                tracing::debug!(route = route.name, error = message, "answered with 500");
                self.failed(&message)
            }
        }
    }

    fn failed(&self, message: &str) -> Response {
        let message = if self.expose_errors { message } else { UNSAID };
        refused(StatusCode::INTERNAL_SERVER_ERROR, message)
    }

    fn too_large(&self) -> Response {
        let message = format!("Request body too large (max {} bytes)", self.body_limit);
        refused(StatusCode::PAYLOAD_TOO_LARGE, &message)
    }
}

fn refused(status: StatusCode, message: &str) -> Response {
    let message = serde_json::Value::from(message);
    json(
        status,
        format!(r#"{{"ok":false,"error":{{"message":{message}}}}}"#).into_bytes(),
    )
}

fn json(status: StatusCode, text: Vec<u8>) -> Response {
    answer(status, JSON, Bytes::from(text))
}

fn plain(status: StatusCode, text: &'static str) -> Response {
    answer(status, TEXT, Bytes::from_static(text.as_bytes()))
}

fn answer(status: StatusCode, kind: HeaderValue, body: Bytes) -> Response {
    let mut answer = Response::new(Body::from(body));
    *answer.status_mut() = status;
    answer.headers_mut().insert(header::CONTENT_TYPE, kind);
    answer
}
