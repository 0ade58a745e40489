//! The same call twice.

use std::ops::Deref;

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::{Value, json};
use strawboss::Client;
use strawboss::client::Error;
use uuid::Uuid;

use crate::differential::Pair;
use crate::support::Release;
use crate::support::node::BossError;

/// Two schemas of one release: pg-boss works in one, our client in the other.
pub struct Both {
    pub pair: Pair,
    pub client: Client,
}

impl Deref for Both {
    type Target = Pair;

    fn deref(&self) -> &Pair {
        &self.pair
    }
}

impl Both {
    pub async fn new(release: Release) -> Both {
        let pair = Pair::new(release).await;
        let client = Client::new(pair.straw.database.clone(), &pair.ours.name);
        Both { pair, client }
    }

    /// Asks pg-boss; what it throws fails the test.
    pub async fn boss(&self, method: &str, arguments: Value) -> Value {
        self.pair
            .boss
            .call(method, arguments)
            .await
            .unwrap_or_else(|error| panic!("pg-boss {} {method}: {error:?}", self.release))
    }

    /// The answers are alike, random ids and the moment aside; keys that only ours has have to be null.
    pub fn same<T: Serialize>(&self, what: &str, theirs: &Value, ours: Result<T, Error>) {
        let ours = ours.unwrap_or_else(|error| panic!("pg-boss {}, {what}: ours refused: {error}", self.release));
        let ours = serde_json::to_value(&ours).expect("it serialises");
        if let Err(difference) = alike(theirs, &ours, "") {
            panic!(
                "pg-boss {}, {what}: {difference}\ntheirs {theirs:#}\nours {ours:#}",
                self.release
            );
        }
    }

    /// Both refuse it; what each says.
    pub fn refused<T: std::fmt::Debug>(
        &self,
        what: &str,
        theirs: Result<Value, BossError>,
        ours: Result<T, Error>,
    ) -> (String, String) {
        match (theirs, ours) {
            (Err(theirs), Err(ours)) => (theirs.message, ours.to_string()),
            (theirs, ours) => panic!(
                "pg-boss {}, {what}: both were to refuse it: theirs {theirs:?}, ours {ours:?}",
                self.release
            ),
        }
    }

    /// The rows of another table are alike.
    pub async fn same_rows(&self, what: &str, query: &str) {
        let (theirs, ours) = tokio::join!(self.theirs.rows(query), self.ours.rows(query));
        if let Err(difference) = alike(&json!(theirs), &json!(ours), "") {
            panic!(
                "pg-boss {}, {what}: {difference}\ntheirs {theirs:#?}\nours {ours:#?}",
                self.release
            );
        }
    }
}

/// Whether two answers are alike, and where they are not.
fn alike(theirs: &Value, ours: &Value, place: &str) -> Result<(), String> {
    let moment = |value: &Value| value.as_str().and_then(|text| text.parse::<DateTime<Utc>>().ok());
    let random = |value: &Value| {
        let id = value.as_str().and_then(|text| text.parse::<Uuid>().ok());
        id.is_some_and(|id| !id.to_string().starts_with("00000000-0000-4000-8000-"))
    };
    match (theirs, ours) {
        (Value::Object(theirs), Value::Object(ours)) => {
            for (key, value) in theirs {
                let our = ours
                    .get(key)
                    .ok_or_else(|| format!("{place}.{key}: ours has no such key"))?;
                alike(value, our, &format!("{place}.{key}"))?;
            }
            match ours
                .iter()
                .find(|(key, value)| !theirs.contains_key(*key) && !value.is_null())
            {
                Some((key, value)) => Err(format!("{place}.{key}: only ours has it: {value}")),
                None => Ok(()),
            }
        }
        (Value::Array(theirs), Value::Array(ours)) => {
            if theirs.len() != ours.len() {
                return Err(format!("{place}: {} of theirs, {} of ours", theirs.len(), ours.len()));
            }
            let mut pairs = theirs.iter().zip(ours).enumerate();
            pairs.try_for_each(|(index, (theirs, ours))| alike(theirs, ours, &format!("{place}[{index}]")))
        }
        _ if theirs == ours || random(theirs) && random(ours) => Ok(()),
        // Counts that JavaScript has as text, since PostgreSQL's are too long for it.
        (Value::String(text), Value::Number(number)) if text.parse() == Ok(number.as_f64().unwrap_or(f64::NAN)) => {
            Ok(())
        }
        _ => match (moment(theirs), moment(ours)) {
            (Some(a), Some(b)) if (a - b).abs() < chrono::Duration::seconds(20) => {
                // Written as JavaScript writes it.
                let text = ours.as_str().unwrap_or_default();
                if text.len() == theirs.as_str().unwrap_or_default().len() || place.contains("rows") {
                    Ok(())
                } else {
                    Err(format!("{place}: theirs is written {theirs}, ours {ours}"))
                }
            }
            _ => Err(format!("{place}: theirs {theirs}, ours {ours}")),
        },
    }
}
