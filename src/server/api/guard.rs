//! Who may use the routes.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use hmac::{Hmac, KeyInit, Mac};
use http::HeaderValue;
use sha2::Sha256;

use crate::config::ApiConfig;

type Keyed = Hmac<Sha256>;

/// Knows the credentials again without keeping them, and takes the same time whether they are nearly right or not at all.
pub(super) struct Guard {
    key: Keyed,
    token: Option<Vec<u8>>,
    basic: Option<(Vec<u8>, Vec<u8>)>,
    challenge: HeaderValue,
}

impl Guard {
    /// `None` where nobody is asked.
    pub fn of(config: &ApiConfig) -> Option<Guard> {
        let key = Keyed::new_from_slice(&rand::random::<[u8; 32]>()).expect("HMAC takes keys of any length");
        let mark = |text: &str| {
            let mut mac = key.clone();
            mac.update(text.as_bytes());
            mac.finalize().into_bytes().to_vec()
        };
        let token = config.token.as_ref().map(|token| mark(token.reveal()));
        let basic = config
            .basic_auth
            .as_ref()
            .map(|basic| (mark(&basic.username), mark(basic.password.reveal())));
        let challenge = match (&token, &basic) {
            (None, None) => return None,
            (None, Some(_)) => r#"Basic realm="Secure Area""#,
            (Some(_), None) => r#"Bearer realm="Secure Area""#,
            (Some(_), Some(_)) => r#"Basic realm="Secure Area", Bearer realm="Secure Area""#,
        };
        Some(Guard {
            challenge: HeaderValue::from_static(challenge),
            key,
            token,
            basic,
        })
    }

    /// What a refused client is told to come with.
    pub fn challenge(&self) -> HeaderValue {
        self.challenge.clone()
    }

    /// Whether these are credentials that are known here.
    pub fn admits(&self, authorization: Option<&HeaderValue>) -> bool {
        let Some((scheme, given)) = authorization
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.trim().split_once(' '))
        else {
            return false;
        };
        let given = given.trim();
        if scheme.eq_ignore_ascii_case("bearer") {
            return self.token.as_ref().is_some_and(|token| self.is(given, token));
        }
        if !scheme.eq_ignore_ascii_case("basic") {
            return false;
        }
        let decoded = STANDARD.decode(given).or_else(|_| URL_SAFE.decode(given));
        let Some((username, password)) =
            decoded
                .ok()
                .and_then(|bytes| String::from_utf8(bytes).ok())
                .and_then(|text| {
                    text.split_once(':')
                        .map(|(name, word)| (name.to_owned(), word.to_owned()))
                })
        else {
            return false;
        };
        // Both are looked at, whatever the first says.
        self.basic
            .as_ref()
            .is_some_and(|(name, word)| self.is(&username, name) & self.is(&password, word))
    }

    fn is(&self, given: &str, mark: &[u8]) -> bool {
        let mut mac = self.key.clone();
        mac.update(given.as_bytes());
        mac.verify_slice(mark).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{BasicAuth, Secret};

    fn guard(token: Option<&str>, basic: Option<(&str, &str)>) -> Option<Guard> {
        Guard::of(&ApiConfig {
            token: token.map(Secret::new),
            basic_auth: basic.map(|(username, password)| BasicAuth {
                username: username.to_owned(),
                password: Secret::new(password),
            }),
            ..ApiConfig::default()
        })
    }

    fn admits(guard: &Guard, header: &str) -> bool {
        guard.admits(Some(&HeaderValue::from_str(header).expect("a header")))
    }

    #[test]
    fn without_credentials_nobody_is_asked() {
        assert!(guard(None, None).is_none());
    }

    #[test]
    fn the_bearer_of_the_token_is_admitted() {
        let guard = guard(Some("t0ken"), None).expect("somebody is asked");
        assert!(admits(&guard, "Bearer t0ken") && admits(&guard, "bearer  t0ken"));
        for header in [
            "Bearer t0kem",
            "Bearer t0kenn",
            "Bearer",
            "Bearer ",
            "t0ken",
            "Basic dDBrZW46",
            "Basic t0ken",
        ] {
            assert!(!admits(&guard, header), "{header}");
        }
        assert!(!guard.admits(None));
        assert_eq!(guard.challenge(), r#"Bearer realm="Secure Area""#);
    }

    #[test]
    fn name_and_password_are_both_needed() {
        let guard = guard(None, Some(("ada", "p:w"))).expect("somebody is asked");
        let basic = |text: &str| format!("Basic {}", STANDARD.encode(text));
        assert!(admits(&guard, &basic("ada:p:w")));
        for wrong in ["ada:p", "bob:p:w", "ada", "", ":", "ada:"] {
            assert!(!admits(&guard, &basic(wrong)), "{wrong}");
        }
        assert!(!admits(&guard, "Bearer ada:p:w") && !admits(&guard, "Basic ###"));
    }
}
