//! Changes of a schema that are between their halves, read from the databases of a script.

use std::sync::Arc;

use serde_json::Value;

use super::{about::About, look};
use crate::{
    executor::Narrator,
    failure::Failure,
    model::Database,
    op::{Query, Row},
    terminal::schema::Between,
};

/// `std/expand_contract` notes its changes in this table; it is not there where nothing was ever changed.
const IS_THERE: &str = "SELECT to_regclass('podlift.changes') IS NOT NULL AS is_there";
const BETWEEN: &str = "SELECT name, state, to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"') AS since, \
    services::json -> 'versions' AS versions FROM podlift.changes WHERE state <> 'contracted' ORDER BY at";

/// Those changes, and why databases could not be asked.
pub fn read(about: &About, narrator: &Arc<dyn Narrator>) -> (Vec<Between>, Vec<(String, Failure)>) {
    let ask = |databases: &[&Database], text: &str| {
        let ops = databases.iter().map(|database| Query { database: (*database).clone(), text: text.into(), assume: None });
        look::read(about, narrator.clone(), ops.collect())
    };
    let all: Vec<&Database> = about.inventory.databases.iter().map(|asked| &asked.database).collect();
    let (mut noted, mut failures, mut changes) = (Vec::new(), Vec::new(), Vec::new());
    for (database, answer) in all.iter().zip(ask(&all, IS_THERE)) {
        match answer {
            Ok(rows) if rows.first().is_some_and(|row: &Row| row.get("is_there") == Some(&Value::Bool(true))) => noted.push(*database),
            Ok(_) => {}
            Err(failure) => failures.push((database.to_string(), failure)),
        }
    }
    for (database, answer) in noted.iter().zip(ask(&noted, BETWEEN)) {
        match answer {
            Ok(rows) => changes.extend(rows.iter().map(|row| between(row, database))),
            Err(failure) => failures.push((database.to_string(), failure)),
        }
    }
    (changes, failures)
}

fn between(row: &Row, database: &Database) -> Between {
    let text = |key: &str| row.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let versions = row.get("versions").and_then(Value::as_object).into_iter().flatten();
    let versions = versions.map(|(service, version)| (service.clone(), version.as_str().unwrap_or_default().to_owned())).collect();
    Between { change: text("name"), state: text("state"), since: text("since"), versions, database: database.to_string() }
}
