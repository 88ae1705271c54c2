//! `Release` and its parts; `()` is the release without containers.

use rhai::{Array, Dynamic, FuncRegistration, Module};

use super::{describe, fields, optional, property, text, texts, whole};
use crate::{
    failure::Failure,
    model::{Container, Release},
    script::functions,
};

pub(super) fn register(module: &mut Module) {
    describe::<Release>(module, "Release", "The containers of one deploy of one service.", words);
    property::<Release>(module, "service", |release| Dynamic::from(release.service.clone()));
    property::<Release>(module, "run", |release| optional(release.run()));
    property::<Release>(module, "version", |release| optional(release.version()));
    property::<Release>(module, "versions", |release| texts(release.versions()));
    property::<Release>(module, "hosts", |release| release.hosts.iter().cloned().map(Dynamic::from).collect::<Array>().into());
    property::<Release>(module, "containers", |release| {
        release.containers.iter().map(|container| replica(release, container)).collect::<Array>().into()
    });
    property::<Release>(module, "image", |release| release.image().map_or(Dynamic::UNIT, Dynamic::from));
    property::<Release>(module, "state", |release| text(release.state()));
    property::<Release>(module, "weight", |release| whole(release.weight()));
    for name in ["service", "run", "version", "image", "state"] {
        property::<()>(module, name, |()| Dynamic::UNIT);
    }
    for name in ["versions", "hosts", "containers"] {
        property::<()>(module, name, |()| Array::new().into());
    }
    property::<()>(module, "weight", |()| 0.into());
    sums(module);
    differences(module);
}

fn sums(module: &mut Module) {
    let plus = || FuncRegistration::new("+").in_global_namespace();
    plus().set_into_module(module, |context: rhai::NativeCallContext<'_>, a: Release, b: Release| {
        same_service(&a, &b, '+', context.call_position()).map(|()| a.and(&b))
    });
    plus().set_into_module(module, |release: Release, (): ()| release);
    plus().set_into_module(module, |(): (), release: Release| release);
    plus().set_into_module(module, |(): (), (): ()| ());
}

fn differences(module: &mut Module) {
    let minus = || FuncRegistration::new("-").in_global_namespace();
    minus().set_into_module(module, |a: Release, b: Release| value(a.without(&b)));
    minus().set_into_module(module, |release: Release, (): ()| release);
    minus().set_into_module(module, |(): (), _: Release| ());
    minus().set_into_module(module, |(): (), (): ()| ());
}

fn same_service(a: &Release, b: &Release, operator: char, position: rhai::Position) -> Result<(), Box<rhai::EvalAltResult>> {
    if a.service.name == b.service.name {
        return Ok(());
    }
    let message = format!("releases of different services cannot be joined: {} {operator} {}", a.service.name, b.service.name);
    Err(functions::raise(Failure::refused(message), position))
}

/// A release as a script's value: `()` where there is none.
pub(in crate::script) fn value(release: Option<Release>) -> Dynamic {
    release.map_or(Dynamic::UNIT, Dynamic::from)
}

fn replica(release: &Release, container: &Container) -> Dynamic {
    let host = release.hosts.iter().find(|host| host.name == container.host);
    fields([
        ("name", text(&container.name)),
        ("host", host.map_or_else(|| text(&container.host), |host| Dynamic::from(host.clone()))),
        ("port", container.port.map_or(Dynamic::UNIT, whole)),
        ("version", text(&container.version)),
        ("state", text(container.state.word())),
    ])
}

/// A release in words: `web v2 on 10.0.0.1, 10.0.0.2`.
fn words(release: &Release) -> String {
    let versions: Vec<String> = release.versions().into_iter().map(ToString::to_string).collect();
    let hosts: Vec<&str> = release.hosts.iter().map(|host| host.name.as_str()).collect();
    format!("{} {} on {}", release.service.name, versions.join(" and "), hosts.join(", "))
}
