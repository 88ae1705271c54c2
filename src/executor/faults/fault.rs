//! What can go wrong with a call.

use std::{fmt, str::FromStr};

use crate::{
    model::Host,
    op::{Class, Find, Op, Sought, Transactions},
    world::databases::first_of,
};

macro_rules! faults {
    ($($(#[doc = $doc:literal])* $name:ident = $word:literal, $told:literal;)*) => {
        /// Something that goes wrong at a call.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Fault {
            $($(#[doc = $doc])* $name,)*
        }

        impl Fault {
            /// Every fault.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The word for it in a story.
            pub const fn word(self) -> &'static str {
                match self { $(Self::$name => $word,)* }
            }

            /// What happens, for people.
            pub const fn told(self) -> &'static str {
                match self { $(Self::$name => $told,)* }
            }
        }
    };
}

faults! {
    /// The connection breaks before the host has heard of the call.
    LostBefore = "lost-before", "the connection breaks before it is done";
    /// The connection breaks when it is done, and its answer is lost.
    LostAfter = "lost-after", "the connection breaks after it is done";
    /// The host cannot be reached for a while.
    CutOff = "cut-off", "the host is cut off for 20 s";
    /// The host cannot be reached any more.
    Gone = "gone", "the host is cut off for good";
    /// The host starts again, and what ran on it too.
    Reboots = "reboots", "the host reboots";
    /// The host loses its power for good.
    Dies = "dies", "the host loses its power";
    /// It is tried in vain, and nothing was done.
    Fails = "fails", "it fails";
    /// A part of it is done, then it fails.
    FailsHalfway = "fails-halfway", "it fails behind its first statement";
    /// A part of it is done, then the connection breaks.
    LostHalfway = "lost-halfway", "the connection breaks behind its first statement";
    /// It takes long.
    Slow = "slow", "it takes ten minutes";
    /// The containers do not become healthy.
    Unhealthy = "unhealthy", "a container does not become healthy";
    /// The containers fall ill once they were found healthy, and recover.
    Flaps = "flaps", "a container is healthy, and a moment later it is not";
    /// A container crashes once it was found healthy.
    Crashes = "crashes", "a container crashes after it became healthy";
    /// Somebody else deletes a container before it is looked at.
    Deleted = "deleted", "somebody deletes a container before it is looked at";
    /// Requests do not end in time.
    NeverEnds = "never-ends", "a request does not end";
    /// There is nothing to measure.
    NoData = "no-data", "there is nothing to measure";
    /// What is measured is bad.
    BadData = "bad-data", "everything is measured to fail";
    /// What is measured is below every limit.
    LowData = "low-data", "the value is measured to be below every limit";
    /// Nobody answers.
    NoAnswer = "no-answer", "nobody answers";
    /// The answer is no.
    SaysNo = "says-no", "the answer is no";
    /// Another run has the lease.
    Locked = "locked", "another run has the lease";
    /// The operator's machine dies before the intent is noted.
    OperatorBeforeIntent = "operator-dies-before-intent", "the operator's machine dies before it is noted";
    /// The operator's machine dies before the call leaves.
    OperatorBeforeEffect = "operator-dies-before-effect", "the operator's machine dies when it is noted, and not done";
    /// The operator's machine dies before the outcome is noted.
    OperatorBeforeOutcome = "operator-dies-before-outcome", "the operator's machine dies when it is done, and its outcome not noted";
    /// The operator's machine dies when the outcome is noted.
    OperatorAfterOutcome = "operator-dies-after-outcome", "the operator's machine dies when its outcome is noted";
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.word())
    }
}

impl FromStr for Fault {
    type Err = ();

    fn from_str(word: &str) -> Result<Self, ()> {
        Self::ALL.iter().copied().find(|fault| fault.word() == word).ok_or(())
    }
}

impl Fault {
    /// Whether the operator's machine dies.
    pub const fn ends_the_process(self) -> bool {
        matches!(self, Self::OperatorBeforeIntent | Self::OperatorBeforeEffect | Self::OperatorBeforeOutcome | Self::OperatorAfterOutcome)
    }

    /// Whether it may leave the run interrupted, to be resumed or undone.
    pub const fn interrupts(self, op: &Op) -> bool {
        self.ends_the_process() || matches!(self, Self::NoAnswer) || op.is_known_by_its_answer_only() && self.breaks_the_connection()
    }

    /// Whether the answer of a call is lost.
    const fn breaks_the_connection(self) -> bool {
        matches!(self, Self::LostBefore | Self::LostAfter | Self::LostHalfway | Self::CutOff | Self::Gone | Self::Reboots | Self::Dies)
    }

    /// What can go wrong with a call of this op. What reads for a guard is lost like anything else.
    pub fn of(op: &Op) -> Vec<Self> {
        let mut faults = Vec::new();
        let class = op.class();
        let is_remote = op.hosts().iter().any(|host| !Host::is_local(host));
        if is_remote {
            faults.extend([Self::LostBefore, Self::CutOff, Self::Gone]);
        }
        if is_remote && class.changes() {
            faults.extend([Self::LostAfter, Self::Reboots, Self::Dies]);
        }
        if class.changes() && !matches!(op, Op::Notify(_)) {
            faults.push(Self::Fails);
            faults.extend([
                Self::OperatorBeforeIntent,
                Self::OperatorBeforeEffect,
                Self::OperatorBeforeOutcome,
                Self::OperatorAfterOutcome,
            ]);
        }
        // A database that is reached without a host is lost and found again all the same.
        if !is_remote && matches!(op, Op::Sql(_) | Op::Backfill(_) | Op::Query(_)) {
            faults.push(Self::LostBefore);
            if class.changes() {
                faults.push(Self::LostAfter);
            }
        }
        faults.extend_from_slice(match op {
            Op::Sql(sql) if sql.transaction != Transactions::One && first_of(&sql.text).is_some() => {
                &[Self::FailsHalfway, Self::LostHalfway]
            }
            Op::Ship(_) | Op::SetWeights(_) => &[Self::Slow],
            Op::Start(_) => &[Self::Slow, Self::Unhealthy],
            Op::StartAgain(_) => &[Self::Unhealthy],
            Op::Pause(_) => &[Self::Crashes],
            Op::Healthcheck(_) => &[Self::Unhealthy, Self::Flaps, Self::Crashes, Self::Reboots],
            Op::CheckNow(_) | Op::Find(Find { sought: Sought::Weights, .. }) => &[Self::Deleted],
            Op::Drain(_) => &[Self::NeverEnds],
            Op::Traffic(_) => &[Self::NoData, Self::BadData, Self::Fails],
            Op::Measure(_) => &[Self::NoData, Self::BadData, Self::LowData, Self::Fails],
            Op::HttpGet(_) => &[Self::BadData, Self::Fails],
            Op::Confirm(_) => &[Self::NoAnswer, Self::SaysNo],
            Op::Lock(_) => &[Self::Locked, Self::LostAfter],
            Op::Probe(_) | Op::Query(_) | Op::Sessions(_) | Op::TestWeights(_) => &[Self::Fails],
            _ => &[],
        });
        debug_assert!(class != Class::Read || !faults.iter().any(|fault| fault.ends_the_process()), "reads are not noted before");
        faults
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_read_as_they_are_written() {
        for fault in Fault::ALL {
            assert_eq!(fault.word().parse(), Ok(*fault));
        }
        assert_eq!("lost".parse::<Fault>(), Err(()));
    }
}
