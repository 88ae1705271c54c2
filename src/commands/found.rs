//! The run that a command is about: on this machine, or on hosts.

use std::collections::BTreeMap;

use crate::{
    cli,
    failure::Failure,
    journal::{
        Chain, Entry, Header, State,
        folder::{Kept, Runs},
    },
    model::{Host, HostName, RunId},
};

use super::{copies, journaling, outside::Outside};

/// A run with its journal.
pub struct Found {
    /// Its id.
    pub id: RunId,
    /// The longest whole chain of records that is known.
    pub chain: Chain,
    /// What became of it.
    pub state: State,
    /// Where runs are kept here.
    pub runs: Runs,
}

impl Found {
    /// Finds the run that is named, or the last one. With hosts their copies are looked at too, and the longest chain counts.
    pub fn find(run: Option<&RunId>, from: &[Host], outside: &Outside) -> Result<Self, Failure> {
        let runs = journaling::runs();
        let mut kept = match (runs.find(run), from) {
            (Ok(kept), _) => vec![kept],
            (Err(failure), []) => return Err(failure),
            (Err(_), _) => Vec::new(),
        };
        let copies = copies::read(outside, from, run)?;
        kept.extend(copies.into_iter().map(|(id, chain)| Kept { state: State::of(&chain, false), id, chain: Ok(chain) }));
        let id = match run {
            Some(id) => id.clone(),
            None => kept.iter().map(|kept| &kept.id).max().cloned().ok_or_else(|| nothing_there(from))?,
        };
        let of_run = kept.into_iter().filter(|kept| kept.id == id);
        let mut best: Option<(Chain, State)> = None;
        for kept in of_run {
            let chain = kept.chain?;
            if best.as_ref().is_none_or(|(known, state)| *state != State::Running && chain.entries().len() > known.entries().len()) {
                best = Some((chain, kept.state));
            }
        }
        let (chain, state) = best.ok_or_else(|| nothing_there(from))?;
        Ok(Self { id, chain, state, runs })
    }

    /// The same with what the run's own hosts have of it, where that is more: another machine may have gone on with it.
    #[must_use]
    pub fn with_copies(mut self, outside: &Outside) -> Self {
        let mut hosts: BTreeMap<&HostName, &Host> = BTreeMap::new();
        for entry in self.chain.entries() {
            if let Entry::Intent(intent) = entry {
                hosts.extend(intent.asked.op.hosts().into_iter().filter(|host| !host.is_local()).map(|host| (&host.name, host)));
            }
        }
        let hosts: Vec<Host> = hosts.into_values().cloned().collect();
        for (_, chain) in copies::read(outside, &hosts, Some(&self.id)).unwrap_or_default() {
            if chain.entries().len() > self.chain.entries().len() && self.state != State::Running {
                self.state = State::of(&chain, false);
                self.chain = chain;
            }
        }
        self
    }

    /// What is run.
    pub fn header(&self) -> Result<&Header, Failure> {
        self.chain.header().ok_or_else(|| {
            Failure::refused(format!("the journal of run {} has no beginning: it was cut off before anything was done", self.id))
        })
    }

    /// Fails where the script alone does not lead to where the run is: a variable was set by hand on the way.
    pub fn follows_its_script(&self) -> Result<(), Failure> {
        let by_hand = self.chain.entries().iter().find_map(|entry| match entry {
            Entry::SetByHand { variable, .. } => Some(variable),
            _ => None,
        });
        let Some(variable) = by_hand else { return Ok(()) };
        let failure = Failure::refused(format!("run {} cannot be resumed: `{variable}` was set by hand in it", self.id));
        Err(failure.hint(format!("`podlift undo {}` takes it back", self.id)))
    }

    /// Fails where there is nothing to go on with, or to take back.
    pub fn is_open(&self, what: &str) -> Result<(), Failure> {
        let Self { id, state, .. } = self;
        let why = match state {
            State::Running => "it is still running",
            State::Done => "it reached its end, which makes everything final",
            State::Failed => "it failed before it changed anything",
            State::Undone => "all that it did was undone",
            State::Mixed | State::Interrupted => return Ok(()),
        };
        let failure = Failure::refused(format!("run {id} cannot be {what}: {why}"));
        Err(match state {
            State::Running => failure.hint("wait for it, or end it with ctrl-C where it runs"),
            State::Done => failure.hint("deploy the version that is wanted; `podlift runs` lists what can be resumed or undone"),
            _ => failure.hint("run the script again"),
        })
    }
}

fn nothing_there(from: &[Host]) -> Failure {
    let names: Vec<&str> = from.iter().map(|host| host.name.as_str()).collect();
    Failure::refused(format!("no such run is kept on {}", names.join(", "))).hint("`podlift runs --from HOST` lists those that are")
}

/// The live side of a command about a run that has no script beside it.
pub fn outside(ssh: &cli::Ssh, folder: &std::path::Path) -> Result<(Outside, super::environment::Environment), Failure> {
    let environment = super::environment::Environment::beside(folder)?;
    Ok((Outside::open(ssh, folder, &environment)?, environment))
}
