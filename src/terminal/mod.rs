//! All output. Data goes to standard output; what is for people goes to standard error: a live tree on a terminal, plain lines
//! in a pipe. Nobody else prints.

pub mod clean;
pub mod conclusion;
pub mod containers;
pub mod databases;
pub mod diff;
pub mod forecast;
pub mod hosts;
pub mod json;
pub mod markdown;
pub mod plain;
pub mod plan;
pub mod printer;
pub mod prompt;
pub mod proof;
pub mod report;
pub mod schema;
pub mod style;
pub mod table;
pub mod throttle;
pub mod tree;
pub mod words;

#[cfg(test)]
mod testing;

pub use self::{conclusion::Conclusion, json::Json, plain::Plain, plan::Plan, printer::Printer, style::Style, tree::Tree};
