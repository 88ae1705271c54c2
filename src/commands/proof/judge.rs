//! Whether what is there in the end is what the run says.

use super::{Desk, tale::Limits};
use crate::{
    commands::exit::Exit,
    executor::faults::{Fates, Faults},
    model::{Container, RunId},
    world::{
        World,
        shape::{Difference, Shape, differences},
        watch::Breach,
    },
};

/// How a tale ended, and what it is measured by.
pub struct End<'a> {
    /// What the run says.
    pub exit: Exit,
    /// Why it failed, where it did.
    pub why: Option<&'a str>,
    /// The fleet in the beginning.
    pub start: &'a World,
    /// What there is when all is done.
    pub limits: &'a Limits,
}

/// Notes the breaches of a run that has ended.
pub fn judge(fleet: &Faults<std::sync::Arc<Desk>>, run: &RunId, end: &End<'_>) {
    let (world, rules, fates) = (fleet.world(), fleet.rules(), fleet.fates());
    if rules.schema
        && let Some(what) = old_code(&world, run, end)
    {
        fleet.breach(Breach::new("schema", what));
    }
    if rules.mixed && end.exit == Exit::Done {
        for service in world.mixed(run, end.start) {
            let what = format!("the run says that it is done, and the fleet is mixed: {service}");
            fleet.breach(Breach::new("mixed", what));
        }
    }
    if rules.healthy && end.exit == Exit::Done {
        for container in fates.never_healthy(&world, run) {
            let what = format!("the run says that it is done, and {} on {} has not become healthy", container.name, container.host);
            fleet.breach(Breach::new("healthy", what));
        }
    }
    if !rules.ending {
        return;
    }
    let End { exit, why, start, limits } = end;
    let found = world.shape(run);
    let commits = fleet.commits();
    let beginning = start.shape(run);
    let pruned = pruned(&fates, limits);
    let deleted = &fates.deleted;
    // What stays though the run fails: dependencies, and what `prune` has deleted or was to delete.
    let left = |old: &Shape| {
        let mut left = pruned_or_not(&pruned, but_for(deleted, differences(&found, old)));
        left.retain(|one| !one.is_new_dependency() && !commits.is_open(&one.place));
        left.retain(|one| !(one.is_missing && world.is_forgone(&one.place, &one.line)));
        left
    };
    let (unmade, left) = (left(&beginning), left(commits.shape().unwrap_or(&beginning)));
    let broken = |what: String, differences: &[Difference]| fleet.breach(Breach::new("ending", what).differing(differences));
    match exit {
        Exit::Done => {
            for service in fates.without_traffic(&world, run) {
                broken(
                    format!("the run says that it is done, and no proxy sends {service} any traffic: no set_weights gives it some"),
                    &[],
                );
            }
            for release in world.noted_in_vain(run) {
                broken(format!("the run says that it is done and has noted {release} as deployed, and another release serves"), &[]);
            }
            for service in world.ended(run) {
                broken(format!("the run says that it is done, and no container of {service} runs"), &[]);
            }
            let Some(new) = &limits.new else { return };
            let missing = pruned_or_not(&pruned, but_for(deleted, differences(&found, new)));
            // What was committed on the way is not what there was before.
            if missing.is_empty() || unmade.is_empty() {
                return;
            }
            // Whichever it is nearer to is what it was to be.
            let (what, differences) = if unmade.len() < missing.len() {
                ("has not made what it makes where nothing goes wrong, and what there is differs from before", &unmade)
            } else {
                ("and what there is differs from what it makes where nothing goes wrong", &missing)
            };
            broken(format!("the run says that it is done, {what}"), differences);
        }
        Exit::Error | Exit::Bad | Exit::Refused | Exit::Undone | Exit::Unreachable if !left.is_empty() => {
            broken(format!("the run says that it left nothing ({}), and what there is differs from before", exit.word()), &left);
        }
        // What somebody else has deleted gets no traffic back.
        Exit::Mixed if deleted.iter().any(|container| container.run != *run) => {}
        // Whether what was asked to be deleted was, nobody knows where the answer is lost.
        Exit::Mixed if left.is_empty() && (commits.shape().is_some() || fates.may_be_deleted) => {}
        Exit::Mixed if left.is_empty() => {
            broken("the run says that it is mixed, and there is what there was before".into(), &[]);
        }
        // What was committed on the way stays, as the script said; and what was deleted behind that, nothing brings back.
        Exit::Mixed | Exit::Interrupted => {
            let left: Vec<Difference> = left.into_iter().filter(|one| *exit != Exit::Mixed || !is_deleted(one)).collect();
            if *exit == Exit::Mixed && left.is_empty() {
                return;
            }
            let why = why.map(|why| format!(": {why}")).unwrap_or_default();
            broken(
                format!("with every host there and nothing going wrong, it cannot be taken back{why}; what there is differs from before"),
                &left,
            );
        }
        _ => {}
    }
}

/// Whether it is a container that was stopped, and is not there any more.
fn is_deleted(one: &Difference) -> bool {
    one.is_missing && one.line.ends_with(" stopped")
}

/// The containers that `prune` was to delete, or was where nothing goes wrong.
pub(super) fn pruned(fates: &Fates, limits: &Limits) -> Vec<Container> {
    let mut pruned = fates.pruned.clone();
    let others = limits.pruned.iter().filter(|one| pruned.iter().all(|known| known.name != one.name));
    pruned.extend(others.cloned().collect::<Vec<_>>());
    pruned
}

/// These differences but for stopped containers that `prune` was to delete: one that it could not is a warning, and what it has deleted
/// stays so.
pub(super) fn pruned_or_not(pruned: &[Container], differences: Vec<Difference>) -> Vec<Difference> {
    without(pruned, differences, |container, one| one.line == format!("{} {} (old) stopped", container.service, container.version))
}

/// These differences but for containers that are missing, from what serves too, because somebody else has deleted them.
pub(super) fn but_for(deleted: &[Container], mut differences: Vec<Difference>) -> Vec<Difference> {
    for container in deleted {
        let of_it = format!("{} {} (", container.service, container.version);
        let on_its_host = format!(" on {} has weight ", container.host);
        let is_its = |line: &str| line.starts_with(&of_it) && line.contains(&on_its_host);
        let is_smaller = |one: &Difference, other: &Difference| {
            let is_pair = one.place == other.place && !one.is_missing && other.is_missing && is_its(&one.line);
            let shares = share(&one.line).zip(share(&other.line));
            is_pair && shares.is_some_and(|((of, with), (of_other, more))| of == of_other && with < more)
        };
        let mut pairs = differences.iter().flat_map(|one| differences.iter().map(move |other| (one, other)));
        if let Some((one, other)) = pairs.find(|(one, other)| is_smaller(one, other)) {
            let (one, other) = (one.clone(), other.clone());
            differences.retain(|known| *known != one && *known != other);
        }
    }
    without(deleted, differences, |container, one| {
        one.is_missing
            && one.line.starts_with(&format!("{} {} (", container.service, container.version))
            && [" running", " stopped"].iter().any(|state| one.line.ends_with(state))
    })
}

/// What has a weight, and with how many containers.
fn share(line: &str) -> Option<(&str, usize)> {
    let (what, containers) = line.strip_suffix(" containers")?.rsplit_once(" with ")?;
    Some((what, containers.parse().ok()?))
}

/// These differences without one on its host for each of these containers.
fn without(containers: &[Container], mut differences: Vec<Difference>, is_it: impl Fn(&Container, &Difference) -> bool) -> Vec<Difference> {
    for container in containers {
        let is_there = |one: &Difference| one.place == container.host.as_str() && is_it(container, one);
        if let Some(index) = differences.iter().position(is_there) {
            differences.remove(index);
        }
    }
    differences
}

/// Code from before the run that runs in the end on a schema which the run has contracted, of a service that the run deploys.
fn old_code(world: &World, run: &RunId, end: &End<'_>) -> Option<String> {
    let before = end.start.contracted();
    let first = world.contracted().into_iter().find(|what| !before.contains(what))?;
    let new = end.limits.new.as_ref()?;
    let is_deployed = |service: &str| {
        let of = format!("{service} ");
        new.values().flatten().any(|line| line.starts_with(&of) && line.contains("(new)"))
    };
    let states = world.states();
    let mut containers = states.values().flat_map(|state| state.containers.values());
    let old = containers.find(|one| one.is_running() && one.run != *run && is_deployed(one.service.as_str()))?;
    Some(format!("in the end {} on {} runs {}, and the schema is contracted under it: {first}", old.name, old.host, old.version))
}
