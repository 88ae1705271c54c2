//! A caught failure: `.kind`, `.message`, `.host`, `.hints`.

use rhai::Module;

use super::{describe, optional, property, text, texts};
use crate::failure::Failure;

pub(super) fn register(module: &mut Module) {
    describe::<Failure>(module, "Failure", "Why a call failed.", |failure| failure.message.clone());
    property::<Failure>(module, "kind", |failure| text(failure.kind.word()));
    property::<Failure>(module, "message", |failure| text(&failure.message));
    property::<Failure>(module, "host", |failure| optional(failure.host.as_ref()));
    property::<Failure>(module, "hints", |failure| texts(&failure.hints));
}
