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

/// How a rule was broken, on whichever host and with however many containers. A hundred thousand stories may have one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Kind {
    rule: Arc<str>,
    /// What is said of it but for hosts and numbers; where that names nothing, as of a script's own rules, what the last fault befell.
    /// As a hash.
    how: u64,
}

/// What kinds leave out.
pub struct Names(HashSet<String>);

impl Names {
    /// The names of this world's hosts.
    pub fn of(world: &World) -> Self {
        Self(world.hosts().map(ToString::to_string).collect())
    }

    /// The text without them, without numbers, and with the release of each container in place of its name.
    fn plain(&self, text: &str) -> String {
        let kept = |part: &'_ str| {
            let word = part.trim_matches(|letter: char| !letter.is_alphanumeric());
            let is_number = !word.is_empty() && word.chars().all(|letter| letter.is_ascii_digit());
            let is_left_out = is_number || part == "×" || self.0.contains(word);
            (!is_left_out).then(|| of_release(word).unwrap_or(part).to_owned())
        };
        text.split_whitespace().filter_map(kept).collect::<Vec<_>>().join(" ")
    }
}

/// Which release a container is of, by its name: `PROJECT-SERVICE-VERSION-TOKEN-NUMBER`.
fn of_release(word: &str) -> Option<&str> {
    let (named, number) = word.rsplit_once('-')?;
    let (release, token) = named.rsplit_once('-')?;
    let is_token = token.len() == 10 && token.chars().all(|letter| letter.is_ascii_hexdigit());
    (is_token && number.chars().all(|letter| letter.is_ascii_digit())).then_some(release)
}

impl Kind {
    /// The kind of a breach in this story.
    pub fn of(breach: &Breach, story: &Story, names: &Names) -> Self {
        let words = Words::of(breach, names);
        let names_nothing = words.what == breach.what && breach.differences.is_empty();
        let befell = story.faults.last().filter(|_| names_nothing).map(|planned| &planned.site.verb);
        let mut hasher = DefaultHasher::new();
        (words, befell).hash(&mut hasher);
        Self { rule: breach.rule.as_str().into(), how: hasher.finish() }
    }
}

/// What a breach reads like, on whatever hosts it is.
#[derive(PartialEq, Eq, Hash)]
struct Words {
    rule: String,
    what: String,
    differences: BTreeSet<String>,
}

impl Words {
    fn of(breach: &Breach, names: &Names) -> Self {
        // The same on two hosts as on one.
        let differences = breach.differences.iter().map(|line| names.plain(line)).collect();
        Self { rule: breach.rule.clone(), what: names.plain(&breach.what), differences }
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
pub fn findings(subject: &Subject, start: &World, limits: &Limits, names: &Names, broken: &[Broken]) -> Vec<Finding> {
    let mut findings: Vec<Finding> = Vec::new();
    for (story, kind) in shortest(broken) {
        if findings.len() == MOST {
            break;
        }
        // With fewer faults it is the same where it reads the same.
        let words = |breach: &Breach| Words::of(breach, names);
        let told = tell(subject, start, story, limits, Noted::default());
        let of_kind = told.breaches.iter().filter(|breach| Kind::of(breach, story, names) == *kind).map(words).collect::<Vec<_>>();
        let is_it = |breach: &Breach| of_kind.contains(&words(breach));
        let story = shrunk(subject, start, limits, story.clone(), &is_it);
        if !findings.iter().any(|known| known.story == story) {
            let mut told = tell(subject, start, &story, limits, Noted { steps: true, sites: false });
            told.breaches.sort_by_key(|breach| !is_it(breach));
            findings.push(finding(story, told, start));
        }
    }
    findings
}

/// The story without the faults that it does not take for the rule to be broken so.
fn shrunk(subject: &Subject, start: &World, limits: &Limits, mut story: Story, is_it: &dyn Fn(&Breach) -> bool) -> Story {
    let breaks = |story: &Story| tell(subject, start, story, limits, Noted::default()).breaches.iter().any(is_it);
    let mut index = 0;
    while index < story.faults.len() {
        let shorter = story.without(index);
        if breaks(&shorter) { story = shorter } else { index += 1 }
    }
    let undone = Story { then: Then::Undo, ..story.clone() };
    if story.then == Then::Resume && breaks(&undone) { undone } else { story }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_leave_out_hosts_and_numbers_and_nothing_else() {
        let names = Names(["web-a", "10.0.0.1"].map(str::to_owned).into());
        for (text, plain) in [
            ("+ web-a: 2 × web before (old) running", "+ web before (old) running"),
            ("- 10.0.0.1: web before (old) running", "- web before (old) running"),
            ("v2 serves on web-a, 10.0.0.1; before serves on web-a", "v2 serves on before serves on"),
            ("shop-api-v1-81bdd08486-12 on (web-a) was ended", "shop-api-v1 on was ended"),
            ("what `touch /srv/step1` did stands", "what `touch /srv/step1` did stands"),
            ("column users.name2 is gone", "column users.name2 is gone"),
        ] {
            assert_eq!(names.plain(text), plain);
        }
    }
}
