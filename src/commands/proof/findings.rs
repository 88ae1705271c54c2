//! Which of the stories in which rules were broken are told: the shortest of each kind.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
};

use super::{
    Subject,
    explore::{Finding, finding},
    tale::{Limits, tell},
};
use crate::{
    executor::faults::{Noted, Story, Then},
    world::{World, watch::Breach},
};

/// A story in which rules were broken, and how.
pub type Broken = (Story, Vec<Kind>);

/// How a rule was broken, on whichever host and with whichever container and version. A hundred thousand stories may have one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Kind {
    rule: Arc<str>,
    /// What is said of it but for names, as a hash.
    how: u64,
}

impl Kind {
    /// The kind of this breach in this world.
    pub fn of(breach: &Breach, world: &World) -> Self {
        let is_name = |part: &str| {
            let part = part.trim_matches([':', ',', ';']);
            part.contains(|letter: char| letter.is_ascii_digit()) || world.hosts().any(|host| host.as_str() == part)
        };
        let plain = |text: &str| text.split_whitespace().map(|part| if is_name(part) { "…" } else { part }).collect::<Vec<_>>().join(" ");
        // The same on two hosts as on one.
        let differences: BTreeSet<String> = breach.differences.iter().map(|line| plain(line)).collect();
        let mut hasher = DefaultHasher::new();
        (plain(&breach.what), differences).hash(&mut hasher);
        Self { rule: breach.rule.as_str().into(), how: hasher.finish() }
    }
}

/// The most findings that are shrunk and told.
const MOST: usize = 5;

/// In how many stories each rule was broken.
pub fn by_rule(broken: &[Broken]) -> BTreeMap<String, usize> {
    let mut count = BTreeMap::new();
    for (_, kinds) in broken {
        for rule in kinds.iter().map(|kind| &kind.rule).collect::<BTreeSet<_>>() {
            *count.entry(rule.to_string()).or_default() += 1;
        }
    }
    count
}

/// The shortest story of each kind, the first of each rule before all others.
fn shortest(broken: &[Broken]) -> Vec<(&Story, &Kind)> {
    let mut broken: Vec<&Broken> = broken.iter().collect();
    broken.sort_by_key(|(story, _)| story.faults.len());
    let (mut rules, mut known) = (BTreeSet::new(), HashSet::new());
    let (mut first, mut others) = (Vec::new(), Vec::new());
    for (story, kind) in broken.into_iter().flat_map(|(story, kinds)| kinds.iter().map(move |kind| (story, kind))) {
        if known.insert(kind) {
            if rules.insert(&kind.rule) { first.push((story, kind)) } else { others.push((story, kind)) }
        }
    }
    first.extend(others);
    first
}

/// The stories of the first kinds, shrunk and told step by step. What broke the rule comes first.
pub fn findings(subject: &Subject, start: &World, limits: &Limits, broken: &[Broken]) -> Vec<Finding> {
    let mut findings: Vec<Finding> = Vec::new();
    for (story, kind) in shortest(broken) {
        if findings.len() == MOST {
            break;
        }
        let story = shrunk(subject, start, limits, story.clone(), kind);
        if !findings.iter().any(|known| known.story == story) {
            let mut told = tell(subject, start, &story, limits, Noted { steps: true, sites: false });
            told.breaches.sort_by_key(|breach| Kind::of(breach, &told.world) != *kind);
            findings.push(finding(story, told, start));
        }
    }
    findings
}

/// The story without the faults that it does not take for the rule to be broken so.
fn shrunk(subject: &Subject, start: &World, limits: &Limits, mut story: Story, kind: &Kind) -> Story {
    let breaks = |story: &Story| {
        let told = tell(subject, start, story, limits, Noted::default());
        told.breaches.iter().any(|breach| Kind::of(breach, &told.world) == *kind)
    };
    let mut index = 0;
    while index < story.faults.len() {
        let shorter = story.without(index);
        if breaks(&shorter) { story = shorter } else { index += 1 }
    }
    let undone = Story { then: Then::Undo, ..story.clone() };
    if story.then == Then::Resume && breaks(&undone) { undone } else { story }
}
