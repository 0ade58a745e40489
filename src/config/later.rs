//! Sections for work this release does not do. They are read and validated like all others, so that a file written
//! for a later release is understood; what asks for that work is refused, never silently ignored.

use schemars::JsonSchema;
use serde::Deserialize;

use super::file::File;
use super::resolve::Resolver;
use super::secret::Secret;

#[expect(dead_code, reason = "their types are all this release looks at")]
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Api {
    /// Serve the routes. Not in this release.
    #[schemars(extend("default" = false))]
    enabled: Option<bool>,
    /// What the routes begin with.
    #[schemars(extend("default" = "/api"))]
    prefix: Option<String>,
    /// Real messages in 500 answers.
    #[schemars(extend("default" = false))]
    expose_errors: Option<bool>,
    /// The largest request that is read, in bytes.
    #[schemars(range(min = 1), extend("default" = 1_048_576))]
    body_limit: Option<usize>,
    /// User and password to be asked for, instead of `http.api_token`.
    basic_auth: Option<BasicAuth>,
    /// The names of the routes to serve; all where not said.
    allow: Option<Vec<String>>,
    /// The names of the routes not to serve.
    deny: Option<Vec<String>>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct BasicAuth {
    /// The user's name.
    username: String,
    /// The password.
    password: Secret,
}

impl File {
    /// Validates the sections above and refuses what asks for work that is not there.
    pub(super) fn later(&self, resolver: &mut Resolver<'_>) {
        self.api.check(resolver, self.http.api_token.as_ref());
    }
}

impl Api {
    fn check(&self, resolver: &mut Resolver<'_>, token: Option<&Secret>) {
        if self.prefix.as_deref().is_some_and(|prefix| !prefix.starts_with('/')) {
            resolver.error("api.prefix", "must begin with \"/\"");
        }
        if self.body_limit == Some(0) {
            resolver.error("api.body_limit", "must be at least 1");
        }
        if let Some(BasicAuth { username, password }) = &self.basic_auth
            && (username.is_empty() || password.reveal().is_empty())
        {
            resolver.error("api.basic_auth", "needs a username and a password");
        }
        for (key, routes) in [("api.allow", &self.allow), ("api.deny", &self.deny)] {
            if routes.iter().flatten().any(String::is_empty) {
                resolver.error(key, "a route's name must not be empty");
            }
        }
        if self.enabled == Some(true) {
            resolver.error(
                "api.enabled",
                "[api] enabled = true: this release does not serve the /api routes; set it to false",
            );
        }
        if token.is_some_and(|token| !token.reveal().is_empty()) {
            resolver.error(
                "http.api_token",
                "this release does not serve the /api routes; leave the key out",
            );
        }
    }
}
