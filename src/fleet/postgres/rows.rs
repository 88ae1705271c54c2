//! Rows as plain data.

use std::pin::pin;

use futures_util::TryStreamExt;
use serde_json::{Map, Number, Value};
use tokio_postgres::{SimpleQueryMessage, error::SqlState, types::Type};

use super::session::{Session, Trouble};
use crate::{
    failure::{Failure, FailureKind},
    fleet::{Fleet, Secrets},
    op::{Query, Row},
};

/// How many rows are read.
const ROWS: usize = 10_000;
/// How many bytes of values are read.
const BYTES: usize = 8 << 20;

/// Reads rows, in a transaction that can change nothing and is rolled back.
pub async fn query(fleet: &Fleet, op: &Query) -> Result<Vec<Row>, Failure> {
    let text = super::resolved(fleet, &op.text)?;
    let session = Session::open(fleet, &op.database, "podlift").await?;
    session.run("BEGIN TRANSACTION READ ONLY").await?;
    // Preparing takes one statement only, so nothing behind a semicolon can end the transaction.
    let prepared = match session.within(session.client().prepare(&text)).await {
        Ok(prepared) => prepared,
        Err(Trouble::Said(error)) if error.as_db_error().is_some_and(|told| told.message().contains("multiple commands")) => {
            return Err(Failure::refused("`query` takes one statement").hint("use `sql` for several, or ask one after the other"));
        }
        Err(trouble) => return Err(trouble.failure(session.shown())),
    };
    let types: Vec<Type> = prepared.columns().iter().map(|column| column.type_().clone()).collect();
    let names: Vec<&str> = prepared.columns().iter().map(tokio_postgres::Column::name).collect();
    if let Some((_, twice)) = names.iter().enumerate().find(|(index, name)| names[..*index].contains(name)) {
        return Err(Failure::refused(format!("two columns are called {twice}")).hint("give each a name of its own with AS"));
    }
    let read = read(&session, &text, &types).await;
    let rows = read.map_err(|trouble| told(trouble, session.shown()))?;
    let mut rows = rows.ok_or_else(|| {
        Failure::refused(format!("the query returns more than {ROWS} rows or {} MB", BYTES >> 20))
            .hint("add a LIMIT, or count in the database")
    })?;
    for row in &mut rows {
        redact(fleet.secrets(), row);
    }
    Ok(rows)
}

fn told(trouble: Trouble, shown: &str) -> Failure {
    let changes = matches!(&trouble, Trouble::Said(error) if error.code() == Some(&SqlState::READ_ONLY_SQL_TRANSACTION));
    let failure = trouble.failure(shown);
    if changes { failure.hint("`query` only reads; `sql` runs statements that change something, once") } else { failure }
}

/// The rows, or `None` where there are too many.
async fn read(session: &Session, text: &str, types: &[Type]) -> Result<Option<Vec<Row>>, Trouble> {
    let work = async {
        let mut messages = pin!(session.client().simple_query_raw(text).await?);
        let (mut rows, mut bytes) = (Vec::new(), 0);
        while let Some(message) = messages.try_next().await? {
            let SimpleQueryMessage::Row(row) = message else { continue };
            let mut values = Map::new();
            for (index, column) in row.columns().iter().enumerate() {
                let text = row.get(index);
                bytes += text.map_or(1, str::len);
                values.insert(column.name().to_owned(), text.map_or(Value::Null, |text| value(types.get(index), text)));
            }
            rows.push(values);
            if rows.len() > ROWS || bytes > BYTES {
                return Ok(None);
            }
        }
        Ok(Some(rows))
    };
    session.within(work).await
}

/// A value by its column's type; what JSON has no form for stays text.
fn value(of: Option<&Type>, text: &str) -> Value {
    let as_text = || Value::from(text);
    match of {
        Some(&Type::BOOL) => Value::from(text == "t"),
        Some(&(Type::INT2 | Type::INT4 | Type::INT8 | Type::OID)) => text.parse::<i64>().map_or_else(|_| as_text(), Value::from),
        Some(&(Type::FLOAT4 | Type::FLOAT8)) => text.parse().ok().and_then(Number::from_f64).map_or_else(as_text, Value::Number),
        // A sum of bigints is a numeric: whole where it is whole.
        Some(&Type::NUMERIC) => match (text.parse::<i64>(), text.parse().ok().and_then(Number::from_f64)) {
            (Ok(whole), _) => Value::from(whole),
            (Err(_), Some(number)) if text.len() <= 15 => Value::Number(number),
            _ => as_text(),
        },
        Some(&(Type::JSON | Type::JSONB)) => serde_json::from_str(text).unwrap_or_else(|_| as_text()),
        _ => as_text(),
    }
}

/// Takes values of secrets out of a row, inside JSON too: names and texts.
pub fn redact(secrets: &Secrets, row: &mut Row) {
    for (_, value) in row.iter_mut() {
        redact_value(secrets, value);
    }
}

fn redact_value(secrets: &Secrets, value: &mut Value) {
    match value {
        Value::String(text) => *text = secrets.redact(text),
        Value::Array(items) => items.iter_mut().for_each(|item| redact_value(secrets, item)),
        Value::Object(fields) => {
            let taken = std::mem::take(fields);
            fields.extend(taken.into_iter().map(|(name, mut item)| {
                redact_value(secrets, &mut item);
                (secrets.redact(&name), item)
            }));
        }
        Value::Number(number) => {
            let shown = number.to_string();
            let redacted = secrets.redact(&shown);
            if redacted != shown {
                *value = redacted.into();
            }
        }
        _ => {}
    }
}

/// A row that a failure is told for, where a query was to have one.
pub fn missing(what: &str) -> Failure {
    Failure::new(FailureKind::NoData, format!("the database did not tell {what}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::model::{Text, text::Part};

    #[test]
    fn values_keep_their_types() {
        assert_eq!(value(Some(&Type::BOOL), "t"), json!(true));
        assert_eq!(value(Some(&Type::INT8), "-3"), json!(-3));
        assert_eq!(value(Some(&Type::NUMERIC), "3"), json!(3));
        assert_eq!(value(Some(&Type::NUMERIC), "3.25"), json!(3.25));
        assert_eq!(value(Some(&Type::NUMERIC), "123456789012345678901234567890"), json!("123456789012345678901234567890"));
        assert_eq!(value(Some(&Type::FLOAT8), "NaN"), json!("NaN"));
        assert_eq!(value(Some(&Type::JSONB), r#"{"a": [1]}"#), json!({ "a": [1] }));
        assert_eq!(value(Some(&Type::UUID), "x"), json!("x"));
    }

    #[test]
    fn a_secret_shows_nowhere_in_a_row() {
        let secrets = Secrets::new(|name| (name == "PW").then(|| "hunter2".to_owned()));
        secrets.resolve(&Text::new([Part::Secret { secret: "PW".into() }])).expect("set");
        let mut row = json!({ "a": "is hunter2", "b": { "hunter2": ["x", { "y": "hunter2" }] } }).as_object().expect("a map").clone();
        redact(&secrets, &mut row);
        assert!(!serde_json::to_string(&row).expect("data").contains("hunter2"), "{row:?}");
    }
}
