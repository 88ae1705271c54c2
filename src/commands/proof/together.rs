//! Stories that are the same until their last fault: where that is the death of the operator's machine, what comes before it is told
//! once for many of them.

use std::{collections::BTreeMap, ops::ControlFlow};

use super::{
    Subject,
    tale::{Limits, Told, Trunk, tell},
};
use crate::{
    executor::faults::{Noted, Planned, Story, Then},
    world::World,
};

/// The most stories of a group: so many workers may have a part of those that begin alike, and each tells what they share.
const MOST: usize = 64;

/// Stories, by their place among all, that are the same until their last fault.
pub type Group = Vec<usize>;

/// Puts the stories together that have the same faults but for the last one, as far as a group holds them.
pub fn groups(stories: &[Story]) -> Vec<Group> {
    let mut together: BTreeMap<(&[Planned], Then), Group> = BTreeMap::new();
    for (index, story) in stories.iter().enumerate() {
        let before = &story.faults[..story.faults.len().saturating_sub(1)];
        together.entry((before, story.then)).or_default().push(index);
    }
    together.into_values().flat_map(|group| group.chunks(MOST).map(<[usize]>::to_vec).collect::<Vec<_>>()).collect()
}

/// Tells the stories of a group; `note` is told what became of each, and answers whether to go on.
pub fn tell_all(
    subject: &Subject,
    start: &World,
    stories: &[Story],
    group: &[usize],
    limits: &Limits,
    noted: Noted,
    mut note: impl FnMut(usize, Told) -> ControlFlow<()>,
) {
    let ends = group.iter().filter_map(|index| stories[*index].faults.last());
    let deaths: Vec<Planned> = ends.filter(|planned| planned.fault.ends_the_process()).cloned().collect();
    // For the sake of one story alone another one need not be told.
    let before = stories[group[0]].before();
    let trunk = (deaths.len() > 1).then(|| Trunk::of(subject, start, &before, limits, noted, &deaths)).flatten();
    for index in group {
        let story = &stories[*index];
        let told = trunk.as_ref().and_then(|trunk| trunk.tell(subject, start, story, limits, noted));
        if note(*index, told.unwrap_or_else(|| tell(subject, start, story, limits, noted))).is_break() {
            return;
        }
    }
}
