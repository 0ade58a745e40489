//! What browsers are told of pages from elsewhere.

use http::header::{self, HeaderMap, HeaderName, HeaderValue};

use crate::config::CorsConfig;

/// The headers of `[api.cors]`, ready to be sent.
pub(super) struct Cors {
    /// `None` is anywhere.
    origins: Option<Vec<HeaderValue>>,
    methods: HeaderValue,
    headers: Option<HeaderValue>,
    expose: Option<HeaderValue>,
    credentials: bool,
    max_age: Option<HeaderValue>,
}

impl Cors {
    pub fn of(config: &CorsConfig) -> Cors {
        let value = |text: &str| HeaderValue::from_str(text).ok();
        let joined = |texts: &[String]| value(&texts.join(",")).filter(|value| !value.is_empty());
        let anywhere = config.origin.as_slice() == ["*"];
        Cors {
            origins: (!anywhere).then(|| config.origin.iter().filter_map(|origin| value(origin)).collect()),
            methods: joined(&config.methods).unwrap_or(HeaderValue::from_static("")),
            headers: joined(&config.headers),
            expose: joined(&config.expose_headers),
            credentials: config.credentials,
            max_age: config.max_age.and_then(|seconds| value(&seconds.to_string())),
        }
    }

    /// What goes with every answer.
    pub fn answer(&self, asked: &HeaderMap, answer: &mut HeaderMap) {
        self.common(asked, answer);
        if self.origins.is_some() {
            answer.append(header::VARY, HeaderValue::from_static("Origin"));
        }
    }

    /// What answers a browser that asks beforehand.
    pub fn preflight(&self, asked: &HeaderMap) -> HeaderMap {
        let mut answer = HeaderMap::new();
        self.common(asked, &mut answer);
        if !self.methods.is_empty() {
            answer.insert(header::ACCESS_CONTROL_ALLOW_METHODS, self.methods.clone());
        }
        if let Some(max_age) = &self.max_age {
            answer.insert(header::ACCESS_CONTROL_MAX_AGE, max_age.clone());
        }
        let wanted = asked.get(header::ACCESS_CONTROL_REQUEST_HEADERS);
        let headers = self.headers.as_ref().or(wanted);
        if let Some(headers) = headers {
            answer.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, headers.clone());
        }
        let vary = match (self.origins.is_some(), headers.is_some()) {
            (true, true) => "Origin, Access-Control-Request-Headers",
            (true, false) => "Origin",
            (false, true) => "Access-Control-Request-Headers",
            (false, false) => return answer,
        };
        answer.insert(header::VARY, HeaderValue::from_static(vary));
        answer
    }

    fn common(&self, asked: &HeaderMap, answer: &mut HeaderMap) {
        let mut tell = |name: HeaderName, value: Option<HeaderValue>| {
            if let Some(value) = value {
                answer.insert(name, value);
            }
        };
        let origin = match &self.origins {
            None => Some(HeaderValue::from_static("*")),
            Some(origins) => asked
                .get(header::ORIGIN)
                .filter(|origin| origins.contains(origin))
                .cloned(),
        };
        tell(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        let credentials = self.credentials.then(|| HeaderValue::from_static("true"));
        tell(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, credentials);
        tell(header::ACCESS_CONTROL_EXPOSE_HEADERS, self.expose.clone());
    }
}
