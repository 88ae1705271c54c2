//! What is sent to a host about a lease.

use super::held::Holding;
use crate::model::Host;

pub(super) const SCRIPT: &str = include_str!("../scripts/lease.sh");

/// The folder in which the folders of leases are: every user may make one there, and a reboot leaves it.
pub(super) const BASE: &str = "/var/tmp";

/// The words of a command about a lease.
pub(super) fn words(verb: &str, base: &str, host: &Host, holding: &Holding, holder: &str, generation: Option<u64>) -> Vec<String> {
    let Holding { project, service, run, owner, purpose, lasting, group, .. } = holding;
    let seconds = lasting.duration().as_secs().max(1).to_string();
    let group = group.map_or_else(String::new, |group| group.to_string());
    let generation = generation.map_or_else(String::new, |generation| generation.to_string());
    [
        "sh",
        "-c",
        SCRIPT,
        "podlift",
        verb,
        base,
        &host.docker,
        place(host),
        &group,
        project.as_str(),
        service.as_str(),
        run.as_str(),
        holder,
        &seconds,
    ]
    .into_iter()
    .map(ToOwned::to_owned)
    .chain([one_line(owner), one_line(purpose), generation])
    .collect()
}

pub(super) fn place(host: &Host) -> &'static str {
    if host.is_local() { "local" } else { "ssh" }
}

/// A line of at most 200 characters.
fn one_line(text: &str) -> String {
    text.chars().map(|character| if character.is_control() { ' ' } else { character }).take(200).collect()
}
