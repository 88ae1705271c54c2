//! `Service` and `Health`.

use rhai::{Dynamic, Module};

use super::{describe, optional, property, text, whole};
use crate::model::{Check, Health, Service};

pub(super) fn register(module: &mut Module) {
    describe::<Service>(module, "Service", "What is deployed.", |service| service.name.to_string());
    property::<Service>(module, "name", |service| text(&service.name));
    property::<Service>(module, "image", |service| text(&service.image));
    property::<Service>(module, "port", |service| service.port.map_or(Dynamic::UNIT, whole));
    property::<Service>(module, "replicas", |service| whole(service.replicas));
    property::<Service>(module, "health", |service| Dynamic::from(service.health.clone()));
    property::<Service>(module, "network", |service| optional(service.network.as_ref()));
    property::<Service>(module, "domain", |service| optional(service.domain.as_ref()));
    property::<Service>(module, "listen", |service| whole(service.listen));
    property::<Service>(module, "stop_timeout", |service| text(service.stop_timeout));
    property::<Service>(module, "has_proxy", |service| service.has_proxy().into());

    describe::<Health>(module, "Health", "How a container shows that it can serve.", words);
    property::<Health>(module, "timeout", |health| text(health.timeout));
    property::<Health>(module, "interval", |health| text(health.interval));
    property::<Health>(module, "successes", |health| whole(health.successes));
    property::<Health>(module, "start_period", |health| text(health.start_period));
}

/// A health check in words: `GET /health`.
pub(super) fn words(health: &Health) -> String {
    match &health.check {
        Check::Http { path, .. } => format!("GET {path}"),
        Check::Tcp => "a TCP connection".into(),
        Check::Command { command } => command.join(" "),
        Check::Docker => "Docker's HEALTHCHECK".into(),
        Check::None => "still running after 2 s".into(),
    }
}
