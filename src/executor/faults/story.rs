//! Which fault befalls which call, as text that can be told again.

use std::{fmt, str::FromStr};

use super::Fault;
use crate::failure::Failure;

/// A call of a story: its key, the word for its op, and which of the ops of that word under that key it is, from 1.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Site {
    /// The call's key.
    pub key: String,
    /// The op's word.
    pub verb: String,
    /// Which one, from 1.
    pub number: usize,
}

/// A fault at a call.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Planned {
    /// The call.
    pub site: Site,
    /// The fault.
    pub fault: Fault,
}

/// What becomes of a run that was interrupted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Then {
    /// It is taken back.
    #[default]
    Undo,
    /// It is gone on with.
    Resume,
}

/// A run with what befalls it: `4[0]:start:lost-after, 6:stop#2:gone, then resume`.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Story {
    /// The faults.
    pub faults: Vec<Planned>,
    /// What becomes of it where it is interrupted.
    pub then: Then,
}

impl Story {
    /// The same story without one of its faults.
    #[must_use]
    pub fn without(&self, index: usize) -> Self {
        let mut shorter = self.clone();
        shorter.faults.remove(index);
        shorter
    }

    /// The same story without its last fault.
    #[must_use]
    pub fn before(&self) -> Self {
        let mut shorter = self.clone();
        shorter.faults.pop();
        shorter
    }
}

impl fmt::Display for Site {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}", self.key, self.verb)?;
        if self.number > 1 { write!(formatter, "#{}", self.number) } else { Ok(()) }
    }
}

impl fmt::Display for Story {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut words: Vec<String> = self.faults.iter().map(|planned| format!("{}:{}", planned.site, planned.fault)).collect();
        if self.then == Then::Resume {
            words.push("then resume".into());
        }
        formatter.write_str(&words.join(", "))
    }
}

impl FromStr for Story {
    type Err = Failure;

    fn from_str(text: &str) -> Result<Self, Failure> {
        let mut story = Self::default();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            match part {
                "then resume" => story.then = Then::Resume,
                "then undo" => story.then = Then::Undo,
                part => story.faults.push(planned(part)?),
            }
        }
        Ok(story)
    }
}

fn planned(part: &str) -> Result<Planned, Failure> {
    let words: Vec<&str> = part.splitn(3, ':').collect();
    let [key, op, fault] = words[..] else { return Err(unreadable(part)) };
    let site = site(key, op).ok_or_else(|| unreadable(part))?;
    if let Some(fault) = [" then resume", " then undo"].iter().find_map(|then| fault.strip_suffix(then)) {
        return Err(Failure::refused(format!("`{part}` is no part of a story")).hint(format!("a comma is missing behind `{fault}`")));
    }
    let fault = fault.parse().map_err(|()| {
        let known: Vec<&str> = Fault::ALL.iter().map(|fault| fault.word()).collect();
        let distance = |word: &&&str| strsim::damerau_levenshtein(fault, word);
        let near = known.iter().min_by_key(distance).filter(|word| distance(word) <= (fault.len() / 3).clamp(1, 3));
        Failure::refused(format!("there is no fault `{fault}`, as in `{part}`")).hint(match near {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("the faults are {}", known.join(", ")),
        })
    })?;
    Ok(Planned { site, fault })
}

fn site(key: &str, op: &str) -> Option<Site> {
    let (verb, number) = match op.split_once('#') {
        Some((verb, number)) => (verb, number.parse().ok().filter(|number| *number > 0)?),
        None => (op, 1),
    };
    let is_whole = !key.is_empty() && !verb.is_empty();
    is_whole.then(|| Site { key: key.into(), verb: verb.into(), number })
}

fn unreadable(part: &str) -> Failure {
    Failure::refused(format!("`{part}` is no part of a story"))
        .hint("a part is KEY:OP:FAULT such as `4[0]:start:lost-after`, or `then resume`; parts are separated by commas")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_story_is_read_as_it_is_written() {
        for text in ["", "4[0]:start:lost-after", "4[1].2:find#3:cut-off, undo/4[1].2.0:drain:gone, then resume"] {
            let story: Story = text.parse().expect("it is one");
            assert_eq!(story.to_string(), text);
        }
    }

    #[test]
    fn what_is_no_story_is_refused_with_what_one_is() {
        for text in ["4", "4:start", ":start:gone", "4::gone", "4:start#0:gone", "4:start#x:gone"] {
            let failure = text.parse::<Story>().expect_err("it is none");
            assert!(failure.message.contains(text) && failure.hints[0].contains("KEY:OP:FAULT"), "{failure:?}");
        }
        let hint = |text: &str| text.parse::<Story>().expect_err("there is no such fault").hints.remove(0);
        assert_eq!(hint("4:start:lost-befor"), "did you mean `lost-before`?");
        assert!(hint("4:start:anything-at-all").contains("lost-after, cut-off"));
        assert_eq!(hint("4:start:lost-after then resume"), "a comma is missing behind `lost-after`");
    }
}
