//! Text that may name secrets without holding their values.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A piece of a [`Text`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Part {
    /// Text as it stands.
    Plain(String),
    /// The value of a secret, by its name.
    Secret {
        /// The name that `secret(name)` was called with.
        secret: String,
    },
}

/// Text with places for secrets. Only the live side swaps the places for values, on the way to a host.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(from = "Written", into = "Written")]
pub struct Text(Vec<Part>);

impl Text {
    /// Joins parts.
    pub fn new(parts: impl IntoIterator<Item = Part>) -> Self {
        let mut joined: Vec<Part> = Vec::new();
        for part in parts {
            match (joined.last_mut(), part) {
                (_, Part::Plain(text)) if text.is_empty() => {}
                (Some(Part::Plain(before)), Part::Plain(text)) => before.push_str(&text),
                (_, part) => joined.push(part),
            }
        }
        Self(joined)
    }

    /// The parts, in order.
    pub fn parts(&self) -> &[Part] {
        &self.0
    }

    /// The names of the secrets that it needs.
    pub fn secrets(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|part| match part {
            Part::Secret { secret } => Some(secret.as_str()),
            Part::Plain(_) => None,
        })
    }

    /// Swaps each secret for what `value` answers for its name.
    pub fn resolve<E>(&self, mut value: impl FnMut(&str) -> Result<String, E>) -> Result<String, E> {
        self.0.iter().try_fold(String::new(), |mut text, part| {
            match part {
                Part::Plain(plain) => text.push_str(plain),
                Part::Secret { secret } => text.push_str(&value(secret)?),
            }
            Ok(text)
        })
    }
}

/// Shows secrets as `${NAME}`.
impl fmt::Display for Text {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|part| match part {
            Part::Plain(text) => formatter.write_str(text),
            Part::Secret { secret } => write!(formatter, "${{{secret}}}"),
        })
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self::new([Part::Plain(text.into())])
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Self::new([Part::Plain(text)])
    }
}

/// How a text stands in JSON: a string where it names no secret, else the list of its parts.
#[derive(Clone, Serialize, Deserialize)]
#[serde(untagged)]
enum Written {
    Plain(String),
    Parts(Vec<Part>),
}

impl From<Written> for Text {
    fn from(written: Written) -> Self {
        match written {
            Written::Plain(text) => text.into(),
            Written::Parts(parts) => Self::new(parts),
        }
    }
}

impl From<Text> for Written {
    fn from(text: Text) -> Self {
        match text.0.as_slice() {
            [] => Self::Plain(String::new()),
            [Part::Plain(plain)] => Self::Plain(plain.clone()),
            _ => Self::Parts(text.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_stands_by_its_name_only() {
        let url = Text::new([Part::Plain("postgres://u:".into()), Part::Secret { secret: "PW".into() }, Part::Plain("@db".into())]);
        assert_eq!(url.to_string(), "postgres://u:${PW}@db");
        let json = serde_json::to_string(&url).expect("serialises");
        assert_eq!(json, r#"["postgres://u:",{"secret":"PW"},"@db"]"#);
        assert_eq!(serde_json::from_str::<Text>(&json).expect("reads"), url);
        let value = url.resolve(|name| Ok::<_, ()>(format!("<{name}>"))).expect("resolves");
        assert_eq!(value, "postgres://u:<PW>@db");
    }
}
