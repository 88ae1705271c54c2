//! Names with a grammar: whatever does not fit is refused where it is written.

use std::{fmt, sync::Arc};

use serde::{Deserialize, Serialize};

/// A value that does not fit its field's grammar, with what would fit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{value:?} is not a valid {what}: {rule}")]
pub struct Invalid {
    /// What was to be named: "service name", "version", …
    pub what: &'static str,
    /// The text that was given.
    pub value: String,
    /// The grammar, in words.
    pub rule: String,
}

impl Invalid {
    /// Tells that `value` is no valid `what` because of `rule`.
    pub fn new(what: &'static str, value: impl Into<String>, rule: impl Into<String>) -> Self {
        Self { what, value: value.into(), rule: rule.into() }
    }
}

// Names are copied wherever something is said of what they name, so copies share their text.
macro_rules! name {
    ($(#[$doc:meta])* $type:ident, $what:literal, $check:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String")]
        pub struct $type(Arc<str>);

        impl $type {
            /// Checks the grammar.
            pub fn new(value: impl Into<String>) -> Result<Self, Invalid> {
                let value = value.into();
                let check: fn(&str) -> Result<(), String> = $check;
                match check(&value) {
                    Ok(()) => Ok(Self(value.into())),
                    Err(rule) => Err(Invalid::new($what, value, rule)),
                }
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $type {
            type Error = Invalid;
            fn try_from(value: String) -> Result<Self, Invalid> {
                Self::new(value)
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(&self.0)
            }
        }
    };
}

name! {
    /// The project whose deploys these are: a DNS label of at most 40 characters.
    ProjectName, "project name", dns_label
}
name! {
    /// A service's name: a DNS label of at most 40 characters.
    ServiceName, "service name", dns_label
}
name! {
    /// A version: a Docker tag (distribution's reference grammar).
    Version, "version", tag
}
name! {
    /// The name that podlift gave a container: `PROJECT-SERVICE-VERSION-TOKEN-N`.
    ContainerName, "container name", container
}
name! {
    /// A host's name in output, ops and labels: what the script calls it, without user and port.
    HostName, "host", host
}
name! {
    /// A run's id.
    RunId, "run id", run
}
name! {
    /// Marks what one call of one run made: `hash(run, key)`, ten hexadecimal digits.
    Token, "token", token
}

impl Default for ProjectName {
    fn default() -> Self {
        Self("default".into())
    }
}

/// Checks a name of an environment variable (POSIX: letters, digits and `_`, not a digit first).
pub fn env_name(value: &str) -> Result<(), Invalid> {
    let mut characters = value.chars();
    let first = characters.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_');
    if first && characters.all(|c| c.is_ascii_alphanumeric() || c == '_') {
        return Ok(());
    }
    Err(Invalid::new("environment variable", value, "letters, digits and `_`, and no digit first"))
}

fn dns_label(value: &str) -> Result<(), String> {
    let fits = value.len() <= 40
        && value.starts_with(|c: char| c.is_ascii_lowercase())
        && !value.ends_with('-')
        && value.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
    if fits { Ok(()) } else { Err("a lowercase letter, then lowercase letters, digits and `-`, at most 40, no `-` last".into()) }
}

fn tag(value: &str) -> Result<(), String> {
    let fits = (1..=128).contains(&value.len())
        && !value.starts_with(['.', '-'])
        && value.chars().all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c));
    if fits { Ok(()) } else { Err("letters, digits, `_`, `.` and `-`, at most 128, no `.` or `-` first".into()) }
}

fn container(value: &str) -> Result<(), String> {
    let fits = value.starts_with(|c: char| c.is_ascii_alphanumeric())
        && value.len() <= 255
        && value.chars().all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c));
    if fits { Ok(()) } else { Err("letters, digits, `_`, `.` and `-`, a letter or digit first".into()) }
}

fn host(value: &str) -> Result<(), String> {
    let fits = (1..=253).contains(&value.len())
        && !value.starts_with('-')
        && value.chars().all(|c| c.is_ascii_alphanumeric() || "_.-:[]%".contains(c));
    if fits { Ok(()) } else { Err("a host name, an address or an ssh-config alias".into()) }
}

fn run(value: &str) -> Result<(), String> {
    let fits = (1..=64).contains(&value.len()) && value.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
    if fits { Ok(()) } else { Err("letters, digits and `-`, at most 64".into()) }
}

fn token(value: &str) -> Result<(), String> {
    let fits = value.len() == 10 && value.chars().all(|c| c.is_ascii_hexdigit());
    if fits { Ok(()) } else { Err("ten hexadecimal digits".into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_names_are_refused() {
        for name in ["", "Web", "9web", "web-", "a;rm", "a b", "a/../b", "web\n", "wéb", &"a".repeat(41)] {
            assert!(ServiceName::new(name).is_err(), "{name:?}");
        }
        for version in ["", ".v1", "-v1", "v 1", "v1;x", "v/1", "$(id)", &"1".repeat(129)] {
            assert!(Version::new(version).is_err(), "{version:?}");
        }
        for host in ["", "-oProxyCommand=x", "a b", "a;b", "a$(b)", "a\nb"] {
            assert!(HostName::new(host).is_err(), "{host:?}");
        }
        for name in ["", "1A", "A-B", "A B", "A=B"] {
            assert!(env_name(name).is_err(), "{name:?}");
        }
    }

    #[test]
    fn ordinary_names_are_taken() {
        assert!(ServiceName::new("web-2").is_ok());
        assert!(Version::new("v1.2.3_rc-1").is_ok());
        assert!(HostName::new("10.0.0.1").is_ok());
        assert!(env_name("DATABASE_URL").is_ok());
    }
}
