//! Which server certificates are believed.

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{
    WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature, verify_tls13_signature_with_raw_key,
};
use rustls::pki_types::{CertificateDer, ServerName, SubjectPublicKeyInfoDer, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error, SignatureScheme};
use x509_cert::der::oid::db::rfc4519::COMMON_NAME;
use x509_cert::der::{Decode, Encode};
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::spki::AlgorithmIdentifierOwned;
use x509_cert::{Certificate, Version};

/// Believes what the `sslmode` says: anything, a chain, or a chain and a name.
///
/// The proof that the server owns the certificate's key is demanded in every mode: channel binding rests on it.
#[derive(Debug)]
pub(super) struct Verifier {
    pub(super) algorithms: WebPkiSupportedAlgorithms,
    /// Without it every certificate is believed.
    pub(super) trust: Option<Trust>,
}

/// What a certificate must show.
#[derive(Debug)]
pub(super) struct Trust {
    pub(super) chain: Arc<WebPkiServerVerifier>,
    /// The certificates the user has named, unless there is a revocation list, which only the chain heeds. They are for
    /// two kinds of certificate that webpki turns down and OpenSSL, and so libpq, does not. A server may show one of these
    /// very certificates: the usual self-signed one is marked as an authority's. And one of these may have issued a
    /// certificate of X.509 version 1, as `openssl x509 -req` made them for long in the way of PostgreSQL's manual.
    pub(super) named: Vec<CertificateDer<'static>>,
    /// Whether the name must fit as well.
    pub(super) by_name: bool,
}

impl Trust {
    /// Whether one of the named certificates has signed this one.
    fn has_issued(&self, certificate: &CertificateDer<'_>, algorithms: &WebPkiSupportedAlgorithms) -> bool {
        let Ok(issued) = parsed(certificate) else {
            return false;
        };
        self.named
            .iter()
            .filter_map(|issuer| parsed(issuer).ok())
            .filter(|issuer| issuer.tbs_certificate.subject == issued.tbs_certificate.issuer)
            .any(|issuer| signed(&issued, &issuer, algorithms).unwrap_or(false))
    }
}

/// Whether `issued` is signed by the key of `issuer`.
fn signed(
    issued: &Certificate,
    issuer: &Certificate,
    algorithms: &WebPkiSupportedAlgorithms,
) -> Result<bool, x509_cert::der::Error> {
    let key = &issuer.tbs_certificate.subject_public_key_info;
    let key_is = identifier(&key.algorithm)?;
    let signature_is = identifier(&issued.signature_algorithm)?;
    let message = issued.tbs_certificate.to_der()?;
    let (key, signature) = (key.subject_public_key.raw_bytes(), issued.signature.raw_bytes());
    Ok(algorithms
        .all
        .iter()
        .filter(|known| {
            known.public_key_alg_id().as_ref() == key_is && known.signature_alg_id().as_ref() == signature_is
        })
        .any(|known| known.verify_signature(key, &message, signature).is_ok()))
}

/// What is inside an algorithm's identifier, as webpki compares them.
fn identifier(algorithm: &AlgorithmIdentifierOwned) -> Result<Vec<u8>, x509_cert::der::Error> {
    let mut identifier = algorithm.oid.to_der()?;
    if let Some(parameters) = &algorithm.parameters {
        identifier.extend(parameters.to_der()?);
    }
    Ok(identifier)
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let Some(trust) = &self.trust else {
            return Ok(ServerCertVerified::assertion());
        };
        let version_1 = parsed(end_entity)?.tbs_certificate.version == Version::V1;
        let shown = trust.named.iter().any(|named| named == end_entity);
        let named = if shown || (version_1 && trust.has_issued(end_entity, &self.algorithms)) {
            in_force(end_entity, now)?;
            if version_1 {
                // It has no place for the names of hosts.
                Err(CertificateError::NotValidForName.into())
            } else {
                ParsedCertificate::try_from(end_entity)
                    .and_then(|parsed| rustls::client::verify_server_name(&parsed, server_name))
            }
        } else {
            // The name is looked at last: an error about it means that the chain holds.
            trust
                .chain
                .verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
                .map(|_| ())
        };
        match named {
            Ok(()) => Ok(ServerCertVerified::assertion()),
            Err(error) if !wrong_name(&error) => Err(error),
            Err(_) if !trust.by_name || common_name_fits(end_entity, server_name) => {
                Ok(ServerCertVerified::assertion())
            }
            Err(error) => Err(error),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        if ParsedCertificate::try_from(cert).is_ok() {
            return verify_tls13_signature(message, cert, dss, &self.algorithms);
        }
        // A certificate of version 1 is none to webpki; its key is one all the same.
        let key = parsed(cert)?
            .tbs_certificate
            .subject_public_key_info
            .to_der()
            .map_err(|_| CertificateError::BadEncoding)?;
        verify_tls13_signature_with_raw_key(message, &SubjectPublicKeyInfoDer::from(key), dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

fn wrong_name(error: &Error) -> bool {
    matches!(
        error,
        Error::InvalidCertificate(CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. })
    )
}

fn parsed(certificate: &CertificateDer<'_>) -> Result<Certificate, CertificateError> {
    Certificate::from_der(certificate).map_err(|_| CertificateError::BadEncoding)
}

fn in_force(certificate: &CertificateDer<'_>, now: UnixTime) -> Result<(), CertificateError> {
    let validity = parsed(certificate)?.tbs_certificate.validity;
    if now.as_secs() < validity.not_before.to_unix_duration().as_secs() {
        return Err(CertificateError::NotValidYet);
    }
    if now.as_secs() > validity.not_after.to_unix_duration().as_secs() {
        return Err(CertificateError::Expired);
    }
    Ok(())
}

/// Whether a certificate that names no host in its subjectAltName names this one as its common name; webpki does not
/// look there, libpq does, and PostgreSQL's manual makes its certificates that way.
fn common_name_fits(certificate: &CertificateDer<'_>, server_name: &ServerName<'_>) -> bool {
    let Ok(certificate) = parsed(certificate) else {
        return false;
    };
    let names = certificate.tbs_certificate.get::<SubjectAltName>();
    let names_hosts = match names {
        Ok(Some((_, SubjectAltName(names)))) => names
            .iter()
            .any(|name| matches!(name, GeneralName::DnsName(_) | GeneralName::IpAddress(_))),
        Ok(None) => false,
        Err(_) => true,
    };
    if names_hosts {
        return false;
    }
    let common_name = certificate
        .tbs_certificate
        .subject
        .0
        .iter()
        .flat_map(|relative| relative.0.iter())
        .rfind(|attribute| attribute.oid == COMMON_NAME)
        .and_then(|attribute| std::str::from_utf8(attribute.value.value()).ok());
    let Some(common_name) = common_name else {
        return false;
    };
    let host = server_name.to_str();
    match (common_name.strip_prefix("*."), host.split_once('.')) {
        (Some(domain), Some((_, rest))) if matches!(server_name, ServerName::DnsName(_)) => {
            rest.eq_ignore_ascii_case(domain)
        }
        _ => host.eq_ignore_ascii_case(common_name),
    }
}
