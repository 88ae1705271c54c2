//! What a model takes for granted of databases.

use crate::{
    model::{Token, sql},
    op::{BackedUp, Backfilled, Backup, DatabaseSession, Outcome, Query, Sql, SqlDone},
};

/// The rows that the script said, else none.
pub(super) fn rows(op: &Query) -> Outcome {
    let rows = op.assume.clone().unwrap_or_default();
    let words = match rows.len() {
        0 => "no row".into(),
        1 => "one row".into(),
        count => format!("{count} rows"),
    };
    Outcome::of(rows).assuming(words)
}

/// Nobody else is connected.
pub(super) fn sessions() -> Outcome {
    Outcome::of(Vec::<DatabaseSession>::new()).assuming("nobody else is connected")
}

/// Every statement succeeds, and nothing that it makes was there before.
pub(super) fn statements(op: &Sql) -> Outcome {
    let count = sql::statements(&op.text).map_or(1, |statements| statements.len() as u64);
    let words = if count == 1 { "the statement succeeds".into() } else { format!("the {count} statements succeed") };
    Outcome::of(SqlDone { statements: count, ..SqlDone::default() }).undone_by(op.inverse(op.undo.clone())).assuming(words)
}

/// It comes to its end.
pub(super) fn backfilled() -> Outcome {
    Outcome::of(Backfilled { done: true, ..Backfilled::default() }).assuming("it reaches the last row")
}

/// The dump is written.
pub(super) fn backed_up(op: &Backup, token: &Token) -> Outcome {
    Outcome::of(BackedUp { path: op.file(token), ..BackedUp::default() }).assuming("the dump is written")
}
