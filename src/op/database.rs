//! Ops on databases.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::Op;
use crate::model::{
    Database, Host, Period, Text,
    sql::{self, Refusal},
};

/// Reads rows, in a transaction that can change nothing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Query {
    /// The database.
    pub database: Database,
    /// One statement.
    pub text: Text,
    /// What a dry run takes for the rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assume: Option<Vec<Row>>,
}

/// A row: values by column. Numbers, booleans, JSON and NULL are what they are, everything else is its text.
pub type Row = Map<String, Value>;

/// Runs statements, each once: the database itself keeps which calls it has seen, in `podlift.migrations`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sql {
    /// The database.
    pub database: Database,
    /// The statements.
    pub text: Text,
    /// What they are called in output: the file that they were read from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The statements that take them back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undo: Option<Text>,
    /// What stands in one transaction.
    pub transaction: Transactions,
    /// How long a statement may wait for a lock.
    pub lock_timeout: Period,
    /// How often a statement is tried again that waited too long for a lock.
    pub retries: u32,
    /// Whether they take others back.
    #[serde(default, skip_serializing_if = "is_false")]
    pub is_undo: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference over")]
const fn is_false(value: &bool) -> bool {
    !*value
}

/// What stands in one transaction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Transactions {
    /// Each statement in its own; what cannot be in one (`CONCURRENTLY`) in none.
    #[default]
    Each,
    /// All in one.
    One,
    /// None.
    None,
}

impl Sql {
    /// Why one of its statements is not sent, and what to do in its place.
    pub fn refusal(&self, statement: &str) -> Option<Refusal> {
        let may_be_in_one = self.transaction != Transactions::One || !sql::stands_alone(statement);
        sql::never_sent(statement).or_else(|| (!may_be_in_one).then_some(sql::NOT_IN_A_TRANSACTION))
    }

    /// What takes it back: `undo`, without what would drop something that was there before.
    pub fn inverse(&self, undo: Option<Text>) -> Option<Op> {
        let op = Self { text: undo?, name: None, undo: None, transaction: Transactions::Each, is_undo: true, ..self.clone() };
        Some(op.into())
    }
    pub(super) fn describe(&self) -> String {
        let what = self.name.clone().unwrap_or_else(|| first_line(&self.text));
        format!("{what} in {}", self.database)
    }
    pub(super) fn host(&self) -> Option<&Host> {
        self.database.via.as_ref()
    }
}

/// What statements did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SqlDone {
    /// How many statements there were.
    pub statements: u64,
    /// How many rows they changed.
    pub rows: u64,
    /// How many of them this call had done before it was done again.
    pub settled: u64,
    /// How often a statement was tried again.
    pub retries: u64,
    /// What was there before, and was left as it was.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub existed: Vec<String>,
}

impl Query {
    pub(super) fn describe(&self) -> String {
        format!("{} in {}", first_line(&self.text), self.database)
    }
    pub(super) fn host(&self) -> Option<&Host> {
        self.database.via.as_ref()
    }
}

/// Changes a table's rows, a batch at a time, up to the largest key that was there when it began.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Backfill {
    /// The database.
    pub database: Database,
    /// The key of the script's call: parts of one backfill share it, and its progress is kept under it.
    pub series: String,
    /// The table, as it stands in a statement.
    pub table: String,
    /// Its primary key's column.
    pub key: String,
    /// What is set: `email_new = lower(email)`.
    pub set: Text,
    /// Which rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub condition: Option<Text>,
    /// How many rows the first batch has.
    pub batch: u32,
    /// How long the server is to work on a batch; later batches grow and shrink to it.
    pub target: Period,
    /// How long to wait between two batches; not given, ten times as long as the last one took.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pause: Option<Period>,
    /// How long a batch may wait for a lock.
    pub lock_timeout: Period,
    /// How long this part of it may go on; not given, to the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part: Option<Period>,
}

impl Backfill {
    pub(super) fn describe(&self) -> String {
        format!("{} of {} in {}", first_line(&self.set), self.table, self.database)
    }
    pub(super) fn host(&self) -> Option<&Host> {
        self.database.via.as_ref()
    }
}

/// How far a backfill is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Backfilled {
    /// How many rows were changed so far.
    pub rows: u64,
    /// How many batches this call made.
    pub batches: u64,
    /// How many rows the next one would have.
    #[serde(default)]
    pub batch: u32,
    /// The last key that was done.
    pub key: Option<String>,
    /// Whether it is at its end.
    pub done: bool,
    /// How long this call took.
    pub seconds: f64,
}

/// Writes a dump of a database on a host, with the host's own `pg_dump`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Backup {
    /// The database, as the host itself reaches it.
    pub database: Database,
    /// The host.
    pub host: Host,
    /// The dump's path there; the call's token is added to its name.
    pub path: String,
    /// How long it may take.
    pub timeout: Period,
}

impl Backup {
    /// The dump's own path: `shop.dump` becomes `shop-TOKEN.dump`, so a repeated backup never takes another's place.
    pub fn file(&self, token: &crate::model::Token) -> String {
        let (folder, name) = self.path.rsplit_once('/').map_or(("", self.path.as_str()), |(folder, name)| (folder, name));
        let slash = if self.path.contains('/') { "/" } else { "" };
        match name.rsplit_once('.').filter(|(stem, _)| !stem.is_empty()) {
            Some((stem, end)) => format!("{folder}{slash}{stem}-{token}.{end}"),
            None => format!("{folder}{slash}{name}-{token}"),
        }
    }
    pub(super) fn describe(&self) -> String {
        format!("{} to {}", self.database, self.path)
    }
    pub(super) fn host(&self) -> Option<&Host> {
        Some(&self.host)
    }
}

/// A dump that was written.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct BackedUp {
    /// Where.
    pub path: String,
    /// How large it is.
    pub bytes: u64,
    /// How long it took.
    pub seconds: f64,
}

/// Lists who is connected to a database.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sessions {
    /// The database.
    pub database: Database,
}

impl Sessions {
    pub(super) fn describe(&self) -> String {
        self.database.to_string()
    }
    pub(super) fn host(&self) -> Option<&Host> {
        self.database.via.as_ref()
    }
}

/// One connection of somebody else's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatabaseSession {
    /// The name that the program gave itself; podlift's containers are `SERVICE@VERSION`.
    pub application_name: String,
    /// `active`, `idle`, `idle in transaction`, …; empty where Postgres does not tell this user.
    pub state: String,
    /// When it was opened, in RFC 3339, UTC; empty where Postgres does not tell this user.
    pub since: String,
}

/// The first line of a text that says something, cut to what a line of output holds.
fn first_line(text: &Text) -> String {
    let shown = text.to_string();
    let words: Vec<&str> = shown
        .lines()
        .map(str::trim)
        .find(|line| !line.is_empty() && !line.starts_with("--"))
        .unwrap_or_default()
        .split_whitespace()
        .collect();
    let line = words.join(" ");
    let cut: String = line.chars().take(60).collect();
    if cut.len() < line.len() || shown.trim().lines().count() > 1 { format!("{cut}…") } else { cut }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Token;

    #[test]
    fn a_repeated_backup_has_a_file_of_its_own() {
        let file = |path: &str| {
            let database = Database { url: "postgres:///shop".into(), via: None, statement_timeout: Period::seconds(1) };
            let host = Host::parse("local").expect("valid");
            let backup = Backup { database, host, path: path.into(), timeout: Period::seconds(1) };
            backup.file(&Token::new("0123456789").expect("ten digits"))
        };
        assert_eq!(file("/var/backups/shop.dump"), "/var/backups/shop-0123456789.dump");
        assert_eq!(file("shop"), "shop-0123456789");
        assert_eq!(file("a.b/.hidden"), "a.b/.hidden-0123456789");
    }
}
