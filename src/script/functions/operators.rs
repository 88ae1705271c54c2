//! The parts of a release that are had by a method.

use rhai::{Array, Dynamic};

use super::{Arguments, Caller, Function, Trouble};
use crate::script::values::release::value;

pub(super) const FUNCTIONS: &[Function] = &[
    Function {
        name: "on",
        parameters: &["release", "hosts"],
        returns: "Release",
        doc: "The part of a release that is on these hosts, or `()`.",
        body: on,
    },
    Function { name: "each", parameters: &["release"], returns: "Array", doc: "One release for each container.", body: each },
];

fn on(_: &Caller<'_>, arguments: &Arguments<'_>) -> Result<Dynamic, Trouble> {
    let (release, hosts) = (arguments.release(0)?, arguments.hosts(1)?);
    Ok(value(release.and_then(|release| release.on(&hosts.list))))
}

fn each(_: &Caller<'_>, arguments: &Arguments<'_>) -> Result<Dynamic, Trouble> {
    let parts = arguments.release(0)?.map(|release| release.each()).unwrap_or_default();
    Ok(parts.into_iter().map(Dynamic::from).collect::<Array>().into())
}
