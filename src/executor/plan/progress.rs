//! Where a run is in its plan.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde_json::Value;

use super::PlannedCall;
use crate::{
    failure::{Failure, FailureKind},
    journal::Recorded,
    model::{Key, RunInfo, Token},
    op::Op,
};

/// What has been done of a plan, and where the run is in it.
///
/// A plan knows no failures: `retry` tries once in it, and nothing is said of what a script does about one. So once a planned call has
/// failed a block of calls may be tried again, and what changes nothing that serves may come in between; both count the calls behind
/// them on.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// The planned calls that were made.
    made: HashSet<Key>,
    /// The calls that have failed and were not done since: that of the plan, its own key, and why.
    failed: Vec<(Key, Key, Failure)>,
    /// The calls, by the block that they are in, in or at which one has failed.
    trouble: BTreeMap<String, Vec<u64>>,
    /// By block and from which call on: how many calls more there were than the plan has.
    shifts: BTreeMap<String, BTreeMap<u64, u64>>,
    /// The marks of what calls behind such a shift have made, with those that the plan has in their place.
    marks: BTreeMap<Token, Token>,
    /// Whether a host was left out because of what has failed.
    leaves_out: bool,
}

/// The calls of a plan, in the script's order.
#[derive(Debug)]
pub(super) struct Calls {
    list: Vec<PlannedCall>,
    places: HashMap<Key, usize>,
    /// Who made the plan: commands are told.
    pub(super) by: String,
}

impl Calls {
    pub(super) fn new(list: Vec<PlannedCall>, by: String) -> Self {
        let places = list.iter().enumerate().map(|(place, call)| (call.key.clone(), place)).collect();
        Self { list, places, by }
    }

    pub(super) fn at(&self, key: &Key) -> Option<&PlannedCall> {
        self.places.get(key).map(|place| &self.list[*place])
    }

    /// The planned call that this key takes back.
    pub(super) fn undone_by(&self, key: &Key) -> Option<&PlannedCall> {
        let of = key.undoes()?;
        self.list.iter().find(|planned| planned.key.as_str() == of)
    }

    /// Whether a planned backfill goes on with it: how often it asks its throttle, waits and does a part no plan knows.
    fn goes_on(&self, key: &Key, op: &Op, asked: &Value) -> bool {
        let Some(series) = key.block().strip_suffix("[0].") else { return false };
        let planned = self.list.iter().find(|planned| planned.key.is_in(key.block()) && planned.op["series"] == series);
        planned.is_some_and(|planned| !op.class().changes() || planned.op == *asked)
    }
}

impl Progress {
    /// What is known of a run from the records of its earlier processes.
    pub(super) fn of(calls: &Calls, records: &[Recorded], run: &RunInfo) -> Self {
        let mut progress = Self::default();
        for record in records.iter().filter(|record| !record.key.is_undo() && !record.key.is_aside()) {
            // What was left out of its plan then was told then.
            let _ = progress.find(calls, &record.key, &record.op, run);
            match &record.result {
                Ok(_) => progress.succeeds(&record.key),
                Err(failure) => progress.fails(&record.key, failure),
            }
        }
        progress
    }

    /// The planned call that this one is, and takes note that it is made; `None` where it may be made though it is not in the plan.
    ///
    /// # Errors
    /// Where it may not be made: the planned call in whose place it is asked for, if there is one.
    pub(super) fn find<'a>(
        &mut self,
        calls: &'a Calls,
        key: &Key,
        op: &Op,
        run: &RunInfo,
    ) -> Result<Option<&'a PlannedCall>, Option<&'a PlannedCall>> {
        let asked = without_operator(op.canonical(), &run.operator);
        let at = self.translated(key);
        let planned = calls.at(&at);
        if let Some(planned) = planned.filter(|planned| self.is_same(calls, planned, &asked)) {
            self.makes(planned, key, run);
            return Ok(Some(planned));
        }
        if calls.goes_on(key, op, &asked) {
            return Ok(None);
        }
        if !self.has_failed() {
            return Err(planned);
        }
        for again in self.tries_again(key) {
            let at = again.translated(key);
            if let Some(planned) = calls.at(&at).filter(|planned| self.is_same(calls, planned, &asked)) {
                self.shifts = again.shifts;
                self.makes(planned, key, run);
                return Ok(Some(planned));
            }
        }
        if may_be_done_about_a_failure(op) {
            self.leaves_out |= matches!(op, Op::LeaveOut(_));
            let (block, number) = last(key);
            let shift = self.shift(block, number);
            self.shifts.entry(block.to_owned()).or_default().insert(number + 1, shift + 1);
            return Ok(None);
        }
        Err(planned)
    }

    /// Takes note that a call has failed.
    pub(super) fn fails(&mut self, key: &Key, failure: &Failure) {
        if failure.kind == FailureKind::Interrupted {
            return;
        }
        self.failed.push((self.translated(key), key.clone(), failure.clone()));
        for (block, number) in levels(key) {
            self.trouble.entry(block.to_owned()).or_default().push(number);
        }
    }

    /// Takes note that a call was done: what it had failed by is over.
    pub(super) fn succeeds(&mut self, key: &Key) {
        if self.has_failed() {
            let at = self.translated(key);
            self.failed.retain(|(planned, ..)| *planned != at);
        }
    }

    /// Whether a call has failed, whatever became of it since.
    pub(super) fn has_failed(&self) -> bool {
        !self.trouble.is_empty()
    }

    /// The first call that has failed and was not done since, and why.
    pub(super) fn failed(&self) -> Option<(&Key, &Failure)> {
        self.failed.first().map(|(_, key, failure)| (key, failure))
    }

    /// The first planned call that was not made, with how many were. What comes of a host that was left out is not missed.
    pub(super) fn unmade<'a>(&self, calls: &'a Calls) -> Option<(&'a PlannedCall, usize, usize)> {
        let first = calls.list.iter().find(|call| !self.made.contains(&call.key))?;
        (!self.leaves_out).then_some((first, self.made.len(), calls.list.len()))
    }

    fn makes(&mut self, planned: &PlannedCall, key: &Key, run: &RunInfo) {
        self.made.insert(planned.key.clone());
        if planned.key != *key {
            self.marks.insert(key.token(&run.id), planned.key.token(&run.id));
        }
    }

    /// Whether what is asked for is what was planned, whoever runs it, and whatever marks it has behind a shift.
    fn is_same(&self, calls: &Calls, planned: &PlannedCall, asked: &Value) -> bool {
        let planned = without_operator(planned.op.clone(), &calls.by);
        if planned == *asked {
            return true;
        }
        if self.marks.is_empty() {
            return false;
        }
        serde_json::from_str::<Value>(&self.as_planned(&asked.to_string())).is_ok_and(|asked| asked == planned)
    }

    /// A text with the plan's marks in place of the run's own. They are replaced all at once: one may be the other of another.
    fn as_planned(&self, text: &str) -> String {
        let mut planned = String::new();
        let mut rest = text;
        loop {
            let found = self.marks.iter().filter_map(|(now, then)| Some((rest.find(now.as_str())?, now, then)));
            let Some((place, now, then)) = found.min_by_key(|(place, ..)| *place) else { return planned + rest };
            planned += &rest[..place];
            planned += then.as_str();
            rest = &rest[place + now.as_str().len()..];
        }
    }

    /// The key that a call has in the plan.
    fn translated(&self, key: &Key) -> Key {
        if self.shifts.is_empty() {
            return key.clone();
        }
        let planned = levels(key).map(|(block, number)| {
            let level = key.as_str()[block.len()..].split_inclusive('.').next().unwrap_or_default();
            let part = level.trim_start_matches(|digit: char| digit.is_ascii_digit());
            format!("{}{part}", number.saturating_sub(self.shift(block, number)))
        });
        planned.collect::<String>().into()
    }

    fn shift(&self, block: &str, number: u64) -> u64 {
        let behind = self.shifts.get(block).and_then(|shifts| shifts.range(..=number).next_back());
        behind.map_or(0, |(_, shift)| *shift)
    }

    /// What would be so if this call, or a block that it is in, were one that has failed, tried again: at each level at which one has.
    fn tries_again(&self, key: &Key) -> Vec<Self> {
        let again = |(block, number): (&str, u64)| {
            let failed = self.trouble.get(block)?.iter().copied().filter(|failed| *failed < number).max()?;
            let mut shifts = self.shifts.clone();
            shifts.entry(block.to_owned()).or_default().insert(number, number - failed + self.shift(block, failed));
            Some(Self { shifts, ..Self::default() })
        };
        levels(key).filter_map(again).collect()
    }
}

/// What changes nothing that serves: reads and waits, what is told to somebody, what is left out, and that all until then is to stay.
const fn may_be_done_about_a_failure(op: &Op) -> bool {
    !op.class().changes() || matches!(op, Op::Notify(_) | Op::LeaveOut(_) | Op::Commit(_))
}

/// An op as it is whoever runs it: commands are told who does.
pub(super) fn without_operator(mut op: Value, operator: &str) -> Value {
    const NAME: &str = "PODLIFT_OPERATOR";
    if let Some(env) = op.get_mut("env").and_then(Value::as_object_mut).filter(|env| env.get(NAME).is_some_and(|who| who == operator)) {
        env.remove(NAME);
    }
    op
}

/// The blocks that a call is in, from the outermost, each with its number there.
fn levels(key: &Key) -> impl Iterator<Item = (&str, u64)> {
    let text = key.as_str();
    let mut begin = 0;
    text.split_inclusive('.').map(move |level| {
        let block = &text[..begin];
        begin += level.len();
        let digits = level.find(|digit: char| !digit.is_ascii_digit()).map_or(level, |end| &level[..end]);
        (block, digits.parse().unwrap_or(0))
    })
}

/// The innermost block, and the call's number there.
fn last(key: &Key) -> (&str, u64) {
    levels(key).last().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        failure::Origin,
        model::RunId,
        op::{CommandLine, Hook, Invocation, Pause, Place},
    };

    fn run() -> RunInfo {
        RunInfo { id: RunId::new("r1").expect("valid"), operator: "me@here".into(), started: String::new() }
    }

    fn key(text: &str) -> Key {
        serde_json::from_value(text.into()).expect("a key is text")
    }

    fn origin() -> Origin {
        Origin { file: "deploy.rhai".into(), line: 1, column: 1 }
    }

    /// A command that names what the call of this key has made.
    fn about(made: &str) -> Op {
        let invocation = Invocation {
            place: Place::Local,
            command: CommandLine::Shell(format!("look web-{}-1", key(made).token(&run().id).as_str()).into()),
            env: BTreeMap::new(),
            stdin: None,
            name: None,
            check: true,
            timeout: crate::model::Period::seconds(1),
            assume: None,
        };
        Hook { invocation, undo: None, lease: None }.into()
    }

    fn planned(text: &str, op: &Op) -> PlannedCall {
        PlannedCall { key: key(text), words: String::new(), op: op.canonical(), origin: origin(), assumed: None, answer: None }
    }

    /// Two blocks that are tried, each of which makes something and looks at it.
    fn calls() -> Calls {
        let list = ["1[0].1", "2[0].1"]
            .into_iter()
            .flat_map(|made| [planned(made, &about("0")), planned(&made.replace(".1", ".2"), &about(made))]);
        Calls::new(list.collect(), "me@here".into())
    }

    #[test]
    fn a_block_that_is_tried_again_is_the_planned_one_also_when_it_is_gone_on_with() {
        let calls = calls();
        let mut progress = Progress::default();
        let mut records = Vec::new();
        let mut made = |progress: &mut Progress, text: &str, op: Op, fails: bool| {
            let found = progress.find(&calls, &key(text), &op, &run());
            assert!(matches!(found, Ok(Some(_))), "{text}: {found:?}");
            let result = if fails { Err(Failure::failed("no")) } else { Ok(crate::op::Outcome::of(())) };
            result.as_ref().err().into_iter().for_each(|failure| progress.fails(&key(text), failure));
            records.push(Recorded { key: key(text), op: op.into(), origin: origin(), result, seconds: 0.0 });
        };
        made(&mut progress, "1[0].1", about("0"), false);
        made(&mut progress, "1[0].2", about("1[0].1"), true);
        made(&mut progress, "2[0].1", about("0"), false);
        made(&mut progress, "2[0].2", about("2[0].1"), false);
        made(&mut progress, "3[0].1", about("0"), false);
        let mut again = Progress::of(&calls, &records, &run());
        for progress in [&mut progress, &mut again] {
            assert!(matches!(progress.find(&calls, &key("3[0].2"), &about("3[0].1"), &run()), Ok(Some(_))));
            assert!(progress.unmade(&calls).is_none());
        }
    }

    #[test]
    fn nothing_is_let_through_before_something_has_failed_nor_a_change_behind_it() {
        let calls = calls();
        let mut progress = Progress::default();
        let pause: Op = Pause { period: crate::model::Period::seconds(1) }.into();
        assert!(progress.find(&calls, &key("1[0].2"), &pause, &run()).is_err());
        progress.fails(&key("1[0].1"), &Failure::failed("no"));
        assert!(matches!(progress.find(&calls, &key("1[0].2"), &pause, &run()), Ok(None)));
        assert!(progress.find(&calls, &key("1[0].3"), &about("9"), &run()).is_err());
    }
}
