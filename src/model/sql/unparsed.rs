//! What the parser does not know, judged by its first words.

use super::{
    lint::{Judged, Phase, fine, refused},
    objects::first_words,
};

/// Postgres's commands, as of version 18 (its reference, part "SQL Commands").
const COMMANDS: &[&str] = &[
    "ABORT",
    "ALTER",
    "ANALYZE",
    "BEGIN",
    "CALL",
    "CHECKPOINT",
    "CLOSE",
    "CLUSTER",
    "COMMENT",
    "COMMIT",
    "COPY",
    "CREATE",
    "DEALLOCATE",
    "DECLARE",
    "DELETE",
    "DISCARD",
    "DO",
    "DROP",
    "END",
    "EXECUTE",
    "EXPLAIN",
    "FETCH",
    "GRANT",
    "IMPORT",
    "INSERT",
    "LISTEN",
    "LOAD",
    "LOCK",
    "MERGE",
    "MOVE",
    "NOTIFY",
    "PREPARE",
    "REASSIGN",
    "REFRESH",
    "REINDEX",
    "RELEASE",
    "RESET",
    "REVOKE",
    "ROLLBACK",
    "SAVEPOINT",
    "SECURITY",
    "SELECT",
    "SET",
    "SHOW",
    "START",
    "TABLE",
    "TRUNCATE",
    "UNLISTEN",
    "UPDATE",
    "VACUUM",
    "VALUES",
    "WITH",
];

/// Whether a word begins statements of Postgres.
pub fn is_command(word: &str) -> bool {
    COMMANDS.contains(&word.to_uppercase().as_str())
}

/// Judges a statement that the parser refused with this error.
#[expect(clippy::match_same_arms, reason = "the first one that fits decides")]
pub(super) fn unparsed(statement: &str, error: &str) -> Judged {
    let words = first_words(statement);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let has = |word: &str| statement.to_uppercase().split(|c: char| !c.is_alphanumeric()).any(|found| found == word);
    match words.as_slice() {
        ["REINDEX", ..] if !has("CONCURRENTLY") => {
            refused(Phase::Expand, "writers wait until the index is built", "REINDEX … CONCURRENTLY")
        }
        ["REINDEX", ..] => fine(Phase::Expand),
        ["CLUSTER", ..] => refused(Phase::Unknown, "it rewrites the table and keeps everyone out meanwhile", "leave it out, or pg_repack"),
        ["VACUUM", "FULL", ..] => refused(Phase::Unknown, "it rewrites the table and keeps everyone out meanwhile", "VACUUM without FULL"),
        ["CREATE", "TRIGGER" | "CONSTRAINT", ..] => fine(Phase::Expand),
        [first, ..] if !is_command(first) => unreadable("it begins with no command of Postgres"),
        // These the parser knows well: what it does not understand is most likely a slip.
        ["SELECT" | "INSERT" | "UPDATE" | "DELETE" | "WITH" | "VALUES", ..]
        | ["CREATE", "TABLE" | "INDEX" | "UNIQUE", ..]
        | ["ALTER" | "DROP", "TABLE" | "INDEX", ..] => unreadable(error),
        _ => fine(Phase::Unknown),
    }
}

fn unreadable(why: &str) -> Judged {
    let recipe = "correct it; where Postgres knows what podlift does not, say so with a comment before it: -- podlift: allow";
    refused(Phase::Unknown, format!("it cannot be read: {why}"), recipe)
}
