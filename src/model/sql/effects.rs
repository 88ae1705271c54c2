//! What a statement makes and takes away, as far as the parser understands it: so that a model knows a schema.

use sqlparser::ast::{
    AlterColumnOperation, AlterTable, AlterTableOperation, Ident, IndexColumn, ObjectName, ObjectType, RenameTableNameKind, SchemaName,
    Statement, TableConstraint,
};

use super::objects::{beside, first_words, full, ident, parse};

/// Something of a schema, in words such as `column users.mail`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// What it is called.
    pub words: String,
    /// The table that it goes with.
    pub table: Option<String>,
    /// The columns that it has, or that it goes with: an index goes with each of its own.
    pub columns: Vec<String>,
}

/// One thing that a statement does to a schema. What it does to rows is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It is there afterwards.
    Makes(Item),
    /// It is not there any more.
    Takes(Item),
}

impl Effect {
    /// What it makes or takes.
    pub const fn item(&self) -> &Item {
        match self {
            Self::Makes(item) | Self::Takes(item) => item,
        }
    }
}

/// Whether a statement makes something whether or not it was there: `CREATE OR REPLACE`.
pub fn replaces(statement: &str) -> bool {
    match parse(statement) {
        Ok(Statement::CreateView(create)) => create.or_replace,
        Ok(Statement::CreateFunction(create)) => create.or_replace,
        Ok(Statement::CreateTrigger(create)) => create.or_replace,
        _ => false,
    }
}

/// What a statement does to a schema, in order; nothing where the parser does not know it.
pub fn effects(statement: &str) -> Vec<Effect> {
    use Effect::{Makes, Takes};
    let Ok(parsed) = parse(statement) else { return Vec::new() };
    match &parsed {
        Statement::CreateTable(create) => {
            let columns = create.columns.iter().map(|column| plain(&ident(&column.name))).collect();
            vec![Makes(Item { columns, ..item("table", &create.name) })]
        }
        Statement::CreateSchema { schema_name: SchemaName::Simple(name) | SchemaName::NamedAuthorization(name, _), .. } => {
            vec![Makes(item("schema", name))]
        }
        Statement::CreateExtension(create) => vec![Makes(extension(&create.name))],
        Statement::DropExtension(drop) => drop.names.iter().map(|name| Takes(extension(name))).collect(),
        Statement::CreateView(create) => vec![Makes(item("view", &create.name))],
        Statement::CreateFunction(create) => vec![Makes(item("function", &create.name))],
        Statement::CreateSequence { name, .. } => vec![Makes(item("sequence", name))],
        Statement::CreateType { name, .. } => vec![Makes(item("type", name))],
        Statement::CreateTrigger(create) => vec![Makes(of("trigger", &create.table_name, &plain(&full(&create.name))))],
        Statement::CreateIndex(create) => {
            let table = Some(plain(&full(&create.table_name)));
            let parts = create.columns.iter().map(ToString::to_string).chain(create.include.iter().map(ident));
            let columns: Vec<String> =
                parts.chain(create.predicate.iter().map(ToString::to_string)).flat_map(|part| words_of(&part)).collect();
            let named = |name| format!("index {}", plain(&beside(&create.table_name, name)));
            create.name.iter().map(|name| Makes(Item { words: named(name), table: table.clone(), columns: columns.clone() })).collect()
        }
        Statement::DropFunction(drop) => drop.func_desc.iter().map(|function| Takes(item("function", &function.name))).collect(),
        Statement::DropTrigger(drop) => {
            drop.table_name.iter().map(|table| Takes(of("trigger", table, &plain(&full(&drop.trigger_name))))).collect()
        }
        Statement::Drop { object_type, names, .. } => {
            let word = match object_type {
                ObjectType::Table => "table",
                ObjectType::View | ObjectType::MaterializedView => "view",
                ObjectType::Index => "index",
                ObjectType::Sequence => "sequence",
                ObjectType::Type => "type",
                ObjectType::Schema => "schema",
                _ => return Vec::new(),
            };
            names.iter().map(|name| Takes(item(word, name))).collect()
        }
        Statement::AlterTable(alter) => alter.operations.iter().flat_map(|operation| altered(alter, operation)).collect(),
        _ => Vec::new(),
    }
}

fn altered(alter: &AlterTable, operation: &AlterTableOperation) -> Vec<Effect> {
    use Effect::{Makes, Takes};
    let part = |word: &str, name: &Ident| of(word, &alter.name, &plain(&ident(name)));
    match operation {
        AlterTableOperation::AddColumn { column_def, .. } => vec![Makes(part("column", &column_def.name))],
        AlterTableOperation::DropColumn { column_names, .. } => column_names.iter().map(|name| Takes(part("column", name))).collect(),
        AlterTableOperation::RenameColumn { old_column_name, new_column_name } => {
            vec![Takes(part("column", old_column_name)), Makes(part("column", new_column_name))]
        }
        AlterTableOperation::RenameTable { table_name: RenameTableNameKind::As(name) | RenameTableNameKind::To(name) } => {
            vec![Takes(item("table", &alter.name)), Makes(item("table", name))]
        }
        AlterTableOperation::AddConstraint { constraint, .. } => {
            let made = constraint_name(constraint).map(|name| Makes(Item { columns: columns_of(constraint), ..part("constraint", name) }));
            // The constraint has the index from then on, and takes it along.
            let taken = match constraint {
                TableConstraint::UniqueUsingIndex(using) | TableConstraint::PrimaryKeyUsingIndex(using) => {
                    let index = ObjectName::from(vec![using.index_name.clone()]);
                    Some(Takes(Item { words: format!("index {}", plain(&beside(&alter.name, &index))), table: None, columns: Vec::new() }))
                }
                _ => None,
            };
            made.into_iter().chain(taken).collect()
        }
        AlterTableOperation::DropConstraint { name, .. } => vec![Takes(part("constraint", name))],
        AlterTableOperation::RenameConstraint { old_name, new_name } => {
            vec![Takes(part("constraint", old_name)), Makes(part("constraint", new_name))]
        }
        AlterTableOperation::AlterColumn { column_name, op: AlterColumnOperation::SetNotNull } => {
            vec![Makes(Item { columns: vec![plain(&ident(column_name))], ..part("NOT NULL of", column_name) })]
        }
        AlterTableOperation::AlterColumn { column_name, op: AlterColumnOperation::DropNotNull } => {
            vec![Takes(part("NOT NULL of", column_name))]
        }
        _ => Vec::new(),
    }
}

fn constraint_name(constraint: &TableConstraint) -> Option<&Ident> {
    match constraint {
        TableConstraint::Check(check) => check.name.as_ref(),
        TableConstraint::ForeignKey(key) => key.name.as_ref(),
        TableConstraint::Unique(unique) => unique.name.as_ref(),
        TableConstraint::PrimaryKey(key) => key.name.as_ref(),
        TableConstraint::UniqueUsingIndex(using) | TableConstraint::PrimaryKeyUsingIndex(using) => using.name.as_ref(),
        _ => None,
    }
}

/// The columns that a constraint is about, among other words where it is an expression.
fn columns_of(constraint: &TableConstraint) -> Vec<String> {
    let indexed = |columns: &[IndexColumn]| columns.iter().flat_map(|column| words_of(&column.to_string())).collect();
    match constraint {
        TableConstraint::Check(check) => words_of(&check.expr.to_string()),
        TableConstraint::ForeignKey(key) => key.columns.iter().map(|column| plain(&ident(column))).collect(),
        TableConstraint::Unique(unique) => indexed(&unique.columns),
        TableConstraint::PrimaryKey(key) => indexed(&key.columns),
        _ => Vec::new(),
    }
}

/// Whether a statement may make something that its text does not tell: a block of code, or a table from a query.
pub fn is_opaque(statement: &str) -> bool {
    let words = first_words(statement);
    match words.first().map(String::as_str) {
        Some("DO" | "CALL" | "EXECUTE") => true,
        Some("SELECT" | "WITH") => words_of(statement).contains(&"into".to_owned()),
        _ => false,
    }
}

fn item(word: &str, name: &ObjectName) -> Item {
    Item { words: format!("{word} {}", plain(&full(name))), table: None, columns: Vec::new() }
}

fn extension(name: &Ident) -> Item {
    Item { words: format!("extension {}", plain(&ident(name))), table: None, columns: Vec::new() }
}

fn of(word: &str, table: &ObjectName, name: &str) -> Item {
    let table = plain(&full(table));
    Item { words: format!("{word} {table}.{name}"), table: Some(table), columns: Vec::new() }
}

/// The name as people write it: what names no schema is in `public`.
fn plain(name: &str) -> String {
    let name = name.replace('"', "");
    name.strip_prefix("public.").map(str::to_owned).unwrap_or(name)
}

/// The words of an expression: which columns it is about, among others.
fn words_of(expression: &str) -> Vec<String> {
    let words = expression.split(|letter: char| !letter.is_alphanumeric() && letter != '_');
    words.filter(|word| !word.is_empty()).map(str::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(statement: &str) -> Vec<String> {
        let told = |effect: Effect| match effect {
            Effect::Makes(item) => format!("+{}", item.words),
            Effect::Takes(item) => format!("-{}", item.words),
        };
        effects(statement).into_iter().map(told).collect()
    }

    #[test]
    fn what_is_made_has_the_same_words_as_what_takes_it_back() {
        for (make, take) in [
            ("CREATE TABLE IF NOT EXISTS Mails (id int)", "DROP TABLE IF EXISTS mails"),
            ("ALTER TABLE users ADD COLUMN mail text", "ALTER TABLE users DROP COLUMN IF EXISTS mail"),
            ("CREATE UNIQUE INDEX CONCURRENTLY users_mail ON users (mail)", "DROP INDEX CONCURRENTLY IF EXISTS users_mail"),
            ("CREATE INDEX a ON shop.users (mail)", "DROP INDEX shop.a"),
            ("CREATE TRIGGER t BEFORE INSERT ON users FOR EACH ROW EXECUTE FUNCTION f()", "DROP TRIGGER IF EXISTS t ON users"),
            ("CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$", "DROP FUNCTION IF EXISTS f"),
            ("CREATE VIEW v AS SELECT 1", "DROP VIEW v"),
            ("CREATE SEQUENCE s", "DROP SEQUENCE s"),
            ("CREATE TYPE mood AS ENUM ('ok')", "DROP TYPE mood"),
            ("CREATE SCHEMA audit", "DROP SCHEMA audit CASCADE"),
            ("CREATE EXTENSION IF NOT EXISTS hstore", "DROP EXTENSION hstore"),
            ("CREATE TABLE pets (id int)", "DROP TABLE public.pets"),
            ("ALTER TABLE public.users ADD COLUMN mail text", "ALTER TABLE users DROP COLUMN mail"),
            ("ALTER TABLE users ADD CONSTRAINT c CHECK (a > 0) NOT VALID", "ALTER TABLE users DROP CONSTRAINT c"),
            ("ALTER TABLE users ALTER COLUMN a SET NOT NULL", "ALTER TABLE users ALTER COLUMN a DROP NOT NULL"),
        ] {
            let (made, taken) = (told(make), told(take));
            assert_eq!(made.len(), 1, "{make}");
            assert_eq!(made[0].replacen('+', "-", 1), taken[0], "{make}");
        }
    }

    #[test]
    fn a_name_is_taken_away_and_another_made() {
        assert_eq!(told("ALTER TABLE users RENAME COLUMN email TO mail"), ["-column users.email", "+column users.mail"]);
        assert_eq!(told("ALTER TABLE users RENAME TO people"), ["-table users", "+table people"]);
        assert_eq!(told("ALTER TABLE u DROP COLUMN a, ADD COLUMN b int"), ["-column u.a", "+column u.b"]);
    }

    #[test]
    fn what_goes_with_a_column_is_known() {
        let columns = |statement: &str| match effects(statement).remove(0) {
            Effect::Makes(item) | Effect::Takes(item) => item.columns,
        };
        for (statement, column) in [
            ("CREATE INDEX a ON users (lower(Mail), name)", "mail"),
            ("ALTER TABLE users ADD CONSTRAINT c CHECK (age > 0)", "age"),
            ("ALTER TABLE users ADD CONSTRAINT c UNIQUE (mail, name)", "name"),
            ("ALTER TABLE users ALTER COLUMN mail SET NOT NULL", "mail"),
            ("CREATE INDEX live ON users (id) WHERE deleted_at IS NULL", "deleted_at"),
            ("CREATE INDEX wide ON users (id) INCLUDE (mail)", "mail"),
            ("CREATE TABLE users (id int PRIMARY KEY, mail text)", "mail"),
        ] {
            assert!(columns(statement).contains(&column.to_owned()), "{statement}: {:?}", columns(statement));
        }
    }

    #[test]
    fn rows_are_no_schema() {
        for text in ["UPDATE users SET a = 1", "INSERT INTO t VALUES (1)", "SELECT 1", "what is this"] {
            assert_eq!(told(text), Vec::<String>::new(), "{text}");
        }
    }
}
