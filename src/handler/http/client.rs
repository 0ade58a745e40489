//! The HTTP client: one policy for TLS, proxies, redirects and connections, whatever the target.

use std::net::IpAddr;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use reqwest::redirect::Policy;
use reqwest::{Client, Url};
use rustls::{ClientConfig, RootCertStore};

use crate::handler::SetupError;

/// How long making a connection may take, TLS included.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Shorter than the 5 s after which Node's HTTP server closes an idle connection, so that no request is lost on one
/// that is just being closed.
const IDLE_TIMEOUT: Duration = Duration::from_secs(4);

/// Read once: it is slow, and the same for every handler.
static ROOTS: LazyLock<Arc<RootCertStore>> = LazyLock::new(|| {
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        tracing::warn!(%error, "some of the system's root certificates cannot be read");
    }
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    Arc::new(roots)
});

/// A client for one target. Proxies of the environment are honoured, except on the way to this machine itself.
pub(super) fn client(target: &Url) -> Result<Client, SetupError> {
    let roots = if target.scheme() == "https" {
        let roots = Arc::clone(&ROOTS);
        if roots.is_empty() {
            return Err(SetupError::NoRoots);
        }
        roots
    } else {
        Arc::new(RootCertStore::empty())
    };
    let tls = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| SetupError::Client(error.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let mut builder = Client::builder()
        .tls_backend_preconfigured(tls)
        .user_agent(concat!("strawboss/", env!("CARGO_PKG_VERSION")))
        .redirect(Policy::none())
        .connect_timeout(CONNECT_TIMEOUT)
        .pool_idle_timeout(IDLE_TIMEOUT);
    if is_loopback(target) {
        builder = builder.no_proxy();
    }
    builder.build().map_err(|error| SetupError::Client(causes(&error)))
}

fn is_loopback(target: &Url) -> bool {
    let host = target.host_str().unwrap_or_default();
    host == "localhost"
        || host
            .trim_matches(['[', ']'])
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

/// What lies behind an error of the client, without the error's own line: that one quotes the URL.
pub(super) fn causes(error: &reqwest::Error) -> String {
    let mut causes = Vec::new();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        causes.push(cause.to_string());
        source = cause.source();
    }
    if causes.is_empty() {
        "the request failed".into()
    } else {
        causes.join(": ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_known_by_name_and_address() {
        for (url, expected) in [
            ("http://localhost:1/", true),
            ("http://127.0.0.1/", true),
            ("http://127.9.9.9/", true),
            ("http://[::1]:8080/", true),
            ("http://app:3000/", false),
            ("http://localhost.example.com/", false),
            ("http://10.0.0.1/", false),
        ] {
            assert_eq!(is_loopback(&Url::parse(url).expect("a URL")), expected, "{url}");
        }
    }
}
