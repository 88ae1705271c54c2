//! A Postgres database.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{host::Host, name::Invalid, quantity::Period, text::Part, text::Text};

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
        if let Some(Part::Plain(start)) = url.parts().first() {
            if !["postgres://", "postgresql://"].iter().any(|scheme| start.starts_with(scheme)) {
                return Err(Invalid::new("database URL", hidden(&url), "postgres://USER:PASSWORD@HOST:PORT/NAME"));
            }
        } else if url.parts().is_empty() {
            return Err(Invalid::new("database URL", "", "postgres://USER:PASSWORD@HOST:PORT/NAME"));
        }
        if has_password(&url) {
            let rule = "name its password with a secret: \"postgres://u:${secret(\"DB_PASSWORD\")}@db/shop\" in backticks, or make the whole URL one";
            return Err(Invalid::new("database URL", hidden(&url), rule));
        }
        Ok(Self { url, via, statement_timeout })
    }
}

/// As people may see it: without user and password.
impl fmt::Display for Database {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&hidden(&self.url))
    }
}

/// Where the password of a URL begins and ends in its shown form.
fn password(shown: &str) -> Option<(usize, usize)> {
    let start = shown.find("://")? + 3;
    let end = start + shown[start..].find(['/', '?']).unwrap_or(shown.len() - start);
    let at = start + shown[start..end].rfind('@')?;
    let colon = start + shown[start..at].find(':')? + 1;
    Some((colon, at))
}

fn has_password(url: &Text) -> bool {
    // Secrets are taken out first: what is left between `:` and `@`, or behind `password=`, is written out.
    let plain: String = url.parts().iter().map(|part| if let Part::Plain(text) = part { text.as_str() } else { "" }).collect();
    let between = password(&plain).is_some_and(|(start, end)| start < end);
    let query = plain.split_once('?').map_or("", |(_, query)| query);
    between || query.split('&').any(|field| field.strip_prefix("password=").is_some_and(|value| !value.is_empty()))
}

fn hidden(url: &Text) -> String {
    let shown = url.to_string();
    let Some(start) = shown.find("://").map(|index| index + 3) else { return shown };
    let authority = start + shown[start..].find(['/', '?']).unwrap_or(shown.len() - start);
    let place = shown[start..authority].rfind('@').map_or(start, |at| start + at + 1);
    shown[place..].split('?').next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn database(parts: &[Part]) -> Result<Database, Invalid> {
        Database::new(Text::new(parts.to_vec()), None, Period::seconds(60))
    }

    fn plain(text: &str) -> Part {
        Part::Plain(text.into())
    }

    #[test]
    fn a_password_stands_by_its_name_only() {
        let secret = Part::Secret { secret: "PW".into() };
        let good = database(&[plain("postgres://app:"), secret.clone(), plain("@db.internal:5432/shop?sslmode=require")]).expect("fits");
        assert_eq!(good.to_string(), "db.internal:5432/shop");
        assert_eq!(database(std::slice::from_ref(&secret)).expect("fits").to_string(), "${PW}");
        assert_eq!(database(&[plain("postgres:///shop")]).expect("a local socket").to_string(), "/shop");
        for wrong in ["postgres://u:hunter2@db/shop", "postgres://db/shop?password=hunter2", "mysql://db", ""] {
            let invalid = database(&[plain(wrong)]).expect_err(wrong);
            assert!(
                !invalid.to_string().contains("hunter2") || wrong.contains('?') && !invalid.to_string().contains("hunter2"),
                "{invalid}"
            );
        }
        assert!(database(&[plain("postgres://u:half"), secret, plain("@db/shop")]).is_err());
    }
}
