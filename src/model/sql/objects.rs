//! What statements make, drop and lock, as far as the parser understands them.

use serde::{Deserialize, Serialize};
use sqlparser::{
    ast::{AlterTableOperation, Ident, ObjectName, ObjectType, Statement},
    dialect::PostgreSqlDialect,
    parser::Parser,
};

use super::{quoted_name, statements};
use crate::model::Text;

/// Something that a statement makes or drops. Names are as in a statement, each part quoted.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Object {
    /// A table, view, index or sequence.
    Relation(String),
    /// A column of a table.
    Column(String, String),
    /// A schema.
    Schema(String),
}

/// As people may see it.
impl std::fmt::Display for Object {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Relation(name) | Self::Schema(name) => formatter.write_str(&name.replace('"', "")),
            Self::Column(table, column) => write!(formatter, "{}.{}", table.replace('"', ""), column.replace('"', "")),
        }
    }
}

/// An index that is built without keeping writers out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConcurrentIndex {
    /// Its name, with the table's schema where that is given.
    pub name: Option<String>,
    /// Whether one of the name may be there already.
    pub if_not_exists: bool,
}

/// The one statement of a text, if the parser knows it.
pub(super) fn parse(text: &str) -> Result<Statement, String> {
    // The parser does not know the word there, and it changes nothing of what is dropped.
    let words = first_words(text);
    let drops = words.len() > 2 && words[..3] == ["DROP", "INDEX", "CONCURRENTLY"];
    let text = if drops { &without_word(text, "CONCURRENTLY") } else { text };
    match Parser::parse_sql(&PostgreSqlDialect {}, text) {
        Ok(mut parsed) if parsed.len() == 1 => Ok(parsed.remove(0)),
        Ok(_) => Err("it is not one statement".into()),
        Err(error) => Err(error.to_string().trim_start_matches("sql parser error: ").to_owned()),
    }
}

fn without_word(text: &str, word: &str) -> String {
    match text.to_ascii_uppercase().find(word) {
        Some(start) => format!("{}{}", &text[..start], &text[start + word.len()..]),
        None => text.to_owned(),
    }
}

/// A name's last part, quoted.
pub(super) fn ident(name: &Ident) -> String {
    quoted_name(&if name.quote_style.is_some() { name.value.clone() } else { name.value.to_lowercase() })
}

/// All parts of a name, each quoted.
pub(super) fn full(name: &ObjectName) -> String {
    name.0.iter().filter_map(|part| part.as_ident().map(ident)).collect::<Vec<_>>().join(".")
}

/// An index lives in its table's schema.
pub(super) fn beside(table: &ObjectName, index: &ObjectName) -> String {
    let table = full(table);
    match table.rsplit_once('.') {
        Some((schema, _)) => format!("{schema}.{}", full(index)),
        None => full(index),
    }
}

/// What a statement makes only if it is not there: `IF NOT EXISTS`.
pub fn conditional(text: &str) -> Vec<Object> {
    match parse(text) {
        Ok(Statement::CreateTable(create)) if create.if_not_exists => vec![Object::Relation(full(&create.name))],
        Ok(Statement::CreateIndex(create)) if create.if_not_exists => {
            create.name.iter().map(|name| Object::Relation(beside(&create.table_name, name))).collect()
        }
        Ok(Statement::CreateSequence { if_not_exists: true, name, .. }) => vec![Object::Relation(full(&name))],
        Ok(Statement::CreateSchema { if_not_exists: true, schema_name, .. }) => {
            vec![Object::Schema(quoted_name(&schema_name.to_string().replace('"', "")))]
        }
        Ok(Statement::AlterTable(alter)) => alter
            .operations
            .iter()
            .filter_map(|operation| match operation {
                AlterTableOperation::AddColumn { if_not_exists: true, column_def, .. } => {
                    Some(Object::Column(full(&alter.name), ident(&column_def.name)))
                }
                _ => None,
            })
            .collect(),
        _ => Vec::new(),
    }
}

/// What a statement drops.
fn dropped(text: &str) -> Vec<Object> {
    match parse(text) {
        Ok(Statement::Drop { object_type: ObjectType::Schema, names, .. }) => names.iter().map(|name| Object::Schema(full(name))).collect(),
        Ok(Statement::Drop { names, .. }) => names.iter().map(|name| Object::Relation(full(name))).collect(),
        Ok(Statement::AlterTable(alter)) => alter
            .operations
            .iter()
            .flat_map(|operation| match operation {
                AlterTableOperation::DropColumn { column_names, .. } => {
                    column_names.iter().map(|column| Object::Column(full(&alter.name), ident(column))).collect()
                }
                _ => Vec::new(),
            })
            .collect(),
        _ => Vec::new(),
    }
}

/// The tables that a statement keeps everyone away from while it runs, and while it waits.
pub fn locked(text: &str) -> Vec<String> {
    match parse(text) {
        Ok(Statement::AlterTable(alter)) => {
            let light = |operation: &AlterTableOperation| matches!(operation, AlterTableOperation::ValidateConstraint { .. });
            if alter.operations.iter().all(light) { Vec::new() } else { vec![full(&alter.name)] }
        }
        Ok(Statement::CreateIndex(create)) if !create.concurrently => vec![full(&create.table_name)],
        Ok(Statement::Drop { object_type: ObjectType::Table | ObjectType::View | ObjectType::MaterializedView, names, .. }) => {
            names.iter().map(full).collect()
        }
        Ok(Statement::Truncate(truncate)) => truncate.table_names.iter().map(|target| full(&target.name)).collect(),
        Ok(Statement::CreateTrigger(create)) => vec![full(&create.table_name)],
        _ => Vec::new(),
    }
}

/// The index that a statement builds without keeping writers out.
pub fn concurrent_index(text: &str) -> Option<ConcurrentIndex> {
    match parse(text) {
        Ok(Statement::CreateIndex(create)) if create.concurrently => Some(ConcurrentIndex {
            name: create.name.as_ref().map(|name| beside(&create.table_name, name)),
            if_not_exists: create.if_not_exists,
        }),
        _ => None,
    }
}

/// The first words of a statement in capitals, without comments before them.
pub fn first_words(text: &str) -> Vec<String> {
    let mut rest = text.trim_start();
    loop {
        rest = match rest {
            line if line.starts_with("--") => line.split_once('\n').map_or("", |(_, rest)| rest).trim_start(),
            comment if comment.starts_with("/*") => comment.split_once("*/").map_or("", |(_, rest)| rest).trim_start(),
            _ => break,
        };
    }
    rest.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty()).take(4).map(str::to_uppercase).collect()
}

/// Whether a statement begins or ends a transaction.
pub fn is_transaction_control(text: &str) -> bool {
    let words = first_words(text);
    let first = words.first().map(String::as_str).unwrap_or_default();
    let second = words.get(1).map(String::as_str).unwrap_or_default();
    matches!(first, "BEGIN" | "COMMIT" | "ROLLBACK" | "END" | "ABORT" | "SAVEPOINT" | "RELEASE")
        || matches!((first, second), ("START" | "PREPARE", "TRANSACTION"))
}

/// Whether Postgres refuses a statement within a transaction.
pub fn stands_alone(text: &str) -> bool {
    let words = first_words(text);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["CREATE", "INDEX" | "UNIQUE", ..] | ["DROP" | "REINDEX", ..] => {
            text.to_uppercase().split(|c: char| !c.is_alphanumeric()).any(|word| word == "CONCURRENTLY")
                || words.get(1).is_some_and(|word| *word == "DATABASE")
        }
        ["VACUUM", ..] | ["CREATE" | "ALTER", "DATABASE" | "SYSTEM" | "TABLESPACE", ..] => true,
        _ => false,
    }
}

/// Statements without those that would drop what was there before; what cannot be told apart is left out with them.
/// `None` where nothing is left.
pub fn without(undo: &Text, existed: &[Object]) -> Option<Text> {
    let pieces = statements(undo).ok()?;
    let spares = |piece: &Text| {
        let piece = piece.to_string();
        existed.is_empty() || (parse(&piece).is_ok() && !dropped(&piece).iter().any(|object| existed.contains(object)))
    };
    let kept: Vec<Text> = pieces.into_iter().filter(spares).collect();
    let mut parts = Vec::new();
    for piece in &kept {
        if !parts.is_empty() {
            parts.push(crate::model::text::Part::Plain(";\n".into()));
        }
        parts.extend(piece.parts().iter().cloned());
    }
    (!parts.is_empty()).then(|| Text::new(parts))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_there_before_is_no_undos_to_drop() {
        let made = conditional("CREATE INDEX CONCURRENTLY IF NOT EXISTS Users_email ON public.users (email)");
        assert_eq!(made, [Object::Relation("\"public\".\"users_email\"".into())]);
        let undo = Text::from("DROP INDEX CONCURRENTLY IF EXISTS public.users_email; ALTER TABLE users DROP COLUMN email2");
        assert_eq!(without(&undo, &made).map(|text| text.to_string()).as_deref(), Some("ALTER TABLE users DROP COLUMN email2"));
        let column = conditional("ALTER TABLE users ADD COLUMN IF NOT EXISTS email2 text");
        assert_eq!(without(&"ALTER TABLE users DROP COLUMN email2".into(), &column), None);
        assert_eq!(conditional("ALTER TABLE users ADD COLUMN email2 text"), []);
    }

    #[test]
    fn what_a_statement_locks_is_known() {
        assert_eq!(locked("ALTER TABLE users ADD COLUMN a int"), ["\"users\""]);
        assert_eq!(locked("CREATE INDEX ON \"Users\" (a)"), ["\"Users\""]);
        assert_eq!(locked("ALTER TABLE users VALIDATE CONSTRAINT c"), Vec::<String>::new());
        assert_eq!(locked("CREATE INDEX CONCURRENTLY i ON users (a)"), Vec::<String>::new());
        assert_eq!(locked("UPDATE users SET a = 1"), Vec::<String>::new());
    }

    #[test]
    fn what_cannot_be_in_a_transaction_is_known() {
        for text in
            ["create unique index concurrently i on t (a)", "-- x\nVACUUM t", "DROP INDEX CONCURRENTLY i", "REINDEX INDEX CONCURRENTLY i"]
        {
            assert!(stands_alone(text), "{text}");
        }
        for text in ["CREATE INDEX i ON t (a)", "DROP TABLE t", "ALTER TABLE t ADD COLUMN a int"] {
            assert!(!stands_alone(text), "{text}");
        }
        for text in ["begin", "/* x */ COMMIT", "START TRANSACTION", "prepare transaction 'x'"] {
            assert!(is_transaction_control(text), "{text}");
        }
        assert!(!is_transaction_control("PREPARE q AS SELECT 1"));
    }
}
