//! Contexts and Dockerfiles of builds that are written out and are not there.

use std::path::Path;

use rhai::{Expr, Position};

use super::{
    Finding,
    program::{Program, Script},
    vocabulary::Vocabulary,
};

/// What a path is written with: the words, and where they are.
type Written<'a> = (&'a str, Position);

/// Finds them beside the script, unless a command of this machine may make them.
pub fn missing(script: &Script, program: &Program, _: &Vocabulary) -> Vec<Finding> {
    let Some(folder) = program.folder().filter(|_| !has_commands(program)) else { return Vec::new() };
    let mut findings = Vec::new();
    script.each_call(|called| {
        let is_own = script.functions.iter().any(|function| function.name == "build");
        let Some(Expr::Map(map, _)) = called.call.args.last().filter(|_| called.call.name == "build" && !called.call.is_qualified()) else {
            return;
        };
        let option = |key: &str| map.0.iter().find(|(name, _)| name.name == key).map(|(_, value)| written(value));
        // What is put together when the script runs is not known before.
        if let (false, None | Some(Some(_)), None | Some(Some(_))) = (is_own, option("context"), option("dockerfile")) {
            let found = problem(&folder, option("context").flatten(), option("dockerfile").flatten());
            findings.extend(found.map(|(position, message)| {
                program
                    .finding(position, message)
                    .hint("paths of a build are relative: the context's to the script, the Dockerfile's to the context")
            }));
        }
    });
    findings
}

fn problem(folder: &Path, context: Option<Written<'_>>, dockerfile: Option<Written<'_>>) -> Option<(Position, String)> {
    let (name, position) = context.or(dockerfile.map(|(_, position)| (".", position)))?;
    let place = folder.join(context.map_or(".", |(name, _)| name));
    if !place.is_dir() {
        return Some((position, format!("the build context {name:?} is no folder that is there")));
    }
    let (file, position) = dockerfile.unwrap_or(("Dockerfile", position));
    (!place.join(file).is_file()).then(|| (position, format!("there is no {file} in the build context {name:?}")))
}

fn written(expression: &Expr) -> Option<Written<'_>> {
    if let Expr::StringConstant(text, position) = expression { Some((text.as_str(), *position)) } else { None }
}

/// Whether the project's scripts run commands that may be of this machine: all but those in containers of their own.
fn has_commands(program: &Program) -> bool {
    let mut found = false;
    for script in program.scripts.iter().filter(|script| !script.name().starts_with("std/")) {
        script.each_call(|called| {
            let is_one_off = !called.method && matches!(called.call.args.first(), Some(Expr::Array(place, _)) if place.len() == 3);
            found |= called.call.name == "hook" && !is_one_off;
        });
    }
    found
}
