//! Signatures after Standard Webhooks, version `v1`: HMAC-SHA256 over `id.timestamp.body`.

use base64::Engine;
use base64::alphabet::STANDARD as ALPHABET;
use base64::engine::general_purpose::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// Takes keys with and without their padding.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &ALPHABET,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A key that signs. It has no `Debug`, so that it is in no log.
#[derive(Clone)]
pub(super) struct Secret {
    keyed: Hmac<Sha256>,
}

impl Secret {
    /// Reads a secret the way the libraries of the standard do: after `whsec_`, or without it, stands the key in
    /// base64. A secret without the prefix that is no base64 is the key itself (those libraries' format `raw`).
    pub(super) fn parse(text: &str) -> Result<Secret, &'static str> {
        let key = match text.strip_prefix("whsec_") {
            Some(encoded) => LENIENT
                .decode(encoded)
                .map_err(|_| "is not base64 after its prefix `whsec_`")?,
            None => LENIENT.decode(text).unwrap_or_else(|_| text.as_bytes().to_vec()),
        };
        if key.is_empty() {
            return Err("is empty");
        }
        let keyed = Hmac::<Sha256>::new_from_slice(&key).expect("HMAC takes keys of any length");
        Ok(Secret { keyed })
    }

    fn sign(&self, id: &str, timestamp: i64, body: &[u8]) -> String {
        let mut mac = self.keyed.clone();
        mac.update(id.as_bytes());
        mac.update(b".");
        mac.update(timestamp.to_string().as_bytes());
        mac.update(b".");
        mac.update(body);
        format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
    }
}

/// The value of `webhook-signature`: one signature per secret, so that a receiver that knows any of them is content.
pub(super) fn signatures(secrets: &[Secret], id: &str, timestamp: i64, body: &[u8]) -> Option<String> {
    let signatures: Vec<String> = secrets.iter().map(|secret| secret.sign(id, timestamp, body)).collect();
    (!signatures.is_empty()).then(|| signatures.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &[u8] = br#"{"test": 2432232314}"#;
    const ID: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
    const TIMESTAMP: i64 = 1_614_265_330;

    fn signed(secrets: &[&str]) -> String {
        let secrets: Vec<Secret> = secrets
            .iter()
            .map(|text| Secret::parse(text).expect("a good secret"))
            .collect();
        signatures(&secrets, ID, TIMESTAMP, BODY).expect("at least one secret")
    }

    #[test]
    fn the_example_of_the_standard_is_met() {
        assert_eq!(
            signed(&["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"]),
            "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
        );
    }

    #[test]
    fn prefix_and_padding_do_not_change_the_key() {
        let expected = signed(&["whsec_MfKQ9r8GKYqrTwjUPD8ILA=="]);
        assert_eq!(signed(&["MfKQ9r8GKYqrTwjUPD8ILA=="]), expected);
        assert_eq!(signed(&["whsec_MfKQ9r8GKYqrTwjUPD8ILA"]), expected);
    }

    #[test]
    fn text_that_is_no_base64_is_the_key_itself() {
        let encoded = format!("whsec_{}", STANDARD.encode("a plain secret!"));
        assert_eq!(signed(&["a plain secret!"]), signed(&[&encoded]));
    }

    #[test]
    fn several_secrets_sign_in_their_order() {
        let both = signed(&["whsec_b25l", "whsec_dHdv"]);
        assert_eq!(both, format!("{} {}", signed(&["whsec_b25l"]), signed(&["whsec_dHdv"])));
    }

    #[test]
    fn without_a_secret_nothing_is_signed() {
        assert_eq!(signatures(&[], ID, TIMESTAMP, BODY), None);
    }

    #[test]
    fn what_cannot_be_a_key_is_refused() {
        assert_eq!(Secret::parse("").err(), Some("is empty"));
        assert_eq!(Secret::parse("whsec_").err(), Some("is empty"));
        assert_eq!(
            Secret::parse("whsec_no base64").err(),
            Some("is not base64 after its prefix `whsec_`")
        );
    }
}
