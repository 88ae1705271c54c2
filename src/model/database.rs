//! A Postgres database.

pub mod url;

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{host::Host, name::Invalid, quantity::Period, text::Text};

/// A Postgres database, and how it is reached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Database {
    /// `postgres://USER:PASSWORD@HOST:PORT/NAME?sslmode=…`, the password by a secret's name.
    pub url: Text,
    /// The host that it is reached through, by SSH.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub via: Option<Host>,
    /// How long one statement may take.
    pub statement_timeout: Period,
}

impl Database {
    /// A database at this address; a password that is written out is refused, as it would stand in plans and journals.
    pub fn new(url: Text, via: Option<Host>, statement_timeout: Period) -> Result<Self, Invalid> {
        url::check(&url)?;
        Ok(Self { url, via, statement_timeout })
    }
}

/// As people may see it: without user and password.
impl fmt::Display for Database {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&url::place(&self.url))
    }
}
