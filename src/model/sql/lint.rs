//! Which statements old code survives, and which hold up everyone while they run.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use sqlparser::ast::{
    AlterColumnOperation, AlterTable, AlterTableOperation, ColumnDef, ColumnOption, CreateIndex, DataType, Expr, ObjectName, ObjectType,
    RenameTableNameKind, Statement, TableConstraint,
};

use super::{
    never::never_sent,
    objects::{beside, first_words, full, ident, parse},
    statements,
    unparsed::unparsed,
};
use crate::model::{Text, name::Invalid};

/// What a statement means to code of the version before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Old code goes on as before.
    Expand,
    /// Old code may fail: none may be left.
    Contract,
    /// It cannot be told: a person has to say.
    Unknown,
}

impl Phase {
    /// The word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Expand => "expand",
            Self::Contract => "contract",
            Self::Unknown => "unknown",
        }
    }
}

/// What is to be said of one statement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// The statement, without the comments before it.
    pub statement: String,
    /// What it means to old code.
    pub phase: Phase,
    /// Why it is refused.
    pub problem: Option<String>,
    /// What to do in its place.
    pub recipe: Option<String>,
    /// The statement that takes it back.
    pub undo: Option<String>,
}

/// Judges the statements of a text. A comment before a statement is a mark: `-- podlift: expand` or `-- podlift: contract` says
/// what it means to old code, `-- podlift: allow` that what it is refused for has been thought of; what is never sent stays refused.
pub fn lint(text: &Text) -> Result<Vec<Verdict>, Invalid> {
    let mut known = Known::default();
    Ok(statements(text)?.iter().map(|piece| known.judge(&piece.to_string())).collect())
}

/// What the statements before have made.
#[derive(Default)]
struct Known {
    tables: BTreeSet<String>,
    /// `CHECK (column IS NOT NULL)`, by table and constraint: the column.
    checks: BTreeMap<(String, String), String>,
    validated: BTreeSet<(String, String)>,
}

pub(super) type Judged = (Phase, Option<(String, String)>, Option<String>);

pub(super) const fn fine(phase: Phase) -> Judged {
    (phase, None, None)
}

fn undone(undo: impl Into<String>) -> Judged {
    (Phase::Expand, None, Some(undo.into()))
}

pub(super) fn refused(phase: Phase, problem: impl Into<String>, recipe: impl Into<String>) -> Judged {
    (phase, Some((problem.into(), recipe.into())), None)
}

impl Known {
    fn judge(&mut self, piece: &str) -> Verdict {
        let (comments, statement) = without_comments(piece);
        let (phase, problem, undo) = match parse(statement) {
            // The parser takes the word for nothing.
            _ if first_words(statement).starts_with(&["DROP", "INDEX", "CONCURRENTLY"].map(str::to_owned)) => fine(Phase::Contract),
            Ok(parsed) => self.statement(&parsed),
            Err(error) => unparsed(statement, &error),
        };
        let marks: Vec<&str> = comments.lines().filter_map(|line| line.trim().strip_prefix("-- podlift:")).map(str::trim).collect();
        let marked = |mark: &str| marks.iter().any(|given| given.split(|c: char| !c.is_alphanumeric()).next() == Some(mark));
        let phase = match () {
            () if marked("expand") => Phase::Expand,
            () if marked("contract") => Phase::Contract,
            () => phase,
        };
        let never = never_sent(statement).map(|(problem, recipe)| (problem.to_owned(), recipe.to_owned()));
        let problem = never.or_else(|| problem.filter(|_| !marked("allow")));
        let (problem, recipe) = problem.map_or((None, None), |(problem, recipe)| (Some(problem), Some(recipe)));
        Verdict { statement: statement.to_owned(), phase, problem, recipe, undo }
    }

    fn is_new(&self, table: &ObjectName) -> bool {
        self.tables.contains(&full(table))
    }

    #[expect(clippy::match_same_arms, reason = "each arm is a rule of its own, in the order of its subject")]
    fn statement(&mut self, statement: &Statement) -> Judged {
        match statement {
            Statement::CreateTable(create) => {
                self.tables.insert(full(&create.name));
                undone(format!("DROP TABLE IF EXISTS {}", full(&create.name)))
            }
            Statement::CreateIndex(create) => self.create_index(create),
            Statement::AlterTable(alter) => self.alter_table(alter),
            Statement::Drop { object_type, names, cascade, .. } => drop_judged(*object_type, names, *cascade),
            Statement::CreateView(create) if create.or_replace => fine(Phase::Unknown),
            Statement::CreateFunction(create) if create.or_replace => fine(Phase::Unknown),
            Statement::CreateView(create) => undone(format!("DROP VIEW IF EXISTS {}", full(&create.name))),
            Statement::CreateFunction(create) => undone(format!("DROP FUNCTION IF EXISTS {}", full(&create.name))),
            Statement::CreateTrigger(create) => {
                undone(format!("DROP TRIGGER IF EXISTS {} ON {}", full(&create.name), full(&create.table_name)))
            }
            Statement::CreateSequence { name, .. } => undone(format!("DROP SEQUENCE IF EXISTS {}", full(name))),
            Statement::CreateType { name, .. } => undone(format!("DROP TYPE IF EXISTS {}", full(name))),
            Statement::CreateSchema { .. }
            | Statement::CreateExtension(_)
            | Statement::CreateRole(_)
            | Statement::CreateDomain(_)
            | Statement::Grant(_)
            | Statement::Comment { .. }
            | Statement::Analyze(_)
            | Statement::Insert(_) => fine(Phase::Expand),
            Statement::Revoke(_) | Statement::DropFunction(_) | Statement::DropTrigger(_) | Statement::DropProcedure { .. } => {
                fine(Phase::Contract)
            }
            Statement::AlterType(_) => {
                let words = statement.to_string().to_uppercase();
                if words.contains("ADD VALUE") { fine(Phase::Expand) } else { fine(Phase::Contract) }
            }
            Statement::Truncate(_) => refused(
                Phase::Contract,
                "it deletes every row, and keeps everyone out meanwhile",
                "delete in batches with `backfill`'s pace, or drop the table in the contract",
            ),
            Statement::Update(update) if update.selection.is_none() => refused(
                Phase::Unknown,
                "it changes every row in one transaction: the rows stay locked until its end",
                "use `backfill`, which goes through the table in batches",
            ),
            Statement::Delete(delete) if delete.selection.is_none() => {
                refused(Phase::Contract, "it deletes every row in one transaction", "delete in batches by key")
            }
            Statement::Lock(_) | Statement::LockTables { .. } => refused(
                Phase::Unknown,
                "it keeps others out for as long as its transaction goes on",
                "leave it out: podlift takes each lock for one statement",
            ),
            Statement::Vacuum(vacuum) if vacuum.full => {
                refused(Phase::Unknown, "it rewrites the table and keeps everyone out meanwhile", "VACUUM without FULL, or pg_repack")
            }
            Statement::Vacuum(_) => fine(Phase::Expand),
            Statement::RefreshMaterializedView(refresh) if !refresh.concurrently => refused(
                Phase::Expand,
                "it keeps readers out meanwhile",
                "REFRESH MATERIALIZED VIEW CONCURRENTLY, which needs a unique index",
            ),
            Statement::RefreshMaterializedView(_) => fine(Phase::Expand),
            _ => fine(Phase::Unknown),
        }
    }

    fn create_index(&self, create: &CreateIndex) -> Judged {
        let name = create.name.as_ref().map(|name| beside(&create.table_name, name));
        if self.is_new(&create.table_name) {
            return (Phase::Expand, None, name.map(|name| format!("DROP INDEX IF EXISTS {name}")));
        }
        match (create.concurrently, name) {
            (true, Some(name)) => undone(format!("DROP INDEX CONCURRENTLY IF EXISTS {name}")),
            (true, None) => {
                refused(Phase::Expand, "an index that is built concurrently needs a name", "name it, so that a broken build can be found")
            }
            (false, _) => {
                refused(Phase::Expand, "writers of the table wait until the index is built", "CREATE INDEX CONCURRENTLY, with a name")
            }
        }
    }

    fn alter_table(&mut self, alter: &AlterTable) -> Judged {
        let table = full(&alter.name);
        let is_new = self.is_new(&alter.name);
        let mut sum = fine(Phase::Expand);
        let mut undos = Vec::new();
        for operation in &alter.operations {
            let (phase, problem, undo) = self.operation(&table, operation);
            sum.0 = match (sum.0, phase) {
                (Phase::Unknown, _) | (_, Phase::Unknown) => Phase::Unknown,
                (Phase::Contract, _) | (_, Phase::Contract) => Phase::Contract,
                _ => Phase::Expand,
            };
            sum.1 = sum.1.or(problem.filter(|_| !is_new));
            undos.extend(undo);
        }
        if is_new {
            sum.0 = Phase::Expand;
        }
        undos.reverse();
        sum.2 = (!undos.is_empty()).then(|| undos.join(";\n"));
        sum
    }

    fn operation(&mut self, table: &str, operation: &AlterTableOperation) -> Judged {
        match operation {
            AlterTableOperation::AddColumn { column_def, .. } => {
                let problem = column_problem(column_def);
                (Phase::Expand, problem, Some(format!("ALTER TABLE {table} DROP COLUMN IF EXISTS {}", ident(&column_def.name))))
            }
            AlterTableOperation::AddConstraint { constraint, not_valid } => self.constraint(table, constraint, *not_valid),
            AlterTableOperation::ValidateConstraint { name } => {
                self.validated.insert((table.to_owned(), ident(name)));
                fine(Phase::Expand)
            }
            AlterTableOperation::AlterColumn { column_name, op } => self.alter_column(table, &ident(column_name), op),
            AlterTableOperation::RenameColumn { new_column_name, .. } => renamed(&new_column_name.value, "column"),
            AlterTableOperation::RenameTable { table_name: RenameTableNameKind::As(name) | RenameTableNameKind::To(name) } => {
                renamed(&full(name).replace('"', ""), "table")
            }
            AlterTableOperation::DropColumn { .. }
            | AlterTableOperation::DropConstraint { .. }
            | AlterTableOperation::DropPrimaryKey { .. }
            | AlterTableOperation::EnableRowLevelSecurity
            | AlterTableOperation::ForceRowLevelSecurity => fine(Phase::Contract),
            AlterTableOperation::SetOptionsParens { .. }
            | AlterTableOperation::ReplicaIdentity { .. }
            | AlterTableOperation::DisableRowLevelSecurity
            | AlterTableOperation::RenameConstraint { .. } => fine(Phase::Expand),
            AlterTableOperation::SetLogged | AlterTableOperation::SetUnlogged => {
                refused(Phase::Unknown, "it rewrites the table and keeps everyone out meanwhile", "fill a new table and switch to it")
            }
            _ => fine(Phase::Unknown),
        }
    }

    fn constraint(&mut self, table: &str, constraint: &TableConstraint, not_valid: bool) -> Judged {
        let undo = |name: &Option<sqlparser::ast::Ident>| {
            name.as_ref().map(|name| format!("ALTER TABLE {table} DROP CONSTRAINT IF EXISTS {}", ident(name)))
        };
        match constraint {
            TableConstraint::Check(check) => {
                if let (Some(name), Expr::IsNotNull(column)) = (&check.name, bare(&check.expr))
                    && let Expr::Identifier(column) = bare(column)
                {
                    self.checks.insert((table.to_owned(), ident(name)), ident(column));
                }
                if not_valid { (Phase::Expand, None, undo(&check.name)) } else { not_valid_first("a check") }
            }
            TableConstraint::ForeignKey(key) => {
                if not_valid {
                    (Phase::Expand, None, undo(&key.name))
                } else {
                    not_valid_first("a foreign key")
                }
            }
            TableConstraint::UniqueUsingIndex(using) | TableConstraint::PrimaryKeyUsingIndex(using) => {
                (Phase::Expand, None, undo(&using.name))
            }
            TableConstraint::Unique(_) | TableConstraint::PrimaryKey(_) => refused(
                Phase::Expand,
                "everyone waits until its index is built",
                "CREATE UNIQUE INDEX CONCURRENTLY, then ADD CONSTRAINT … UNIQUE USING INDEX",
            ),
            _ => refused(
                Phase::Expand,
                "everyone waits until its index is built",
                "there is no way without: do it while nobody writes, or into a new table",
            ),
        }
    }

    fn alter_column(&self, table: &str, column: &str, op: &AlterColumnOperation) -> Judged {
        match op {
            AlterColumnOperation::SetNotNull => {
                let proven = |((of, name), checked): (&(String, String), &String)| {
                    of == table && checked == column && self.validated.contains(&(of.clone(), name.clone()))
                };
                if self.checks.iter().any(proven) {
                    return fine(Phase::Contract);
                }
                refused(
                    Phase::Contract,
                    "it reads the whole table while everyone waits",
                    format!(
                        "ADD CONSTRAINT c CHECK ({} IS NOT NULL) NOT VALID; VALIDATE CONSTRAINT c; SET NOT NULL; DROP CONSTRAINT c",
                        column.replace('"', "")
                    ),
                )
            }
            AlterColumnOperation::DropNotNull | AlterColumnOperation::SetDefault { .. } => fine(Phase::Expand),
            AlterColumnOperation::DropDefault => fine(Phase::Contract),
            AlterColumnOperation::SetDataType { data_type: DataType::Text, using: None, .. } => fine(Phase::Unknown),
            AlterColumnOperation::SetDataType { .. } => refused(
                Phase::Contract,
                "a change of type rewrites the table while everyone waits",
                "add a column of the new type, keep both in step with a trigger, backfill, switch the code, then drop the old one",
            ),
            _ => fine(Phase::Unknown),
        }
    }
}

fn not_valid_first(what: &str) -> Judged {
    refused(
        Phase::Expand,
        format!("{what} is checked against every row while writers wait"),
        "ADD CONSTRAINT … NOT VALID, then VALIDATE CONSTRAINT in a statement of its own",
    )
}

fn column_problem(column: &ColumnDef) -> Option<(String, String)> {
    let problem = |problem: &str, recipe: &str| Some((problem.to_owned(), recipe.to_owned()));
    let options: Vec<&ColumnOption> = column.options.iter().map(|option| &option.option).collect();
    let default = options.iter().find_map(|option| if let ColumnOption::Default(value) = option { Some(value) } else { None });
    if matches!(column.data_type.to_string().to_lowercase().as_str(), "serial" | "bigserial" | "smallserial")
        || options.iter().any(|option| matches!(option, ColumnOption::Generated { .. } | ColumnOption::Identity(_)))
        || default.is_some_and(is_volatile)
    {
        return problem(
            "each row gets a value of its own: the table is rewritten while everyone waits",
            "add the column without it, SET DEFAULT for new rows, then `backfill` the old ones",
        );
    }
    for option in &options {
        match option {
            ColumnOption::NotNull if default.is_none() => {
                return problem(
                    "old code does not fill the column, and there may be rows",
                    "add it with a constant DEFAULT, or without NOT NULL and make it NOT NULL in the contract",
                );
            }
            ColumnOption::Unique(_) | ColumnOption::PrimaryKey(_) => {
                return problem("everyone waits until its index is built", "add the column, then CREATE UNIQUE INDEX CONCURRENTLY");
            }
            ColumnOption::ForeignKey(_) | ColumnOption::Check(_) => {
                return problem(
                    "it is checked against every row while writers wait",
                    "add the column, then ADD CONSTRAINT … NOT VALID, then VALIDATE CONSTRAINT",
                );
            }
            _ => {}
        }
    }
    None
}

/// Whether a default differs from row to row. `now()` is the same for all of a statement.
fn is_volatile(value: &Expr) -> bool {
    let text = value.to_string().to_lowercase();
    let stable = ["now()", "current_timestamp", "current_date", "transaction_timestamp()", "statement_timestamp()", "localtimestamp"];
    stable.iter().fold(text, |text, word| text.replace(word, "")).contains('(')
}

/// A name that says that it is on its way out is what a drop begins with; any other is a name that somebody uses.
fn renamed(name: &str, what: &str) -> Judged {
    if ["_old", "_dropped", "_deprecated", "_unused"].iter().any(|end| name.ends_with(end)) {
        return fine(Phase::Contract);
    }
    refused(
        Phase::Contract,
        format!("code that knows the {what} by its old name fails at that moment, and so does code that knows the new one a moment before"),
        format!(
            "add a {what} of the new name, keep both in step with a trigger, switch the code, rename the old one to …_old, then drop it"
        ),
    )
}

fn drop_judged(what: ObjectType, names: &[ObjectName], cascade: bool) -> Judged {
    if cascade {
        return refused(Phase::Contract, "CASCADE drops what the statement does not name", "drop what depends on it by its name, first");
    }
    if what == ObjectType::Index {
        let concurrently = "DROP INDEX CONCURRENTLY";
        return refused(
            Phase::Contract,
            "everyone waits for its lock",
            format!("{concurrently} {}", names.iter().map(full).collect::<Vec<_>>().join(", ")),
        );
    }
    fine(Phase::Contract)
}

fn bare(mut expression: &Expr) -> &Expr {
    while let Expr::Nested(inner) = expression {
        expression = inner;
    }
    expression
}

fn without_comments(piece: &str) -> (&str, &str) {
    let mut rest = piece.trim_start();
    loop {
        rest = match rest {
            line if line.starts_with("--") => line.split_once('\n').map_or("", |(_, rest)| rest).trim_start(),
            comment if comment.starts_with("/*") => comment.split_once("*/").map_or("", |(_, rest)| rest).trim_start(),
            _ => return (&piece[..piece.len() - rest.len()], rest),
        };
    }
}

/// The statements that take these back, the last first, where each has one.
pub fn undo_of(verdicts: &[Verdict]) -> Option<String> {
    let undos: Vec<&str> = verdicts.iter().rev().filter_map(|verdict| verdict.undo.as_deref()).collect();
    (!undos.is_empty()).then(|| undos.join(";\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One a line: phase, `ok` or `refused`, statement, reason; fields between ` | `.
    const CORPUS: &str = include_str!("corpus.txt");

    #[test]
    fn every_statement_of_the_corpus_is_judged_as_its_reason_says() {
        let mut wrong = String::new();
        let lines: Vec<&str> = CORPUS.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
        assert!(lines.len() >= 60, "{}", lines.len());
        for line in lines {
            let [phase, verdict, statement, _] = line.split(" | ").map(str::trim).collect::<Vec<_>>()[..] else { panic!("{line}") };
            let judged = lint(&statement.into()).expect("statements").pop().expect("one");
            let told = if judged.problem.is_some() { "refused" } else { "ok" };
            if judged.phase.word() != phase || told != verdict {
                wrong = format!("{wrong}\n{phase} {verdict}, not {} {told} ({:?}): {statement}", judged.phase.word(), judged.problem);
            }
            assert_eq!(judged.problem.is_some(), judged.recipe.is_some(), "{statement}");
        }
        assert!(wrong.is_empty(), "{wrong}");
    }

    #[test]
    fn marks_say_what_the_parser_cannot() {
        let judged =
            lint(&"-- podlift: expand\nDO $$ BEGIN PERFORM 1; END $$; -- podlift: allow, small table\nCREATE INDEX i ON t (a)".into())
                .expect("cut");
        assert_eq!((judged[0].phase, judged[1].problem.clone()), (Phase::Expand, None));
    }

    #[test]
    fn an_expand_knows_its_way_back() {
        let judged = lint(
            &"CREATE TABLE t (a int); ALTER TABLE Users ADD COLUMN b int, ADD COLUMN c int; CREATE INDEX CONCURRENTLY i ON users (b)"
                .into(),
        )
        .expect("cut");
        assert_eq!(
            undo_of(&judged).expect("there is one"),
            "DROP INDEX CONCURRENTLY IF EXISTS \"i\";\nALTER TABLE \"users\" DROP COLUMN IF EXISTS \"c\";\n\
             ALTER TABLE \"users\" DROP COLUMN IF EXISTS \"b\";\nDROP TABLE IF EXISTS \"t\""
        );
    }
}
