//! TLS as libpq means it, over rustls.

mod verifier;

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use rustls::client::WebPkiServerVerifier;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::Error;
use super::keyword::Keywords;
use super::settings::invalid;
use verifier::{Trust, Verifier};

/// `sslmode`, from the weakest to the strongest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Mode {
    /// Never encrypted.
    Disable,
    /// Encrypted only where the server insists.
    Allow,
    /// Encrypted where the server can.
    Prefer,
    /// Encrypted; nothing is verified (Node's).
    NoVerify,
    /// Encrypted; the certificate's chain is verified where there is a root certificate.
    Require,
    /// The certificate's chain is verified.
    VerifyCa,
    /// The certificate's chain and its name are verified.
    VerifyFull,
}

/// What a server's certificate must lead back to.
#[derive(Debug, Clone)]
enum Roots {
    Absent,
    /// The system's roots, read once.
    System(Arc<OnceLock<Arc<RootCertStore>>>),
    File(PathBuf),
}

/// The part of [`Settings`](super::Settings) that concerns TLS. Files are read anew for every connection, so that renewed
/// certificates are taken up without a restart.
#[derive(Debug, Clone)]
pub(super) struct TlsSettings {
    pub(super) mode: Mode,
    roots: Roots,
    /// Paths of the client's own certificate and key.
    identity: Option<(PathBuf, PathBuf)>,
    revoked: Option<PathBuf>,
    sni: bool,
    versions: Vec<&'static SupportedProtocolVersion>,
    direct: bool,
}

impl TlsSettings {
    pub(super) fn from_keywords(
        keywords: &Keywords,
        environment: &dyn Fn(&str) -> Option<String>,
    ) -> Result<TlsSettings, Error> {
        let home = environment("HOME").map(|home| PathBuf::from(home).join(".postgresql"));
        let there = |name: &str| home.as_ref().map(|home| home.join(name)).filter(|path| path.is_file());

        let mut roots = match keywords.get("sslrootcert") {
            Some("system") => Roots::System(Arc::default()),
            Some(path) => Roots::File(PathBuf::from(path)),
            None => there("root.crt").map_or(Roots::Absent, Roots::File),
        };
        let mode = mode(keywords, &roots)?;
        if let (Mode::VerifyFull, Roots::Absent) = (mode, &roots) {
            roots = Roots::System(Arc::default());
        }
        if let (Mode::VerifyCa, Roots::Absent) = (mode, &roots) {
            return Err(Error::Settings(
                "sslmode=verify-ca needs the certificate of the authority: add sslrootcert=PATH, or use \
                 sslmode=verify-full, which trusts the system's authorities where none is named"
                    .to_owned(),
            ));
        }
        let own = |key, default| keywords.get(key).map(PathBuf::from).or_else(|| there(default));
        let identity = match (keywords.get("sslcertmode"), own("sslcert", "postgresql.crt")) {
            (Some("disable"), _) => None,
            (Some("require"), None) => {
                return Err(Error::Settings(
                    "sslcertmode=require needs sslcert and sslkey".to_owned(),
                ));
            }
            (None | Some("allow"), None) => None,
            (None | Some("allow" | "require"), Some(certificate)) => match own("sslkey", "postgresql.key") {
                Some(key) => Some((certificate, key)),
                None => return Err(Error::Settings("`sslcert` needs its key: add sslkey=PATH".to_owned())),
            },
            (Some(other), _) => return Err(invalid("sslcertmode", other, "disable, allow or require")),
        };
        Ok(TlsSettings {
            mode,
            roots,
            identity,
            revoked: own("sslcrl", "root.crl"),
            sni: match keywords.get("sslsni") {
                None | Some("1") => true,
                Some("0") => false,
                Some(other) => return Err(invalid("sslsni", other, "0 or 1")),
            },
            versions: versions(keywords)?,
            direct: keywords.get("sslnegotiation") == Some("direct"),
        })
    }

    /// What makes TLS connections by these settings.
    pub(super) fn connector(&self) -> Result<MakeRustlsConnect, Error> {
        let provider = Arc::new(ring::default_provider());
        let verifier = Verifier {
            algorithms: provider.signature_verification_algorithms,
            trust: self.trust()?,
        };
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&self.versions)
            .map_err(|error| Error::Settings(format!("TLS cannot be set up: {error}")))?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier));
        let identity = self.identity.as_ref().filter(|_| self.mode != Mode::Disable);
        let mut config = match identity {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => builder
                .with_client_auth_cert(certificates("sslcert", certificate)?, private_key(key)?)
                .map_err(|error| Error::Settings(format!("`sslcert` and `sslkey` cannot be used together: {error}")))?,
        };
        config.enable_sni = self.sni;
        if self.direct {
            config.alpn_protocols = vec![b"postgresql".to_vec()];
        }
        Ok(MakeRustlsConnect::new(config))
    }

    fn trust(&self) -> Result<Option<Trust>, Error> {
        if matches!(self.mode, Mode::Disable | Mode::NoVerify) {
            return Ok(None);
        }
        let (roots, mut named) = match &self.roots {
            Roots::Absent => return Ok(None),
            Roots::System(read) => (system_roots(read)?, Vec::new()),
            Roots::File(path) => {
                let certificates = certificates("sslrootcert", path)?;
                let mut store = RootCertStore::empty();
                for certificate in &certificates {
                    store
                        .add(certificate.clone())
                        .map_err(|error| unreadable("sslrootcert", path, error))?;
                }
                (Arc::new(store), certificates)
            }
        };
        let mut builder = WebPkiServerVerifier::builder_with_provider(roots, Arc::new(ring::default_provider()));
        if let Some(path) = &self.revoked {
            let lists = CertificateRevocationListDer::pem_file_iter(path)
                .and_then(Iterator::collect::<Result<Vec<_>, _>>)
                .map_err(|error| unreadable("sslcrl", path, error))?;
            builder = builder.with_crls(lists);
            named.clear();
        }
        let chain = builder
            .build()
            .map_err(|error| Error::Settings(format!("the root certificates cannot be used: {error}")))?;
        Ok(Some(Trust {
            chain,
            named,
            by_name: self.mode == Mode::VerifyFull,
        }))
    }
}

fn mode(keywords: &Keywords, roots: &Roots) -> Result<Mode, Error> {
    let system = matches!(roots, Roots::System(_));
    let said = match (keywords.get("sslmode"), keywords.get("ssl")) {
        (Some(mode), _) => Some(mode),
        (None, Some("true" | "1")) => Some("require"),
        (None, Some("false" | "0")) => Some("disable"),
        (None, Some("no-verify")) => Some("no-verify"),
        (None, Some(other)) => return Err(invalid("ssl", other, "true, false or no-verify")),
        (None, None) => None,
    };
    let mode = match said {
        None if system => Mode::VerifyFull,
        None | Some("prefer") => Mode::Prefer,
        Some("disable") => Mode::Disable,
        Some("allow") => Mode::Allow,
        Some("no-verify") => Mode::NoVerify,
        Some("require") => Mode::Require,
        Some("verify-ca") => Mode::VerifyCa,
        Some("verify-full") => Mode::VerifyFull,
        Some(other) => {
            let choices = "disable, allow, prefer, require, verify-ca, verify-full or no-verify";
            return Err(invalid("sslmode", other, choices));
        }
    };
    let nodes = keywords.get("uselibpqcompat") == Some("false");
    if nodes && said.is_some() && matches!(mode, Mode::Prefer | Mode::Require | Mode::VerifyCa) {
        return Ok(Mode::VerifyFull);
    }
    if system && mode != Mode::Disable && mode < Mode::VerifyFull {
        return Err(Error::Settings(
            "sslrootcert=system needs sslmode=verify-full: anyone can have a certificate from a public authority"
                .to_owned(),
        ));
    }
    Ok(mode)
}

/// rustls speaks 1.2 and 1.3; an older floor is met by both.
fn versions(keywords: &Keywords) -> Result<Vec<&'static SupportedProtocolVersion>, Error> {
    let choices = "TLSv1.2 or TLSv1.3";
    let mut versions = match keywords.get("ssl_min_protocol_version") {
        None | Some("TLSv1" | "TLSv1.1" | "TLSv1.2") => vec![&TLS13, &TLS12],
        Some("TLSv1.3") => vec![&TLS13],
        Some(other) => return Err(invalid("ssl_min_protocol_version", other, choices)),
    };
    match keywords.get("ssl_max_protocol_version") {
        None | Some("TLSv1.3") => {}
        Some("TLSv1.2") => versions.retain(|version| version.version == TLS12.version),
        Some(other) => return Err(invalid("ssl_max_protocol_version", other, choices)),
    }
    if versions.is_empty() {
        return Err(Error::Settings(
            "ssl_min_protocol_version is above ssl_max_protocol_version".to_owned(),
        ));
    }
    Ok(versions)
}

fn system_roots(read: &OnceLock<Arc<RootCertStore>>) -> Result<Arc<RootCertStore>, Error> {
    if let Some(roots) = read.get() {
        return Ok(Arc::clone(roots));
    }
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        return Err(Error::Settings(
            "the system has no root certificates; install the package ca-certificates, or name the authority's \
             certificate by sslrootcert=PATH"
                .to_owned(),
        ));
    }
    Ok(Arc::clone(read.get_or_init(|| Arc::new(roots))))
}

fn certificates(key: &str, path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let certificates = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| unreadable(key, path, error))?;
    if certificates.is_empty() {
        return Err(unreadable(key, path, "it holds no certificate in PEM form"));
    }
    Ok(certificates)
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, Error> {
    PrivateKeyDer::from_pem_file(path).map_err(|error| {
        let encrypted = std::fs::read_to_string(path).is_ok_and(|text| text.contains("ENCRYPTED"));
        if encrypted {
            unreadable(
                "sslkey",
                path,
                "it is encrypted; openssl pkey -in KEY -out PLAIN_KEY decrypts it",
            )
        } else {
            unreadable("sslkey", path, error)
        }
    })
}

fn unreadable(key: &str, path: &Path, why: impl std::fmt::Display) -> Error {
    Error::Settings(format!("`{key}={}` cannot be used: {why}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::{Error, Keywords, Mode, Roots, TlsSettings};

    fn tls(pairs: &[(&str, &str)]) -> Result<TlsSettings, Error> {
        let pairs = pairs
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect();
        let bare = |_: &str| None;
        TlsSettings::from_keywords(&Keywords::sort(pairs, &bare)?, &bare)
    }

    fn mode(pairs: &[(&str, &str)]) -> Mode {
        tls(pairs).unwrap().mode
    }

    #[test]
    fn every_mode_has_libpqs_meaning_unless_nodes_is_asked_for() {
        assert_eq!(mode(&[]), Mode::Prefer);
        assert_eq!(mode(&[("sslmode", "allow")]), Mode::Allow);
        assert_eq!(mode(&[("sslmode", "require")]), Mode::Require);
        assert_eq!(
            mode(&[("sslmode", "require"), ("uselibpqcompat", "true")]),
            Mode::Require
        );
        assert_eq!(
            mode(&[("sslmode", "require"), ("uselibpqcompat", "false")]),
            Mode::VerifyFull
        );
        assert_eq!(mode(&[("ssl", "true")]), Mode::Require);
        assert_eq!(mode(&[("ssl", "0")]), Mode::Disable);
        assert_eq!(mode(&[("ssl", "no-verify")]), Mode::NoVerify);
        assert_eq!(mode(&[("sslrootcert", "system")]), Mode::VerifyFull);
        assert!(
            tls(&[("sslmode", "sometimes")])
                .unwrap_err()
                .to_string()
                .contains("verify-full")
        );
    }

    #[test]
    fn weak_verification_is_refused_where_it_verifies_nothing() {
        assert!(tls(&[("sslmode", "verify-ca")]).is_err());
        assert!(tls(&[("sslmode", "require"), ("sslrootcert", "system")]).is_err());
        assert!(matches!(
            tls(&[("sslmode", "verify-full")]).unwrap().roots,
            Roots::System(_)
        ));
    }

    #[test]
    fn versions_are_narrowed() {
        let count = |pairs: &[(&str, &str)]| tls(pairs).map(|tls| tls.versions.len());
        assert_eq!(count(&[]).unwrap(), 2);
        assert_eq!(count(&[("ssl_min_protocol_version", "TLSv1.3")]).unwrap(), 1);
        assert_eq!(count(&[("ssl_max_protocol_version", "TLSv1.2")]).unwrap(), 1);
        assert!(
            count(&[
                ("ssl_min_protocol_version", "TLSv1.3"),
                ("ssl_max_protocol_version", "TLSv1.2")
            ])
            .is_err()
        );
    }

    #[test]
    fn files_that_are_not_there_are_named() {
        let missing = tls(&[("sslmode", "verify-full"), ("sslrootcert", "/nowhere/root.crt")]).unwrap();
        let message = missing.connector().err().unwrap().to_string();
        assert!(message.contains("sslrootcert=/nowhere/root.crt"), "{message}");
        assert!(
            tls(&[("sslcert", "/nowhere/a.crt")])
                .unwrap_err()
                .to_string()
                .contains("sslkey")
        );
        let unused = tls(&[("sslmode", "disable"), ("sslrootcert", "/nowhere/root.crt")]).unwrap();
        assert!(unused.connector().is_ok(), "without TLS no file is read");
    }
}
