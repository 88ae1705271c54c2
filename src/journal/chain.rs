//! A journal's lines: each carries the hash of itself and of all before it.

use sha2::{Digest, Sha256};

use super::{
    Entry, Header,
    entry::{FORMAT, hex},
};
use crate::failure::Failure;

const BEGIN: &str = "{\"hash\":\"";
const MIDDLE: &str = "\",\"record\":";
const DIGITS: usize = 64;

/// A journal's records, as far as the chain of their hashes is whole.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Chain {
    entries: Vec<Entry>,
    text: String,
    head: String,
}

impl Chain {
    /// Reads a journal; a last line that was cut off is left out.
    ///
    /// # Errors
    /// Where a newer podlift wrote it; and where lines stand behind one that does not follow from those before it: something else
    /// than a write that was cut off has changed the file, and what they tell of may have been done.
    pub fn read(text: &str) -> Result<Self, Failure> {
        let (chain, rest) = Self::whole(text)?;
        if is_damage(rest) { Err(damaged(chain.entries.len() + 1, rest.lines().count())) } else { Ok(chain) }
    }

    /// What is whole of a journal, and the rest of its text, from the first line on that does not follow from those before it.
    ///
    /// # Errors
    /// Where a newer podlift wrote it.
    pub fn whole(text: &str) -> Result<(Self, &str), Failure> {
        let mut chain = Self::default();
        let mut rest = text;
        while let Some((line, after)) = rest.split_once('\n') {
            let Some(record) = record(line, &chain.head) else { break };
            match serde_json::from_str(record) {
                Ok(entry) => chain.push(entry, &format!("{line}\n")),
                // Its hash is right, so it was written so.
                Err(error) => return Err(foreign(chain.entries.len() + 1, &error.to_string())),
            }
            if let Some(Entry::Header(header)) = chain.entries.first()
                && header.format > FORMAT
            {
                return Err(foreign(1, &format!("it has the format {}, and this podlift reads up to {FORMAT}", header.format)));
            }
            rest = after;
        }
        Ok((chain, rest))
    }

    /// The line of the record that comes next, with its end. It is ASCII, so that it can be cut anywhere.
    pub fn line(&self, entry: &Entry) -> String {
        let record = ascii(serde_json::to_string(entry).expect("a record is plain data with string keys"));
        format!("{BEGIN}{}{MIDDLE}{record}}}\n", hash(&self.head, &record))
    }

    /// The lines of these records, whether or not anybody keeps them.
    pub fn written(entries: &[Entry]) -> String {
        let mut chain = Self::default();
        for entry in entries {
            let line = chain.line(entry);
            chain.write(&line);
        }
        chain.text
    }

    /// The chain of these records.
    pub fn of(entries: &[Entry]) -> Self {
        let mut chain = Self::default();
        for entry in entries {
            let line = chain.line(entry);
            chain.push(entry.clone(), &line);
        }
        chain
    }

    /// The first records, as many as these, without their lines and hashes: for a journal whose store keeps none.
    #[must_use]
    pub(crate) fn first(&self, count: usize) -> Self {
        Self { entries: self.entries[..count.min(self.entries.len())].to_vec(), ..Self::default() }
    }

    /// Adds the record that a line of this chain is for; without one where nobody keeps lines.
    pub(super) fn push(&mut self, entry: Entry, line: &str) {
        self.write(line);
        self.entries.push(entry);
    }

    fn write(&mut self, line: &str) {
        if let Some(head) = line.get(BEGIN.len()..BEGIN.len() + DIGITS) {
            head.clone_into(&mut self.head);
            self.text.push_str(line);
        }
    }

    /// The records.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// What is run; `None` if not even that was written.
    pub fn header(&self) -> Option<&Header> {
        match self.entries.first() {
            Some(Entry::Header(header)) => Some(header),
            _ => None,
        }
    }

    /// Whether someone began to take the run back.
    pub fn is_undoing(&self) -> bool {
        self.entries.iter().any(|entry| matches!(entry, Entry::Undoing { .. }))
    }

    /// How many of the first records this one and another one have in common.
    pub fn in_common(&self, other: &Self) -> usize {
        self.text.lines().zip(other.text.lines()).take_while(|(one, other)| one == other).count()
    }

    /// The hash of the last line, and so of all of them; empty where there is none.
    pub fn head(&self) -> &str {
        &self.head
    }

    /// The hashes of the last lines of the copies in whose place this one stands.
    pub fn instead_of(&self) -> impl Iterator<Item = &str> {
        let began = self.entries.iter().filter_map(|entry| if let Entry::Began(began) = entry { Some(began) } else { None });
        began.flat_map(|began| &began.instead_of).map(String::as_str)
    }

    /// The lines, where they are kept.
    pub fn text(&self) -> &str {
        &self.text
    }
}

/// The hash of the last of these whole lines, and so of all of them; empty where there is none.
pub fn head(text: &str) -> &str {
    text.lines().next_back().and_then(|line| line.get(BEGIN.len()..BEGIN.len() + DIGITS)).unwrap_or_default()
}

/// Whether the rest of a journal's text, behind what is whole, is more than a line that was cut off.
pub fn is_damage(rest: &str) -> bool {
    rest.split_once('\n').is_some_and(|(_, behind)| !behind.is_empty())
}

/// The text of a line's record, if the line is whole and follows what has this hash.
fn record<'a>(line: &'a str, head: &str) -> Option<&'a str> {
    let rest = line.strip_prefix(BEGIN)?;
    let (claimed, rest) = rest.split_at_checked(DIGITS)?;
    let record = rest.strip_prefix(MIDDLE)?.strip_suffix('}')?;
    (hash(head, record) == claimed).then_some(record)
}

/// The same JSON with what is not ASCII written as escapes: it can stand in strings only.
fn ascii(json: String) -> String {
    if json.is_ascii() {
        return json;
    }
    let mut text = String::with_capacity(json.len());
    for character in json.chars() {
        if character.is_ascii() {
            text.push(character);
        } else {
            let mut units = [0; 2];
            text.extend(character.encode_utf16(&mut units).iter().map(|unit| format!("\\u{unit:04x}")));
        }
    }
    text
}

fn hash(head: &str, record: &str) -> String {
    hex(&Sha256::new().chain_update(head).chain_update("\n").chain_update(record).finalize())
}

fn foreign(line: usize, why: &str) -> Failure {
    Failure::refused(format!("line {line} of the journal cannot be understood: {why}"))
        .hint("use the podlift that wrote it, or a newer one")
}

fn damaged(line: usize, lines: usize) -> Failure {
    let what =
        format!("line {line} of the journal is not what was written there, and nothing from there on can be believed: {lines} lines");
    Failure::refused(what)
        .hint("nothing was done or undone; a host of the run may have a whole copy: say the same with `--from HOST`")
        .hint(format!(
            "where none has: keep the file journal.jsonl as it is in another place, cut it behind line {}, and see for yourself to what \
             the other lines tell of",
            line - 1
        ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        failure::Origin,
        journal::{Asked, Intent},
        model::{Host, Key, Period, ProjectName, ServiceName},
        op::{Outcome, Pause, Traffic, TrafficCount},
    };

    fn asked(number: usize) -> Asked {
        let origin = Origin { file: "déploy.rhai".into(), line: number, column: 1 };
        Asked { key: Key::call("", number), origin, op: Pause { period: Period::seconds(1) }.into() }
    }

    fn whole() -> Chain {
        let entries = (1..=4).flat_map(|number| {
            [
                Entry::Intent(Intent {
                    asked: asked(number),
                    at: "2026-01-01T00:00:00Z".into(),
                    inverse: vec![asked(1).op.into_inner()].into(),
                }),
                Entry::Done {
                    asked: asked(number),
                    outcome: Outcome::of("é😀\n"),
                    at: "2026-01-01T00:00:01Z".into(),
                    seconds: 0.25,
                    answered_by: None,
                },
            ]
        });
        Chain::of(&entries.collect::<Vec<_>>())
    }

    #[test]
    fn a_journal_reads_back_as_it_was_written() {
        let chain = whole();
        assert_eq!(Chain::read(chain.text()).expect("reads"), chain);
        assert_eq!(chain.entries().len(), 8);
        assert_eq!((head(chain.text()), head("")), (chain.head.as_str(), ""));
    }

    #[test]
    fn a_window_of_traffic_with_an_assumption_reads_back() {
        let assume = TrafficCount { requests: 10, errors: 0, milliseconds: [(20, 9), (30, 1)].into() };
        let op = Traffic {
            proxy: Host::parse("h1").expect("valid"),
            project: ProjectName::default(),
            service: ServiceName::new("web").expect("valid"),
            containers: Vec::new(),
            during: Period::seconds(1),
            assume: Some(assume),
        };
        let entry =
            Entry::Intent(Intent { asked: Asked { op: op.into(), ..asked(1) }, at: String::new(), inverse: crate::op::Inverse::default() });
        let chain = Chain::of(&[entry]);
        assert_eq!(Chain::read(chain.text()).expect("reads"), chain);
    }

    #[test]
    fn a_journal_cut_at_any_byte_loads_what_was_whole() {
        let text = whole().text;
        assert!(text.is_ascii());
        for cut in 0..text.len() {
            let chain = Chain::read(&text[..cut]).expect("a torn tail is no error");
            assert_eq!(chain.entries().len(), text[..cut].matches('\n').count(), "cut at {cut}");
            assert!(text.starts_with(chain.text()));
        }
    }

    #[test]
    fn a_journal_is_refused_in_which_a_line_was_changed_or_is_missing() {
        let text = whole().text;
        let changed = text.replacen("\"line\":2", "\"line\":7", 1);
        let lines: Vec<&str> = text.split_inclusive('\n').collect();
        let without = [&lines[..3], &lines[4..]].concat().concat();
        for (text, line, rest) in [(&changed, 3, 6), (&without, 4, 4)] {
            let failure = Chain::read(text).expect_err("nobody knows what is done");
            let told = format!(
                "line {line} of the journal is not what was written there, and nothing from there on can be believed: {rest} lines"
            );
            assert_eq!(failure.message, told);
            assert_eq!(Chain::whole(text).expect("reads").0.entries().len(), line - 1);
        }
        // What was written last may not have come to the disk as a whole.
        let last = text.len() - 10;
        let torn = format!("{}?{}", &text[..last], &text[last + 1..]);
        assert_eq!(Chain::read(&torn).expect("a torn tail is no error").entries().len(), 7);
    }

    #[test]
    fn what_a_newer_podlift_wrote_is_refused() {
        let record = r#"{"kind":"teleport"}"#;
        let line = format!("{BEGIN}{}{MIDDLE}{record}}}\n", hash("", record));
        let failure = Chain::read(&line).expect_err("nobody knows that kind");
        assert!(failure.message.starts_with("line 1 of the journal"), "{failure}");
    }
}
