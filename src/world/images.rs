//! Images in a model.

use super::World;
use crate::{
    failure::Failure,
    model::{Host, HostName, Image, StoredImage},
    op::{Build, OldImage, Outcome, Prune, Pruned, Pull, Pulled, Push, Resolve, Ship, Shipped},
};

impl World {
    pub(super) fn build(&mut self, op: &Build) -> Outcome {
        let reference = op.reference();
        let image = StoredImage {
            references: vec![reference.clone()],
            digest: String::new(),
            platform: op.platform.clone().unwrap_or_default(),
            layers: Vec::new(),
            healthcheck: None,
        };
        self.built.insert((op.on.name.clone(), reference.clone()), image.clone());
        if let Some(host) = self.host_mut(&op.on.name) {
            store(&mut host.state.images, image);
        }
        Outcome::of(Image { reference, digest: String::new(), version: op.version.clone(), registry_digest: None })
    }

    pub(super) fn ship(&mut self, op: &Ship) -> Result<Outcome, Failure> {
        let image = self.image_at(&op.from, &op.reference)?;
        let host = self.at_mut(&op.host)?;
        runs_on(&image, &op.reference, &op.host, &host.state.engine.platform)?;
        let there = find(&host.state.images, &op.reference).is_some_and(|known| !image.layers.is_empty() && known.layers == image.layers);
        store(&mut host.state.images, StoredImage { references: vec![op.reference.clone()], ..image });
        let outcome = Outcome::of(Shipped::default());
        Ok(if there { outcome } else { outcome.assuming("the layers that are not there are sent") })
    }

    pub(super) fn push(&mut self, op: &Push) -> Result<Outcome, Failure> {
        let image = self.image_at(&op.from, &op.reference)?;
        let reference = op.target();
        let pushed = StoredImage { references: vec![reference.clone()], ..image };
        let digest = pushed.digest.clone();
        self.built.insert((op.from.name.clone(), reference.clone()), pushed.clone());
        self.pushed.insert(reference.clone(), pushed);
        let image = Image { reference, digest, version: op.version.clone(), registry_digest: None };
        Ok(Outcome::of(image).assuming(format!("{} takes it", op.registry)))
    }

    /// What a tag stands for, which only the registry knows.
    pub(super) fn resolve(&self, op: &Resolve) -> Outcome {
        let outcome = Outcome::of("");
        if self.was_pushed(&op.reference) { outcome } else { outcome.assuming(format!("there is {}", op.reference)) }
    }

    /// Whether this host has built it.
    pub(super) fn built_on(&self, host: &HostName, reference: &str) -> bool {
        self.built.contains_key(&(host.clone(), reference.to_owned()))
    }

    /// Whether this reference was pushed in the model, so that the real registry cannot tell what it is.
    pub fn was_pushed(&self, reference: &str) -> bool {
        self.pushed.contains_key(reference)
    }

    pub(super) fn pull(&mut self, op: &Pull) -> Result<Outcome, Failure> {
        let pushed = self.pushed.get(&op.reference).cloned();
        let was_pushed = pushed.is_some();
        let host = self.at_mut(&op.host)?;
        let known = pushed.or_else(|| find(&host.state.images, &op.reference).cloned());
        let is_known = known.is_some();
        let image = known.unwrap_or_else(|| StoredImage {
            references: Vec::new(),
            digest: op.digest.clone(),
            platform: String::new(),
            layers: Vec::new(),
            healthcheck: None,
        });
        runs_on(&image, &op.reference, &op.host, &host.state.engine.platform)?;
        // Which image a tag stands for only its registry knows.
        let digest = if was_pushed || !op.digest.is_empty() { image.digest.clone() } else { String::new() };
        let healthcheck = image.healthcheck.filter(|_| !digest.is_empty());
        let outcome = Outcome::of(Pulled { digest: digest.clone() });
        store(&mut host.state.images, StoredImage { references: vec![op.reference.clone()], digest, healthcheck, ..image });
        Ok(if is_known { outcome } else { outcome.assuming(format!("{} can be pulled", op.reference)) })
    }

    pub(super) fn prune(&mut self, op: &Prune) -> Result<Outcome, Failure> {
        let host = self.at_mut(&op.host)?;
        for name in &op.containers {
            host.state.containers.remove(name);
            host.changed.insert(name.clone());
        }
        let containers = &host.state.containers;
        let is_used = |image: &&OldImage| containers.values().any(|container| container.image == image.reference);
        let mut pruned = Pruned::default();
        for image in op.images.iter().filter(|image| !is_used(image)) {
            let is_it = |known: &&mut StoredImage| {
                let is_same = image.digest.is_empty() || known.digest.is_empty() || known.digest == image.digest;
                is_same && known.references.contains(&image.reference)
            };
            if let Some(known) = host.state.images.iter_mut().find(is_it) {
                known.references.retain(|reference| *reference != image.reference);
                pruned.images.push(image.reference.clone());
            }
        }
        host.state.images.retain(|image| !image.references.is_empty());
        let assumed = (!pruned.images.is_empty()).then(|| format!("nothing else on {} uses {}", op.host.name, pruned.images.join(", ")));
        let outcome = Outcome::of(pruned);
        Ok(match assumed {
            Some(assumed) => outcome.assuming(assumed),
            None => outcome,
        })
    }

    /// The image of this reference that a host has built, or has.
    fn image_at(&self, host: &Host, reference: &str) -> Result<StoredImage, Failure> {
        if let Some(built) = self.built.get(&(host.name.clone(), reference.to_owned())) {
            return Ok(built.clone());
        }
        find(&self.at(host)?.state.images, reference)
            .cloned()
            .ok_or_else(|| Failure::failed(format!("{} has no image {reference}", host.name)).on(&host.name).hint("`build` it first"))
    }
}

/// Refuses an image for another platform than a host's.
fn runs_on(image: &StoredImage, reference: &str, host: &Host, platform: &str) -> Result<(), Failure> {
    if image.platform.is_empty() || image.platform == platform {
        return Ok(());
    }
    Err(Failure::refused(format!("{reference} is built for {}, and {} is {platform}", image.platform, host.name))
        .hint(format!("build it with `platform: \"{platform}\"`")))
}

/// The image that has this reference.
pub(super) fn find<'a>(images: &'a [StoredImage], reference: &str) -> Option<&'a StoredImage> {
    images.iter().find(|image| image.references.iter().any(|known| known == reference))
}

/// Adds an image; a reference stands for one image only.
pub(super) fn store(images: &mut Vec<StoredImage>, image: StoredImage) {
    for known in images.iter_mut() {
        known.references.retain(|reference| !image.references.contains(reference));
    }
    images.retain(|known| !known.references.is_empty() || known.layers != image.layers);
    images.push(image);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{HostState, Version};

    #[test]
    fn which_image_a_tag_stands_for_only_its_registry_knows() {
        let host = Host::parse("h1").expect("valid");
        let reference = "registry.internal:5000/web:v1".to_owned();
        let image = StoredImage {
            references: vec![reference.clone()],
            digest: "sha256:1".into(),
            platform: "linux/amd64".into(),
            layers: Vec::new(),
            healthcheck: Some(true),
        };
        let mut world = World::default();
        world.insert(&host.name, None, HostState { images: vec![image], ..HostState::default() });
        let mut pulled = |digest: &str| {
            let (digest, version) = (digest.to_owned(), Version::new("v1").expect("valid"));
            let pull =
                Pull { host: host.clone(), reference: reference.clone(), registry_digest: String::new(), digest, version, registry: None };
            let outcome = world.pull(&pull).expect("it can be pulled");
            let there = find(&world.state(&host.name).expect("it is known").images, &reference).cloned().expect("it is there");
            (outcome.value.read::<Pulled>().expect("pulled").digest, there.digest, there.healthcheck)
        };
        assert_eq!(pulled("sha256:1"), ("sha256:1".into(), "sha256:1".into(), Some(true)), "it is known to be the one that is there");
        assert_eq!(pulled(""), (String::new(), String::new(), None));
    }
}
