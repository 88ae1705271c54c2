//! What a model knows of databases: which parts of a schema were made and taken away, beyond what it began with. Rows it takes for
//! granted.

use std::collections::{BTreeMap, BTreeSet};

use super::World;
use crate::{
    model::{
        Database, Text, Token,
        sql::{self, Effect, Item, Phase},
    },
    op::{BackedUp, Backfilled, Backup, DatabaseSession, Outcome, Query, Sql, SqlDone},
};

/// A database's schema, as far as it differs from what was there in the beginning.
#[derive(Clone, Debug, Default)]
pub(super) struct Schema {
    changes: BTreeMap<String, Change>,
    /// What is known to have been there in the beginning.
    known: BTreeMap<String, Item>,
    /// What is known not to be there: what a statement would have made that failed before it.
    absent: BTreeSet<String>,
    /// What was there by a statement that has an `undo`, and was taken away by one that has none: nothing brings it back.
    forgone: BTreeSet<String>,
    /// All that statements have made until now, whatever became of it.
    made: BTreeSet<String>,
    /// What the script makes where nothing goes wrong: it was not there before.
    expected: BTreeSet<String>,
    /// Statements that contract and make or take nothing that has a name, such as one that drops a default, with what takes each back.
    contractions: BTreeMap<String, Option<Text>>,
    /// Whether a statement may have made what its text does not tell.
    is_opaque: bool,
    /// What is done of each call: the database itself keeps that, so no statement is done twice.
    done: BTreeMap<Token, Done>,
}

/// What is done of a call.
#[derive(Clone, Debug, Default)]
struct Done {
    statements: usize,
    /// What was there before and was left as it was.
    existed: Vec<sql::Object>,
}

/// How an item differs from the beginning.
#[derive(Clone, Debug)]
struct Change {
    item: Item,
    /// Whether it is there now.
    is_there: bool,
    /// Whether code of the version before may fail by it.
    contracts: bool,
    /// Whether it has to be taken back: the script says how, or it comes of what takes something else back.
    is_judged: bool,
}

impl Schema {
    fn run(&mut self, statement: &str, phase: Phase, op: &Sql) {
        let effects = sql::effects(statement);
        self.is_opaque |= !op.is_undo && effects.is_empty() && sql::is_opaque(statement);
        if op.is_undo {
            self.contractions.retain(|_, undo| undo.as_ref() != Some(&op.text));
        } else if effects.is_empty() && phase == Phase::Contract {
            self.contractions.insert(short(statement), op.undo.clone());
        }
        // What is renamed keeps what goes with it.
        let is_rename = effects.iter().any(|effect| matches!(effect, Effect::Makes(_)));
        for effect in effects {
            let (is_there, item) = match effect {
                Effect::Makes(item) => (true, item),
                Effect::Takes(item) => (false, item),
            };
            let change = Change { item, is_there, contracts: phase == Phase::Contract, is_judged: op.undo.is_some() || op.is_undo };
            if is_there {
                self.make(change);
                continue;
            }
            let gone = change.item.clone();
            let before: BTreeSet<String> = self.judged().collect();
            self.take(change, op.is_undo);
            if !is_rename {
                self.cascade(&gone);
            }
            if op.undo.is_none() && !op.is_undo {
                let after: BTreeSet<String> = self.judged().collect();
                self.forgone.extend(before.difference(&after).cloned());
            }
        }
    }

    /// What is there that has to be taken back.
    fn judged(&self) -> impl Iterator<Item = String> {
        let judged = self.changes.iter().filter(|(_, change)| change.is_there && change.is_judged);
        judged.map(|(words, _)| words.clone())
    }

    /// Takes it that what the `undo` makes again was there: what statements take away first, or replace.
    fn know_what_is_made_again(&mut self, op: &Sql) {
        let Some(undo) = &op.undo else { return };
        let of = |text: &Text| -> Vec<(Effect, bool)> {
            let statements = sql::statements(text).unwrap_or_default();
            let each = statements.iter().map(ToString::to_string);
            each.flat_map(|one| sql::effects(&one).into_iter().map(move |effect| (effect, sql::replaces(&one)))).collect()
        };
        let done = of(&op.text);
        for (effect, _) in of(undo) {
            let Effect::Makes(item) = effect else { continue };
            let first = done.iter().find(|(effect, _)| effect.item().words == item.words);
            let was_there = first.is_some_and(|(effect, replaces)| matches!(effect, Effect::Takes(_)) || *replaces);
            if was_there && !self.changes.contains_key(&item.words) {
                self.absent.remove(&item.words);
                self.known.entry(item.words.clone()).or_insert(item);
            }
        }
    }

    fn make(&mut self, change: Change) {
        let words = change.item.words.clone();
        self.made.insert(words.clone());
        self.absent.remove(&words);
        self.forgone.remove(&words);
        match self.changes.get(&words) {
            // It is again as it was.
            Some(known) if !known.is_there => {
                let known = self.changes.remove(&words).map(|known| known.item);
                if let Some(item) = known {
                    self.known.entry(words).or_insert(item);
                }
            }
            Some(_) => {}
            None if self.was_there(&words) => {}
            None => drop(self.changes.insert(words, change)),
        }
    }

    fn take(&mut self, change: Change, is_undo: bool) {
        let item = change.item.clone();
        match self.changes.get(&item.words) {
            Some(known) if known.is_there => {
                self.changes.remove(&item.words);
                self.absent.insert(item.words.clone());
            }
            Some(_) => {}
            None if self.absent.contains(&item.words) => {}
            // What was not made need not be taken back.
            None if is_undo && !self.was_there(&item.words) && (self.is_opaque || self.expected.contains(&item.words)) => {}
            None => drop(self.changes.insert(item.words, change)),
        }
    }

    /// Takes away what goes with an item that is gone.
    fn cascade(&mut self, gone: &Item) {
        if let Some(table) = gone.words.strip_prefix("table ") {
            self.changes.retain(|_, change| change.item.table.as_deref() != Some(table));
        } else if let Some(schema) = gone.words.strip_prefix("schema ") {
            let within = format!("{schema}.");
            let is_within = |item: &Item| item.words.rsplit_once(' ').is_some_and(|(_, name)| name.starts_with(&within));
            self.changes.retain(|_, change| !(change.is_there && is_within(&change.item)));
        } else if let (true, Some(table)) = (gone.words.starts_with("column "), &gone.table) {
            let column = gone.words.rsplit('.').next().unwrap_or_default();
            let goes_with = |item: &Item| item.table.as_ref() == Some(table) && item.columns.iter().any(|one| one == column);
            self.changes.retain(|_, change| !(change.is_there && goes_with(&change.item)));
        }
    }

    /// Whether an item was there in the beginning, as far as that is known.
    fn was_there(&self, words: &str) -> bool {
        let is_column_of = |name: &str| {
            let Some((table, column)) = name.rsplit_once('.') else { return false };
            self.known.get(&format!("table {table}")).is_some_and(|table| table.columns.iter().any(|one| one == column))
        };
        !self.absent.contains(words) && (self.known.contains_key(words) || words.strip_prefix("column ").is_some_and(is_column_of))
    }

    /// Whether an object is there now, as far as that is known.
    fn has(&self, object: &str) -> bool {
        let named = |word: &str| format!("{word} {object}");
        let kinds = ["table", "view", "index", "sequence", "column", "schema"].map(named);
        kinds.iter().any(|words| self.changes.get(words).map_or_else(|| self.was_there(words), |change| change.is_there))
    }

    /// Takes what there is now for the beginning.
    fn settle(&mut self) {
        self.contractions.clear();
        let (there, gone): (Vec<_>, Vec<_>) = std::mem::take(&mut self.changes).into_iter().partition(|(_, change)| change.is_there);
        self.known.extend(there.into_iter().map(|(words, change)| (words, change.item)));
        for (words, change) in gone {
            let table = change.item.table.and_then(|table| self.known.get_mut(&format!("table {table}")));
            if let (Some(table), Some((_, column))) = (table, words.rsplit_once('.')) {
                table.columns.retain(|one| one != column);
            }
            self.known.remove(&words);
            self.absent.insert(words);
        }
    }
}

impl World {
    /// The statements succeed; which of their objects were there before is known only of those that were made in the model.
    pub(super) fn statements(&mut self, op: &Sql, token: &Token) -> Outcome {
        let verdicts = sql::lint(&op.text).unwrap_or_default();
        let schema = self.databases.entry(Self::database(&op.database)).or_default();
        schema.know_what_is_made_again(op);
        let mut done = schema.done.remove(token).unwrap_or_default();
        for verdict in verdicts.iter().skip(done.statements) {
            for object in sql::conditional(&verdict.statement) {
                let name = object.to_string();
                if schema.has(name.strip_prefix("public.").unwrap_or(&name)) {
                    done.existed.push(object);
                }
            }
            schema.run(&verdict.statement, verdict.phase, op);
        }
        done.statements = verdicts.len().max(done.statements);
        let existed = done.existed.clone();
        schema.done.insert(token.clone(), done);
        let count = sql::statements(&op.text).map_or(1, |statements| statements.len() as u64);
        let words = if count == 1 { "the statement succeeds".into() } else { format!("the {count} statements succeed") };
        let undo = op.undo.as_ref().and_then(|undo| sql::without(undo, &existed));
        let existed = existed.iter().map(ToString::to_string).collect();
        Outcome::of(SqlDone { statements: count, existed, ..SqlDone::default() }).undone_by(op.inverse(undo)).assuming(words)
    }

    /// Where in its shape a database stands: what different hosts have at an address of their own is not one.
    pub fn database(database: &Database) -> String {
        match &database.via {
            Some(host) if database.is_its_hosts_own() => format!("{database} via {}", host.name),
            _ => database.to_string(),
        }
    }

    /// Takes note that what these statements make is not there, as far as it was not made before: they fail on their way.
    pub fn fails_on_the_way(&mut self, op: &Sql) {
        let schema = self.databases.entry(Self::database(&op.database)).or_default();
        schema.know_what_is_made_again(op);
        for statement in sql::statements(&op.text).unwrap_or_default() {
            for effect in sql::effects(&statement.to_string()) {
                if let Effect::Makes(item) = effect
                    && !schema.changes.contains_key(&item.words)
                    && !schema.was_there(&item.words)
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
                change.is_judged.then(|| format!("{} {}", item, if change.is_there { "is there" } else { "is gone" }))
            };
            (name.as_str(), schema.changes.iter().filter_map(told).collect())
        })
    }

    /// Whether a schema differs from the beginning in something that statements tell, with `undo` or without.
    pub fn has_other_schemas(&self) -> bool {
        self.databases.values().any(|schema| !schema.changes.is_empty() || !schema.contractions.is_empty())
    }

    /// Whether nothing brings back what this line of its shape at this place told: statements or a command without `undo` took it away.
    pub fn is_forgone(&self, place: &str, line: &str) -> bool {
        let is_of_schema = |schema: &Schema| line.strip_suffix(" is there").is_some_and(|words| schema.forgone.contains(words));
        self.databases.get(place).is_some_and(is_of_schema) || self.is_forgone_command(place, line)
    }

    /// What code of the version before may miss, in words: what is gone, then what is new.
    pub fn contracted(&self) -> Vec<String> {
        let told = |is_there: bool| {
            let changes = self.databases.values().flat_map(|schema| &schema.changes);
            let word = if is_there { "new" } else { "gone" };
            changes
                .filter(move |(_, change)| change.contracts && change.is_there == is_there)
                .map(move |(item, _)| format!("{item} is {word}"))
        };
        let nameless = self.databases.values().flat_map(|schema| schema.contractions.keys());
        told(false).chain(told(true)).chain(nameless.map(|statement| format!("`{statement}` is done"))).collect()
    }

    /// Takes every schema for what was there before anything was done to it.
    pub fn forget_schemas(&mut self) {
        self.databases.clear();
    }

    /// Takes every schema as it is for what was there in the beginning.
    pub fn settle_schemas(&mut self) {
        self.databases.values_mut().for_each(Schema::settle);
    }

    /// Takes what was made in `whole` for what the script makes, and was not there before.
    pub fn expect_schemas(&mut self, whole: &Self) {
        for (name, schema) in &whole.databases {
            let known = self.databases.entry(name.clone()).or_default();
            known.expected.clone_from(&schema.made);
            known.is_opaque = schema.is_opaque;
        }
    }
}

/// A statement in a line of at most 80 characters.
fn short(statement: &str) -> String {
    const MOST: usize = 80;
    let line = statement.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.chars().count() <= MOST { line } else { line.chars().take(MOST - 1).chain(['…']).collect() }
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
