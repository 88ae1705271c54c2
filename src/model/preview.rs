//! Reaching a release before it has traffic: by a header or a cookie.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{name::Invalid, release::ReleaseId, route::Endpoint};

/// A release that requests with a mark reach, whatever its weight.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Preview {
    /// What such requests carry.
    pub mark: Mark,
    /// The release.
    #[serde(flatten)]
    pub release: ReleaseId,
    /// Its containers on one host.
    pub containers: Vec<Endpoint>,
}

/// What a request carries to reach a previewed release.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mark {
    /// A header.
    Header(Pair),
    /// A cookie.
    Cookie(Pair),
}

/// A header or cookie with the one value that counts, whatever its case.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Pair {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: String,
}

/// Headers that HTTP itself or proxies use.
const TAKEN: &[&str] = &[
    "accept",
    "connection",
    "content-length",
    "content-type",
    "cookie",
    "expect",
    "host",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Words that nginx's `map` does not take for values.
const WORDS: &[&str] = &["default", "hostnames", "include", "volatile"];

/// The longest name or value.
const LONGEST: usize = 40;

impl Mark {
    /// Reads `NAME: VALUE`.
    pub fn header(text: &str) -> Result<Self, Invalid> {
        let pair = split(text, ':').ok_or_else(|| invalid("header", text))?;
        let mark = Self::Header(pair);
        if mark.is_sound() { Ok(mark) } else { Err(invalid("header", text)) }
    }

    /// Reads `NAME=VALUE`.
    pub fn cookie(text: &str) -> Result<Self, Invalid> {
        let pair = split(text, '=').ok_or_else(|| invalid("cookie", text))?;
        let mark = Self::Cookie(pair);
        if mark.is_sound() { Ok(mark) } else { Err(invalid("cookie", text)) }
    }

    /// Whether it can stand in a proxy's file: nothing in it ends a directive, and it means only itself.
    pub fn is_sound(&self) -> bool {
        let name = |pair: &Pair, also: char| {
            pair.name.starts_with(|first: char| first.is_ascii_alphabetic())
                && pair.name.len() <= LONGEST
                && pair.name.chars().all(|character| character.is_ascii_alphanumeric() || character == also)
        };
        let value = |pair: &Pair| {
            (1..=LONGEST).contains(&pair.value.len())
                && pair.value.chars().all(|character| character.is_ascii_alphanumeric() || "._-".contains(character))
                && !WORDS.contains(&pair.value.to_lowercase().as_str())
        };
        match self {
            Self::Header(pair) => name(pair, '-') && value(pair) && !TAKEN.contains(&pair.name.to_lowercase().as_str()),
            Self::Cookie(pair) => name(pair, '_') && value(pair),
        }
    }
}

/// As people write it: `X-Preview: v2`, or `preview=v2` for a cookie.
impl fmt::Display for Mark {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header(Pair { name, value }) => write!(formatter, "{name}: {value}"),
            Self::Cookie(Pair { name, value }) => write!(formatter, "{name}={value}"),
        }
    }
}

fn split(text: &str, by: char) -> Option<Pair> {
    let (name, value) = text.split_once(by)?;
    // A header's value begins behind optional space (RFC 9110, 5.5).
    let value = if by == ':' { value.strip_prefix(' ').unwrap_or(value) } else { value };
    Some(Pair { name: name.into(), value: value.into() })
}

fn invalid(what: &'static str, text: &str) -> Invalid {
    let (form, also) = if what == "header" {
        ("\"NAME: VALUE\", such as \"X-Preview: v2\"", "-")
    } else {
        ("\"NAME=VALUE\", such as \"preview=v2\"", "_")
    };
    let rule = format!(
        "write it as {form}: the name of letters, digits and `{also}`, and none that HTTP uses, the value of letters, digits and `._-`, at most {LONGEST} each"
    );
    Invalid::new(if what == "header" { "header for a preview" } else { "cookie for a preview" }, text, rule)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_written_as_http_writes_it() {
        assert_eq!(Mark::header("X-Preview: v2").expect("valid").to_string(), "X-Preview: v2");
        assert_eq!(Mark::header("X-Preview:v2"), Mark::header("X-Preview: v2"));
        assert_eq!(Mark::cookie("preview=v2").expect("valid").to_string(), "preview=v2");
    }

    #[test]
    fn hostile_marks_are_refused() {
        for header in [
            "",
            "X-Preview",
            "X-Preview:",
            ": v2",
            "X_Preview: v2",
            "X Preview: v2",
            "Host: v2",
            "cookie: v2",
            "Transfer-Encoding: chunked",
            "X-Preview: v2; }",
            "X-Preview: \"",
            "X-Preview: $host",
            "X-Preview: ~.*",
            "X-Preview: default",
            "X-Preview: Volatile",
            "X-Preview: a\nb",
            "X\n: v",
            "X-Preview: a b",
            "X-Preview: \\",
            "1x: v",
            "X-Préview: v",
            "X-Preview: {",
            "X-Preview:  v2",
        ] {
            assert!(Mark::header(header).is_err(), "{header:?}");
        }
        for cookie in
            ["", "preview", "preview=", "=v2", "pre-view=v2", "a b=c", "p=v;q", "p=\"v\"", "p=$x", "p=include", "p=~x", "p=a=b", "p= v"]
        {
            assert!(Mark::cookie(cookie).is_err(), "{cookie:?}");
        }
        let long = "x".repeat(LONGEST + 1);
        assert!(Mark::cookie(&format!("p={long}")).is_err() && Mark::header(&format!("{long}: v")).is_err());
    }
}
