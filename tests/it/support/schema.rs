//! A schema of its own for every test, made by the statements of a real pg-boss; of the newest release, without Node,
//! by our own.

use serde_json::Value;
use strawboss::postgres::{Database, Settings};
use tokio_postgres::Client;

use super::node::{self, Release};
use super::server::{connect, server};
use super::wait::wait_for;

/// The name under which pg-boss's statements are rendered, once per release.
const PLACEHOLDER: &str = "strawboss_placeholder";

/// A freshly made pg-boss schema; dropped with the value.
pub struct Schema {
    /// Its name, which needs no quotes.
    pub name: String,
    /// Of the server it is on.
    pub url: String,
    /// Whose schema it is.
    pub release: Release,
    client: Client,
}

impl Schema {
    /// Makes a schema as that release of pg-boss would.
    pub async fn new(release: Release) -> Schema {
        Schema::on(&server().url, release).await
    }

    /// The same on another server.
    pub async fn on(url: &str, release: Release) -> Schema {
        let name = format!("t_{}", &uuid::Uuid::new_v4().simple().to_string()[..16]);
        let client = connect(url).await;
        if node::is_skipped() && release == Release::NEWEST {
            let settings = Settings::parse(url).expect("a URL").with_pool_size(1);
            let database = Database::new(&settings).expect("a pool");
            strawboss::schema::install(&database, &name)
                .await
                .unwrap_or_else(|error| panic!("our own schema is refused: {error:?}"));
        } else {
            let statements = node::construction_plans(release, PLACEHOLDER).replace(PLACEHOLDER, &name);
            client
                .batch_execute(&statements)
                .await
                .unwrap_or_else(|error| panic!("the schema of pg-boss {release} is refused: {error:?}"));
        }
        Schema {
            name,
            url: url.to_owned(),
            release,
            client,
        }
    }

    /// Only a name, for a test that has the schema made by another hand; whatever is made is dropped with the value.
    pub async fn vacant() -> Schema {
        let url = &server().url;
        Schema {
            name: format!("t_{}", &uuid::Uuid::new_v4().simple().to_string()[..16]),
            url: url.clone(),
            release: Release::NEWEST,
            client: connect(url).await,
        }
    }

    /// The name of a home of its own, for `database.own_schema`; dropped with the value.
    pub fn own(&self) -> String {
        format!("{}_own", self.name)
    }

    /// `{schema}` in the text becomes the name.
    pub fn sql(&self, text: &str) -> String {
        text.replace("{schema}", &self.name)
    }

    /// The connection the helpers below use.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// A further connection.
    pub async fn connect(&self) -> Client {
        connect(&self.url).await
    }

    /// Runs one or more statements without parameters.
    pub async fn execute(&self, text: &str) {
        let sql = self.sql(text);
        self.client
            .batch_execute(&sql)
            .await
            .unwrap_or_else(|error| panic!("{sql}\n{error:?}"));
    }

    /// The rows of a query, or those a statement returns, as JSON objects.
    pub async fn rows(&self, text: &str) -> Vec<Value> {
        let sql = self.sql(&format!("with answer as ({text}) select to_jsonb(answer) from answer"));
        self.client
            .query(&sql, &[])
            .await
            .unwrap_or_else(|error| panic!("{sql}\n{error:?}"))
            .iter()
            .map(|row| row.get(0))
            .collect()
    }

    /// The only row.
    pub async fn row(&self, text: &str) -> Value {
        let mut rows = self.rows(text).await;
        assert_eq!(rows.len(), 1, "one row is expected of {text}: {rows:#?}");
        rows.remove(0)
    }

    /// The only column of the only row.
    pub async fn value(&self, text: &str) -> Value {
        let row = self.row(text).await;
        let columns = row.as_object().expect("a row is an object");
        assert_eq!(columns.len(), 1, "one column is expected of {text}: {row}");
        columns.values().next().cloned().expect("it was counted")
    }

    /// Waits until a query answers `true`, asking again every few milliseconds; panics after half a minute.
    pub async fn until(&self, condition: &str) {
        wait_for(condition, async || {
            self.value(&format!("select ({condition}) as holds")).await == Value::Bool(true)
        })
        .await;
    }
}

impl Drop for Schema {
    fn drop(&mut self) {
        let (url, name) = (self.url.clone(), self.name.clone());
        // A thread of its own, because the test's runtime cannot be waited for from within.
        let dropped = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(async {
                let (client, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await?;
                tokio::spawn(connection);
                // Somebody of a failed test may still hold a lock; the test's message matters more than this.
                client
                    .batch_execute(&format!(
                        "set lock_timeout = '2s'; drop schema if exists {name}, {name}_own cascade"
                    ))
                    .await?;
                Ok::<(), Box<dyn std::error::Error + Send + Sync>>(())
            })
        });
        if let Ok(Err(error)) = dropped.join() {
            eprintln!("the schema {} stays behind: {error}", self.name);
        }
    }
}
