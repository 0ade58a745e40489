//! The pages beside the routes: the description, a page that shows it, and one that leads to both. They fetch nothing.

use axum::body::{Body, Bytes};
use axum::response::Response;
use http::header::{self, HeaderValue};

use super::openapi;
use super::routes::Route;
use crate::config::ApiConfig;

const DOCS: &str = include_str!("docs.html");
const HOME: &str = include_str!("home.html");

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const HTML: HeaderValue = HeaderValue::from_static("text/html; charset=UTF-8");
/// Nothing from anywhere, not even from here: all that a page needs is in it.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; frame-ancestors 'none'",
);

/// The pages that are served.
pub(super) struct Pages {
    home: Option<Bytes>,
    docs: Option<Bytes>,
    document: Option<Bytes>,
}

impl Pages {
    pub fn of(config: &ApiConfig, served: impl Fn(&Route) -> bool) -> Pages {
        let document = openapi::document(config, served).to_string();
        // In a script no text may look like its end.
        let inlined = DOCS.replace("{{document}}", &document.replace('<', "\\u003c"));
        let links = [("/docs", config.pages.docs), ("/openapi.json", config.pages.openapi)];
        let links = links.into_iter().filter(|(_, served)| *served);
        let links: String = links
            .map(|(path, _)| format!("<li><a href=\"{path}\">{path}</a></li>"))
            .collect();
        let prefix = config.prefix.replace('&', "&amp;").replace('<', "&lt;");
        let home = HOME.replace("{{links}}", &links).replace("{{prefix}}", &prefix);
        let page = |served: bool, text: String| served.then(|| Bytes::from(text));
        Pages {
            home: page(config.pages.root, home),
            docs: page(config.pages.docs, inlined),
            document: page(config.pages.openapi, document),
        }
    }

    /// The page of that path.
    pub fn at(&self, path: &str) -> Option<Response> {
        let (kind, page) = match path {
            "/" => (HTML, &self.home),
            "/docs" => (HTML, &self.docs),
            "/openapi.json" => (JSON, &self.document),
            _ => return None,
        };
        let mut answer = Response::new(Body::from(page.clone()?));
        let headers = answer.headers_mut();
        headers.insert(header::CONTENT_TYPE, kind);
        headers.insert(header::CONTENT_SECURITY_POLICY, POLICY);
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        Some(answer)
    }
}
