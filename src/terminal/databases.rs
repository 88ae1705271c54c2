//! What a deploy would stumble over in a database.

use std::fmt::Write;

use super::{clean, style::Style};
use crate::{model::Database, op::Row};

/// What is asked of a database: it answers with one row.
pub const QUESTION: &str = "SELECT current_setting('server_version') AS version, current_setting('server_version_num')::int AS number, \
    (SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()) AS encrypted, pg_is_in_recovery() AS is_replica, current_user AS role, \
    has_database_privilege(current_database(), 'CREATE') OR to_regclass('podlift.changes') IS NOT NULL AS keeps";

/// The oldest version that podlift works with.
const OLDEST: i64 = 120_000;

/// A database's report; `is_changed` says whether it is written to.
pub fn report(database: &Database, is_changed: bool, answer: &Row, style: Style) -> String {
    let mut text = format!("{}\n", style.strong(database));
    let word = |key: &str| answer.get(key).and_then(serde_json::Value::as_str).unwrap_or_default();
    let through = database.via.as_ref().map(|host| format!(", through {}", host.name)).unwrap_or_default();
    let how = if is(answer, "encrypted") { "with TLS" } else { "without TLS" };
    let server = clean::line(&format!("Postgres {}, {how}{through}", word("version")));
    let _ = writeln!(text, "  {} server  {server}", style.good("✓"));
    let problems = problems(answer, is_changed);
    for problem in &problems {
        let _ = writeln!(text, "  {} server  {}", style.bad("✗"), clean::line(problem));
    }
    if is_changed && problems.is_empty() {
        let _ =
            writeln!(text, "  {} rights  {} can keep what was done in the schema `podlift`", style.good("✓"), clean::line(word("role")));
    }
    text
}

/// Why a script would be refused for what it answered: one that changes it needs a primary and rights, one that reads does not.
pub fn problems(answer: &Row, is_changed: bool) -> Vec<String> {
    let mut problems = Vec::new();
    if answer.get("number").and_then(serde_json::Value::as_i64).is_some_and(|number| number < OLDEST) {
        problems.push("it is older than Postgres 12".to_owned());
    }
    if !is_changed {
        return problems;
    }
    if is(answer, "is_replica") {
        problems.push("it is a replica, which nothing can be written to: name the primary in the URL".to_owned());
    }
    if !is(answer, "keeps") {
        let role = answer.get("role").and_then(serde_json::Value::as_str).unwrap_or_default();
        problems.push(format!(
            "{role} may not make the schema `podlift`, in which podlift keeps what it has done: GRANT CREATE ON DATABASE … TO {role}"
        ));
    }
    problems
}

fn is(answer: &Row, key: &str) -> bool {
    answer.get(key).and_then(serde_json::Value::as_bool).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::model::Period;

    #[test]
    fn a_database_is_fit_or_says_why_it_is_not() {
        let database = Database::new("postgres://app@db/shop".into(), None, Period::seconds(1)).expect("a URL");
        let row = |value: serde_json::Value| value.as_object().cloned().expect("a map");
        let answer =
            row(json!({ "version": "15.1", "number": 150_001, "encrypted": true, "is_replica": false, "role": "app", "keeps": true }));
        assert!(problems(&answer, true).is_empty());
        assert_eq!(
            report(&database, true, &answer, Style::PLAIN),
            "db/shop\n  ✓ server  Postgres 15.1, with TLS\n  ✓ rights  app can keep what was done in the schema `podlift`\n"
        );
        let answer =
            row(json!({ "version": "11.2", "number": 110_002, "encrypted": false, "is_replica": true, "role": "app", "keeps": false }));
        assert_eq!((problems(&answer, true).len(), problems(&answer, false).len()), (3, 1));
        assert!(report(&database, true, &answer, Style::PLAIN).contains("✗ server  it is a replica"));
    }
}
