//! What became of a run, by its journal.

use serde::Serialize;

use super::{Chain, Ended, Entry, How};

/// What became of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// A process works on it.
    Running,
    /// It reached its end.
    Done,
    /// It failed before it changed anything.
    Failed,
    /// It failed, or was told to, and what it did was taken back.
    Undone,
    /// It failed and a part of what it did stands.
    Mixed,
    /// It stopped in the middle: it can be resumed or undone.
    Interrupted,
}

impl State {
    /// Reads it off the records; `is_running` is whether a process has the journal.
    pub fn of(chain: &Chain, is_running: bool) -> Self {
        if is_running {
            return Self::Running;
        }
        match chain.entries().last() {
            Some(Entry::Ended(ended)) => match ended.exit.as_str() {
                "done" => Self::Done,
                "undone" => Self::Undone,
                "mixed" => Self::Mixed,
                "interrupted" => Self::Interrupted,
                _ => Self::Failed,
            },
            _ => Self::Interrupted,
        }
    }

    /// The word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Undone => "undone",
            Self::Mixed => "mixed",
            Self::Interrupted => "interrupted",
        }
    }

    /// Whether there is something to go on with.
    pub const fn is_open(self) -> bool {
        matches!(self, Self::Mixed | Self::Interrupted)
    }
}

/// How the last process ended that ran the run's script, where that did not reach its end: with why, and where, as far as the
/// journal has it. What an undo stumbled over is told by the calls that failed.
pub fn stopped(chain: &Chain) -> Option<&Ended> {
    let mut how = How::Run;
    chain.entries().iter().fold(None, |stopped, entry| match entry {
        Entry::Began(began) => {
            how = began.how;
            stopped.filter(|_| how == How::Undo)
        }
        Entry::Ended(ended) if how != How::Undo => Some(ended).filter(|ended| ended.why.is_some()),
        _ => stopped,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{failure::Origin, journal::Began};

    fn began(how: How) -> Entry {
        let (at, by, podlift) = ("2026-01-01T00:00:00Z".into(), "ann@here".into(), "0.1.0".into());
        Entry::Began(Began { at, by, process: 1, podlift, how, instead_of: Vec::new() })
    }

    fn ended(exit: &str, why: Option<&str>) -> Entry {
        let origin = why.map(|_| Origin { file: "deploy.rhai".into(), line: 3, column: 1 });
        Entry::Ended(Ended { at: "2026-01-01T00:00:01Z".into(), exit: exit.into(), state: None, why: why.map(Into::into), origin })
    }

    #[test]
    fn what_the_script_stopped_at_is_told_until_it_comes_to_its_end() {
        let why = |entries: &[Entry]| stopped(&Chain::of(entries)).and_then(|ended| ended.why.clone());
        let failed = [began(How::Run), ended("mixed", Some("no room"))];
        assert_eq!(why(&failed).as_deref(), Some("no room"));
        let undone = [began(How::Undo), ended("mixed", Some("h1 did not answer")), began(How::Undo), ended("undone", None)];
        assert_eq!(why(&[&failed[..], &undone].concat()).as_deref(), Some("no room"), "an undo does not change why");
        assert_eq!(why(&[&failed[..], &[began(How::Resume)]].concat()), None, "nobody knows yet");
        assert_eq!(why(&[&failed[..], &[began(How::Resume), ended("done", None)]].concat()), None);
    }

    #[test]
    fn an_end_without_a_place_is_read_as_an_earlier_podlift_wrote_it() {
        let old = r#"{"kind":"ended","at":"2026-01-01T00:00:01Z","exit":"error","why":"no room"}"#;
        let Ok(Entry::Ended(ended)) = serde_json::from_str(old) else { panic!("it is the end of a process") };
        assert_eq!((ended.why.as_deref(), &ended.origin), (Some("no room"), &None));
        assert_eq!(serde_json::to_string(&Entry::Ended(ended)).expect("plain data"), old);
    }
}
