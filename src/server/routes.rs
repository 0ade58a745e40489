//! The four addresses and what they answer.

use axum::Json;
use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::json;

use super::api::Api;
use crate::observe::metrics::CONTENT_TYPE;
use crate::observe::{Health, Metrics};

#[derive(Clone)]
struct Shown {
    metrics: Metrics,
    health: Health,
    api: Option<Api>,
}

/// No answer may be kept: each is true only of the moment it was asked for.
const FRESH: [(HeaderName, &str); 1] = [(header::CACHE_CONTROL, "no-store")];

pub(super) fn router(metrics: Metrics, health: Health, api: Option<Api>) -> Router {
    Router::new()
        .route("/metrics", get(exposition))
        .route("/healthz", get(liveness))
        .route("/readyz", get(readiness))
        .route("/status", get(status))
        .fallback(beyond)
        .method_not_allowed_fallback(beyond)
        .with_state(Shown { metrics, health, api })
}

async fn exposition(State(shown): State<Shown>) -> Response {
    shown.metrics.fresh().await;
    match shown.metrics.render() {
        Ok(text) => (FRESH, [(header::CONTENT_TYPE, CONTENT_TYPE)], text).into_response(),
        Err(error) => {
            tracing::error!(%error, "the metrics cannot be rendered");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

async fn liveness(State(shown): State<Shown>) -> Response {
    let liveness = shown.health.liveness();
    (code(liveness.live), FRESH, Json(liveness)).into_response()
}

async fn readiness(State(shown): State<Shown>) -> Response {
    let readiness = shown.health.readiness();
    (code(readiness.ready), FRESH, Json(readiness)).into_response()
}

async fn status(State(shown): State<Shown>) -> Response {
    (FRESH, Json(shown.health.status())).into_response()
}

/// All other addresses are the API's, or nobody's.
async fn beyond(State(shown): State<Shown>, request: Request) -> Response {
    match &shown.api {
        Some(api) => api.answer(request).await.unwrap_or_else(|_| nothing()),
        None => nothing(),
    }
}

fn nothing() -> Response {
    let answer = json!({ "error": "not found; GET /metrics, /healthz, /readyz or /status" });
    (StatusCode::NOT_FOUND, FRESH, Json(answer)).into_response()
}

fn code(well: bool) -> StatusCode {
    if well {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    }
}
