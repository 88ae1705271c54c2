//! A Postgres database.

pub mod url;

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{host::Host, name::Invalid, network::OwnNetwork, quantity::Period, text::Text};

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

    /// Whether only the host that it is on reaches its address: a socket, or the loopback interface.
    pub fn is_its_hosts_own(&self) -> bool {
        let place = url::place(&self.url);
        let server = place.split('/').next().unwrap_or_default();
        let bracketed = server.strip_prefix('[').and_then(|rest| rest.split_once(']')).map(|(address, _)| address);
        let address = bracketed.unwrap_or_else(|| server.split(':').next().unwrap_or_default());
        address.is_empty() || !OwnNetwork::reaches(address)
    }
}

/// As people may see it: without user and password.
impl fmt::Display for Database {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&url::place(&self.url))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_of_the_loopback_interface_is_its_hosts_own() {
        let is_own = |server: &str| {
            let url = format!("postgres://app@{server}/shop");
            Database::new(url.as_str().into(), None, Period::seconds(1)).expect("a URL").is_its_hosts_own()
        };
        for server in ["127.0.0.1:5432", "localhost", "[::1]:5433"] {
            assert!(is_own(server), "{server}");
        }
        for server in ["db:5432", "10.0.0.5", "localhost-db.internal", "[fd00::5]:5432"] {
            assert!(!is_own(server), "{server}");
        }
    }
}
