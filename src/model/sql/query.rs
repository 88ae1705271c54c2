//! Whether a statement only reads.

use sqlparser::ast::{Expr, Query, SetExpr, Statement, UtilityOption, Value};

use super::objects::{first_words, parse};

/// The first words of statements that change something.
const CHANGING: &[&str] =
    &["INSERT", "UPDATE", "DELETE", "MERGE", "TRUNCATE", "CREATE", "ALTER", "DROP", "GRANT", "REVOKE", "REINDEX", "VACUUM"];

/// What a statement would do besides reading; `None` where it only reads, or where that cannot be told from its text: a function
/// that it calls may do anything. A read-only transaction of Postgres refuses the same.
pub fn changes(statement: &str) -> Option<&'static str> {
    if let Ok(parsed) = parse(statement) {
        return of(&parsed);
    }
    let words = first_words(statement);
    let first = words.first().map(String::as_str).unwrap_or_default();
    CHANGING.contains(&first).then_some("it changes something")
}

fn of(statement: &Statement) -> Option<&'static str> {
    match statement {
        Statement::Query(query) => in_query(query),
        Statement::Explain { analyze, options, statement, .. } => {
            let runs = *analyze || options.iter().flatten().any(analyzes);
            runs.then(|| of(statement)).flatten().map(|_| "EXPLAIN ANALYZE runs the statement, and it changes something")
        }
        // `COPY … TO` and cursors read, as far as can be told here.
        Statement::ShowVariable { .. }
        | Statement::Set(_)
        | Statement::Execute { .. }
        | Statement::Prepare { .. }
        | Statement::Copy { to: true, .. }
        | Statement::Declare { .. }
        | Statement::Fetch { .. }
        | Statement::Close { .. } => None,
        _ => Some("it changes something"),
    }
}

fn analyzes(option: &UtilityOption) -> bool {
    let is_off = match &option.arg {
        Some(Expr::Identifier(word)) => ["false", "off"].contains(&word.value.to_lowercase().as_str()),
        Some(Expr::Value(value)) => match &value.value {
            Value::Boolean(is_on) => !is_on,
            Value::Number(number, _) => number == "0",
            _ => false,
        },
        _ => false,
    };
    option.name.value.eq_ignore_ascii_case("analyze") && !is_off
}

fn in_query(query: &Query) -> Option<&'static str> {
    let mut tables = query.with.iter().flat_map(|with| &with.cte_tables);
    tables
        .find_map(|table| in_query(&table.query))
        .or_else(|| in_body(&query.body))
        .or_else(|| (!query.locks.is_empty()).then_some("FOR UPDATE and FOR SHARE lock rows"))
}

fn in_body(body: &SetExpr) -> Option<&'static str> {
    match body {
        SetExpr::Select(select) => select.into.as_ref().map(|_| "SELECT … INTO makes a table"),
        SetExpr::Query(query) => in_query(query),
        SetExpr::SetOperation { left, right, .. } => in_body(left).or_else(|| in_body(right)),
        SetExpr::Insert(_) | SetExpr::Update(_) | SetExpr::Delete(_) | SetExpr::Merge(_) => Some("it changes rows"),
        SetExpr::Values(_) | SetExpr::Table(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_reads_only_is_told_from_what_does_not() {
        for text in [
            "SELECT 1",
            "WITH a AS (SELECT 1) SELECT * FROM a UNION SELECT 2",
            "VALUES (1)",
            "TABLE users",
            "SHOW server_version",
            "EXPLAIN DELETE FROM users",
            "EXPLAIN (ANALYZE false, BUFFERS) DELETE FROM users",
            "EXPLAIN ANALYZE SELECT 1",
            "SELECT 'DELETE FROM users'",
        ] {
            assert_eq!(changes(text), None, "{text}");
        }
        for text in [
            "DELETE FROM users",
            "WITH gone AS (DELETE FROM users RETURNING *) SELECT * FROM gone",
            "WITH gone AS (SELECT 1) INSERT INTO users SELECT * FROM gone",
            "EXPLAIN ANALYZE DELETE FROM users",
            "EXPLAIN (ANALYZE, VERBOSE) UPDATE users SET a = 1",
            "EXPLAIN (ANALYZE true) UPDATE users SET a = 1",
            "SELECT * INTO copy FROM users",
            "SELECT * FROM users FOR UPDATE",
            "CREATE TABLE t ()",
            "REINDEX TABLE users",
            "CALL clean()",
        ] {
            assert!(changes(text).is_some(), "{text}");
        }
    }
}
