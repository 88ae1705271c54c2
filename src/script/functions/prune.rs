//! `prune`.

use rhai::Dynamic;

use super::{Arguments, Caller, Function, Trouble};
use crate::{
    failure::Failure,
    script::{options::shown, pruning::Asked},
};

pub(super) const FUNCTIONS: &[Function] = &[Function {
    name: "prune",
    parameters: &["service", "hosts", "keep"],
    returns: "",
    doc: "Deletes the service's stopped releases but the newest `keep` on each host, and their images that nothing else there uses. It\n\
          is done once all is final: at the next `commit()` of the script itself, or at its end.",
    body: prune,
}];

fn prune(caller: &Caller<'_>, arguments: &Arguments<'_>) -> Result<Dynamic, Trouble> {
    let (service, hosts, keep) = (arguments.service(0)?, arguments.hosts(1)?, arguments.whole(2)?);
    let keep = usize::try_from(keep).ok().filter(|keep| (1..=10_000).contains(keep));
    let keep = keep.ok_or_else(|| {
        Failure::refused(format!("prune keeps 1 release at least, and 10000 at most, and got {}", shown(&arguments.value(2))))
    })?;
    let (project, origin) = (caller.session.project(), caller.origin.clone());
    caller.session.ask_to_prune(Asked { project, service, hosts: hosts.list, keep, origin });
    Ok(Dynamic::UNIT)
}
