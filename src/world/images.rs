//! Images in a model.

use super::World;
use crate::{
    failure::Failure,
    model::{Image, StoredImage},
    op::{Build, Outcome, Ship, Shipped},
};

impl World {
    pub(super) fn build(&mut self, op: &Build) -> Outcome {
        let reference = op.reference();
        let image = StoredImage {
            references: vec![reference.clone()],
            digest: String::new(),
            platform: op.platform.clone().unwrap_or_default(),
            layers: Vec::new(),
        };
        self.built.insert((op.on.name.clone(), reference.clone()), image.clone());
        if let Some(host) = self.hosts.get_mut(&op.on.name) {
            store(&mut host.state.images, image);
        }
        Outcome::of(Image { reference, digest: String::new(), version: op.version.clone() })
    }

    pub(super) fn ship(&mut self, op: &Ship) -> Result<Outcome, Failure> {
        let built = self.built.get(&(op.from.name.clone(), op.reference.clone())).cloned();
        let image = match built {
            Some(image) => image,
            None => find(&self.at(&op.from)?.state.images, &op.reference).cloned().ok_or_else(|| {
                Failure::failed(format!("{} has no image {}", op.from.name, op.reference)).on(&op.from.name).hint("`build` it first")
            })?,
        };
        let host = self.at_mut(&op.host)?;
        let platform = &host.state.engine.platform;
        if !image.platform.is_empty() && image.platform != *platform {
            return Err(Failure::refused(format!("{} is built for {}, and {} is {platform}", op.reference, image.platform, op.host.name))
                .hint(format!("build it with `platform: \"{platform}\"`")));
        }
        let there = find(&host.state.images, &op.reference).is_some_and(|known| !image.layers.is_empty() && known.layers == image.layers);
        store(&mut host.state.images, StoredImage { references: vec![op.reference.clone()], ..image });
        let outcome = Outcome::of(Shipped::default());
        Ok(if there { outcome } else { outcome.assuming("the layers that are not there are sent") })
    }
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
