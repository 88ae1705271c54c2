//! Statements that are never sent: their end could not be told, or Postgres refuses them.

use super::objects::{first_words, is_transaction_control};

/// Why a statement is refused, and what to do in its place.
pub type Refusal = (&'static str, &'static str);

/// The refusal of what is in one transaction with others and may not be in any.
pub const NOT_IN_A_TRANSACTION: Refusal = ("it cannot be in a transaction", "leave `transaction` out: it then runs alone");

/// Why a statement is never sent, whatever the script says of it.
pub fn never_sent(statement: &str) -> Option<Refusal> {
    if is_transaction_control(statement) {
        return Some((
            "podlift begins and ends the transactions",
            "leave it out; `transaction: true` puts all statements in one transaction",
        ));
    }
    let is_copy = first_words(statement).first().is_some_and(|first| first == "COPY");
    let upper = statement.to_uppercase();
    let has = |word: &str| upper.split(|c: char| !c.is_alphanumeric() && c != '_').any(|found| found == word);
    match () {
        () if is_copy && has("STDIN") => Some(("`COPY … FROM STDIN` has nothing to read here", "load the data with `hook` and psql")),
        () if is_copy && has("STDOUT") => Some(("`COPY … TO STDOUT` has nobody to write to here", "write the data with `hook` and psql")),
        () => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_not_be_settled_is_never_sent() {
        for (statement, words) in [
            ("BEGIN", "begins and ends the transactions"),
            ("-- podlift: allow\ncommit", "begins and ends the transactions"),
            ("copy t from stdin with csv", "nothing to read"),
            ("COPY (SELECT 1) TO STDOUT", "nobody to write to"),
        ] {
            let (problem, _) = never_sent(statement).unwrap_or_else(|| panic!("{statement} is sent"));
            assert!(problem.contains(words), "{statement}: {problem}");
        }
        for statement in [
            "COPY stdin_log FROM '/srv/t.csv'",
            "COPY t FROM '/srv/t.csv'",
            "INSERT INTO stdin VALUES (1)",
            "DO $$ BEGIN PERFORM 1; END $$",
        ] {
            assert_eq!(never_sent(statement), None, "{statement}");
        }
    }
}
