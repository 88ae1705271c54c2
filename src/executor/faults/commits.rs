//! What a script has made final, and what it has changed besides.

use std::collections::BTreeSet;

use crate::{
    executor::{Call, Outcome},
    failure::Failure,
    model::Key,
    op::Op,
    world::{World, shape::Shape},
};

/// What was made final, and what not.
#[derive(Clone, Debug, Default)]
pub struct Commits {
    shape: Option<Shape>,
    /// Where a block has made final what others had not: what of it is, nobody says.
    open: BTreeSet<String>,
    /// Changes that were not made final, each with its places.
    changed: Vec<(Key, Vec<String>)>,
}

impl Commits {
    /// What there was at the last commit, but for leases.
    pub const fn shape(&self) -> Option<&Shape> {
        self.shape.as_ref()
    }

    /// Whether nobody says what at this place is final.
    pub fn is_open(&self, place: &str) -> bool {
        self.open.contains(place)
    }

    /// Takes note of where a call has changed something that is not final; one that was taken back has not.
    pub(super) fn note(&mut self, call: &Call, result: &Result<Outcome, Failure>) {
        if let Some(undone) = call.key.undoes() {
            self.changed.retain(|(key, _)| result.is_err() || key.as_str() != undone);
            return;
        }
        let has_changed = result.as_ref().map_or_else(|failure| failure.half_done || !failure.inverse.is_empty(), |_| true);
        let places = places(&call.op);
        if has_changed && !places.is_empty() {
            self.changed.push((call.key.clone(), places));
        }
    }

    /// Takes note of what is final from now on: all there is, or where it is said in a branch or an attempt, what is at the places that
    /// this has changed, and of the rest of the fleet nothing. Where others have changed something there, too, that is not final.
    pub(super) fn commit(&mut self, block: &str, now: Shape, in_the_beginning: impl FnOnce() -> Shape) {
        let mut shape = if block.is_empty() {
            self.changed.clear();
            self.open.clear();
            now
        } else {
            let mut shape = self.shape.take().unwrap_or_else(in_the_beginning);
            let (within, others): (Vec<_>, Vec<_>) = std::mem::take(&mut self.changed).into_iter().partition(|(key, _)| key.is_in(block));
            for place in within.into_iter().flat_map(|(_, places)| places) {
                if others.iter().any(|(_, places)| places.contains(&place)) {
                    self.open.insert(place);
                } else {
                    self.open.remove(&place);
                    shape.insert(place.clone(), now.get(&place).cloned().unwrap_or_default());
                }
            }
            self.changed = others;
            shape
        };
        for lines in shape.values_mut() {
            lines.retain(|line| !line.ends_with(" is leased"));
        }
        shape.retain(|_, lines| !lines.is_empty());
        self.shape = Some(shape);
    }
}

/// The places in a fleet's shape at which an op may change something.
fn places(op: &Op) -> Vec<String> {
    match op {
        Op::Hook(hook) if hook.undo.is_some() => vec![World::place(&hook.invocation.place)],
        Op::Sql(op) => vec![World::database(&op.database)],
        Op::Start(_)
        | Op::StartAgain(_)
        | Op::Depend(_)
        | Op::SetWeights(_)
        | Op::Preview(_)
        | Op::Drain(_)
        | Op::Stop(_)
        | Op::Remove(_)
        | Op::Prune(_)
        | Op::Record(_)
        | Op::Forget(_) => op.hosts().into_iter().map(|host| host.name.to_string()).collect(),
        _ => Vec::new(),
    }
}
