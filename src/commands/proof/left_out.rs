//! Whether what there is bears out a run that says that it is done but for hosts which it has left out.

use std::{collections::BTreeSet, sync::Arc};

use super::{
    Desk,
    judge::{but_for, pruned, pruned_or_not},
    tale::Limits,
};
use crate::{
    executor::faults::Faults,
    model::{HostName, RunId},
    world::{
        World,
        shape::{Difference, Shape, differences},
        watch::Breach,
    },
};

/// A service on a host.
type Seat = (String, String);

/// Notes where other hosts are not as where nothing goes wrong, and where these are not as they were, each service for itself. What a
/// script does besides, to databases and by commands, may depend on them.
pub fn judge_left_out(fleet: &Faults<Arc<Desk>>, run: &RunId, left_out: &BTreeSet<HostName>, limits: &Limits, start: &World) {
    let Some(new) = limits.new.as_ref().filter(|_| fleet.rules().ending) else { return };
    let (found, commits) = (fleet.world().shape(run), fleet.commits());
    let fates = fleet.fates();
    let pruned = pruned(&fates, limits);
    let from = |expected: &Shape| {
        let mut all = pruned_or_not(&pruned, but_for(&fates.deleted, differences(&found, expected)));
        all.retain(|one| is_of_host(one) && !one.is_new_dependency() && !commits.is_open(&one.place) && !is_front_of_nothing(one, &found));
        all
    };
    let is_left_out = |one: &Difference| left_out.iter().any(|host| host.as_str() == seat(one).0);
    let names = left_out.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let (undone, others): (Vec<_>, Vec<_>) = from(new).into_iter().partition(is_left_out);
    if !others.is_empty() {
        let what = format!(
            "the run says that it is done but for {names}, and what there is elsewhere differs from what it makes where nothing goes wrong"
        );
        fleet.breach(Breach::new("ending", what).differing(&others));
        return;
    }
    // A service may be done there, another one not, and what was made final there is as the script said.
    let mut wrong = seats(&undone);
    if let Some(committed) = commits.shape() {
        let from_there = seats(&from(committed));
        wrong.retain(|seat| from_there.contains(seat));
    }
    let mut changed = from(&start.shape(run));
    changed.retain(|one| wrong.contains(&seat(one)));
    if !changed.is_empty() {
        let what = format!("the run says that it has left out {names}, and what there is differs from before");
        fleet.breach(Breach::new("ending", what).differing(&changed));
    }
}

fn seats(differences: &[Difference]) -> BTreeSet<Seat> {
    differences.iter().map(seat).collect()
}

/// Which service's it is, and on which host: traffic is the host's that it goes to.
fn seat(one: &Difference) -> Seat {
    let routed = one.line.split_once(" has weight ").or_else(|| one.line.split_once(" is previewed by "));
    let host = routed.and_then(|(what, _)| what.rsplit_once(" on ")).map_or(one.place.as_str(), |(_, host)| host);
    (host.to_owned(), one.line.split(' ').next().unwrap_or_default().to_owned())
}

/// Whether it is of a service on a host, and not of a database or a command. A lease may be one that nobody could give back.
fn is_of_host(one: &Difference) -> bool {
    HostName::new(&one.place).is_ok() && !one.line.starts_with("what `") && !one.line.ends_with(" is leased")
}

/// Whether it is how a service would be reached that has no traffic there: all its hosts may be left out.
fn is_front_of_nothing(one: &Difference, found: &Shape) -> bool {
    let Some((service, _)) = one.line.split_once(" is reached by ") else { return false };
    let is_its = |line: &String| line.contains(" has weight ") && line.split(' ').next() == Some(service);
    !found.get(&one.place).is_some_and(|lines| lines.iter().any(is_its))
}
