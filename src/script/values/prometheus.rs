//! `Prometheus`: `.url`.

use rhai::Module;

use super::{describe, property, text};
use crate::model::Prometheus;

pub(super) fn register(module: &mut Module) {
    describe::<Prometheus>(module, "Prometheus", "A Prometheus server.", ToString::to_string);
    property::<Prometheus>(module, "url", |prometheus| text(&prometheus.url));
}
