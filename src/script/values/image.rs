//! `Image`: `.reference`, `.digest`, `.version`, `.registry_digest`.

use rhai::Module;

use super::{describe, optional, property, text};
use crate::model::Image;

pub(super) fn register(module: &mut Module) {
    describe::<Image>(module, "Image", "A built image.", |image| image.reference.clone());
    property::<Image>(module, "reference", |image| text(&image.reference));
    property::<Image>(module, "digest", |image| text(&image.digest));
    property::<Image>(module, "version", |image| text(&image.version));
    property::<Image>(module, "registry_digest", |image| optional(image.registry_digest.as_ref()));
}
