//! The value that an op answers with.

use std::{any::Any, fmt, io, sync::Arc};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::DeserializeOwned};
use serde_json::Value;

/// Plain data: as JSON where it was read from a journal or a host's own words, else as it was given, and JSON only where somebody
/// wants that. A model answers thousands of calls for one that is written down.
#[derive(Clone)]
pub struct Answer(Arc<dyn Data>);

/// What an answer may be.
trait Data: Send + Sync {
    fn any(&self) -> &dyn Any;
    fn json(&self) -> Value;
    fn write(&self, to: &mut dyn io::Write) -> serde_json::Result<()>;
}

impl<T: Serialize + Send + Sync + 'static> Data for T {
    fn any(&self) -> &dyn Any {
        self
    }

    fn json(&self) -> Value {
        serde_json::to_value(self).expect("an output is plain data")
    }

    fn write(&self, to: &mut dyn io::Write) -> serde_json::Result<()> {
        serde_json::to_writer(to, self)
    }
}

impl Answer {
    /// An answer of this output.
    pub fn of(output: impl Serialize + Send + Sync + 'static) -> Self {
        Self(Arc::new(output))
    }

    /// The answer as JSON.
    pub fn json(&self) -> Value {
        match self.0.any().downcast_ref::<Value>() {
            Some(value) => value.clone(),
            None => self.0.json(),
        }
    }

    /// The answer as the type that its op says. Fails where it is something else.
    pub fn read<T: DeserializeOwned + Clone + 'static>(&self) -> serde_json::Result<T> {
        match self.0.any().downcast_ref::<T>() {
            Some(output) => Ok(output.clone()),
            None => serde_json::from_value(self.json()),
        }
    }

    /// The answer itself, where it is of this type already.
    pub fn as_is<T: 'static>(&self) -> Option<&T> {
        self.0.any().downcast_ref()
    }

    /// Whether one of its strings may have a character from `least` on, of those that UTF-8 takes four bytes for.
    pub fn may_have_beyond(&self, least: char) -> bool {
        let mut encoded = [0; 4];
        let mut looking = Looking { least: least.encode_utf8(&mut encoded).as_bytes()[0], found: false };
        // JSON leaves what is not ASCII as it is.
        self.0.write(&mut looking).is_err() || looking.found
    }
}

/// Looks for a byte in what is written.
struct Looking {
    least: u8,
    found: bool,
}

impl io::Write for Looking {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.found |= bytes.iter().any(|byte| *byte >= self.least);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Default for Answer {
    fn default() -> Self {
        Self::of(Value::Null)
    }
}

impl From<Value> for Answer {
    fn from(value: Value) -> Self {
        Self::of(value)
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.json())
    }
}

impl PartialEq for Answer {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.json() == other.json()
    }
}

impl Serialize for Answer {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.json().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Answer {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Value::deserialize(deserializer).map(Self::of)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::op::CommandOutput;

    #[test]
    fn an_answer_is_the_same_before_and_after_it_was_written() {
        let given = CommandOutput { code: 3, stdout: "é😀\n".into(), stderr: String::new() };
        let answer = Answer::of(given.clone());
        let again: Answer = serde_json::from_str(&serde_json::to_string(&answer).expect("plain data")).expect("reads");
        assert_eq!(again, answer);
        assert_eq!((answer.read().ok(), again.read().ok()), (Some(given.clone()), Some(given)));
        assert!(answer.read::<bool>().is_err() && again.read::<bool>().is_err());
        assert_eq!((answer.json(), answer.as_is::<bool>()), (again.json(), None));
    }

    #[test]
    fn what_may_stand_for_a_secret_is_seen() {
        let of = |text: &str| Answer::of(vec![text.to_owned()]).may_have_beyond('\u{F0000}');
        assert!(of("a\u{F0000}") && of("\u{F1234}") && !of("aé\n\"\u{FFFD}") && !of("😀"));
    }
}
