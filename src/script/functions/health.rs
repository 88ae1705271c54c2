//! Health checks: `http`, `tcp`, `command`, `docker_health`, `no_health`.

use rhai::Dynamic;

use super::{Arguments, Caller, Function, Trouble};
use crate::{
    failure::Failure,
    model::{Check, Health},
    script::options::{Kind, Options},
};

pub(super) const FUNCTIONS: &[Function] = &[
    Function {
        name: "http",
        parameters: &["path", "options?"],
        returns: "Health",
        doc: "Healthy is who answers a GET of this path with an expected code (200).",
        body: http,
    },
    Function { name: "tcp", parameters: &["options?"], returns: "Health", doc: "Healthy is who accepts a TCP connection.", body: tcp },
    Function {
        name: "command",
        parameters: &["command", "options?"],
        returns: "Health",
        doc: "Healthy is where this command, an array, exits with 0 in the container.",
        body: command,
    },
    Function {
        name: "docker_health",
        parameters: &["options?"],
        returns: "Health",
        doc: "Healthy is whom Docker says to be, by the image's own HEALTHCHECK.",
        body: docker_health,
    },
    Function { name: "no_health", parameters: &[], returns: "Health", doc: "Healthy is who still runs after 2 s.", body: no_health },
];

fn http(_: &Caller<'_>, arguments: &Arguments<'_>) -> Result<Dynamic, Trouble> {
    let path = arguments.plain(0)?;
    path_of_url(&path)?;
    let options = arguments.options()?;
    let check = Check::Http { path, expect: codes(&options).unwrap_or_else(|| vec![200]) };
    Ok(Dynamic::from(with_times(Health::new(check), &options)))
}

fn tcp(_: &Caller<'_>, arguments: &Arguments<'_>) -> Result<Dynamic, Trouble> {
    Ok(Dynamic::from(with_times(Health::new(Check::Tcp), &arguments.options()?)))
}

fn command(_: &Caller<'_>, arguments: &Arguments<'_>) -> Result<Dynamic, Trouble> {
    let words = arguments.value(0);
    Kind::Texts.fits(&words).map_err(|problem| Failure::refused(format!("the command {problem}")))?;
    let command: Vec<String> = arguments.list(0)?.into_iter().filter_map(|word| word.into_string().ok()).collect();
    if command.first().is_none_or(String::is_empty) {
        return Err(Failure::refused("the command is empty").hint("write it as [\"program\", \"argument\", …]").into());
    }
    Ok(Dynamic::from(with_times(Health::new(Check::Command { command }), &arguments.options()?)))
}

fn docker_health(_: &Caller<'_>, arguments: &Arguments<'_>) -> Result<Dynamic, Trouble> {
    Ok(Dynamic::from(with_times(Health::new(Check::Docker), &arguments.options()?)))
}

fn no_health(_: &Caller<'_>, _: &Arguments<'_>) -> Result<Dynamic, Trouble> {
    Ok(Dynamic::from(Health::new(Check::None)))
}

/// The health check with a call's own times, and its expected codes, over its own.
pub(super) fn with_times(mut health: Health, options: &Options) -> Health {
    health.timeout = options.period("timeout").unwrap_or(health.timeout);
    health.interval = options.period("interval").unwrap_or(health.interval);
    health.successes = options.whole("successes").unwrap_or(health.successes);
    health.start_period = options.period("start_period").unwrap_or(health.start_period);
    if let (Check::Http { expect, .. }, Some(codes)) = (&mut health.check, codes(options)) {
        *expect = codes;
    }
    health
}

fn codes(options: &Options) -> Option<Vec<u16>> {
    let codes = options.list("expect").unwrap_or_else(|| options.get("expect").cloned().into_iter().collect());
    let codes: Vec<u16> = codes.iter().filter_map(|code| code.as_int().ok()?.try_into().ok()).collect();
    (!codes.is_empty()).then_some(codes)
}

/// Checks a path of a request (RFC 3986: `/`, then printable characters without spaces).
pub(super) fn path_of_url(path: &str) -> Result<(), Failure> {
    if path.starts_with('/') && path.chars().all(|character| character.is_ascii_graphic()) && path.len() <= 2000 {
        return Ok(());
    }
    Err(Failure::refused(format!("{path:?} is not a path: it begins with `/` and has no spaces or control characters")))
}
