//! Stories whose common beginning is told once end as those that are told from their beginning.

use std::sync::Arc;

use super::{SINGLE, Subject, subject};
use crate::{
    commands::{
        exit::Exit,
        proof::{
            explore::{begin, stories},
            tale::{Limits, Told, Trunk, tell},
        },
    },
    executor::faults::{Met, Noted, Planned, Story, Then},
    world::{World, shape::Shape, watch::Breach},
};

const NOTED: Noted = Noted { sites: true, steps: false };

/// A deploy that commits on the way, leaves something where a container does not become healthy, and runs a command on a host.
const SCRIPT: &str = "rolling::deploy(web, img, [fleet[0]]); commit(); let next = start(web, img, fleet[1]); \
                      try { healthcheck(next); } catch (problem) { stop(next); } hook(fleet[1], \"notify\", #{ undo: \"take back\" });";

/// All that is asked of how a story ended.
type Said = (Option<&'static str>, Option<String>, Vec<Planned>, Vec<Breach>, Vec<Arc<Met>>, usize, String, Shape);

fn said(told: Told) -> Said {
    let shape = told.shape();
    let Told { exit, why, missed, breaches, sites, calls, took, .. } = told;
    (exit.map(Exit::word), why, missed, breaches, sites, calls, took.to_string(), shape)
}

/// The stories that are this one and one death more.
fn deaths(subject: &Subject, start: &World, limits: &Limits, story: &Story) -> Vec<Story> {
    let sites = tell(subject, start, story, limits, NOTED).sites;
    let longer = stories(story, &sites).into_iter();
    longer.filter(|story| story.faults.last().is_some_and(|last| last.fault.ends_the_process())).collect()
}

#[test]
fn stories_that_begin_alike_end_as_those_told_from_their_beginning() {
    let subject = subject(SCRIPT);
    let (start, limits, whole) = begin(&subject, &SINGLE).expect("it works");
    let singles = stories(&Story::default(), &whole.sites);
    // Of each kind of fault the first and the last, and among them those after which a host stays away until all trouble ends.
    let mut parents = vec![Story::default()];
    for single in [singles.iter().collect::<Vec<_>>(), singles.iter().rev().collect()].concat() {
        let kind = |story: &Story| (story.faults[0].site.verb.clone(), story.faults[0].fault, story.then);
        let known = parents.iter().filter(|parent| !parent.faults.is_empty() && kind(parent) == kind(single)).count();
        let wanted = ["start", "hook", "lock", "set_weights"].contains(&single.faults[0].site.verb.as_str());
        if wanted && known == 0 {
            parents.push(single.clone());
        }
    }
    assert!(parents.len() > 40, "{}", parents.len());
    let (mut from_trunks, mut resumed, mut mixed) = (0, 0, 0);
    for parent in &parents {
        let stories = deaths(&subject, &start, &limits, parent);
        let wanted: Vec<Planned> = stories.iter().map(|story| story.faults[story.faults.len() - 1].clone()).collect();
        let trunks = [Then::Undo, Then::Resume].map(|then| {
            let parent = Story { then, ..parent.clone() };
            Trunk::of(&subject, &start, &parent, &limits, NOTED, &wanted).expect("it has no invariants")
        });
        for story in stories.iter().step_by(if parent.faults.is_empty() { 3 } else { 11 }) {
            let alone = tell(&subject, &start, story, &limits, NOTED);
            let Some(told) = trunks[usize::from(story.then == Then::Resume)].tell(&subject, &start, story, &limits, NOTED) else {
                assert!(!alone.missed.is_empty(), "{story} came up, and no trunk had it");
                continue;
            };
            (from_trunks, resumed) = (from_trunks + 1, resumed + usize::from(story.then == Then::Resume));
            mixed += usize::from(alone.exit == Some(Exit::Mixed));
            assert_eq!(said(told), said(alone), "{story}");
        }
    }
    assert!(from_trunks > 100 && resumed > 50 && mixed > 10, "{from_trunks} {resumed} {mixed}");
}

#[test]
fn a_death_comes_where_its_call_is_met_first() {
    // The start is tried until its host is given up; once all trouble has ended, the undo looks for what it made.
    let subject = subject(SCRIPT);
    let (start, limits, whole) = begin(&subject, &SINGLE).expect("it works");
    let singles = stories(&Story::default(), &whole.sites);
    let gone = singles.iter().filter(|story| story.faults[0].site.verb == "start" && story.faults[0].fault.word() == "gone");
    let mut told = 0;
    for parent in gone {
        let stories = deaths(&subject, &start, &limits, parent);
        let last: Vec<Story> = stories.into_iter().filter(|story| story.faults[1].site.key == parent.faults[0].site.key).collect();
        let wanted: Vec<Planned> = last.iter().map(|story| story.faults[1].clone()).collect();
        let trunk = Trunk::of(&subject, &start, parent, &limits, NOTED, &wanted).expect("it has no invariants");
        for story in last.iter().filter(|story| story.then == parent.then) {
            let alone = said(tell(&subject, &start, story, &limits, NOTED));
            if let Some(together) = trunk.tell(&subject, &start, story, &limits, NOTED) {
                told += 1;
                assert_eq!(said(together), alone, "{story}");
            }
        }
    }
    assert!(told > 0, "none came up");
}

#[test]
fn a_script_with_invariants_is_asked_in_each_story() {
    let subject = subject(&format!("invariant(\"any\", |world| true);\n{SCRIPT}"));
    let (start, limits, whole) = begin(&subject, &SINGLE).expect("it works");
    assert!(whole.is_asked);
    assert!(Trunk::of(&subject, &start, &Story::default(), &limits, NOTED, &[]).is_none());
}

#[test]
fn whatever_interrupts_a_run_is_told_with_both_ways_to_go_on() {
    let subject = subject(SCRIPT);
    let (start, limits, whole) = begin(&subject, &SINGLE).expect("it works");
    let singles = stories(&Story::default(), &whole.sites);
    let mut interrupted = 0;
    for story in singles.iter().filter(|story| story.then == Then::Undo) {
        let told = tell(&subject, &start, story, &limits, NOTED);
        if told.sites.iter().any(|met| met.was_left) {
            interrupted += 1;
            assert!(singles.contains(&Story { then: Then::Resume, ..story.clone() }), "{story} is taken back, and not gone on with");
        }
    }
    assert!(interrupted > 30, "{interrupted}");
}
