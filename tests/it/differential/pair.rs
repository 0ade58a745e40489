//! Two schemas of one release that start out equal: in one the real pg-boss works, in the other we do.

use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};

use super::Straw;
use crate::support::{Boss, Release, Schema};

/// Ids made by [`id`] begin with this; all others were made by a database and differ from run to run.
const OURS: &str = "00000000-0000-4000-8000-";
/// How far apart the two sides may do the same thing.
const APART: chrono::Duration = chrono::Duration::seconds(20);

/// The two schemas and who works in them.
pub struct Pair {
    pub release: Release,
    pub theirs: Schema,
    pub boss: Boss,
    pub ours: Schema,
    pub straw: Straw,
}

/// The id of the job with that number.
pub fn id(n: u32) -> String {
    format!("{OURS}{n:012}")
}

/// The row of a job: created `n` minutes after the turn of the year, with `columns` laid over. `expire` stands for
/// whichever column holds the expiry, in seconds.
pub fn job(n: u32, columns: Value) -> Value {
    let created = format!("2026-01-01T{:02}:{:02}:00Z", n / 60, n % 60);
    let mut row = json!({
        "id": id(n), "data": {"n": n}, "created_on": created, "start_after": created, "keep_until": "2100-01-01T00:00:00Z",
    });
    let columns = columns.as_object().expect("columns are an object").clone();
    row.as_object_mut().expect("made above").extend(columns);
    row
}

impl Pair {
    pub async fn new(release: Release) -> Pair {
        Pair::with(release, json!({})).await
    }

    /// The same, with options for pg-boss.
    pub async fn with(release: Release, options: Value) -> Pair {
        let (theirs, ours) = tokio::join!(Schema::new(release), Schema::new(release));
        let (boss, straw) = tokio::join!(
            Boss::start(release, &theirs.url, &theirs.name, options),
            Straw::on(&ours)
        );
        Pair {
            release,
            theirs,
            boss,
            ours,
            straw,
        }
    }

    /// The number in the table `version`.
    pub fn version(&self) -> i32 {
        self.release.schema_version()
    }

    /// Whether this release's jobs have that column.
    pub fn has(&self, column: &str) -> bool {
        self.straw.dialect.catalog().has_column("job", column)
    }

    /// Runs statements in both.
    pub async fn execute(&self, text: &str) {
        tokio::join!(self.theirs.execute(text), self.ours.execute(text));
    }

    /// Makes a queue in both, with the options of pg-boss's own function.
    pub async fn queue(&self, name: &str, options: Value) {
        let mut all = json!({"policy": "standard"});
        all.as_object_mut()
            .expect("made above")
            .extend(options.as_object().expect("options are an object").clone());
        self.execute(&format!("select {{schema}}.create_queue('{name}', '{all}')"))
            .await;
    }

    /// Inserts jobs into both; columns the release lacks are left out, `policy` is the queue's.
    pub async fn jobs(&self, queue: &str, rows: impl IntoIterator<Item = Value>) {
        let inserts: String = rows.into_iter().map(|row| self.insert(queue, row)).collect();
        self.execute(&inserts).await;
    }

    /// The same on our side only.
    pub async fn our_jobs(&self, queue: &str, rows: impl IntoIterator<Item = Value>) {
        let inserts: String = rows.into_iter().map(|row| self.insert(queue, row)).collect();
        self.ours.execute(&inserts).await;
    }

    fn insert(&self, queue: &str, row: Value) -> String {
        let Value::Object(mut row) = row else {
            panic!("a row is an object")
        };
        if let Some(expire) = row.remove("expire") {
            if self.has("expire_in") {
                row.insert("expire_in".into(), json!(format!("{expire} seconds")));
            } else {
                row.insert("expire_seconds".into(), expire);
            }
        }
        row.insert("name".into(), json!(queue));
        row.retain(|column, _| self.has(column));
        let columns: Vec<&str> = row.keys().map(String::as_str).collect();
        let (columns, values) = (columns.join(", "), columns.join(", r."));
        let row = json!(row).to_string().replace('\'', "''");
        format!(
            "insert into {{schema}}.job (policy, {columns}) select q.policy, r.{values} \
             from jsonb_populate_record(null::{{schema}}.job, '{row}') r join {{schema}}.queue q on q.name = r.name;"
        )
    }

    /// Asks pg-boss for jobs; their ids, sorted.
    pub async fn they_fetch(&self, queue: &str, options: Value) -> Vec<String> {
        let got = self
            .boss
            .call("fetch", json!([queue, options]))
            .await
            .unwrap_or_else(|error| panic!("pg-boss {} fetches: {error:?}", self.release));
        let mut ids: Vec<String> = got
            .as_array()
            .map(|jobs| {
                jobs.iter()
                    .map(|job| job["id"].as_str().expect("an id").to_owned())
                    .collect()
            })
            .unwrap_or_default();
        ids.sort();
        ids
    }

    /// Compares every row of the tables of jobs, column by column, those named in `aside` left out.
    pub async fn assert_equal(&self, what: &str, aside: &[&str]) {
        let differences = differences(&self.theirs, &self.ours, aside).await;
        assert!(
            differences.is_empty(),
            "pg-boss {}, {what}:\n{}",
            self.release,
            differences.join("\n")
        );
    }
}

/// How the rows of the tables of jobs differ, column by column, those named in `aside` left out.
pub async fn differences(theirs: &Schema, ours: &Schema, aside: &[&str]) -> Vec<String> {
    let (theirs, ours) = tokio::join!(rows(theirs), rows(ours));
    let mut differences = Vec::new();
    if theirs.len() != ours.len() {
        differences.push(format!("{} rows of theirs, {} of ours", theirs.len(), ours.len()));
    }
    for (theirs, ours) in theirs.iter().zip(&ours) {
        for (column, their) in theirs {
            let our = &ours[column];
            if !aside.contains(&column.as_str()) && !alike(their, our) {
                differences.push(format!(
                    "{} {} {column}: theirs {their}, ours {our}",
                    theirs["name"], theirs["id"]
                ));
            }
        }
    }
    differences
}

/// Every job, with the name of the table it is in; ids that are not ours are left out of the comparison.
async fn rows(schema: &Schema) -> Vec<Map<String, Value>> {
    let mut text = "select to_jsonb(j) || jsonb_build_object('data', j.data::text, 'output', j.output::text, \
                    'table', c.relname) as job from {schema}.job j join pg_class c on c.oid = j.tableoid"
        .to_owned();
    if schema.release == Release::V10_4_2 {
        text.push_str(
            " union all select to_jsonb(j) || jsonb_build_object('data', j.data::text, 'output', j.output::text, \
             'table', 'archive') from {schema}.archive j",
        );
    }
    let mut rows: Vec<_> = schema
        .rows(&text)
        .await
        .into_iter()
        .map(|mut row| match row["job"].take() {
            Value::Object(mut job) => {
                if !job["id"].as_str().expect("an id").starts_with(OURS) {
                    job.insert("id".into(), json!("made by the database"));
                }
                job
            }
            other => panic!("a row is an object: {other}"),
        })
        .collect();
    let order = ["name", "id", "source_name", "data", "state"];
    rows.sort_by_key(|row| order.map(|column| row.get(column).map(Value::to_string)));
    rows
}

/// Equal, or both the time of the deed.
pub fn alike(theirs: &Value, ours: &Value) -> bool {
    let moment = |value: &Value| value.as_str().and_then(|text| text.parse::<DateTime<Utc>>().ok());
    theirs == ours
        || moment(theirs)
            .zip(moment(ours))
            .is_some_and(|(theirs, ours)| (theirs - ours).abs() < APART)
}
