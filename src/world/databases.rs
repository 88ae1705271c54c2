//! What a model knows of databases: which parts of a schema were made and taken away, beyond what it began with. Rows it takes for
//! granted.

use std::collections::{BTreeMap, BTreeSet};

use super::World;
use crate::{
    model::{
        Text, Token,
        sql::{self, Effect, Item, Phase},
    },
    op::{BackedUp, Backfilled, Backup, DatabaseSession, Outcome, Query, Sql, SqlDone},
};

/// A database's schema, as far as it differs from what was there in the beginning.
#[derive(Clone, Debug, Default)]
pub(super) struct Schema {
    changes: BTreeMap<String, Change>,
    /// What is known not to be there: what a statement would have made that failed before it.
    absent: BTreeSet<String>,
    /// How many statements of a call are done: the database itself keeps that, so none is done twice.
    done: BTreeMap<Token, usize>,
}

/// How an item differs from the beginning.
#[derive(Clone, Debug)]
struct Change {
    /// The table that it goes with.
    table: Option<String>,
    /// Whether it is there now.
    is_there: bool,
    /// Whether code of the version before may fail by it.
    contracts: bool,
    /// Whether the script says what takes it back.
    has_undo: bool,
}

impl Schema {
    fn run(&mut self, statement: &str, phase: Phase, has_undo: bool) {
        for effect in sql::effects(statement) {
            let (is_there, item) = match effect {
                Effect::Makes(item) => (true, item),
                Effect::Takes(item) => (false, item),
            };
            let Item { words, table } = item;
            match self.changes.get(&words) {
                // It is again as it was.
                Some(known) if known.is_there != is_there => {
                    self.changes.remove(&words);
                }
                Some(_) => {}
                None if !is_there && self.absent.contains(&words) => {}
                None => {
                    let change = Change { table, is_there, contracts: phase == Phase::Contract, has_undo };
                    self.changes.insert(words.clone(), change);
                }
            }
            if is_there {
                self.absent.remove(&words);
            }
            if let (false, Some(table)) = (is_there, words.strip_prefix("table ")) {
                self.changes.retain(|_, change| change.table.as_deref() != Some(table));
            }
        }
    }
}

impl World {
    /// The statements succeed; which of their objects were there before is known only of those that were made in the model.
    pub(super) fn statements(&mut self, op: &Sql, token: &Token) -> Outcome {
        let verdicts = sql::lint(&op.text).unwrap_or_default();
        let schema = self.databases.entry(op.database.to_string()).or_default();
        let done = schema.done.get(token).copied().unwrap_or(0);
        let mut existed = Vec::new();
        for verdict in verdicts.iter().skip(done) {
            for object in sql::conditional(&verdict.statement) {
                let is_there = |(item, change): (&String, &Change)| change.is_there && is_named(item, &object.to_string());
                if schema.changes.iter().any(is_there) {
                    existed.push(object);
                }
            }
            schema.run(&verdict.statement, verdict.phase, op.undo.is_some());
        }
        schema.done.insert(token.clone(), verdicts.len().max(done));
        let count = sql::statements(&op.text).map_or(1, |statements| statements.len() as u64);
        let words = if count == 1 { "the statement succeeds".into() } else { format!("the {count} statements succeed") };
        let undo = op.undo.as_ref().and_then(|undo| sql::without(undo, &existed));
        let existed = existed.iter().map(ToString::to_string).collect();
        Outcome::of(SqlDone { statements: count, existed, ..SqlDone::default() }).undone_by(op.inverse(undo)).assuming(words)
    }

    /// Takes note that what these statements make is not there, as far as it was not made before: they fail on their way.
    pub fn fails_on_the_way(&mut self, op: &Sql) {
        let schema = self.databases.entry(op.database.to_string()).or_default();
        for statement in sql::statements(&op.text).unwrap_or_default() {
            for effect in sql::effects(&statement.to_string()) {
                if let Effect::Makes(item) = effect
                    && !schema.changes.contains_key(&item.words)
                {
                    schema.absent.insert(item.words);
                }
            }
        }
    }

    /// What differs of each database from the beginning and the script has said how to take back, in words.
    pub(super) fn schemas(&self) -> impl Iterator<Item = (&str, Vec<String>)> {
        self.databases.iter().map(|(name, schema)| {
            let told = |(item, change): (&String, &Change)| {
                change.has_undo.then(|| format!("{} {}", item, if change.is_there { "is there" } else { "is gone" }))
            };
            (name.as_str(), schema.changes.iter().filter_map(told).collect())
        })
    }

    /// What code of the version before may miss, in words.
    pub fn contracted(&self) -> Vec<String> {
        let told = |(item, change): (&String, &Change)| {
            change.contracts.then(|| format!("{} is {}", item, if change.is_there { "new" } else { "gone" }))
        };
        self.databases.values().flat_map(|schema| schema.changes.iter().filter_map(told)).collect()
    }

    /// Takes every schema as it is for what was there in the beginning.
    pub fn settle_schemas(&mut self) {
        self.databases.clear();
    }
}

/// Whether an item is the object of this name, as messages call it.
fn is_named(item: &str, name: &str) -> bool {
    item.split_once(' ').is_some_and(|(_, known)| known == name)
}

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

/// It comes to its end.
pub(super) fn backfilled() -> Outcome {
    Outcome::of(Backfilled { done: true, ..Backfilled::default() }).assuming("it reaches the last row")
}

/// The dump is written.
pub(super) fn backed_up(op: &Backup, token: &Token) -> Outcome {
    Outcome::of(BackedUp { path: op.file(token), ..BackedUp::default() }).assuming("the dump is written")
}

/// The first of several statements, for what fails behind it.
pub fn first_of(text: &Text) -> Option<Text> {
    let mut statements = sql::statements(text).ok().filter(|statements| statements.len() > 1)?;
    Some(statements.remove(0))
}
