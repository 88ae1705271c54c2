//! Copies of one journal that have gone apart: two machines went on with the run without knowing of each other.
//!
//! Of two copies of which one continues the other the longer counts. Where they go apart, one of them is the journal of a process
//! that was cut off: whoever goes on with a run first takes its leases and notes that it began, so what begins with such a note
//! has taken over from what does not. What the process that was cut off did after that is found on the hosts by its tokens, but for
//! commands, which leave nothing to look for: a copy that tells of one is not passed over. Where two went on, neither having the
//! other's leases, nobody but a person can tell.

use super::{Began, Chain, Entry, State, entry::How};
use crate::{failure::Failure, model::RunId, op::Op};

/// A copy of a run's journal.
#[derive(Clone, Debug)]
pub struct Copy {
    /// Where it is: a host's name, or [`HERE`].
    pub place: String,
    /// What it says.
    pub chain: Chain,
}

/// The place of the copy on this machine.
pub const HERE: &str = "here";

/// What to go on with.
#[derive(Clone, Debug)]
pub struct Chosen {
    /// The copy.
    pub copy: Copy,
    /// The copies that went another way and are left out.
    pub left_out: Vec<Copy>,
}

/// Which of two copies counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Counts {
    /// The first, which has all of the other one.
    First,
    /// The first, and the other one has what it does not have.
    FirstInstead,
    Second,
    SecondInstead,
    Neither,
}

/// The copy that counts; `None` where there is none.
///
/// # Errors
/// Where two have gone apart and neither took over from the other: both are shown, and what decides.
pub fn choose(run: &RunId, copies: Vec<Copy>) -> Result<Option<Chosen>, Failure> {
    if let Some((known, other)) = foreign(&copies) {
        return Err(Failure::refused(format!("the journal {} is not of run {run} as it began {}", at(&other.place), at(&known.place)))
            .hint(format!("leave that place out, or go by one of them with `--journal {}`", known.place)));
    }
    let counts_against = |copy: &Copy, other: &Copy| matches!(counts(&copy.chain, &other.chain), Counts::First | Counts::FirstInstead);
    let wins = |index: &usize| {
        copies.iter().enumerate().filter(|(other, _)| other != index).all(|(_, other)| counts_against(&copies[*index], other))
    };
    let Some(index) = (0..copies.len()).find(wins) else { return undecided(run, &copies) };
    let mut others = copies;
    let copy = others.remove(index);
    others.retain(|other| counts(&copy.chain, &other.chain) == Counts::FirstInstead);
    Ok(Some(Chosen { copy, left_out: others }))
}

/// Two copies that do not begin with the same header: that of this machine, if it has one, and one from elsewhere.
fn foreign(copies: &[Copy]) -> Option<(&Copy, &Copy)> {
    let mut begun = copies.iter().filter(|copy| !copy.chain.entries().is_empty());
    let known = begun.clone().find(|copy| copy.place == HERE).or_else(|| begun.clone().next())?;
    begun.find(|copy| copy.chain.entries().first() != known.chain.entries().first()).map(|other| (known, other))
}

/// No copy counts against all others: two of them show why.
fn undecided(run: &RunId, copies: &[Copy]) -> Result<Option<Chosen>, Failure> {
    let pairs = || copies.iter().enumerate().flat_map(|(index, copy)| copies[index + 1..].iter().map(move |other| (copy, other)));
    let neither = pairs().find(|(copy, other)| counts(&copy.chain, &other.chain) == Counts::Neither).or_else(|| pairs().next());
    neither.map_or(Ok(None), |(copy, other)| Err(apart(run, copy, other)))
}

/// The copy of this place, where a person has decided; what goes another way is left out.
///
/// # Errors
/// Where there is none.
pub fn take(run: &RunId, copies: Vec<Copy>, place: &str) -> Result<Chosen, Failure> {
    let (mut named, others): (Vec<Copy>, Vec<Copy>) = copies.into_iter().partition(|copy| copy.place == place);
    let Some(copy) = named.pop() else {
        let places: Vec<String> = others.into_iter().map(|copy| copy.place).collect();
        return Err(Failure::refused(format!("no journal of run {run} is {}", at(place)))
            .hint(format!("there is one {}", places.iter().map(|place| at(place)).collect::<Vec<_>>().join(", and one "))));
    };
    let left_out = others.into_iter().filter(|other| !copy.chain.text().starts_with(other.chain.text())).collect();
    Ok(Chosen { copy, left_out })
}

fn counts(first: &Chain, second: &Chain) -> Counts {
    let common = first.in_common(second);
    let (one, other) = (&first.entries()[common..], &second.entries()[common..]);
    match (one.is_empty(), other.is_empty()) {
        (_, true) => Counts::First,
        (true, false) => Counts::Second,
        _ if takes_the_place(one, second) => Counts::FirstInstead,
        _ if takes_the_place(other, first) => Counts::SecondInstead,
        _ if changes_nothing(other) && !tells_answers(other, first) => Counts::FirstInstead,
        _ if changes_nothing(one) && !tells_answers(one, second) => Counts::SecondInstead,
        _ => match (takes_over(one), takes_over(other)) {
            (true, false) if !tells_of_commands(other, first) && !tells_answers(other, first) => Counts::FirstInstead,
            (false, true) if !tells_of_commands(one, second) && !tells_answers(one, second) => Counts::SecondInstead,
            _ => Counts::Neither,
        },
    }
}

/// Whether these records were written in place of all of this copy.
fn takes_the_place(records: &[Entry], of: &Chain) -> bool {
    let mut began = records.iter().filter_map(|entry| if let Entry::Began(began) = entry { Some(began) } else { None });
    began.any(|began| began.instead_of.iter().any(|head| head == of.head()))
}

/// Whether these records begin with somebody who took the run over: behind its leases, which are taken before that is noted.
fn takes_over(records: &[Entry]) -> bool {
    let is_lease = |entry: &&Entry| matches!(entry, Entry::Intent(intent) if matches!(*intent.asked.op, Op::Lock(_)));
    matches!(records.iter().find(|entry| !is_lease(entry)), Some(Entry::Began(_)))
}

fn changes_nothing(records: &[Entry]) -> bool {
    !records.iter().any(|entry| matches!(entry, Entry::Intent(intent) if intent.asked.op.class().changes()))
}

/// Whether these records tell of commands that the other copy knows nothing of.
fn tells_of_commands(records: &[Entry], other: &Chain) -> bool {
    let keys = |entries: &[Entry]| {
        let commands = entries.iter().filter_map(|entry| match entry {
            Entry::Intent(intent) if intent.asked.op.is_known_by_its_answer_only() => Some(intent.asked.key.to_string()),
            _ => None,
        });
        commands.collect::<Vec<String>>()
    };
    let known = keys(other.entries());
    keys(records).iter().any(|key| !known.contains(key))
}

/// Whether these records have the answer of a command that is in doubt by the other copy: without it, it would be run twice.
fn tells_answers(records: &[Entry], other: &Chain) -> bool {
    let answered = |entry: &Entry| match entry {
        Entry::Done { asked, .. } | Entry::Failed { asked, .. } if asked.op.is_known_by_its_answer_only() => Some(asked.key.clone()),
        _ => None,
    };
    let known: Vec<_> = other.entries().iter().filter_map(answered).collect();
    records.iter().filter_map(answered).any(|key| !known.contains(&key))
}

fn apart(run: &RunId, first: &Copy, second: &Copy) -> Failure {
    let common = first.chain.in_common(&second.chain);
    let failure = Failure::refused(format!(
        "two machines went on with run {run} without knowing of each other: its journals {} and {} have the first {common} records in common",
        at(&first.place),
        at(&second.place)
    ));
    let failure = [first, second].into_iter().fold(failure, |failure, copy| failure.detail(at(&copy.place), story(copy, common)));
    [first, second].into_iter().fold(failure, |failure, Copy { place, .. }| {
        failure.hint(format!("`--journal {place}` goes by the one {}; what else was done is looked for on the hosts", at(place)))
    })
}

/// What one of two copies tells that the other one does not.
fn story(copy: &Copy, common: usize) -> String {
    let records = &copy.chain.entries()[common..];
    let mut lines: Vec<String> = Vec::new();
    for entry in records {
        match entry {
            Entry::Began(Began { at, by, how, .. }) => {
                let how = match how {
                    How::Run => "began",
                    How::Resume => "resumed",
                    How::Undo => "began to undo",
                };
                lines.push(format!("{at}  {by} {how} it"));
            }
            Entry::Intent(intent) => lines.push(format!("{}  {} {}", intent.at, intent.asked.op.verb(), intent.asked.op.describe())),
            Entry::Ended(ended) => lines.push(format!("{}  it ended: {}", ended.at, ended.exit)),
            _ => {}
        }
    }
    let state = State::of(&copy.chain, false);
    lines.push(format!("{} records more; by them the run is {}", records.len(), state.word()));
    lines.join("\n")
}

/// A place in a sentence.
fn at(place: &str) -> String {
    if place == HERE { "on this machine".into() } else { format!("on {place}") }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        executor::Outcome,
        failure::Origin,
        journal::{Asked, Intent},
        model::{Host, Key, Period, ProjectName, ServiceName, Version},
        op::{Hook, Lock, Pause, Record},
    };

    fn run() -> RunId {
        RunId::new("r1").expect("valid")
    }

    fn began(by: &str, how: How, instead_of: &[&str]) -> Entry {
        let instead_of = instead_of.iter().map(ToString::to_string).collect();
        Entry::Began(Began { at: format!("by {by}"), by: by.into(), process: 1, podlift: "0".into(), how, instead_of })
    }

    fn intent(number: usize, op: impl Into<Op>) -> Entry {
        let origin = Origin { file: "deploy.rhai".into(), line: number, column: 1 };
        let asked = Asked { key: Key::call("", number), origin, op: op.into().into() };
        Entry::Intent(Intent { asked, at: "2026-01-01T00:00:00Z".into(), inverse: crate::op::Inverse::default() })
    }

    fn change(number: usize) -> Entry {
        let op = Record {
            host: Host::parse("h1").expect("valid"),
            project: ProjectName::default(),
            service: ServiceName::new("web").expect("valid"),
            version: Version::new("v1").expect("valid"),
            image: "shop-web:v1".into(),
        };
        intent(number, op)
    }

    fn command(number: usize) -> Entry {
        let hook = json!({ "place": { "where": "local" }, "command": ["migrate"], "env": {}, "timeout": "30s", "check": true });
        intent(number, serde_json::from_value::<Hook>(hook).expect("a hook"))
    }

    fn lease() -> Entry {
        intent(1, Lock::new(ProjectName::default(), ServiceName::new("web").expect("valid"), Vec::new()))
    }

    fn read(number: usize) -> Entry {
        intent(number, Pause { period: Period::seconds(1) })
    }

    fn copy(place: &str, before: &Chain, entries: impl IntoIterator<Item = Entry>) -> Copy {
        let all: Vec<Entry> = before.entries().iter().cloned().chain(entries).collect();
        Copy { place: place.into(), chain: Chain::of(&all) }
    }

    fn base() -> Chain {
        copy(HERE, &Chain::default(), [began("ann", How::Run, &[]), change(1), change(2)]).chain
    }

    /// The place of the copy that counts, and of those that are left out, whichever comes first.
    #[track_caller]
    fn chosen(copies: &[&Copy]) -> Result<(String, Vec<String>), Failure> {
        let decide = |copies: Vec<Copy>| {
            choose(&run(), copies).map(|chosen| {
                let Chosen { copy, left_out } = chosen.expect("there are some");
                let mut places: Vec<String> = left_out.into_iter().map(|copy| copy.place).collect();
                places.sort();
                (copy.place, places)
            })
        };
        let copies: Vec<Copy> = copies.iter().map(|copy| (*copy).clone()).collect();
        let chosen = decide(copies.clone());
        let reversed = decide(copies.into_iter().rev().collect());
        assert_eq!(chosen.as_ref().ok(), reversed.as_ref().ok());
        chosen
    }

    #[test]
    fn of_copies_that_continue_each_other_the_longest_counts() {
        let (short, long) = (copy("h1", &base(), []), copy("h2", &base(), [change(3), change(4)]));
        assert_eq!(chosen(&[&short, &long]).expect("they agree"), ("h2".into(), vec![]));
    }

    #[test]
    fn whoever_took_the_run_over_counts_however_long_the_copy_is_of_whom_it_was_taken_from() {
        let cut_off = copy(HERE, &base(), [change(3), change(4), change(5), change(6)]);
        let resumed = copy("h1", &base(), [lease(), lease(), began("bob", How::Resume, &[]), change(3)]);
        let further = copy("h2", &resumed.chain, [change(4)]);
        assert_eq!(chosen(&[&cut_off, &resumed]).expect("bob has the leases"), ("h1".into(), vec!["here".into()]));
        assert_eq!(chosen(&[&resumed, &cut_off, &further]).expect("bob went on"), ("h2".into(), vec!["here".into()]));
    }

    #[test]
    fn a_copy_that_tells_of_no_further_change_is_passed_over() {
        let looked = copy(HERE, &base(), [began("ann", How::Resume, &[]), read(3), read(4), read(5)]);
        let went_on = copy("h1", &base(), [change(3)]);
        assert_eq!(chosen(&[&looked, &went_on]).expect("nothing is lost"), ("h1".into(), vec!["here".into()]));
    }

    #[test]
    fn a_command_that_only_the_one_who_was_cut_off_knows_of_is_not_passed_over() {
        let cut_off = copy(HERE, &base(), [command(3)]);
        let resumed = copy("h1", &base(), [began("bob", How::Resume, &[]), change(4)]);
        let refused = chosen(&[&cut_off, &resumed]).expect_err("was it done?");
        assert!(refused.details.iter().any(|detail| detail.text.contains("hook migrate")), "{refused:?}");
        let knows = copy("h1", &base(), [began("bob", How::Resume, &[]), command(3)]);
        assert_eq!(chosen(&[&cut_off, &knows]).expect("both know"), ("h1".into(), vec!["here".into()]));
    }

    #[test]
    fn the_answer_of_a_command_that_only_one_copy_has_is_not_passed_over() {
        let base = copy(HERE, &base(), [command(3)]).chain;
        let Entry::Intent(Intent { asked, .. }) = command(3) else { panic!("an intent") };
        let answer = Entry::Done { asked, outcome: Outcome::of(()), at: String::new(), seconds: 1.0, answered_by: None };
        let answered = copy("h1", &base, [answer]);
        let looked = copy("h2", &base, [began("bob", How::Resume, &[]), read(4)]);
        assert_eq!(chosen(&[&answered, &looked]).expect("it was done"), ("h1".into(), vec!["h2".into()]));
        let went_on = copy("h2", &base, [began("bob", How::Resume, &[]), change(4)]);
        chosen(&[&answered, &went_on]).expect_err("bob did not know of it");
    }

    #[test]
    fn a_copy_that_began_otherwise_is_never_chosen() {
        let here = copy(HERE, &Chain::default(), [began("ann", How::Run, &[]), change(1)]);
        let foreign = copy("h1", &Chain::default(), [began("eve", How::Run, &[]), change(1), change(2)]);
        let refused = chosen(&[&here, &foreign]).expect_err("it is another run");
        assert!(refused.message.contains("the journal on h1 is not of run r1"), "{}", refused.message);
        let empty = copy("h2", &Chain::default(), []);
        assert_eq!(chosen(&[&here, &empty]).expect("nothing was noted there"), ("here".into(), vec![]));
    }

    #[test]
    fn of_two_who_went_on_neither_counts_until_a_person_has_decided() {
        let ann = copy("h1", &base(), [began("ann", How::Undo, &[]), change(3)]);
        let bob = copy("h2", &base(), [began("bob", How::Resume, &[]), change(3), change(4)]);
        let refused = chosen(&[&ann, &bob]).expect_err("nobody knows");
        assert!(refused.message.contains("have the first 3 records in common"), "{}", refused.message);
        let told = |place: &str, words: &str| refused.details.iter().any(|detail| detail.title == place && detail.text.contains(words));
        assert!(told("on h1", "ann began to undo it") && told("on h2", "bob resumed it"), "{:?}", refused.details);
        assert!(refused.hints.iter().any(|hint| hint.contains("--journal h2")), "{:?}", refused.hints);

        let taken = take(&run(), vec![ann.clone(), bob.clone()], "h1").expect("it is there");
        assert_eq!((taken.copy.place.as_str(), taken.left_out.len()), ("h1", 1));
        assert!(take(&run(), vec![ann.clone()], "h9").is_err());
        // Whoever went on by that decision has noted it, and nobody asks again.
        let decided = copy("h1", &ann.chain, [began("cleo", How::Undo, &[bob.chain.head()])]);
        assert_eq!(chosen(&[&decided, &bob]).expect("cleo has decided"), ("h1".into(), vec!["h2".into()]));
        for copies in [[&ann, &bob, &decided], [&bob, &decided, &ann], [&decided, &ann, &bob]] {
            assert_eq!(chosen(&copies).expect("cleo has decided"), ("h1".into(), vec!["h2".into()]));
        }
        let went_on = copy("h2", &bob.chain, [change(5)]);
        assert!(chosen(&[&decided, &went_on]).is_err(), "bob went on since");
    }
}
