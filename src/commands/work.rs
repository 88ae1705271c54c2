//! A process's work on a run, from where the script has ended or an undo begins: what `podlift run`, `resume` and `undo` do, and
//! what `podlift test` proves.

use std::sync::Arc;

use super::{
    changes::Counts,
    exit::{Cause, Exit, Remains},
    journaling,
    mode::Mode,
    stack::Stack,
};
use crate::{
    executor::{
        Cancellation, Recorded, RunInfo, Undo, Urgency,
        doubts::{decided, take_back, touched, unanswered},
        ending::{Ending, State},
        record::Decide,
    },
    failure::{Failure, FailureKind, Origin},
    journal::{Intent, Journal},
    op::Release,
    script::Ended,
};

/// A process that works on a run.
pub struct Work<'a> {
    /// What it works with.
    pub stack: &'a Stack,
    /// The run's journal.
    pub journal: &'a Journal,
    /// The run.
    pub run: &'a Arc<RunInfo>,
    /// Who answers for what only a person can know.
    pub decide: &'a dyn Decide,
    /// What it happens in.
    pub mode: Mode,
}

/// What a run follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// Its script.
    Script,
    /// Its script, in which a variable was set by hand: the script alone does not lead to where the run is.
    ByHand,
    /// What is typed: there is no script, and what fails takes nothing back.
    Typed,
}

/// How a process ended its work.
pub struct Finished {
    /// What the shell is told.
    pub exit: Exit,
    /// What a run that failed left behind.
    pub remains: Remains,
    /// All that the run did, in the script's order.
    pub records: Vec<Recorded>,
    /// The same, counted.
    pub counts: Counts,
    /// What is live, where something may have changed.
    pub ending: Option<Ending>,
    /// Why some leases could not be given back.
    pub kept_leases: Vec<Failure>,
}

impl Work<'_> {
    /// Takes back what a script did that failed; what was interrupted stays as it is. Returns why some of it could not be.
    pub fn take_back_failed(&self, ended: &Result<(), Ended>, cancellation: &Cancellation) -> Vec<Failure> {
        match ended {
            Err(ended) if !ended.kind.is_some_and(FailureKind::leaves_all) => self.take_back(cancellation),
            _ => Vec::new(),
        }
    }

    /// Takes back what the run did since its last commit. Returns why some of it could not be. Nothing is taken back, and the run is not
    /// said to be undone, where nobody knows what became of a command whose undo depends on it.
    pub fn take_back(&self, cancellation: &Cancellation) -> Vec<Failure> {
        let decided = match decided(self.journal, self.decide) {
            Ok(decided) => decided,
            Err(unknown) => return unknown,
        };
        journaling::undoing(self.journal);
        let executor = self.stack.executor();
        let undo = Undo { executor: executor.as_ref(), run: self.run, branches: self.stack.branches(), cancellation };
        take_back(self.journal, self.stack.settling(), decided, &undo)
    }

    /// Ends the work on a script that came to its end, or failed and was taken back: reads what is live, gives the leases back
    /// and notes the end.
    pub fn finish(&self, ended: &Result<(), Ended>, manner: Manner) -> Finished {
        let records = self.stack.records();
        let mut counts = Counts { cannot_be_resumed: manner != Manner::Script, ..Counts::of(&records) };
        if ended.is_err() {
            counts.may_have_deleted(&records, &self.journal.doubts());
        }
        // What is live is read from every host, never inferred; a run that changed nothing has nothing to read.
        let may_have_changed = counts.changes + counts.doubtful > 0 || !self.journal.doubts().is_empty();
        let ending = may_have_changed.then(|| self.read());
        let state = ending.as_ref().map_or(State::Unchanged, Ending::state);
        let remains = match self.mode.remains(&counts, state, ending.as_ref().is_none_or(Ending::is_taken_back)) {
            // What commands did stands, as all that was typed before.
            Remains::Undone if manner == Manner::Typed && counts.kept > 0 => Remains::Changes,
            remains => remains,
        };
        let exit = match ended {
            Ok(()) if !self.mode.is_plan() && !counts.left_out.is_empty() => Exit::Mixed,
            Ok(()) => Exit::Done,
            Err(ended) => Exit::of(cause(ended, &counts), remains),
        };
        // What an interrupted run leaves behind is the next one's to know.
        let stays = exit == Exit::Interrupted && counts.standing + counts.doubtful > 0;
        let why = ended.as_ref().err().map(|Ended { diagnostic, .. }| (diagnostic.message.clone(), diagnostic.origin()));
        let kept_leases = self.end(exit, if stays { Release::Left } else { Release::Free }, ending.as_ref(), why);
        Finished { exit, remains, records, counts, ending, kept_leases }
    }

    /// The same where the run was taken back as a whole; `failures` are why some of it could not be.
    pub fn finish_undo(&self, failures: &[Failure], cancellation: &Cancellation) -> Finished {
        let ending = self.read();
        let was_stopped = cancellation.urgency() > Urgency::None || failures.iter().any(|failure| failure.kind.leaves_all());
        let records = self.stack.records();
        let mut counts = Counts::of(&records);
        counts.may_have_deleted(&records, &self.journal.doubts());
        let is_counted = |intent: &Intent| records.iter().any(|record| record.key == intent.asked.key);
        let unanswered = unanswered(self.journal).iter().filter(|intent| !is_counted(intent)).count();
        counts.commands += unanswered;
        counts.kept += unanswered;
        let is_undone = failures.is_empty() && ending.is_taken_back() && counts.standing == 0;
        let (exit, remains) = match (was_stopped, is_undone) {
            (true, _) => (Exit::Interrupted, Remains::Changes),
            (false, true) => (Exit::Undone, Remains::Undone),
            (false, false) => (Exit::Mixed, Remains::Changes),
        };
        let release = if exit == Exit::Interrupted { Release::Left } else { Release::Free };
        let why = failures.first().map(|failure| (failure.message.clone(), failure.origin.clone()));
        let kept_leases = self.end(exit, release, Some(&ending), why);
        Finished { exit, remains, counts, records, ending: Some(ending), kept_leases }
    }

    fn read(&self) -> Ending {
        Ending::read(self.stack.within(), &touched(self.journal), self.run, self.stack.branches())
    }

    fn end(&self, exit: Exit, release: Release, ending: Option<&Ending>, why: Option<(String, Option<Origin>)>) -> Vec<Failure> {
        let kept = self.stack.release(self.run, &release);
        journaling::ended(self.journal, exit, ending, why);
        kept
    }
}

/// Why a script failed. A refusal that no call met is the script's or its arguments'.
fn cause(ended: &Ended, counts: &Counts) -> Cause {
    match ended.kind {
        None => Cause::Script,
        Some(FailureKind::Refused) if counts.failed == 0 => Cause::Script,
        Some(kind) => Cause::Failure(kind),
    }
}
