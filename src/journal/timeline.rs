//! What became of each call of a run, by its journal.

use std::collections::HashMap;

use serde::Serialize;

use super::{
    Chain, Entry, Journal, Memory, State,
    recorded::{Recorded, in_script_order},
};
use crate::{model::Key, op::Outcome};

/// What became of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fate {
    /// It succeeded, or a person says that it did.
    Done,
    /// A person left it out: it was not done.
    Skipped,
    /// It failed or was refused.
    Failed,
    /// It was begun and not answered: nobody knows whether it was done.
    InDoubt,
    /// It was begun, and the run's process is at work.
    UnderWay,
}

/// A call of a run, and what became of it.
#[derive(Clone, Debug)]
pub struct Step {
    /// The call; where it is in doubt, without an answer.
    pub record: Recorded,
    /// What became of it.
    pub fate: Fate,
    /// Who said so, where nobody could know it but a person.
    pub answered_by: Option<String>,
}

/// Every call that is recorded, the last answer of each, in the script's order; `state` is what became of the run.
pub fn timeline(chain: &Chain, state: State) -> Vec<Step> {
    let journal = Journal::open(Memory, chain.clone());
    let doubts = journal.doubts();
    let in_doubt = |key: &Key| doubts.iter().any(|intent| intent.asked.key == *key);
    let answered = journal.records().into_iter().filter(|record| !in_doubt(&record.key));
    let mut records: Vec<Recorded> = answered.chain(doubts.iter().map(Recorded::unanswered)).collect();
    in_script_order(&mut records);
    let mut people = answered_by(chain);
    let step = |record: Recorded| {
        let fate = match &record.result {
            _ if in_doubt(&record.key) && state == State::Running => Fate::UnderWay,
            _ if in_doubt(&record.key) => Fate::InDoubt,
            Ok(outcome) if Outcome::is_skipped(outcome) => Fate::Skipped,
            Ok(_) => Fate::Done,
            Err(_) => Fate::Failed,
        };
        let answered_by = people.remove(&record.key).filter(|_| matches!(fate, Fate::Done | Fate::Skipped));
        Step { record, fate, answered_by }
    };
    records.into_iter().map(step).collect()
}

/// Who answered for calls, where a person did.
fn answered_by(chain: &Chain) -> HashMap<Key, String> {
    let answer = |entry: &Entry| match entry {
        Entry::Done { asked, answered_by: Some(who), .. } => Some((asked.key.clone(), who.clone())),
        _ => None,
    };
    chain.entries().iter().filter_map(answer).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        failure::{Failure, Origin},
        journal::{Asked, Intent},
        model::Shared,
        op::{CommandLine, Hook, Inverse, Invocation, Op, Place},
    };

    fn asked(number: usize) -> Asked {
        let invocation = Invocation {
            place: Place::Local,
            command: CommandLine::Shell("migrate".into()),
            env: std::collections::BTreeMap::new(),
            stdin: None,
            timeout: crate::model::Period::seconds(1),
            check: true,
            name: None,
            assume: None,
        };
        let op: Shared<Op> = Op::from(Hook { invocation, undo: None, lease: None }).into();
        Asked { key: Key::call("", number), origin: Origin { file: "deploy.rhai".into(), line: number, column: 1 }, op }
    }

    fn begun(number: usize) -> Entry {
        Entry::Intent(Intent { asked: asked(number), at: "2026-01-01T00:00:00Z".into(), inverse: Inverse::default() })
    }

    fn done(number: usize, outcome: Outcome, answered_by: Option<&str>) -> Entry {
        Entry::Done { asked: asked(number), outcome, at: String::new(), seconds: 0.5, answered_by: answered_by.map(Into::into) }
    }

    #[test]
    fn each_call_is_told_once_as_what_became_of_it() {
        let refused = Entry::Failed { asked: asked(5), failure: Failure::refused("no"), at: String::new(), seconds: 0.0 };
        let chain = Chain::of(&[
            begun(1),
            done(1, Outcome::of(()), None),
            begun(2),
            begun(3),
            done(3, Outcome::of(()).skipped(), Some("ann@here")),
            done(4, Outcome::of(()), Some("ann@here")),
            refused,
        ]);
        let steps = timeline(&chain, State::Interrupted).into_iter();
        let told: Vec<_> = steps.map(|step| (step.record.key.to_string(), step.fate, step.answered_by)).collect();
        let ann = || Some("ann@here".to_owned());
        let expected =
            [(1, Fate::Done, None), (2, Fate::InDoubt, None), (3, Fate::Skipped, ann()), (4, Fate::Done, ann()), (5, Fate::Failed, None)];
        assert_eq!(told, expected.map(|(key, fate, who)| (key.to_string(), fate, who)));
        assert_eq!(timeline(&chain, State::Running)[1].fate, Fate::UnderWay);
    }
}
