//! Where the operator's machine may die: until then all stories are the same in which it dies there.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError, atomic::AtomicBool},
};

use super::{Fault, Faults, Planned, Source, going::Going};
use crate::{executor::Model, world::World};

/// A story at the moment in which the operator's machine dies.
#[derive(Clone)]
pub struct Death {
    /// Of what.
    pub planned: Planned,
    /// How many records the journal has then.
    pub written: usize,
    world: World,
    going: Going,
}

/// The deaths that are to be kept, by the key of their call, and those that could have come.
#[derive(Default)]
pub(super) struct Deaths {
    wanted: BTreeMap<String, Vec<Planned>>,
    kept: Mutex<Vec<Death>>,
}

impl<S: Source> Faults<S> {
    /// Keeps what the story is where the operator's machine may die of one of these, though it does not.
    #[must_use]
    pub fn keeping(mut self, deaths: impl IntoIterator<Item = Planned>) -> Self {
        for planned in deaths {
            self.deaths.wanted.entry(planned.site.key.clone()).or_default().push(planned);
        }
        self
    }

    /// Goes on from there: the operator's machine is dead.
    pub fn after(source: S, death: &Death) -> Self {
        let Death { world, mut going, planned, .. } = death.clone();
        let is_undo = planned.site.key.starts_with("undo/");
        let is_unanswered = matches!(planned.fault, Fault::OperatorBeforeEffect | Fault::OperatorBeforeOutcome);
        going.fates.may_be_deleted |= is_unanswered && planned.site.verb == "remove" && !is_undo;
        Self { model: Model::new(world, source), is_dead: AtomicBool::new(true), going: Mutex::new(going), deaths: Deaths::default() }
    }

    /// The deaths that could have come since this was last asked for.
    pub fn deaths(&self) -> Vec<Death> {
        std::mem::take(&mut self.deaths.kept.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes note that the machine could die of this here. Once all trouble has ended it cannot.
    pub(super) fn may_die(&self, going: &Going, key: &str, verb: &str, number: usize, point: Fault) {
        let Some(wanted) = self.deaths.wanted.get(key).filter(|_| !going.is_calm) else { return };
        let is_it = |planned: &&Planned| planned.fault == point && planned.site.verb == verb && planned.site.number == number;
        let Some(planned) = wanted.iter().find(is_it) else { return };
        let death = Death { planned: planned.clone(), written: going.written, world: self.model.world(), going: going.clone() };
        self.deaths.kept.lock().unwrap_or_else(PoisonError::into_inner).push(death);
    }
}
