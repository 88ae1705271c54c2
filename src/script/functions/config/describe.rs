//! `Config`: `.services`, `.primary`, `.dependencies`, `.hooks`, `.registry`.

use rhai::{Array, Dynamic, Map, Module};

use super::Config;
use crate::script::values::{describe, fields, property};

pub(super) fn register(module: &mut Module) {
    describe::<Config>(module, "Config", "A project's podlift.yml.", |config| config.0.path.clone());
    property::<Config>(module, "services", |config| config.0.services.iter().cloned().map(Dynamic::from).collect::<Array>().into());
    property::<Config>(module, "primary", |config| optional(config.0.primary().cloned()));
    property::<Config>(module, "dependencies", |config| {
        let shown = |dependency: &super::Dependency| {
            let (service, image, host) = (dependency.service.clone(), dependency.image.clone(), dependency.host.clone());
            fields([("service", Dynamic::from(service)), ("image", Dynamic::from(image)), ("host", Dynamic::from(host))])
        };
        config.0.dependencies.iter().map(shown).collect::<Array>().into()
    });
    property::<Config>(module, "hooks", |config| {
        let commands = |commands: &[String]| Dynamic::from(commands.iter().cloned().map(Dynamic::from).collect::<Array>());
        config.0.hooks.iter().map(|(when, of)| ((*when).into(), commands(of))).collect::<Map>().into()
    });
    property::<Config>(module, "registry", |config| optional(config.0.registry.clone()));
}

fn optional<T: Clone + Send + Sync + 'static>(value: Option<T>) -> Dynamic {
    value.map_or(Dynamic::UNIT, Dynamic::from)
}
