//! The run that a command is about: on this machine, or on hosts.

use std::collections::BTreeMap;

use crate::{
    cli,
    failure::Failure,
    journal::{
        Chain, Entry, Header, How, State,
        folder::{Kept, Runs},
        forks::{Chosen, Copy, HERE, choose, take},
    },
    model::{Host, HostName, RunId},
    terminal::{Printer, clean},
};

use super::{copies, journaling, latest::Latest, outside::Outside};

/// A run with its journal.
pub struct Found {
    /// Its id.
    pub id: RunId,
    /// The chain of records that counts.
    pub chain: Chain,
    /// What became of it.
    pub state: State,
    /// Where runs are kept here.
    pub runs: Runs,
    /// Copies that went another way and do not count.
    pub left_out: Vec<Copy>,
    /// Why nobody but a person can tell which copy counts; the longest is taken until then.
    pub apart: Option<Failure>,
    copies: Vec<Copy>,
}

impl Found {
    /// Finds the run that is named, or the newest one. With hosts their copies are looked at too.
    ///
    /// # Errors
    /// Refused where there is none; and where the hosts do not answer.
    pub fn find(run: Option<&RunId>, from: &[Host], outside: &Outside) -> Result<Self, Failure> {
        Self::meant(run, from, outside, Latest::newest).map(|(found, _)| found)
    }

    /// Finds the run that is named, or the newest one of which there is something to go on with, or to take back, and tells which one
    /// that is and why.
    ///
    /// # Errors
    /// As [`find`](Self::find).
    pub fn find_to(how: How, run: Option<&RunId>, from: &[Host], outside: &Outside, printer: &Printer) -> Result<Self, Failure> {
        let (found, latest) = Self::meant(run, from, outside, |kept, copies| Latest::at_work(kept, copies, how))?;
        if let Some(latest) = latest {
            let what = found.chain.header().map(|header| format!(", {} of {}", header.words(), header.run.operator)).unwrap_or_default();
            printer.tell(clean::line(&format!("run {}{what}: {}", found.id, latest.why())));
        }
        Ok(found)
    }

    fn meant(
        run: Option<&RunId>,
        from: &[Host],
        outside: &Outside,
        latest: impl FnOnce(&[Kept], &[(RunId, Copy)]) -> Option<Latest>,
    ) -> Result<(Self, Option<Latest>), Failure> {
        let runs = journaling::runs();
        let kept = match (run.map_or_else(|| runs.some(), |id| runs.find(id).map(|kept| vec![kept])), from) {
            (Ok(kept), _) => kept,
            (Err(failure), []) => return Err(failure),
            (Err(_), _) => Vec::new(),
        };
        let copies = copies::read(outside, from, run)?;
        let latest = run.is_none().then(|| latest(&kept, &copies).ok_or_else(|| nothing_there(from))).transpose()?;
        let id = run.or(latest.as_ref().map(|latest| &latest.id)).cloned().ok_or_else(|| nothing_there(from))?;
        Ok((Self::of(id, kept, copies, runs, from)?, latest))
    }

    /// The run of this id, by its journal here and its copies.
    fn of(id: RunId, kept: Vec<Kept>, copies: Vec<(RunId, Copy)>, runs: Runs, from: &[Host]) -> Result<Self, Failure> {
        let mut of_run: Vec<Copy> = copies.into_iter().filter(|(of, _)| *of == id).map(|(_, copy)| copy).collect();
        let (mut is_running, mut damaged) = (false, None);
        if let Some(kept) = kept.into_iter().find(|kept| kept.id == id) {
            is_running = kept.state == State::Running;
            match kept.chain {
                Ok(chain) => of_run.insert(0, Copy { place: HERE.into(), chain }),
                Err(failure) if of_run.is_empty() => return Err(failure),
                // A copy takes its place.
                Err(failure) => damaged = Some((failure, runs.lines(&id))),
            }
        }
        if is_running {
            // It is written here and now.
            of_run.truncate(1);
        }
        let (chosen, apart) = best(&id, of_run.clone());
        let Chosen { copy, left_out } = chosen.ok_or_else(|| nothing_there(from))?;
        if let Some((failure, lines)) = damaged
            && copy.chain.entries().len() < lines
        {
            return Err(failure.hint(format!("the copy on {} ends before this one does", copy.place)));
        }
        let state = State::of(&copy.chain, is_running);
        Ok(Self { id, chain: copy.chain, state, runs, left_out, apart, copies: of_run })
    }

    /// The same with what the run's own hosts have of it: another machine may have gone on with it. `journal` is the place of the
    /// copy that counts, where a person has decided.
    ///
    /// # Errors
    /// Where copies have gone apart and nothing tells which one counts.
    pub fn with_copies(mut self, outside: &Outside, journal: Option<&str>) -> Result<Self, Failure> {
        if self.state == State::Running {
            return Ok(self);
        }
        let mut hosts: BTreeMap<&HostName, &Host> = BTreeMap::new();
        for entry in self.copies.iter().flat_map(|copy| copy.chain.entries()) {
            if let Entry::Intent(intent) = entry {
                hosts.extend(intent.asked.op.hosts().into_iter().filter(|host| !host.is_local()).map(|host| (&host.name, host)));
            }
        }
        let hosts: Vec<Host> =
            hosts.into_values().filter(|host| self.copies.iter().all(|copy| copy.place != host.name.as_str())).cloned().collect();
        let more = copies::read(outside, &hosts, Some(&self.id)).unwrap_or_default();
        self.copies.extend(more.into_iter().map(|(_, copy)| copy));
        let chosen = match journal {
            Some(place) => Some(take(&self.id, self.copies.clone(), place)?),
            None => choose(&self.id, self.copies.clone())?,
        };
        if let Some(Chosen { copy, left_out }) = chosen {
            self.state = State::of(&copy.chain, false);
            self.chain = copy.chain;
            self.left_out = left_out;
        }
        self.apart = None;
        Ok(self)
    }

    /// Tells of copies that do not count.
    pub fn tell_left_out(&self, printer: &Printer) {
        for copy in &self.left_out {
            let where_it_is = if copy.place == HERE { "this machine".into() } else { clean::line(&copy.place) };
            printer.tell(format!(
                "! the journal on {where_it_is} went another way and is left out: what it alone tells of is looked for on the hosts"
            ));
        }
    }

    /// What is run.
    pub fn header(&self) -> Result<&Header, Failure> {
        self.chain.header().ok_or_else(|| {
            Failure::refused(format!("the journal of run {} has no beginning: it was cut off before anything was done", self.id))
        })
    }

    /// Fails where the script alone does not lead to where the run is.
    pub fn follows_its_script(&self) -> Result<(), Failure> {
        let Some(why) = self.left_its_script() else { return Ok(()) };
        let failure = Failure::refused(format!("run {} cannot be resumed: {why}", self.id));
        Err(failure.hint(format!("`podlift undo {}` takes it back", self.id)))
    }

    /// Why the script alone does not lead to where the run is: there is none, or a variable was set by hand on the way.
    pub fn left_its_script(&self) -> Option<String> {
        if self.chain.header().is_some_and(Header::is_typed) {
            return Some("it was typed, and has no script to go on with".into());
        }
        self.chain.entries().iter().find_map(|entry| match entry {
            Entry::SetByHand { variable, .. } => Some(format!("`{variable}` was set by hand in it")),
            _ => None,
        })
    }

    /// Fails where there is nothing to go on with, or to take back.
    pub fn is_open(&self, what: &str) -> Result<(), Failure> {
        let Self { id, state, .. } = self;
        let why = match state {
            State::Running => "it is still running",
            State::Done => "it reached its end, which makes everything final",
            State::Failed => "it failed and left nothing that an undo takes back",
            State::Undone => "all that an undo takes back was undone",
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

/// The copy of a run that counts, for whoever only looks: where nothing tells which one does, the longest, and why.
pub fn best(id: &RunId, copies: Vec<Copy>) -> (Option<Chosen>, Option<Failure>) {
    match choose(id, copies.clone()) {
        Ok(chosen) => (chosen, None),
        Err(failure) => {
            let longest = copies.into_iter().max_by_key(|copy| copy.chain.entries().len());
            (longest.map(|copy| Chosen { copy, left_out: Vec::new() }), Some(failure))
        }
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
