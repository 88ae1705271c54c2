//! `Host`: `.name`, `.address`, `.labels`.

use rhai::{Dynamic, Map, Module};

use super::{describe, property, text};
use crate::model::Host;

pub(super) fn register(module: &mut Module) {
    describe::<Host>(module, "Host", "A machine with a Docker engine.", |host| host.name.to_string());
    property::<Host>(module, "name", |host| text(&host.name));
    property::<Host>(module, "address", |host| text(host.address()));
    property::<Host>(module, "labels", |host| {
        let labels: Map = host.labels.iter().map(|(name, value)| (name.into(), Dynamic::from(value.clone()))).collect();
        labels.into()
    });
}
