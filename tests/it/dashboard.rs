//! pg-boss's own dashboard on a schema that strawboss alone has installed and runs.

use std::net::{SocketAddr, TcpListener};
use std::process::Stdio;

use serde_json::json;
use strawboss::job::Outcome;
use strawboss::postgres::{Database, Settings};
use tokio::process::{Child, Command};

use crate::support::client::{Answer, get};
use crate::support::crew::{Crew, config, handler};
use crate::support::node::{directory, program};
use crate::support::wait::wait_for;
use crate::support::{Boss, Release, Schema, needs_node};

/// A headless Chromium, as `.ci/browser` finds it; without one, the pages are read as the server renders them.
fn browser() -> Option<String> {
    std::env::var("STRAWBOSS_BROWSER").ok().filter(|path| !path.is_empty())
}

/// The dashboard; its process ends with the value.
struct Dashboard {
    address: SocketAddr,
    _process: Child,
}

impl Dashboard {
    async fn start(schema: &Schema) -> Dashboard {
        let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let address = free.expect("a port is free");
        let process = Command::new(program())
            .arg(directory().join("node_modules/@pg-boss/dashboard/bin/cli.js"))
            .env("DATABASE_URL", &schema.url)
            .env("PGBOSS_SCHEMA", &schema.name)
            .env("HOST", "127.0.0.1")
            .env("PORT", address.port().to_string())
            .env("NODE_ENV", "production")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("Node runs");
        wait_for("the dashboard to listen", async || {
            tokio::net::TcpStream::connect(address).await.is_ok()
        })
        .await;
        Dashboard {
            address,
            _process: process,
        }
    }

    /// What a page shows: in a browser once its scripts have run, else the HTML of the server.
    async fn page(&self, path: &str) -> String {
        let Some(browser) = browser() else {
            return shown(&whole(&get(self.address, path).await));
        };
        let profile = tempfile::tempdir().expect("a directory");
        let output = Command::new(&browser)
            .args([
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-dev-shm-usage",
                "--dump-dom",
            ])
            .args(["--virtual-time-budget=2000", "--timeout=20000"])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .arg(format!("http://{}{path}", self.address))
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output()
            .await
            .unwrap_or_else(|error| panic!("{browser} does not run: {error}"));
        assert!(
            output.status.success(),
            "{browser}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        shown(&String::from_utf8_lossy(&output.stdout))
    }

    async fn shows(&self, path: &str, wanted: &[&str]) {
        let page = self.page(path).await;
        for wanted in wanted {
            assert!(page.contains(wanted), "{path} does not show {wanted:?}:\n{page}");
        }
    }
}

/// What people see of a page, not what its scripts carry.
fn shown(html: &str) -> String {
    let mut parts = html.split("<script");
    let first = parts.next().unwrap_or_default().to_owned();
    let texts = parts.filter_map(|part| part.split_once("</script>"));
    texts.fold(first, |shown, (_, text)| shown + text)
}

/// The body put together from its chunks.
fn whole(answer: &Answer) -> String {
    if answer.header("transfer-encoding") != Some("chunked") {
        return answer.body.clone();
    }
    let (mut rest, mut body) = (answer.body.as_bytes(), Vec::new());
    while let Some(end) = rest.windows(2).position(|pair| pair == b"\r\n") {
        let size = std::str::from_utf8(&rest[..end])
            .ok()
            .and_then(|size| usize::from_str_radix(size, 16).ok());
        let size = size.expect("a chunk begins with its size");
        body.extend_from_slice(&rest[end + 2..end + 2 + size]);
        rest = rest.get(end + 4 + size..).unwrap_or_default();
    }
    String::from_utf8(body).expect("the page is text")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_dashboard_of_pg_boss_shows_what_strawboss_alone_runs() {
    needs_node!();
    let schema = Schema::vacant().await;
    let database = Database::new(&Settings::parse(&schema.url).expect("a URL")).expect("a pool");
    strawboss::schema::install(&database, &schema.name)
        .await
        .expect("it is installed");
    schema.queue("ledger-mail", json!({})).await;
    schema
        .execute(
            "insert into {schema}.schedule (name, key, kind, cron, timezone, data)
             values ('ledger-mail', 'nightly', 'cron', '17 3 * * 1-5', 'Europe/Berlin', '{\"n\": 1}'),
                    ('ledger-mail', 'monthly', 'rrule', 'FREQ=MONTHLY;BYDAY=-1FR', 'UTC', null);
             insert into {schema}.warning (type, message, data) values ('queue_backlog', 'a ledger that grows', '{}')",
        )
        .await;
    let mut config = config(&schema, &["ledger-mail"]);
    config.worker.name = "billing".to_owned();
    config.upkeep.supervise_interval = std::time::Duration::from_secs(1);
    config.upkeep.monitor_interval = std::time::Duration::from_secs(1);
    config.upkeep.persist_queue_stats = true;
    let crew = Crew::start(
        config,
        [(
            "ledger-mail",
            handler(|_, _| async { Ok(json!({"posted": "to the ledger"})) }),
        )],
    );
    schema.jobs("ledger-mail", 3).await;
    crew.until_processed("ledger-mail", Outcome::Completed, 3).await;
    // Counted by our own supervision: what the dashboard shows of a queue is cached in its row.
    schema
        .until("exists (select from {schema}.queue where name = 'ledger-mail' and total_count = 3)")
        .await;
    let job = schema
        .value("select id from {schema}.job where name = 'ledger-mail' limit 1")
        .await;
    let job = job.as_str().expect("an id");

    let dashboard = Dashboard::start(&schema).await;
    dashboard.shows("/", &["ledger-mail"]).await;
    dashboard.shows("/queues", &["ledger-mail"]).await;
    dashboard
        .shows("/queues/ledger-mail?state=completed", &["ledger-mail", &job[..8]])
        .await;
    // A single job's page starts the pg-boss that the dashboard carries, which is of schema 42 and refuses any other.
    dashboard
        .shows("/jobs?state=completed", &["ledger-mail", &job[..8]])
        .await;
    dashboard
        .shows(
            "/schedules",
            &["nightly", "17 3 * * 1-5", "Europe/Berlin", "FREQ=MONTHLY;BYDAY=-1FR"],
        )
        .await;
    dashboard
        .shows("/schedules/ledger-mail/nightly", &["17 3 * * 1-5", "Next occurrence"])
        .await;
    dashboard.shows("/warnings", &["a ledger that grows"]).await;
    dashboard
        .shows("/queues/ledger-mail/metrics", &["Queue stats history", "Failed"])
        .await;
    dashboard.shows("/migrations", &["No async migrations recorded"]).await;
    drop(dashboard);

    // No released dashboard has a page for instances; what one would read is this.
    schema
        .until("exists (select from {schema}.instance where name = 'billing')")
        .await;
    let options = json!({"registerInstance": false});
    let boss = Boss::start(Release::NEWEST, &schema.url, &schema.name, options).await;
    let instances = boss.call("getInstances", json!([])).await.expect("pg-boss reads it");
    assert_eq!(instances.as_array().map(Vec::len), Some(1), "{instances}");
    assert_eq!(
        [&instances[0]["name"], &instances[0]["live"]],
        [&json!("billing"), &json!(true)]
    );
    assert_eq!(instances[0]["workers"][0]["queue"], "ledger-mail");
    boss.stop().await;
    crew.stop().await;
}
