//! Values as plain data: what `to_json` writes.

use rhai::{Array, Dynamic, FuncRegistration, Map, Module};
use serde_json::{Value, json};

use super::service;
use crate::{
    failure::Failure,
    model::{Database, Health, Host, Image, Prometheus, Registry, Release, Service},
};

/// How deep arrays and maps may be nested; what is deeper is shown as text.
const DEPTH: usize = 64;

pub(super) fn register(module: &mut Module) {
    let function = || FuncRegistration::new("to_json").with_comments(["/// The value as JSON text."]).in_global_namespace();
    function().set_into_module(module, |value: Map| plain(&value.into()).to_string());
    function().set_into_module(module, |value: Dynamic| plain(&value).to_string());
}

/// A value as plain data.
pub fn plain(value: &Dynamic) -> Value {
    nested(value, DEPTH)
}

/// Plain data as a value of scripts.
pub fn dynamic(value: Value) -> Dynamic {
    match value {
        Value::Null => Dynamic::UNIT,
        Value::Bool(boolean) => boolean.into(),
        Value::Number(number) => match number.as_i64() {
            Some(whole) => whole.into(),
            None => number.as_f64().unwrap_or_default().into(),
        },
        Value::String(text) => text.into(),
        Value::Array(items) => items.into_iter().map(dynamic).collect::<Array>().into(),
        Value::Object(fields) => fields.into_iter().map(|(name, item)| (name.into(), dynamic(item))).collect::<Map>().into(),
    }
}

fn nested(value: &Dynamic, depth: usize) -> Value {
    let value = value.flatten_clone();
    if depth == 0 {
        return value.to_string().into();
    }
    if value.is_unit() {
        return Value::Null;
    }
    if let Ok(boolean) = value.as_bool() {
        return boolean.into();
    }
    if let Ok(number) = value.as_int() {
        return number.into();
    }
    if let Ok(number) = value.as_float() {
        return number.into();
    }
    if let Some(items) = value.read_lock::<Array>() {
        return items.iter().map(|item| nested(item, depth - 1)).collect();
    }
    if let Some(map) = value.read_lock::<Map>() {
        return map.iter().map(|(name, item)| (name.to_string(), nested(item, depth - 1))).collect::<serde_json::Map<_, _>>().into();
    }
    noun(&value).unwrap_or_else(|| value.to_string().into())
}

fn noun(value: &Dynamic) -> Option<Value> {
    if let Some(host) = value.read_lock::<Host>() {
        return Some(json!({ "name": host.name, "address": host.address(), "labels": host.labels }));
    }
    if let Some(database) = value.read_lock::<Database>() {
        return Some(json!({ "name": database.to_string() }));
    }
    if let Some(service) = value.read_lock::<Service>() {
        return Some(json!({ "name": service.name, "image": service.image, "port": service.port, "replicas": service.replicas }));
    }
    if let Some(image) = value.read_lock::<Image>() {
        let digests = (&image.digest, &image.registry_digest);
        return Some(json!({ "reference": image.reference, "digest": digests.0, "version": image.version, "registry_digest": digests.1 }));
    }
    if let Some(prometheus) = value.read_lock::<Prometheus>() {
        return Some(json!({ "url": prometheus.url }));
    }
    if let Some(registry) = value.read_lock::<Registry>() {
        return Some(json!({ "address": registry.address }));
    }
    if let Some(release) = value.read_lock::<Release>() {
        return Some(of_release(&release));
    }
    if let Some(health) = value.read_lock::<Health>() {
        return Some(service::words(&health).into());
    }
    let failure = value.read_lock::<Failure>()?;
    Some(json!({ "kind": failure.kind.word(), "message": failure.message, "host": failure.host, "hints": failure.hints }))
}

fn of_release(release: &Release) -> Value {
    let containers: Vec<Value> = release
        .containers
        .iter()
        .map(|container| {
            json!({
                "name": container.name, "host": container.host, "port": container.port,
                "version": container.version, "state": container.state.word(),
            })
        })
        .collect();
    json!({
        "service": release.service.name,
        "run": release.run(),
        "version": release.version(),
        "versions": release.versions(),
        "hosts": release.hosts.iter().map(|host| &host.name).collect::<Vec<_>>(),
        "containers": containers,
        "image": release.image().map(|image| image.reference),
        "state": release.state(),
        "weight": release.weight(),
    })
}
