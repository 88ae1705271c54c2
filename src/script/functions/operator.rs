//! What the operator's machine says: the clock, files, git, the environment, secrets.

use rhai::{Dynamic, Map};

use super::{Arguments, Caller, Function, Trouble, declare::file_path};
use crate::{failure::Failure, model::name::env_name, op, script::values::fields};

pub(super) const FUNCTIONS: &[Function] = &[
    Function { name: "now", parameters: &[], returns: "string", doc: "The time, in RFC 3339, UTC.", body: now },
    Function {
        name: "read_file",
        parameters: &["path"],
        returns: "string",
        doc: "A text file, relative to the script's folder.",
        body: read_file,
    },
    Function {
        name: "git",
        parameters: &[],
        returns: "Map",
        doc: "The repository's state: `#{ commit, short, branch, tag, dirty, message }`.",
        body: git,
    },
    Function {
        name: "env",
        parameters: &["name", "default?"],
        returns: "string",
        doc: "An environment variable; the environment wins over `.env` beside the script. For secrets use `secret`.",
        body: env,
    },
    Function {
        name: "secret",
        parameters: &["name"],
        returns: "string",
        doc: "A string that stands for a secret's value, which only hosts get to see.",
        body: secret,
    },
    Function {
        name: "env_file",
        parameters: &["path"],
        returns: "Map",
        doc: "The variables of an env file as a map of secrets, for `env`.",
        body: env_file,
    },
];

fn now(caller: &Caller<'_>, _: &Arguments<'_>) -> Result<Dynamic, Trouble> {
    Ok(caller.perform(op::Now {})?.into())
}

fn read_file(caller: &Caller<'_>, arguments: &Arguments<'_>) -> Result<Dynamic, Trouble> {
    let path = file_path("read_file", arguments.plain(0)?)?;
    Ok(caller.perform(op::ReadFile { path })?.into())
}

fn git(caller: &Caller<'_>, _: &Arguments<'_>) -> Result<Dynamic, Trouble> {
    let git = caller.perform(op::Git {})?;
    Ok(fields([
        ("commit", git.commit.into()),
        ("short", git.short.into()),
        ("branch", git.branch.into()),
        ("tag", git.tag.map_or(Dynamic::UNIT, Dynamic::from)),
        ("dirty", git.dirty.into()),
        ("message", git.message.into()),
    ]))
}

fn env(caller: &Caller<'_>, arguments: &Arguments<'_>) -> Result<Dynamic, Trouble> {
    let name = arguments.plain(0)?;
    env_name(&name)?;
    if let Some(found) = caller.perform(op::ReadEnv { name: name.clone() })? {
        return Ok(found.into());
    }
    if arguments.len() == 2 {
        return Ok(arguments.value(1));
    }
    Err(Failure::failed(format!("the environment variable {name} is not set"))
        .hint(format!("set it, write it into .env beside the script, or give a default: env(\"{name}\", \"…\")"))
        .into())
}

fn secret(caller: &Caller<'_>, arguments: &Arguments<'_>) -> Result<Dynamic, Trouble> {
    let name = arguments.plain(0)?;
    env_name(&name)?;
    let circumstances = caller.session.circumstances();
    if !circumstances.secrets.has(&name) {
        return Err(Failure::failed(format!("there is no secret {name}"))
            .hint(format!("set the environment variable {name}, or write it into .env beside the script"))
            .into());
    }
    Ok(circumstances.placeholders.stand_in(&name)?.into())
}

fn env_file(caller: &Caller<'_>, arguments: &Arguments<'_>) -> Result<Dynamic, Trouble> {
    let path = file_path("env_file", arguments.plain(0)?)?;
    let circumstances = caller.session.circumstances();
    let mut variables = Map::new();
    for name in circumstances.secrets.in_file(&path)? {
        env_name(&name)?;
        let place = circumstances.placeholders.stand_in(&format!("{path}#{name}"))?;
        variables.insert(name.into(), place.into());
    }
    Ok(variables.into())
}
