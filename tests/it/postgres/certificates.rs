//! Authorities, certificates, and a server that shows them.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DistinguishedName, DnType, IsCa, Issuer,
    KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams, SerialNumber, SigningKey, date_time_ymd,
};
use strawboss::demo::cluster::Cluster;
use tempfile::TempDir;
use x509_cert::der::asn1::BitString;
use x509_cert::der::{Decode, Encode};

use crate::support::server::{connect, private_cluster};

/// An authority, and the directory with its certificate and all that it has issued.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    directory: TempDir,
}

/// A certificate and its key, in PEM.
pub struct Identity {
    pub certificate: String,
    pub key: String,
}

impl Authority {
    pub fn new(name: &str) -> Authority {
        let directory = tempfile::tempdir().expect("there is room");
        let mut params = named(name, &[]);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("a certificate");
        fs::write(directory.path().join("root.crt"), certificate.pem()).expect("written");
        Authority {
            issuer: Issuer::new(params, key),
            directory,
        }
    }

    /// The path of its own certificate.
    pub fn root(&self) -> PathBuf {
        self.directory.path().join("root.crt")
    }

    /// A certificate for a common name and, beside it, these names of hosts.
    pub fn issue(&self, common_name: &str, hosts: &[&str]) -> Identity {
        self.issue_by(named(common_name, hosts))
    }

    pub fn issue_by(&self, params: CertificateParams) -> Identity {
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        Identity {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
        }
    }

    /// A certificate of X.509 version 1, as `openssl x509 -req` makes them.
    pub fn issue_of_version_1(&self, common_name: &str) -> Identity {
        let key = KeyPair::generate().expect("a key");
        let modern = named(common_name, &[])
            .signed_by(&key, &self.issuer)
            .expect("a certificate");
        let mut certificate = x509_cert::Certificate::from_der(modern.der()).expect("a certificate");
        let body = &mut certificate.tbs_certificate;
        body.version = x509_cert::Version::V1;
        body.extensions = None;
        let signature = self
            .issuer
            .key()
            .sign(&body.to_der().expect("DER"))
            .expect("a signature");
        certificate.signature = BitString::from_bytes(&signature).expect("bits");
        let base64 = base64::Engine::encode(
            &base64::engine::general_purpose::STANDARD,
            certificate.to_der().expect("DER"),
        );
        Identity {
            certificate: format!("-----BEGIN CERTIFICATE-----\n{base64}\n-----END CERTIFICATE-----\n"),
            key: key.serialize_pem(),
        }
    }

    /// The path of a list on which the certificate of this number is revoked.
    pub fn revoke(&self, number: u64) -> PathBuf {
        let params = CertificateRevocationListParams {
            this_update: date_time_ymd(2020, 1, 1),
            next_update: date_time_ymd(2100, 1, 1),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: vec![RevokedCertParams {
                serial_number: SerialNumber::from(number),
                revocation_time: date_time_ymd(2020, 1, 1),
                reason_code: None,
                invalidity_date: None,
            }],
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let list = params.signed_by(&self.issuer).expect("a list");
        let path = self.directory.path().join("root.crl");
        fs::write(&path, list.pem().expect("PEM")).expect("written");
        path
    }

    /// Writes an identity into files: the paths of certificate and key.
    pub fn write(&self, identity: &Identity, name: &str) -> (PathBuf, PathBuf) {
        let path = |extension| self.directory.path().join(format!("{name}.{extension}"));
        fs::write(path("crt"), &identity.certificate).expect("written");
        fs::write(path("key"), &identity.key).expect("written");
        (path("crt"), path("key"))
    }
}

pub fn named(common_name: &str, hosts: &[&str]) -> CertificateParams {
    let hosts: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
    let mut params = CertificateParams::new(hosts).expect("names of hosts");
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common_name);
    params
}

/// A self-signed certificate marked as an authority's, as `openssl req -x509` makes them.
pub fn self_signed(hosts: &[&str]) -> Identity {
    let mut params = named("self", hosts);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().expect("a key");
    Identity {
        certificate: params.self_signed(&key).expect("a certificate").pem(),
        key: key.serialize_pem(),
    }
}

/// A server that speaks TLS.
pub struct Secured {
    cluster: Cluster,
}

impl Secured {
    /// Starts one that shows `identity`, trusts the clients of `authority`, and lets in whom `rules` (lines of
    /// pg_hba.conf) let in; the superuser comes in by password over TCP in any case, and runs `setup`.
    pub async fn start(identity: &Identity, authority: &Authority, rules: &str, setup: &str) -> Secured {
        let secured = Secured {
            cluster: private_cluster(),
        };
        let client = connect(&secured.cluster.url()).await;
        secured.give(
            "root.crt",
            &fs::read_to_string(authority.root()).expect("it was written"),
        );
        secured.give("server.crt", &identity.certificate);
        secured.give("server.key", &identity.key);
        for setting in ["ssl = on", "ssl_ca_file = 'root.crt'"] {
            client
                .batch_execute(&format!("alter system set {setting}"))
                .await
                .expect("it is allowed");
        }
        client.batch_execute(setup).await.expect("the setup runs");
        let rules = format!("{rules}\nlocal all all scram-sha-256\nhost all postgres 127.0.0.1/32 scram-sha-256\n");
        secured.give("pg_hba.conf", &rules);
        let mut secured = secured;
        secured.cluster.restart().expect("it comes back");
        secured
    }

    /// Shows another certificate from now on.
    pub fn show(&mut self, identity: &Identity) {
        self.give("server.crt", &identity.certificate);
        self.give("server.key", &identity.key);
        self.cluster.restart().expect("it comes back");
    }

    pub fn port(&self) -> u16 {
        self.cluster.port()
    }

    pub fn superuser(&self) -> String {
        self.cluster.url()
    }

    /// The directory of its socket.
    pub fn directory(&self) -> &Path {
        self.cluster.directory()
    }

    /// Writes a file into the server's directory, its owner's and nobody else's.
    fn give(&self, name: &str, text: &str) {
        let data = self.cluster.directory().join("data");
        let path = data.join(name);
        fs::write(&path, text).expect("the directory can be written to");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("the file is ours");
        let owner = fs::metadata(&data).expect("it is there");
        chown(&path, Some(owner.uid()), Some(owner.gid())).expect("the file is ours to give");
    }
}
