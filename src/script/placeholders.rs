//! Secrets in a script's strings: one private-use character each, which no string operation can take apart.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::Value;

use crate::{
    failure::Failure,
    model::{Text, text::Part},
    op::Answer,
};

/// The first character of Unicode's supplementary private use area A.
const FIRST: u32 = 0xF_0000;
/// As many as the area has.
const MOST: usize = 0xFFFE;

/// The secrets that a run's script has named, each with the character that stands for it. Clones share the table.
#[derive(Clone, Debug, Default)]
pub struct Placeholders(Arc<Mutex<Vec<String>>>);

impl Placeholders {
    /// The string that stands for this secret.
    pub fn stand_in(&self, name: &str) -> Result<String, Failure> {
        let mut names = self.lock();
        let index = match names.iter().position(|known| known == name) {
            Some(index) => index,
            None if names.len() == MOST => return Err(Failure::refused(format!("a run can name {MOST} secrets at most"))),
            None => {
                names.push(name.into());
                names.len() - 1
            }
        };
        let character = u32::try_from(index).ok().and_then(|index| char::from_u32(FIRST + index));
        Ok(character.expect("the area is not left").into())
    }

    /// The text that a script's string means.
    pub fn text(&self, string: &str) -> Text {
        let names = self.lock();
        Text::new(string.chars().map(|character| match index(character).and_then(|index| names.get(index)) {
            Some(name) => Part::Secret { secret: name.clone() },
            None => Part::Plain(character.into()),
        }))
    }

    /// The string as people may see it: `${NAME}` in place of a secret.
    pub fn show(&self, string: &str) -> String {
        if string.chars().any(is_placeholder) { self.text(string).to_string() } else { string.into() }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a character may stand for a secret.
pub fn is_placeholder(character: char) -> bool {
    matches!(u32::from(character), 0xF_0000..=0x10_FFFF)
}

/// Text from outside, in which nothing may be mistaken for a secret.
pub fn foreign(text: &str) -> String {
    text.replace(is_placeholder, "\u{FFFD}")
}

/// Plain data from outside, in whose strings nothing may be mistaken for a secret.
fn foreign_value(value: &mut Value) {
    match value {
        Value::String(text) if text.contains(is_placeholder) => *text = foreign(text),
        Value::Array(items) => items.iter_mut().for_each(foreign_value),
        Value::Object(fields) => fields.values_mut().for_each(foreign_value),
        _ => {}
    }
}

/// An answer from outside, in whose strings nothing may be mistaken for a secret.
pub fn foreign_answer(answer: Answer) -> Answer {
    if !answer.may_have_beyond('\u{F0000}') {
        return answer;
    }
    let mut value = answer.json();
    foreign_value(&mut value);
    value.into()
}

fn index(character: char) -> Option<usize> {
    usize::try_from(u32::from(character).checked_sub(FIRST)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_string_becomes_text_with_secrets() {
        let placeholders = Placeholders::default();
        let first = placeholders.stand_in("PW").expect("room");
        let second = placeholders.stand_in("TOKEN").expect("room");
        assert_eq!(placeholders.stand_in("PW").expect("room"), first);
        let text = placeholders.text(&format!("a:{first}@{second}"));
        assert_eq!(text.to_string(), "a:${PW}@${TOKEN}");
        assert_eq!(text.secrets().collect::<Vec<_>>(), ["PW", "TOKEN"]);
        assert_eq!(placeholders.show(&format!("{first}!")), "${PW}!");
    }

    #[test]
    fn what_comes_from_outside_names_no_secret() {
        let placeholders = Placeholders::default();
        let secret = placeholders.stand_in("PW").expect("room");
        let mut value = serde_json::json!({ "stdout": [format!("x{secret}"), 1], "é": "ü" });
        foreign_value(&mut value);
        assert_eq!(value, serde_json::json!({ "stdout": ["x\u{FFFD}", 1], "é": "ü" }));
        assert_eq!(foreign_answer(Answer::of(Some(format!("x{secret}")))).json(), "x\u{FFFD}");
    }

    #[test]
    fn a_character_without_secret_is_plain() {
        assert_eq!(Placeholders::default().text("\u{F0007}"), Text::from("\u{F0007}"));
    }
}
