//! `registry`, `push`, `pull`.

use rhai::Dynamic;

use super::{Arguments, Caller, Function, Trouble};
use crate::{
    executor::turns,
    failure::Failure,
    model::{Host, Image, Registry, registry::split},
    op,
    script::{options::Options, session::lock},
};

pub(super) const FUNCTIONS: &[Function] = &[
    Function {
        name: "registry",
        parameters: &["address", "options?"],
        returns: "Registry",
        doc: "A registry of images, for `push` and `pull`: \"ghcr.io/team\", \"10.0.0.5:5000\", \"docker.io/team\".",
        body: registry,
    },
    Function {
        name: "push",
        parameters: &["image", "registry"],
        returns: "Image",
        doc: "Pushes an image to a registry; the Image that comes back is the one there, with the registry's digest.",
        body: push,
    },
    Function {
        name: "pull",
        parameters: &["image", "hosts"],
        returns: "Image",
        doc: "Makes sure that hosts have an image of a registry, each by the same digest: a tag is looked up once a run.",
        body: pull,
    },
];

fn registry(caller: &Caller<'_>, arguments: &Arguments<'_>) -> Result<Dynamic, Trouble> {
    let options = arguments.options()?;
    let via = options.get("via").and_then(|host| host.clone().try_cast::<Host>());
    Ok(Dynamic::from(declared_registry(caller, arguments.plain(0)?, &options, via)?))
}

/// A registry that is declared: who logs in is told for every image of it.
pub(super) fn declared_registry(caller: &Caller<'_>, address: String, options: &Options, via: Option<Host>) -> Result<Registry, Trouble> {
    let text = |key: &str| options.text(key).map(|text| caller.session.text(&text));
    let registry = Registry::new(address, text("username"), text("password"), via)?;
    let mut declared = lock(&caller.session.circumstances().registries);
    declared.retain(|other| other.address != registry.address);
    declared.push(registry.clone());
    Ok(registry)
}

/// The registry that the script has declared and that this reference is of; of several that with the longest address.
pub(super) fn registry_of(caller: &Caller<'_>, reference: &str) -> Option<Registry> {
    let declared = lock(&caller.session.circumstances().registries);
    declared.iter().filter(|registry| registry.has(reference)).max_by_key(|registry| registry.address.len()).cloned()
}

fn push(caller: &Caller<'_>, arguments: &Arguments<'_>) -> Result<Dynamic, Trouble> {
    let (image, registry) = (arguments.image(0)?, arguments.registry(1)?);
    if image.reference.contains('@') {
        return Err(Failure::refused(format!("{} has no tag that it could have at {registry}", image.reference))
            .hint("push what was built here, or give it a name with `docker tag`")
            .into());
    }
    let built = lock(&caller.session.circumstances().built).get(&image.reference).cloned();
    let mut from = built.map_or_else(|| Host::parse("local"), Ok)?;
    if let Some(via) = registry.via.as_ref().filter(|via| via.name != from.name) {
        let (reference, digest) = (image.reference.clone(), image.digest.clone());
        caller.perform(op::Ship { host: via.clone(), from, reference, digest })?;
        from = via.clone();
    }
    let push = op::Push { from: from.clone(), reference: image.reference, digest: image.digest, version: image.version, registry };
    let pushed = caller.perform(push)?;
    let circumstances = caller.session.circumstances();
    lock(&circumstances.built).insert(pushed.reference.clone(), from);
    lock(&circumstances.resolved).insert(pushed.reference.clone(), pushed.registry_digest.clone().unwrap_or_default());
    Ok(Dynamic::from(pushed))
}

fn pull(caller: &Caller<'_>, arguments: &Arguments<'_>) -> Result<Dynamic, Trouble> {
    let (image, hosts) = (arguments.image(0)?, arguments.some_hosts(1)?);
    let Some(first) = hosts.list.first() else { return Ok(Dynamic::from(image)) };
    let circumstances = caller.session.circumstances();
    let is_built = lock(&circumstances.built).contains_key(&image.reference);
    if is_built && split(&image.reference).1 == image.reference && !lock(&circumstances.resolved).contains_key(&image.reference) {
        return Err(Failure::refused(format!("{} was built here, and is in no registry", image.reference))
            .hint("`push` it first and pull what that returns, or `ship` it: pull(push(img, registry(…)), fleet)")
            .into());
    }
    let registry = registry_of(caller, &image.reference);
    let registry_digest = match image.reference.split_once('@') {
        Some((_, digest)) => digest.to_owned(),
        None => resolve(caller, first, &image, registry.as_ref())?,
    };
    let pull = |host: &Host| op::Pull {
        host: host.clone(),
        reference: image.reference.clone(),
        registry_digest: registry_digest.clone(),
        digest: image.digest.clone(),
        version: image.version.clone(),
        registry: registry.clone(),
    };
    let pulled = caller.perform_on(hosts.is_array, hosts.list.iter().map(pull).collect())?;
    // Hosts of different platforms have different images under one digest of the registry.
    let same = pulled.windows(2).all(|pair| pair[0].digest == pair[1].digest);
    let digest = pulled.first().filter(|_| same).map(|pulled| pulled.digest.clone()).unwrap_or_default();
    let registry_digest = Some(registry_digest).filter(|digest| !digest.is_empty());
    Ok(Dynamic::from(Image { digest, registry_digest, ..image }))
}

/// What a tag stands for: asked once a run. Branches wait for each other, so that they take the same answer.
fn resolve(caller: &Caller<'_>, on: &Host, image: &Image, registry: Option<&Registry>) -> Result<String, Trouble> {
    let mut resolved = turns::lock(&caller.session.circumstances().resolved);
    let known = resolved.get(&image.reference).filter(|digest| !digest.is_empty()).cloned();
    let (on, reference) = (on.clone(), image.reference.clone());
    let digest = caller.perform(op::Resolve { on, reference, registry: registry.cloned(), known: known.clone() })?;
    let digest = known.unwrap_or(digest);
    if !digest.is_empty() {
        resolved.insert(image.reference.clone(), digest.clone());
    }
    Ok(digest)
}
