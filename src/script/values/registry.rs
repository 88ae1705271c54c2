//! `Registry`: `.address`.

use rhai::Module;

use super::{describe, property, text};
use crate::model::Registry;

pub(super) fn register(module: &mut Module) {
    describe::<Registry>(module, "Registry", "A registry of images.", ToString::to_string);
    property::<Registry>(module, "address", |registry| text(&registry.address));
}
