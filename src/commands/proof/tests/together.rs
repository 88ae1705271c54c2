//! Stories whose common beginning is told once end as those that are told from their beginning.

use std::sync::{Arc, Mutex};

use super::{SINGLE, subject};
use crate::{
    commands::proof::{
        explore::{begin, stories},
        tale::{Told, tell},
        together::{groups, tell_all},
    },
    executor::faults::{Met, Noted, Planned, Story, Then},
    world::{shape::Shape, watch::Breach},
};

const NOTED: Noted = Noted { sites: true, steps: false };

/// All that is asked of how a story ended.
type Said = (Option<&'static str>, Option<String>, Vec<Planned>, Vec<Breach>, Vec<Arc<Met>>, usize, String, Shape);

fn said(told: Told) -> Said {
    let shape = told.shape();
    let Told { exit, why, missed, breaches, sites, calls, took, .. } = told;
    (exit.map(crate::commands::exit::Exit::word), why, missed, breaches, sites, calls, took.to_string(), shape)
}

#[test]
fn stories_that_begin_alike_end_as_those_told_from_their_beginning() {
    // A failure that is not taken back leaves something to be found.
    let script = "rolling::deploy(web, img, [fleet[0]]); commit(); let next = start(web, img, fleet[1]); \
                  try { healthcheck(next); } catch (problem) { stop(next); } hook(\"local\", \"notify\", #{ undo: \"take back\" });";
    let subject = subject(script);
    let (start, limits, whole) = begin(&subject, &SINGLE).expect("it works");
    let singles = stories(&Story::default(), &whole.sites);
    let interrupted = |story: &&Story| story.faults[0].fault.ends_the_process() || story.then == Then::Resume;
    let (died, others): (Vec<&Story>, Vec<&Story>) = singles.iter().partition(interrupted);
    let some = died.iter().step_by(29).chain(others.iter().step_by(29));
    let mut all = singles.clone();
    for first in some {
        let sites = tell(&subject, &start, first, &limits, NOTED).sites;
        all.extend(stories(first, &sites).into_iter().step_by(3));
    }
    assert!(all.iter().any(|story| story.then == Then::Resume && story.faults.len() == 2));
    let mut broken = 0;
    for group in groups(&all) {
        let together = Mutex::new(Vec::new());
        let note = |index, told| together.lock().expect("nobody panics").push((index, said(told)));
        tell_all(&subject, &start, &all, &group, &limits, NOTED, note);
        for (index, together) in together.into_inner().expect("nobody panics") {
            let alone = said(tell(&subject, &start, &all[index], &limits, NOTED));
            broken += usize::from(!alone.3.is_empty());
            assert_eq!(together, alone, "{}", all[index]);
        }
    }
    assert!(broken > 0, "nothing is broken in {} stories", all.len());
}
