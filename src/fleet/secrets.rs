//! Values of secrets: swapped in on the way to a host, swapped out of what a host says back.

use std::{
    collections::BTreeMap,
    fmt::{self, Write},
    sync::{Arc, Mutex, PoisonError},
};

use crate::{failure::Failure, model::Text};

/// Values shorter than this are not looked for in output: they would be found everywhere.
const SHORTEST: usize = 4;

/// Knows the values of secrets, and how to hide them.
#[derive(Clone)]
pub struct Secrets(Arc<Inner>);

type Lookup = dyn Fn(&str) -> Option<String> + Send + Sync;

struct Inner {
    lookup: Box<Lookup>,
    known: Mutex<Known>,
}

/// The values that were used so far, and how they may be written.
#[derive(Default)]
struct Known {
    values: BTreeMap<String, String>,
    /// How a value may be written, and its secret's name; the longest first.
    spellings: Vec<(String, String)>,
}

impl Secrets {
    /// Secrets whose values `lookup` finds by their names.
    pub fn new(lookup: impl Fn(&str) -> Option<String> + Send + Sync + 'static) -> Self {
        Self(Arc::new(Inner { lookup: Box::new(lookup), known: Mutex::default() }))
    }

    /// Swaps the places for secrets for their values; fails where one is not set.
    pub fn resolve(&self, text: &Text) -> Result<String, Failure> {
        text.resolve(|name| self.value(name))
    }

    /// Hides the values of these from now on, as if they had been used: an earlier process of the run has put them somewhere, and
    /// hosts may say them back. One that is not set here is left out.
    pub fn hide(&self, names: impl IntoIterator<Item = String>) {
        for name in names {
            let _ = self.value(&name);
        }
    }

    /// Looks a variable up without treating it as a secret.
    pub fn variable(&self, name: &str) -> Option<String> {
        (self.0.lookup)(name)
    }

    /// Replaces every value used so far by `${NAME}`: as it is, as base64 (alone or inside a longer one), URL-encoded,
    /// JSON-escaped, quoted for a shell, and line by line.
    pub fn redact(&self, text: &str) -> String {
        let known = self.0.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.spellings.is_empty() {
            return text.to_owned();
        }
        let mut redacted = String::with_capacity(text.len());
        let mut rest = text;
        // In one pass, so that the name of one secret is not searched for the value of another.
        'next: while let Some(first) = rest.chars().next() {
            for (spelling, name) in &known.spellings {
                if let Some(after) = rest.strip_prefix(spelling.as_str()) {
                    redacted.push_str("${");
                    redacted.push_str(name);
                    redacted.push('}');
                    rest = after;
                    continue 'next;
                }
            }
            redacted.push(first);
            rest = &rest[first.len_utf8()..];
        }
        redacted
    }

    /// Takes the values out of everything that a failure says.
    #[must_use]
    pub fn redact_failure(&self, mut failure: Failure) -> Failure {
        failure.message = self.redact(&failure.message);
        for detail in &mut failure.details {
            detail.text = self.redact(&detail.text);
        }
        for hint in &mut failure.hints {
            *hint = self.redact(hint);
        }
        failure
    }

    fn value(&self, name: &str) -> Result<String, Failure> {
        let mut known = self.0.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(value) = known.values.get(name) {
            return Ok(value.clone());
        }
        let Some(value) = (self.0.lookup)(name) else {
            return Err(Failure::refused(format!("the secret {name} is not set"))
                .hint(format!("set {name} in the environment, or in `.env` beside the script")));
        };
        known.add(name, &value);
        Ok(value)
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Secrets")
    }
}

impl Known {
    fn add(&mut self, name: &str, value: &str) {
        self.values.insert(name.to_owned(), value.to_owned());
        self.spellings.extend(spellings(value).into_iter().map(|spelling| (spelling, name.to_owned())));
        self.spellings.sort_by(|one, other| other.0.len().cmp(&one.0.len()).then_with(|| one.cmp(other)));
        self.spellings.dedup();
    }
}

/// Every way in which a value may be written.
fn spellings(value: &str) -> Vec<String> {
    let mut pieces = vec![value.trim_end_matches('\n')];
    if value.trim_end().contains('\n') {
        pieces.extend(value.lines().map(str::trim).filter(|line| line.len() >= 2 * SHORTEST));
    }
    let mut spellings = Vec::new();
    for piece in pieces.into_iter().filter(|piece| piece.len() >= SHORTEST) {
        let json = serde_json::Value::from(piece).to_string();
        let percent = percent_encoded(piece, "%20");
        spellings.extend([piece.to_owned(), json[1..json.len() - 1].to_owned(), piece.replace('\'', r"'\''")]);
        spellings.extend([percent_encoded(piece, "+"), percent.to_ascii_lowercase_escapes(), percent]);
        for shift in 0..3 {
            let standard = base64_inside(piece.as_bytes(), shift);
            spellings.push(standard.replace('+', "-").replace('/', "_"));
            spellings.push(standard);
        }
    }
    spellings.retain(|spelling| spelling.len() >= SHORTEST);
    spellings
}

/// Percent-encodes all but RFC 3986's unreserved characters.
fn percent_encoded(text: &str, space: &str) -> String {
    text.bytes().fold(String::new(), |mut encoded, byte| {
        match byte {
            b' ' => encoded.push_str(space),
            byte if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) => encoded.push(char::from(byte)),
            byte => {
                let _ = write!(encoded, "%{byte:02X}");
            }
        }
        encoded
    })
}

trait LowercaseEscapes {
    /// The digits behind each `%` in lower case.
    fn to_ascii_lowercase_escapes(&self) -> String;
}

impl LowercaseEscapes for String {
    fn to_ascii_lowercase_escapes(&self) -> String {
        let mut digits = 0;
        self.chars()
            .map(|character| {
                if character == '%' {
                    digits = 2;
                    return character;
                }
                let is_digit = digits > 0;
                digits -= i32::from(is_digit);
                if is_digit { character.to_ascii_lowercase() } else { character }
            })
            .collect()
    }
}

/// The digits that stand for `bytes` in any base64 text where they come after a multiple of three bytes and `shift` more
/// (RFC 4648): those that share bits with neighbours are left out.
fn base64_inside(bytes: &[u8], shift: usize) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let shifted: Vec<u8> = std::iter::repeat_n(0, shift).chain(bytes.iter().copied()).collect();
    let digit = |index: usize| {
        let bits = (0..6).fold(0, |bits, bit| {
            let position = index * 6 + bit;
            bits << 1 | usize::from(shifted[position / 8] >> (7 - position % 8) & 1)
        });
        char::from(DIGITS[bits])
    };
    ((shift * 8).div_ceil(6)..shifted.len() * 8 / 6).map(digit).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::text::Part;

    fn secrets(value: &'static str) -> Secrets {
        let secrets = Secrets::new(move |name| (name == "PW").then(|| value.to_owned()));
        assert_eq!(secrets.resolve(&secret("PW")).expect("set"), value);
        secrets
    }

    fn secret(name: &str) -> Text {
        Text::new([Part::Secret { secret: name.into() }])
    }

    #[test]
    fn a_value_is_hidden_however_it_is_written() {
        let secrets = secrets("s3cr\"et pa/ss");
        assert_eq!(secrets.redact("is s3cr\"et pa/ss."), "is ${PW}.");
        assert_eq!(secrets.redact(r#"{"a":"s3cr\"et pa/ss"}"#), r#"{"a":"${PW}"}"#);
        assert_eq!(secrets.redact("u:s3cr%22et%20pa%2Fss@db"), "u:${PW}@db");
        assert_eq!(secrets.redact("u:s3cr%22et%20pa%2fss@db"), "u:${PW}@db");
        assert_eq!(secrets.redact("q=s3cr%22et+pa%2Fss"), "q=${PW}");
    }

    #[test]
    fn base64_hides_nothing_alone_or_inside_a_longer_text() {
        let secrets = secrets("hunter2hunter2");
        // printf 'hunter2hunter2' | base64, printf 'u:hunter2hunter2' | base64, printf 'user:hunter2hunter2!' | base64
        for text in ["aHVudGVyMmh1bnRlcjI=", "dTpodW50ZXIyaHVudGVyMg==", "dXNlcjpodW50ZXIyaHVudGVyMiE="] {
            let redacted = secrets.redact(text);
            assert!(redacted.contains("${PW}"), "{text} became {redacted}");
        }
    }

    #[test]
    fn lines_of_a_key_are_hidden_one_by_one() {
        let secrets = secrets("-----BEGIN-----\nabcdefghij\nklmnopqrst\n");
        assert_eq!(secrets.redact("log: klmnopqrst"), "log: ${PW}");
    }

    #[test]
    fn the_name_of_one_is_not_searched_for_another() {
        let secrets = Secrets::new(|name| Some(if name == "TOKEN" { "value-of-token" } else { "TOKEN" }.into()));
        for name in ["TOKEN", "OTHER"] {
            secrets.resolve(&secret(name)).expect("set");
        }
        assert_eq!(secrets.redact("value-of-token"), "${TOKEN}");
    }

    #[test]
    fn what_an_earlier_process_used_is_hidden_before_it_is_used_again() {
        let secrets = Secrets::new(|name| (name == "PW").then(|| "hunter2".to_owned()));
        assert_eq!(secrets.redact("it is hunter2"), "it is hunter2");
        secrets.hide(["GONE".to_owned(), "PW".to_owned()]);
        assert_eq!(secrets.redact("it is hunter2"), "it is ${PW}");
    }

    #[test]
    fn a_missing_secret_is_told_by_name() {
        let failure = Secrets::new(|_| None).resolve(&secret("PW")).expect_err("not set");
        assert_eq!(failure.message, "the secret PW is not set");
    }
}
