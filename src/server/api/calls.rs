//! temp
use super::routes::Method;
use super::shape::Table;
use crate::dialect::Watch;
use crate::postgres::Database;

/// What the routes call.
pub struct Backend {
    database: Database,
    watch: Watch,
    schema: String,
}
#[derive(Debug)]
pub(super) struct Failure(pub String);
impl Failure {
    pub fn new(s: impl Into<String>) -> Failure {
        Failure(s.into())
    }
}
impl Backend {
    /// x
    pub fn new(database: Database, watch: Watch, schema: &str) -> Backend {
        Backend {
            database,
            watch,
            schema: schema.to_owned(),
        }
    }
    pub(super) async fn call(&self, method: Method, table: &Table<'_>) -> Result<Vec<u8>, Failure> {
        let dialect = self.watch.dialect().ok_or_else(|| Failure::new("x"))?;
        let _ = (&self.schema, super::options::ids(table));
        match method {
            Method::Send => {
                let client = self.database.client().await.map_err(|e| Failure(e.to_string()))?;
                let id = crate::enqueue::send(
                    &client,
                    &dialect,
                    &table.text("name").unwrap_or("").into(),
                    super::options::data(table).as_deref(),
                    &super::options::options_of(table)?,
                )
                .await
                .map_err(|e| Failure(e.to_string()))?;
                serde_json::to_vec(&id).map_err(|e| Failure(e.to_string()))
            }
            _ => Err(Failure::new("not yet")),
        }
    }
}
