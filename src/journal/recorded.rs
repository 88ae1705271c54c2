//! One call and what came back of it.

use serde::Serialize;

use super::{Entry, Intent};
use crate::{
    failure::{Failure, FailureKind, Origin},
    model::{Key, Shared},
    op::{Op, Outcome},
};

/// One call and what came back of it.
#[derive(Clone, Debug, Serialize)]
pub struct Recorded {
    /// Which call.
    pub key: Key,
    /// What was asked for.
    pub op: Shared<Op>,
    /// The place in the script.
    pub origin: Origin,
    /// What came back.
    pub result: Result<Outcome, Failure>,
    /// How long it took.
    pub seconds: f64,
}

impl Recorded {
    /// The record of what came back of a call, if the entry is one.
    pub fn of(entry: &Entry) -> Option<Self> {
        let (asked, result, seconds) = match entry {
            Entry::Done { asked, outcome, seconds, .. } => (asked, Ok(outcome.clone()), *seconds),
            Entry::Failed { asked, failure, seconds, .. } => (asked, Err(failure.clone()), *seconds),
            _ => return None,
        };
        Some(Self { key: asked.key.clone(), op: asked.op.clone(), origin: asked.origin.clone(), result, seconds })
    }

    /// The record of a call of which nothing came back.
    pub fn unanswered(Intent { asked, .. }: &Intent) -> Self {
        let failure = Failure::new(FailureKind::Interrupted, "it was begun and not answered");
        Self { key: asked.key.clone(), op: asked.op.clone(), origin: asked.origin.clone(), result: Err(failure), seconds: 0.0 }
    }

    /// Whether the call failed while nobody could be asked what an earlier process had done of it.
    pub fn is_in_doubt(&self) -> bool {
        self.result.as_ref().is_err_and(|failure| failure.in_doubt)
    }

    /// The ops that take back what the call did, where it failed the part of its work that it had done.
    pub fn inverse(&self) -> &[Op] {
        match &self.result {
            Ok(outcome) => &outcome.inverse,
            Err(failure) => &failure.inverse,
        }
    }
}

/// Sorts records as the script made the calls, whichever branch was faster. They come in the order in which they were done, and what
/// undoes stays in it: behind the last of the script's calls that was made before.
pub fn in_script_order(records: &mut Vec<Recorded>) {
    let mut last = None;
    let mut place = |record: &Recorded| {
        if record.key.is_undo() {
            return (last.clone(), true);
        }
        let own = Some(record.key.place());
        if own > last {
            last.clone_from(&own);
        }
        (own, false)
    };
    let places: Vec<_> = records.iter().map(&mut place).collect();
    if places.is_sorted() {
        return;
    }
    let mut sorted: Vec<_> = places.into_iter().zip(std::mem::take(records)).collect();
    sorted.sort_by(|(left, _), (right, _)| left.cmp(right));
    records.extend(sorted.into_iter().map(|(_, record)| record));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::op::Now;

    #[test]
    fn what_undoes_stays_in_the_order_in_which_it_was_done() {
        let record = |key: Key| Recorded {
            key,
            op: Now {}.into(),
            origin: Origin { file: "deploy.rhai".into(), line: 1, column: 1 },
            result: Ok(Outcome::of(())),
            seconds: 0.0,
        };
        let part = |index| Key::call("", 2).part(index);
        let block = Key::call(&Key::call("", 3).part(0).branch(), 1);
        // The second part was faster, the block 3 was undone before 4 began, and all of it at the end.
        let done = [
            Key::call("", 1),
            part(1),
            part(0),
            block.clone(),
            block.undo(0),
            Key::call("", 4),
            Key::call("", 4).undo(0),
            part(1).undo(0),
            part(0).undo(0),
            Key::call("", 1).undo(0),
        ];
        let mut records: Vec<Recorded> = done.into_iter().map(record).collect();
        for _ in 0..2 {
            in_script_order(&mut records);
            let keys: Vec<&str> = records.iter().map(|record| record.key.as_str()).collect();
            assert_eq!(keys, ["1", "2[0]", "2[1]", "3[0].1", "undo/3[0].1.0", "4", "undo/4.0", "undo/2[1].0", "undo/2[0].0", "undo/1.0"]);
        }
    }
}
