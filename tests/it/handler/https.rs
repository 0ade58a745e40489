//! Endpoints behind TLS.

use std::process::Command;

use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::PrivateKeyDer;
use strawboss::handler::Then;

use super::{http, made, run};
use crate::support::sink::Sink;

/// An endpoint with a certificate of its own for `localhost`, and that certificate.
async fn endpoint() -> (Sink, String) {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let config = ServerConfig::builder_with_provider(ring::default_provider().into())
        .with_safe_default_protocol_versions()
        .expect("TLS 1.2 and 1.3")
        .with_no_client_auth()
        .with_single_cert(
            vec![cert.der().clone()],
            PrivateKeyDer::Pkcs8(signing_key.serialize_der().into()),
        )
        .expect("a certificate and its key");
    (Sink::start_tls(config).await, cert.pem())
}

/// What the system trusts is read once in a process, so this test runs itself again in one that trusts what it should.
#[tokio::test]
async fn only_a_trusted_endpoint_gets_the_job() {
    const TRUSTED: &str = "STRAWBOSS_TEST_TRUSTED";
    if let Ok(port) = std::env::var(TRUSTED) {
        let (stranger, _) = endpoint().await;
        let url = format!("https://localhost:{}/", stranger.address.port());
        let error = run(&made(&http(&url))).await.expect_err("it is not trusted");
        assert_eq!((error.name.as_str(), error.then), ("NetworkError", Then::Retry));
        assert!(error.message.contains("certificate"), "{error}");
        assert!(stranger.received().is_empty());

        let misnamed = format!("https://127.0.0.1:{port}/");
        run(&made(&http(&misnamed)))
            .await
            .expect_err("it is trusted under another name");
        let url = format!("https://localhost:{port}/");
        run(&made(&http(&url))).await.expect("it is trusted");
        return;
    }
    let (trusted, certificate) = endpoint().await;
    let roots = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(roots.path(), certificate).expect("it can be written");
    let mut again = Command::new(std::env::current_exe().expect("this program"));
    again
        .args(["--exact", "handler::https::only_a_trusted_endpoint_gets_the_job"])
        .env("SSL_CERT_FILE", roots.path())
        .env_remove("SSL_CERT_DIR")
        .env(TRUSTED, trusted.address.port().to_string());
    let output = tokio::task::spawn_blocking(move || again.output()).await;
    let output = output.expect("no panic").expect("it runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    // Only a test that really ran has asked us.
    assert_eq!(trusted.only().body, "{}");
}
