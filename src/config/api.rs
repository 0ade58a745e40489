//! `[api]`: who may use pg-boss's API over HTTP, and what of it is served. Where the file says nothing, the variables of
//! pg-boss's own proxy are heard, so that a deployment of it changes its image and nothing else.

use std::fmt::{self, Display};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use schemars::JsonSchema;
use serde::Deserialize;

use super::origin::Origin;
use super::resolve::Resolver;
use super::secret::Secret;
use crate::server::api::{self as served};

/// `[api]`, and `http.api_token`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiConfig {
    /// Serve the routes; false by default.
    pub enabled: bool,
    /// What the routes begin with: `/api` by default, empty for none. No slash at its end.
    pub prefix: String,
    /// Say in 500 answers what went wrong; false by default.
    pub expose_errors: bool,
    /// The largest request that is read, in bytes; 1 MiB by default.
    pub body_limit: usize,
    /// Whoever bears it may use the routes; nobody by default.
    pub token: Option<Secret>,
    /// Who knows these may use the routes, too; nobody by default.
    pub basic_auth: Option<BasicAuth>,
    /// Serve whoever comes, also on an address that others reach; false by default.
    pub anonymous: bool,
    /// The names of the routes to serve; empty (the default) serves all.
    pub allow: Vec<String>,
    /// The names of the routes not to serve; empty by default.
    pub deny: Vec<String>,
    /// One line in the log for each request; false by default.
    pub log_requests: bool,
    /// What browsers are told of pages from elsewhere; nothing by default, so that they keep such pages out.
    pub cors: Option<CorsConfig>,
    /// The pages beside the routes; all by default.
    pub pages: PagesConfig,
}

/// `basic_auth = { username = "…", password = "…" }`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BasicAuth {
    /// The user's name.
    pub username: String,
    /// The password.
    pub password: Secret,
}

/// `[api.cors]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CorsConfig {
    /// Where pages may come from; `*` alone is anywhere.
    pub origin: Vec<String>,
    /// The verbs they may use.
    pub methods: Vec<String>,
    /// The headers they may send.
    pub headers: Vec<String>,
    /// The headers they may see.
    pub expose_headers: Vec<String>,
    /// Whether they may send credentials.
    pub credentials: bool,
    /// How many seconds a browser may remember this.
    pub max_age: Option<u32>,
}

/// `[api.pages]`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PagesConfig {
    /// `/`
    pub root: bool,
    /// `/docs`
    pub docs: bool,
    /// `/openapi.json`
    pub openapi: bool,
}

impl Default for ApiConfig {
    fn default() -> Self {
        Self {
            enabled: false,
            prefix: "/api".to_owned(),
            expose_errors: false,
            body_limit: 1 << 20,
            token: None,
            basic_auth: None,
            anonymous: false,
            allow: Vec::new(),
            deny: Vec::new(),
            log_requests: false,
            cors: None,
            pages: PagesConfig {
                root: true,
                docs: true,
                openapi: true,
            },
        }
    }
}

impl ApiConfig {
    /// Why the routes must not be served on that address, if they must not: others reach it, and nobody is asked who he
    /// is.
    pub fn refusal(&self, address: SocketAddr) -> Option<String> {
        let open = self.enabled && self.token.is_none() && self.basic_auth.is_none() && !self.anonymous;
        (open && !address.ip().to_canonical().is_loopback()).then(|| {
            format!(
                "the API would be served without credentials on {address}, which others reach; set http.api_token or \
                 api.basic_auth, listen on 127.0.0.1, or say api.anonymous = true if something in front asks for credentials"
            )
        })
    }
}

/// The section as it is written.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Api {
    /// Serve the routes. On without a word where `http.api_token` is set, or in the place of pg-boss's own proxy.
    #[schemars(extend("default" = false))]
    enabled: Option<bool>,
    /// What the routes begin with; `/` for nothing.
    #[schemars(extend("default" = "/api"))]
    prefix: Option<String>,
    /// Real messages in 500 answers.
    #[schemars(extend("default" = false))]
    expose_errors: Option<bool>,
    /// The largest request that is read, in bytes.
    #[schemars(range(min = 1), extend("default" = 1_048_576))]
    body_limit: Option<usize>,
    /// User and password to be asked for, beside `http.api_token`.
    basic_auth: Option<Credentials>,
    /// Serve without credentials on an address that others reach.
    #[schemars(extend("default" = false))]
    anonymous: Option<bool>,
    /// The names of the routes to serve; all where not said.
    allow: Option<Vec<String>>,
    /// The names of the routes not to serve.
    deny: Option<Vec<String>>,
    /// One line in the log for each request.
    #[schemars(extend("default" = false))]
    log_requests: Option<bool>,
    /// What browsers are told of pages from elsewhere.
    cors: Option<Cors>,
    /// The pages beside the routes.
    #[serde(default)]
    pages: Pages,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Credentials {
    /// The user's name.
    username: String,
    /// The password.
    password: Secret,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Cors {
    /// Where pages may come from, `*` alone for anywhere; none where not said.
    origin: Option<Vec<String>>,
    /// The verbs they may use.
    #[schemars(extend("default" = ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"]))]
    methods: Option<Vec<String>>,
    /// The headers they may send.
    #[schemars(extend("default" = ["Content-Type", "Authorization"]))]
    headers: Option<Vec<String>>,
    /// The headers they may see.
    expose_headers: Option<Vec<String>>,
    /// Whether they may send credentials.
    #[schemars(extend("default" = false))]
    credentials: Option<bool>,
    /// How many seconds a browser may remember this.
    max_age: Option<u32>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Pages {
    /// `/`, which leads to the others.
    #[schemars(extend("default" = true))]
    root: Option<bool>,
    /// `/docs`, which shows the description.
    #[schemars(extend("default" = true))]
    docs: Option<bool>,
    /// `/openapi.json`, the description.
    #[schemars(extend("default" = true))]
    openapi: Option<bool>,
}

/// Every variable of pg-boss's proxy that is heard, its address aside.
const VARIABLES: [&str; 18] = [
    "PGBOSS_PROXY_PREFIX",
    "PGBOSS_PROXY_REQUEST_LOGGER",
    "PGBOSS_PROXY_LOG_FORMAT",
    "PGBOSS_PROXY_EXPOSE_ERRORS",
    "PGBOSS_PROXY_BODY_LIMIT",
    "PGBOSS_PROXY_ROUTES_ALLOW",
    "PGBOSS_PROXY_ROUTES_DENY",
    "PGBOSS_PROXY_PAGE_ROOT",
    "PGBOSS_PROXY_PAGE_DOCS",
    "PGBOSS_PROXY_PAGE_OPENAPI",
    "PGBOSS_PROXY_AUTH_USERNAME",
    "PGBOSS_PROXY_AUTH_PASSWORD",
    "PGBOSS_PROXY_CORS_ORIGIN",
    "PGBOSS_PROXY_CORS_METHODS",
    "PGBOSS_PROXY_CORS_HEADERS",
    "PGBOSS_PROXY_CORS_EXPOSE_HEADERS",
    "PGBOSS_PROXY_CORS_CREDENTIALS",
    "PGBOSS_PROXY_CORS_MAX_AGE",
];

impl Api {
    /// Resolves the section; `bare` says that no file was read, and that the API is what the process is for then.
    pub(super) fn resolve(&mut self, resolver: &mut Resolver<'_>, token: Option<Secret>, bare: bool) -> ApiConfig {
        let default = ApiConfig::default();
        let token = token.filter(|token| !token.reveal().is_empty());
        let enabled = match (self.enabled, spoken(resolver), &token) {
            (Some(enabled), ..) => resolver.pick("api.enabled", Some(enabled), || false),
            (None, Some(name), _) => {
                resolver.note("api.enabled", true, Origin::Environment(name.to_owned()));
                true
            }
            // Whoever hands out a token wants its bearers to be served.
            (None, None, Some(_)) => {
                let origin = resolver.written("http.api_token");
                resolver.note("api.enabled", true, origin);
                true
            }
            (None, None, None) => resolver.pick("api.enabled", None, || bare),
        };
        let listed = |written: Option<Vec<String>>| written.filter(|names| !names.is_empty()).map(List);
        let mut asked = Asked {
            resolver,
            said: enabled,
        };
        let config = ApiConfig {
            enabled,
            prefix: asked.prefix(self.prefix.take()),
            expose_errors: asked.one("expose_errors", self.expose_errors, "EXPOSE_ERRORS", truth, false),
            body_limit: asked.one("body_limit", self.body_limit, "BODY_LIMIT", leading, default.body_limit),
            token: asked.token(token),
            basic_auth: asked.basic_auth(self.basic_auth.take()),
            anonymous: asked.own("anonymous", self.anonymous, "STRAWBOSS_API_ANONYMOUS", truth, false),
            allow: asked.routes("allow", listed(self.allow.take()), "ROUTES_ALLOW"),
            deny: asked.routes("deny", listed(self.deny.take()), "ROUTES_DENY"),
            log_requests: asked.one("log_requests", self.log_requests, "REQUEST_LOGGER", truth, false),
            cors: asked.cors(self.cors.take()),
            pages: PagesConfig {
                root: asked.one("pages.root", self.pages.root, "PAGE_ROOT", truth, true),
                docs: asked.one("pages.docs", self.pages.docs, "PAGE_DOCS", truth, true),
                openapi: asked.one("pages.openapi", self.pages.openapi, "PAGE_OPENAPI", truth, true),
            },
        };
        if config.body_limit == 0 {
            resolver.error("api.body_limit", "must be at least 1");
        }
        config
    }

    /// Whether the API is on because this runs in the place of a proxy.
    pub(super) fn is_proxy(&self, resolver: &Resolver<'_>, bare: bool) -> bool {
        self.enabled.is_none() && (bare || spoken(resolver).is_some())
    }

    /// The address that pg-boss's proxy would take, where its variables name one.
    pub(super) fn address(resolver: &mut Resolver<'_>) -> Option<(SocketAddr, Origin)> {
        let (host, port) = (resolver.variable("HOST"), resolver.variable("PORT"));
        let origin = match (&host, &port) {
            (None, None) => return None,
            (Some(_), None) => "HOST",
            (None, Some(_)) => "PORT",
            (Some(_), Some(_)) => "HOST:$PORT",
        };
        let ip = match host.as_deref() {
            None | Some("localhost") => Some(IpAddr::V4(Ipv4Addr::LOCALHOST)),
            Some(host) => host.parse().ok(),
        };
        let port = port.map_or(Some(3000), |port| port.trim().parse::<u16>().ok());
        let (Some(ip), Some(port)) = (ip, port) else {
            resolver.error(
                "http.listen",
                "HOST must be an IP address or localhost, and PORT a port's number; or set http.listen, which goes before them",
            );
            return None;
        };
        Some((SocketAddr::new(ip, port), Origin::Environment(origin.to_owned())))
    }
}

/// The first of the proxy's variables that is set.
fn spoken(resolver: &Resolver<'_>) -> Option<&'static str> {
    VARIABLES.into_iter().find(|name| resolver.variable(name).is_some())
}

/// A list as the proxy's variables write it.
struct List(Vec<String>);

impl Display for List {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join(","))
    }
}

fn list(text: &str) -> Option<List> {
    let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
    Some(List(parts.map(str::to_owned).collect()))
}

/// What the proxy takes for true; all else is false.
#[expect(clippy::unnecessary_wraps, reason = "one of several readers")]
fn truth(text: &str) -> Option<bool> {
    Some(text.eq_ignore_ascii_case("true"))
}

/// The number a text begins with, as JavaScript's `parseInt`.
fn leading(text: &str) -> Option<usize> {
    let text = text.trim_start();
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    text[..end].parse().ok()
}

/// Reads one value after the other, from the file or else the environment. Nothing is noted of an API that is not
/// served, nor are its variables looked at.
struct Asked<'r, 'a> {
    resolver: &'r mut Resolver<'a>,
    said: bool,
}

impl Asked<'_, '_> {
    /// A value of the proxy's: its variable is `PGBOSS_PROXY_` and that name.
    fn one<T: Display>(
        &mut self,
        name: &str,
        written: Option<T>,
        variable: &str,
        parse: impl Fn(&str) -> Option<T>,
        default: T,
    ) -> T {
        self.own(name, written, &format!("PGBOSS_PROXY_{variable}"), parse, default)
    }

    fn own<T: Display>(
        &mut self,
        name: &str,
        written: Option<T>,
        variable: &str,
        parse: impl Fn(&str) -> Option<T>,
        default: T,
    ) -> T {
        let key = format!("api.{name}");
        let heard = match (&written, self.said) {
            (None, true) => self.resolver.variable(variable).and_then(|text| parse(&text)),
            _ => None,
        };
        if let Some(value) = heard {
            self.resolver
                .note(&key, &value, Origin::Environment(variable.to_owned()));
            return value;
        }
        if self.said || written.is_some() {
            return self.resolver.pick(&key, written, || default);
        }
        default
    }

    fn prefix(&mut self, written: Option<String>) -> String {
        if written.as_deref().is_some_and(|prefix| !prefix.starts_with('/')) {
            self.resolver.error("api.prefix", "must begin with \"/\"");
        }
        let prefix = self.one(
            "prefix",
            written,
            "PREFIX",
            |text| Some(text.to_owned()),
            "/api".to_owned(),
        );
        if prefix.contains(['?', '#', '{', '}']) {
            self.resolver.error("api.prefix", "must be a path");
        }
        let rooted = if prefix.starts_with('/') {
            prefix
        } else {
            format!("/{prefix}")
        };
        rooted.strip_suffix('/').map(str::to_owned).unwrap_or(rooted)
    }

    fn token(&mut self, written: Option<Secret>) -> Option<Secret> {
        let key = "http.api_token";
        let (token, origin) = match written {
            Some(token) => (token, self.resolver.written(key)),
            None => {
                let name = "STRAWBOSS_API_TOKEN";
                let token = self.resolver.variable(name).filter(|_| self.said)?;
                (Secret::new(token), Origin::Environment(name.to_owned()))
            }
        };
        self.resolver.note(key, &token, origin);
        if !self.said {
            self.resolver.notice(
                key,
                "nobody is asked for it: the API is not served, for api.enabled is false",
            );
        } else if token.reveal().bytes().any(|byte| !byte.is_ascii_graphic()) {
            self.resolver.error(
                key,
                "must be made of printable ASCII without spaces: it travels in a header",
            );
        }
        Some(token)
    }

    fn basic_auth(&mut self, written: Option<Credentials>) -> Option<BasicAuth> {
        let key = "api.basic_auth";
        let (username, password, origin) = match written {
            Some(Credentials { username, password }) => (username, password, self.resolver.written(key)),
            None if !self.said => return None,
            None => {
                let names = ["PGBOSS_PROXY_AUTH_USERNAME", "PGBOSS_PROXY_AUTH_PASSWORD"];
                match names.map(|name| self.resolver.variable(name)) {
                    [None, None] => return None,
                    [Some(username), Some(password)] => {
                        let origin = Origin::Environment(names[0].to_owned());
                        (username, Secret::new(password), origin)
                    }
                    [username, _] => {
                        let missing = names[usize::from(username.is_some())];
                        self.resolver
                            .error(key, format!("{missing} is not set; user and password go together"));
                        return None;
                    }
                }
            }
        };
        if username.is_empty() || password.reveal().is_empty() || username.contains(':') {
            self.resolver
                .error(key, "needs a username, which has no colon, and a password");
        }
        self.resolver.note(key, format_args!("{username}:***"), origin);
        Some(BasicAuth { username, password })
    }

    fn routes(&mut self, name: &str, written: Option<List>, variable: &str) -> Vec<String> {
        let key = format!("api.{name}");
        let of_file = written.is_some();
        let List(routes) = self.one(name, written, variable, list, List(Vec::new()));
        for route in routes.iter().filter(|route| !served::is_route(route)) {
            let near = served::nearest_route(route);
            let message = format!("there is no route {route:?}; did you mean {near}?");
            // The proxy only warns of its variables, so a deployment of it may have such names.
            if of_file {
                self.resolver.error(&key, message);
            } else {
                self.resolver.notice(&key, message);
            }
        }
        routes
    }

    fn cors(&mut self, written: Option<Cors>) -> Option<CorsConfig> {
        let Cors {
            origin,
            methods,
            headers,
            expose_headers,
            credentials,
            max_age,
        } = written.unwrap_or_default();
        let List(origin) = self.one("cors.origin", origin.map(List), "CORS_ORIGIN", list, List(Vec::new()));
        if origin.is_empty() {
            return None;
        }
        let names = |names: &[&str]| List(names.iter().map(|&name| name.to_owned()).collect());
        let verbs = names(&["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"]);
        let sent = names(&["Content-Type", "Authorization"]);
        let exact = |text: &str| Some(text == "true");
        let config = CorsConfig {
            origin,
            methods: self
                .one("cors.methods", methods.map(List), "CORS_METHODS", list, verbs)
                .0,
            headers: self
                .one("cors.headers", headers.map(List), "CORS_HEADERS", list, sent)
                .0,
            expose_headers: self
                .one(
                    "cors.expose_headers",
                    expose_headers.map(List),
                    "CORS_EXPOSE_HEADERS",
                    list,
                    names(&[]),
                )
                .0,
            credentials: self.one("cors.credentials", credentials, "CORS_CREDENTIALS", exact, false),
            max_age: self
                .one(
                    "cors.max_age",
                    max_age.map(Seconds),
                    "CORS_MAX_AGE",
                    seconds,
                    Seconds(u32::MAX),
                )
                .known(),
        };
        let texts = [&config.origin, &config.methods, &config.headers, &config.expose_headers];
        let unfit = |text: &String| text.is_empty() || text.bytes().any(|byte| !(b' '..=b'~').contains(&byte));
        if texts.into_iter().flatten().any(unfit) {
            self.resolver.error(
                "api.cors",
                "its texts travel in headers: printable ASCII, and none empty",
            );
        }
        Some(config)
    }
}

/// Seconds, or none.
struct Seconds(u32);

impl Seconds {
    fn known(self) -> Option<u32> {
        (self.0 != u32::MAX).then_some(self.0)
    }
}

impl Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == u32::MAX {
            f.write_str("(not said)")
        } else {
            self.0.fmt(f)
        }
    }
}

fn seconds(text: &str) -> Option<Seconds> {
    leading(text)
        .and_then(|seconds| u32::try_from(seconds).ok())
        .map(Seconds)
}
