//! Every `sslmode` against servers that can, cannot, and should not be believed.

use rcgen::date_time_ymd;
use strawboss::postgres::{Class, Client};
use tokio::sync::OnceCell;

use super::certificates::{Authority, Secured, named, self_signed};
use super::{connect, row, with};
use crate::support::server::private_cluster;

/// Who may come in how, beside the superuser.
const RULES: &str = "
    hostssl all certified 127.0.0.1/32 cert
    hostssl all encrypted 127.0.0.1/32 scram-sha-256
    hostnossl all plain 127.0.0.1/32 scram-sha-256
    host all trusted 127.0.0.1/32 trust";
const ROLES: &str = "
    create role certified login; create role trusted login;
    create role encrypted login password 'pw'; create role plain login password 'pw'";

struct World {
    server: Secured,
    authority: Authority,
    stranger: Authority,
}

/// A server whose certificate names `localhost`, and an authority that has nothing to do with it.
async fn world() -> &'static World {
    static WORLD: OnceCell<World> = OnceCell::const_new();
    WORLD
        .get_or_init(|| async {
            let authority = Authority::new("ours");
            let server = Secured::start(&authority.issue("db", &["localhost"]), &authority, RULES, ROLES).await;
            World {
                server,
                authority,
                stranger: Authority::new("a stranger"),
            }
        })
        .await
}

impl World {
    fn url(&self, user: &str, host: &str, query: &str) -> String {
        let query = query
            .replace("{ours}", &self.authority.root().display().to_string())
            .replace("{strange}", &self.stranger.root().display().to_string());
        format!("postgres://{user}@{host}:{}/postgres?{query}", self.server.port())
    }

    /// The TLS version of the connection made so, `plain` without TLS, or the error.
    async fn wire(&self, user: &str, host: &str, query: &str) -> String {
        match connect(&self.url(user, host, query)).await {
            Ok(client) => wire(&client).await,
            Err(error) => format!("{:?}: {error}", error.class()),
        }
    }
}

async fn wire(client: &Client) -> String {
    let sql = "select coalesce(version, 'plain') from pg_stat_ssl where pid = pg_backend_pid()";
    row(client, sql).await.get(0)
}

#[tokio::test]
async fn every_mode_encrypts_and_verifies_what_libpq_would() {
    let world = world().await;
    for (user, host, query, expected) in [
        ("trusted", "127.0.0.1", "sslmode=disable", "plain"),
        ("trusted", "127.0.0.1", "sslmode=allow", "plain"),
        ("encrypted:pw", "127.0.0.1", "sslmode=allow", "TLSv1.3"),
        ("trusted", "127.0.0.1", "", "TLSv1.3"),
        ("trusted", "127.0.0.1", "sslmode=prefer", "TLSv1.3"),
        ("plain:pw", "127.0.0.1", "sslmode=prefer", "plain"),
        ("trusted", "127.0.0.1", "sslmode=prefer&sslrootcert={strange}", "plain"),
        ("trusted", "127.0.0.1", "sslmode=require", "TLSv1.3"),
        ("trusted", "127.0.0.1", "sslmode=require&sslrootcert={ours}", "TLSv1.3"),
        (
            "trusted",
            "127.0.0.1",
            "sslmode=no-verify&sslrootcert={strange}",
            "TLSv1.3",
        ),
        ("trusted", "127.0.0.1", "ssl=true", "TLSv1.3"),
        (
            "trusted",
            "127.0.0.1",
            "sslmode=verify-ca&sslrootcert={ours}",
            "TLSv1.3",
        ),
        (
            "trusted",
            "localhost",
            "sslmode=verify-full&sslrootcert={ours}",
            "TLSv1.3",
        ),
        (
            "trusted",
            "localhost",
            "sslrootcert={ours}&sslmode=require&uselibpqcompat=false",
            "TLSv1.3",
        ),
        (
            "trusted",
            "localhost",
            "hostaddr=127.0.0.1&sslmode=verify-full&sslrootcert={ours}",
            "TLSv1.3",
        ),
        (
            "trusted",
            "127.0.0.1",
            "sslmode=require&ssl_max_protocol_version=TLSv1.2",
            "TLSv1.2",
        ),
        ("trusted", "127.0.0.1", "sslmode=require&sslsni=0", "TLSv1.3"),
    ] {
        assert_eq!(world.wire(user, host, query).await, expected, "{user} {host} {query}");
    }
}

#[tokio::test]
async fn a_server_that_should_not_be_believed_is_not_and_the_remedy_is_said() {
    let world = world().await;
    for (user, host, query, remedy) in [
        (
            "trusted",
            "127.0.0.1",
            "sslmode=require&sslrootcert={strange}",
            "sslrootcert=PATH",
        ),
        (
            "trusted",
            "127.0.0.1",
            "sslmode=verify-ca&sslrootcert={strange}",
            "sslrootcert=PATH",
        ),
        (
            "trusted",
            "localhost",
            "sslmode=verify-full&sslrootcert={strange}",
            "sslrootcert=PATH",
        ),
        ("trusted", "localhost", "sslmode=verify-full", "sslrootcert=PATH"),
        ("trusted", "localhost", "sslrootcert=system", "sslrootcert=PATH"),
        (
            "trusted",
            "127.0.0.1",
            "sslmode=verify-full&sslrootcert={ours}",
            "names another host",
        ),
        (
            "trusted",
            "127.0.0.1",
            "sslmode=require&uselibpqcompat=false&sslrootcert={ours}",
            "names another host",
        ),
        ("plain:pw", "127.0.0.1", "sslmode=require", "pg_hba.conf"),
        ("encrypted:pw", "127.0.0.1", "sslmode=disable", "sslmode=require"),
        ("encrypted:wrong", "127.0.0.1", "sslmode=allow", "PGPASSWORD"),
        (
            "trusted",
            "127.0.0.1",
            "sslmode=require&channel_binding=require",
            "scram-sha-256",
        ),
    ] {
        let refusal = world.wire(user, host, query).await;
        assert!(refusal.starts_with("Permanent: "), "{user} {host} {query}: {refusal}");
        assert!(refusal.contains(remedy), "{user} {host} {query}: {refusal}");
        assert!(!refusal.contains("wrong@"), "{refusal}");
    }
}

#[tokio::test]
async fn the_channel_is_bound_where_the_password_is_scram() {
    let world = world().await;
    let bound = "sslmode=require&channel_binding=require";
    assert_eq!(world.wire("encrypted:pw", "127.0.0.1", bound).await, "TLSv1.3");
}

#[tokio::test]
async fn a_client_certificate_logs_in() {
    let world = world().await;
    let (certificate, key) = world
        .authority
        .write(&world.authority.issue("certified", &[]), "certified");
    let own = format!(
        "sslmode=require&sslcert={}&sslkey={}",
        certificate.display(),
        key.display()
    );
    assert_eq!(world.wire("certified", "127.0.0.1", &own).await, "TLSv1.3");

    let refusal = world.wire("certified", "127.0.0.1", "sslmode=require").await;
    assert!(refusal.contains("sslcert=PATH&sslkey=PATH"), "{refusal}");

    let (_, foreign) = world.authority.write(&world.authority.issue("other", &[]), "other");
    let mixed = format!(
        "sslmode=require&sslcert={}&sslkey={}",
        certificate.display(),
        foreign.display()
    );
    assert!(
        strawboss::postgres::Database::new(
            &strawboss::postgres::Settings::parse(&world.url("certified", "127.0.0.1", &mixed)).expect("understood")
        )
        .is_err(),
        "a key of another certificate is noticed before anybody connects"
    );
}

#[tokio::test]
async fn sockets_are_not_encrypted_whatever_the_mode() {
    let world = world().await;
    let superuser = world.server.superuser();
    let password = superuser.split([':', '@']).nth(2).expect("the URL has a password");
    let directory = world.server.directory().display();
    let url = format!(
        "host={directory} port={} user=postgres password={password} dbname=postgres sslmode=verify-full",
        world.server.port()
    );
    let client = connect(&url).await.expect("the socket is there");
    assert_eq!(wire(&client).await, "plain");
}

#[tokio::test]
async fn a_server_without_tls_is_used_only_where_that_is_allowed() {
    let cluster = private_cluster();
    let url = cluster.url();
    for mode in ["disable", "allow", "prefer"] {
        let client = connect(&with(&url, &format!("sslmode={mode}")))
            .await
            .expect("TLS is not needed");
        assert_eq!(wire(&client).await, "plain");
    }
    for mode in ["require", "no-verify", "verify-full"] {
        let error = connect(&with(&url, &format!("sslmode={mode}")))
            .await
            .err()
            .expect("TLS is needed");
        assert_eq!(error.class(), Class::Permanent);
        assert!(error.to_string().contains("postgresql.conf"), "{error}");
    }
}

#[tokio::test]
async fn certificates_as_people_make_them_are_believed_as_libpq_would() {
    let authority = Authority::new("ours");
    let own = self_signed(&["localhost"]);
    let (own_root, _) = authority.write(&own, "self");
    let mut server = Secured::start(&own, &authority, RULES, ROLES).await;
    let attempt = async |server: &Secured, host: &str, query: &str| {
        let url = format!("postgres://trusted@{host}:{}/postgres?{query}", server.port());
        match connect(&url).await {
            Ok(client) => wire(&client).await,
            Err(error) => error.to_string(),
        }
    };

    let pinned = format!("sslrootcert={}", own_root.display());
    let by_authority = format!("sslrootcert={}", authority.root().display());
    let full = format!("sslmode=verify-full&{pinned}");
    assert_eq!(attempt(&server, "localhost", &full).await, "TLSv1.3");
    assert!(
        attempt(&server, "127.0.0.1", &full)
            .await
            .contains("names another host")
    );
    assert_eq!(
        attempt(&server, "127.0.0.1", &format!("sslmode=verify-ca&{pinned}")).await,
        "TLSv1.3"
    );
    let foreign = attempt(&server, "localhost", &format!("sslmode=verify-ca&{by_authority}")).await;
    assert!(foreign.contains("self-signed"), "{foreign}");

    // PostgreSQL's manual names the host in the common name only.
    server.show(&authority.issue("localhost", &[]));
    let full = format!("sslmode=verify-full&{by_authority}");
    assert_eq!(attempt(&server, "localhost", &full).await, "TLSv1.3");
    assert!(
        attempt(&server, "127.0.0.1", &full)
            .await
            .contains("names another host")
    );
    // Where hosts are named in their own place, the common name does not count.
    server.show(&authority.issue("localhost", &["db.example"]));
    assert!(
        attempt(&server, "localhost", &full)
            .await
            .contains("names another host")
    );

    let mut expired = named("db", &["localhost"]);
    expired.not_after = date_time_ymd(2020, 1, 1);
    server.show(&authority.issue_by(expired));
    assert!(attempt(&server, "localhost", &full).await.contains("not valid today"));

    server.show(&authority.issue_of_version_1("localhost"));
    for query in ["sslmode=require", &format!("sslmode=verify-ca&{by_authority}"), &full] {
        assert_eq!(attempt(&server, "localhost", query).await, "TLSv1.3", "{query}");
    }
    assert!(
        attempt(&server, "127.0.0.1", &full)
            .await
            .contains("names another host")
    );
    // The same name, another key.
    let impostor = Authority::new("ours");
    let full = format!("sslmode=verify-full&sslrootcert={}", impostor.root().display());
    assert!(attempt(&server, "localhost", &full).await.contains("certificate"));
}

#[tokio::test]
async fn a_revoked_certificate_is_not_believed() {
    let authority = Authority::new("ours");
    let (good, bad) = (named("db", &["localhost"]), named("db", &["localhost"]));
    let (good, bad) = (serial(good, 7), serial(bad, 8));
    let list = authority.revoke(8);
    let query = format!(
        "sslmode=verify-full&sslrootcert={}&sslcrl={}",
        authority.root().display(),
        list.display()
    );
    let mut server = Secured::start(&authority.issue_by(good), &authority, RULES, ROLES).await;
    let url = format!("postgres://trusted@localhost:{}/postgres?{query}", server.port());
    connect(&url).await.expect("the list does not name it");
    server.show(&authority.issue_by(bad));
    let error = connect(&url).await.err().expect("the list names it");
    assert!(error.to_string().contains("is revoked"), "{error}");
}

fn serial(mut params: rcgen::CertificateParams, number: u64) -> rcgen::CertificateParams {
    params.serial_number = Some(number.into());
    params
}

#[tokio::test]
async fn tls_without_asking_first_is_spoken_with_servers_that_know_it() {
    let world = world().await;
    let superuser = connect(&world.server.superuser()).await.expect("the server is there");
    let knows: bool = row(
        &superuser,
        "select current_setting('server_version_num')::int >= 170000",
    )
    .await
    .get(0);
    let answer = world
        .wire("trusted", "127.0.0.1", "sslmode=require&sslnegotiation=direct")
        .await;
    assert_eq!(answer == "TLSv1.3", knows, "{answer}");
}
