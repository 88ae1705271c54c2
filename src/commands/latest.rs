//! Which run is meant where none is named.

use std::collections::BTreeMap;

use crate::{
    journal::{Chain, Entry, How, State, folder::Kept, forks::Copy},
    model::RunId,
    terminal::words,
};

/// What is known of a run by its journals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Known {
    /// It did something, or may have, or holds something, or waits for its first change.
    Open,
    /// It came to its end and changed nothing.
    Ended(&'static str),
    /// It failed before it did anything, and holds nothing.
    Idle(&'static str),
}

/// The run that is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Latest {
    /// Its id.
    pub id: RunId,
    /// Newer ones that are not, and what they did in place of anything, the newest first.
    passed_over: Vec<(RunId, &'static str)>,
}

impl Latest {
    /// The newest run, whatever became of it.
    pub fn newest(kept: &[Kept], copies: &[(RunId, Copy)]) -> Option<Self> {
        let id = copies.iter().map(|(id, _)| id).chain(kept.iter().map(|kept| &kept.id)).max()?;
        Some(Self { id: id.clone(), passed_over: Vec::new() })
    }

    /// The newest run but for those that failed before they did anything, such as one that was refused because of this one's leases.
    /// To go on with, those that came to their end without a change are passed over, too; who undoes means no older run by that.
    /// Where no run did anything it is the newest.
    pub fn at_work(kept: &[Kept], copies: &[(RunId, Copy)], how: How) -> Option<Self> {
        let mut runs: BTreeMap<&RunId, Vec<Known>> = BTreeMap::new();
        for Kept { id, chain, state } in kept {
            // Nobody knows what one did that cannot be read.
            runs.entry(id).or_default().push(chain.as_ref().map_or(Known::Open, |chain| known(chain, *state)));
        }
        for (id, Copy { chain, .. }) in copies {
            runs.entry(id).or_default().push(known(chain, State::of(chain, false)));
        }
        let mut passed_over = Vec::new();
        for (id, known) in runs.iter().rev() {
            let is_meant = |known: &Known| match known {
                Known::Open => true,
                Known::Ended(_) => how == How::Undo,
                Known::Idle(_) => false,
            };
            if known.iter().any(is_meant) {
                return Some(Self { id: (*id).clone(), passed_over });
            }
            if let Some(Known::Ended(why) | Known::Idle(why)) = known.first() {
                passed_over.push(((*id).clone(), *why));
            }
        }
        Self::newest(kept, copies)
    }

    /// Why it is this one.
    pub fn why(&self) -> String {
        match &self.passed_over[..] {
            [] => "the newest".into(),
            [(id, why)] => format!("the newest but for {id}, which {why}"),
            newer => format!("the newest but for {} that did nothing", words::count(newer.len(), "run")),
        }
    }
}

/// What one of a run's journals tells of it.
fn known(chain: &Chain, state: State) -> Known {
    let has_changed = chain.entries().iter().any(Entry::is_change);
    // What a process that ended by itself holds, and did nothing, it has given back.
    let has_ended = matches!(chain.entries().last(), Some(Entry::Ended(_)));
    let holds = !has_ended && chain.entries().iter().any(|entry| matches!(entry, Entry::Intent(_)));
    match state {
        State::Running => Known::Open,
        _ if has_changed || holds => Known::Open,
        _ if chain.header().is_none() => Known::Idle("died before it began"),
        State::Interrupted => Known::Open,
        State::Failed => Known::Idle("failed before it did anything"),
        State::Done | State::Undone | State::Mixed => Known::Ended("changed nothing"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        failure::Origin,
        journal::{Asked, Ended, Header, Intent, Source},
        model::{Host, Key, ProjectName, RunInfo, ServiceName, Version},
        op::{Forget, Inverse},
    };

    fn id(name: &str) -> RunId {
        RunId::new(name).expect("valid")
    }

    fn begun(name: &str) -> Entry {
        Entry::Header(Header {
            format: 1,
            podlift: "0.1.0".into(),
            run: RunInfo { id: id(name), operator: "me@here".into(), started: "2026-01-01T00:00:00Z".into() },
            folder: "/shop".into(),
            script: Source::new("deploy.rhai", ""),
            imports: Vec::new(),
            arguments: Vec::new(),
            git: None,
            planned: false,
        })
    }

    fn change() -> Entry {
        let (run, version) = (id("r0"), Version::new("v1").expect("valid"));
        let (host, service) = (Host::parse("h1").expect("valid"), ServiceName::new("web").expect("valid"));
        let op = Forget { host, project: ProjectName::default(), service, run, version }.into();
        let origin = Origin { file: "deploy.rhai".into(), line: 1, column: 1 };
        Entry::Intent(Intent { asked: Asked { key: Key::call("", 1), origin, op }, at: String::new(), inverse: Inverse::default() })
    }

    fn ended(exit: &str) -> Entry {
        Entry::Ended(Ended { at: String::new(), exit: exit.into(), state: None, why: None, origin: None })
    }

    fn kept(name: &str, entries: &[Entry]) -> Kept {
        let chain = Chain::of(entries);
        Kept { id: id(name), state: State::of(&chain, false), chain: Ok(chain) }
    }

    fn meant(runs: &[Kept], how: How) -> (String, String) {
        let latest = Latest::at_work(runs, &[], how).expect("there are runs");
        (latest.id.to_string(), latest.why())
    }

    #[test]
    fn what_was_refused_because_of_an_older_run_is_passed_over() {
        let runs = [kept("r1", &[begun("r1"), change()]), kept("r2", &[begun("r2"), ended("refused")])];
        let why = "the newest but for r2, which failed before it did anything";
        for how in [How::Resume, How::Undo] {
            assert_eq!(meant(&runs, how), ("r1".into(), why.into()));
        }
        assert_eq!(Latest::newest(&runs, &[]).expect("there are runs").id, id("r2"));
        assert_eq!(meant(&runs[1..], How::Undo), ("r2".into(), "the newest".into()), "nothing else is there");
    }

    #[test]
    fn what_waits_for_its_first_change_is_meant_and_not_an_older_run() {
        let runs = [kept("r1", &[begun("r1"), change(), ended("mixed")]), kept("r2", &[begun("r2"), ended("interrupted")])];
        for how in [How::Resume, How::Undo] {
            assert_eq!(meant(&runs, how), ("r2".into(), "the newest".into()));
        }
    }

    #[test]
    fn what_is_done_is_not_gone_past() {
        let runs = [kept("r1", &[begun("r1"), change()]), kept("r2", &[begun("r2"), change(), ended("done")])];
        assert_eq!(meant(&runs, How::Undo).0, "r2");
        let looked = [kept("r1", &[begun("r1"), change()]), kept("r2", &[begun("r2"), ended("done")])];
        assert_eq!(meant(&looked, How::Undo).0, "r2", "an older deploy is not undone because somebody looked at what runs");
        assert_eq!(meant(&looked, How::Resume), ("r1".into(), "the newest but for r2, which changed nothing".into()));
    }

    #[test]
    fn a_copy_on_a_host_tells_of_a_run_too() {
        let runs = [kept("r1", &[begun("r1"), change()])];
        let copy = |entries: &[Entry]| Copy { place: "h1".into(), chain: Chain::of(entries) };
        let copies = [(id("r2"), copy(&[begun("r2"), change()])), (id("r3"), copy(&[]))];
        let latest = Latest::at_work(&runs, &copies, How::Undo).expect("there are runs");
        assert_eq!((latest.id, latest.passed_over), (id("r2"), vec![(id("r3"), "died before it began")]));
    }
}
