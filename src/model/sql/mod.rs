//! SQL as text: where one statement ends, what it does, and whether old code survives it.

mod effects;
mod lint;
mod never;
mod objects;
mod query;
mod split;
mod unparsed;

pub use effects::{Effect, Item, effects, is_opaque, replaces};
pub use lint::{Phase, Verdict, lint, undo_of};
pub use never::{NOT_IN_A_TRANSACTION, Refusal, never_sent};
pub use objects::{
    ConcurrentIndex, Object, concurrent_index, conditional, first_words, is_transaction_control, locked, stands_alone, without,
};
pub use query::changes;
pub use split::statements;
pub use unparsed::is_command;

/// A name as it stands in a statement: lower case, unless it is quoted.
pub fn quoted_name(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A text as a literal of a statement.
pub fn quoted_text(text: &str) -> String {
    let doubled = text.replace('\'', "''");
    if doubled.contains('\\') { format!("E'{}'", doubled.replace('\\', "\\\\")) } else { format!("'{doubled}'") }
}
