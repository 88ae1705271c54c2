//! `dependency`.

use std::collections::BTreeMap;

use rhai::Dynamic;

use super::{Arguments, Caller, Function, Trouble, registry::registry_of};
use crate::{
    executor::Level,
    model::{Balancer, Host, Release},
    op,
    script::values::release::value,
};

pub(super) const FUNCTIONS: &[Function] = &[Function {
    name: "dependency",
    parameters: &["service", "image", "host"],
    returns: "Release",
    doc: "What runs of a service that others need, such as a database: what runs there, else what stopped is started again, else it is \
          pulled and started. A deploy never replaces, stops or undoes it.",
    body: dependency,
}];

fn dependency(caller: &Caller<'_>, arguments: &Arguments<'_>) -> Result<Dynamic, Trouble> {
    let (mut service, image, hosts) = (arguments.service(0)?, arguments.image(1)?, arguments.some_hosts(2)?);
    // What is there once has nothing to be split.
    service.balancer = Balancer::None;
    let depend = |host: &Host| op::Depend {
        host: host.clone(),
        project: caller.session.project(),
        service: service.clone(),
        reference: image.reference.clone(),
        digest: image.digest.clone(),
        version: image.version.clone(),
        registry: registry_of(caller, &image.reference),
    };
    let found = caller.perform_on(hosts.is_array, hosts.list.iter().map(depend).collect())?;
    let release = Release::of(&service, &hosts.list, found.into_iter().flatten().collect(), BTreeMap::new());
    let other = release.iter().flat_map(|release| &release.containers).find(|container| container.version != image.version);
    if let Some(container) = other {
        let words = format!(
            "{} on {} is {}, and the script says {}: a deploy never replaces a dependency",
            service.name, container.host, container.image, image.reference
        );
        caller.session.say(Level::Warn, &words, &caller.origin);
    }
    Ok(value(release))
}
