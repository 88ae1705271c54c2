//! All output. Data goes to standard output; what is for people goes to standard error: a live tree on a terminal, plain lines
//! in a pipe. Nobody else prints.

pub mod clean;
pub mod diff;
pub mod json;
pub mod plain;
pub mod printer;
pub mod style;
pub mod table;
pub mod throttle;
pub mod tree;
pub mod words;

mod testing;

pub use self::{json::Json, plain::Plain, printer::Printer, style::Style, tree::Tree};
