//! What the shell is told.

use serde::{Serialize, Serializer};

use super::changes::Counts;
use crate::{executor::ending::State, failure::FailureKind};

/// An exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Done.
    Done = 0,
    /// An error; nothing was changed.
    Error = 1,
    /// The script, its arguments or a check are bad.
    Bad = 2,
    /// Refused before any change: by a lock, a plan, a guard or a validation.
    Refused = 3,
    /// Failed, and what was done was undone; what commands without `undo` did stays, and is named.
    Undone = 4,
    /// A host could not be reached; nothing was changed.
    Unreachable = 5,
    /// Failed, and what was done stands: the fleet is mixed.
    Mixed = 6,
    /// Interrupted; what was done stands.
    Interrupted = 7,
}

/// Why a run failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// An op failed.
    Failure(FailureKind),
    /// The script itself is wrong: an error of the language, or arguments that do not fit it.
    Script,
}

/// What a failed run left behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remains {
    /// Nothing: no op changed anything.
    Nothing,
    /// Nothing: what was done was taken back.
    Undone,
    /// What was done, or a part of it.
    Changes,
}

impl Remains {
    /// What a run left that counted this, with hosts read to be in this state; `taken_back` is whether nothing is on them that was
    /// not committed.
    pub const fn of(counts: &Counts, state: State, taken_back: bool) -> Self {
        let Counts { changes, standing, committed, doubtful, .. } = counts;
        match (*changes, *standing, *committed, *doubtful, state) {
            // What serves is what was committed, or what was there before: all after the commit was taken back.
            (1.., 0, 1.., _, _) if taken_back => Self::Undone,
            (_, _, _, _, State::AllNew) => Self::Changes,
            (0, _, _, 0, _) | (0, _, _, _, State::AllOld | State::Unchanged) => Self::Nothing,
            (_, 0, _, _, State::AllOld | State::Unchanged) => Self::Undone,
            _ => Self::Changes,
        }
    }
}

impl Exit {
    /// Every code, in order.
    pub const ALL: [Self; 8] =
        [Self::Done, Self::Error, Self::Bad, Self::Refused, Self::Undone, Self::Unreachable, Self::Mixed, Self::Interrupted];

    /// The code of a run that failed.
    pub const fn of(cause: Cause, remains: Remains) -> Self {
        match (cause, remains) {
            (Cause::Failure(FailureKind::Interrupted), _) => Self::Interrupted,
            (Cause::Failure(FailureKind::Diverged), _)
            | (Cause::Failure(FailureKind::Refused | FailureKind::Locked | FailureKind::Unplanned), Remains::Nothing) => Self::Refused,
            (_, Remains::Changes) => Self::Mixed,
            (_, Remains::Undone) => Self::Undone,
            (Cause::Script, Remains::Nothing) => Self::Bad,
            (Cause::Failure(FailureKind::Unreachable), Remains::Nothing) => Self::Unreachable,
            (Cause::Failure(_), Remains::Nothing) => Self::Error,
        }
    }

    /// The code of what did not begin: what is refused before a script is there is an argument that does not fit.
    pub const fn not_begun(kind: FailureKind) -> Self {
        match kind {
            FailureKind::Refused => Self::Bad,
            kind => Self::of(Cause::Failure(kind), Remains::Nothing),
        }
    }

    /// The code as a number.
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The word for it in JSON.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Error => "error",
            Self::Bad => "bad",
            Self::Refused => "refused",
            Self::Undone => "undone",
            Self::Unreachable => "unreachable",
            Self::Mixed => "mixed",
            Self::Interrupted => "interrupted",
        }
    }

    /// What it means, for people.
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Error => "an error; nothing was changed",
            Self::Bad => "the script, its arguments or a check are bad",
            Self::Refused => "refused before any change",
            Self::Undone => "failed, and what was done since the last commit was undone, but for commands without `undo`",
            Self::Unreachable => "a host could not be reached; nothing was changed",
            Self::Mixed => "failed, and the fleet is mixed",
            Self::Interrupted => "interrupted",
        }
    }
}

impl Serialize for Exit {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.word())
    }
}

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_before_any_change_tells_its_kind() {
        let code = |kind| Exit::of(Cause::Failure(kind), Remains::Nothing).code();
        assert_eq!(code(FailureKind::Failed), 1);
        assert_eq!(code(FailureKind::Command), 1);
        assert_eq!(code(FailureKind::Unhealthy), 1);
        assert_eq!(code(FailureKind::Refused), 3);
        assert_eq!(code(FailureKind::Locked), 3);
        assert_eq!(code(FailureKind::Unplanned), 3);
        assert_eq!(code(FailureKind::Unreachable), 5);
        assert_eq!(Exit::of(Cause::Script, Remains::Nothing).code(), 2);
    }

    #[test]
    fn a_failure_after_changes_tells_what_remains() {
        for cause in [Cause::Script, Cause::Failure(FailureKind::Unreachable), Cause::Failure(FailureKind::Refused)] {
            assert_eq!(Exit::of(cause, Remains::Changes).code(), 6);
            assert_eq!(Exit::of(cause, Remains::Undone).code(), 4);
        }
    }

    #[test]
    fn an_interrupted_run_says_so_whatever_remains() {
        for remains in [Remains::Nothing, Remains::Undone, Remains::Changes] {
            assert_eq!(Exit::of(Cause::Failure(FailureKind::Interrupted), remains).code(), 7);
        }
    }

    #[test]
    fn changes_that_were_taken_back_do_not_remain_unless_a_host_shows_them() {
        let remains =
            |changes, standing, doubtful, state| Remains::of(&Counts { changes, doubtful, standing, ..Counts::default() }, state, false);
        assert_eq!(remains(0, 0, 0, State::Unchanged), Remains::Nothing);
        assert_eq!(remains(0, 0, 0, State::Mixed), Remains::Nothing, "an unreachable host was not changed by a run that did nothing");
        assert_eq!(remains(3, 0, 0, State::AllOld), Remains::Undone);
        assert_eq!(remains(3, 0, 0, State::Mixed), Remains::Changes);
        assert_eq!(remains(3, 1, 0, State::AllOld), Remains::Changes, "the old release may have been stopped");
        assert_eq!(remains(3, 3, 0, State::AllNew), Remains::Changes);
        assert_eq!(remains(0, 0, 1, State::Mixed), Remains::Changes, "an op that was stopped may have done its work");
        assert_eq!(remains(0, 0, 1, State::AllOld), Remains::Nothing, "the hosts show that it had not");
    }

    #[test]
    fn what_was_committed_before_a_failure_is_no_change_that_remains() {
        let committed = |standing, state, taken_back| {
            Remains::of(&Counts { changes: 5, standing, committed: 3, ..Counts::default() }, state, taken_back)
        };
        assert_eq!(committed(0, State::AllNew, true), Remains::Undone);
        assert_eq!(committed(1, State::AllNew, true), Remains::Changes);
        assert_eq!(committed(0, State::Mixed, true), Remains::Undone, "one service was committed, another taken back");
        assert_eq!(committed(0, State::Mixed, false), Remains::Changes, "a host shows what was not committed");
    }
}
