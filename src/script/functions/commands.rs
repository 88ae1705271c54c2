//! `hook` and `probe`.

use std::collections::BTreeMap;

use rhai::{Array, Dynamic, ImmutableString, Map};

use super::{Arguments, Caller, Function, Trouble, declare, starting::by_host};
use crate::{
    failure::Failure,
    model::{Host, Image, Invalid, Period, Release, Service, ServiceName, Text},
    op::{CommandLine, CommandOutput, Hook, HookLease, Invocation, Place, Probe},
    script::{
        options::{Kind, Options, shown, unknown},
        values::{fields, type_word},
    },
};

pub(super) const FUNCTIONS: &[Function] = &[
    Function {
        name: "hook",
        parameters: &["where", "command", "options?"],
        returns: "Map",
        doc: "Runs a command: `where` is \"local\", a Host, a Release (its first running container), or `[service, image, host]`;\n\
              hosts may be an array, and the results are one then. The command is an array, or a string for `sh -c`. Returns `#{ code, stdout, stderr }`.",
        body: hook,
    },
    Function {
        name: "probe",
        parameters: &["where", "command", "options?"],
        returns: "Map",
        doc: "Like `hook`, for commands that only read: really done in a dry run.",
        body: probe,
    },
];

fn hook(caller: &Caller<'_>, arguments: &Arguments<'_>) -> Result<Dynamic, Trouble> {
    let options = arguments.options()?;
    let Some(places) = places(caller, arguments)? else { return Ok(nothing()) };
    let undo = options.get("undo").map(|command| command_line(caller, command)).transpose()?;
    let lease = lease(caller, &places);
    let hook = |invocation| Hook { invocation, undo: undo.clone(), lease: lease.clone() };
    let hooks = places.invocations(caller, arguments, &options)?.into_iter().map(hook).collect();
    let outputs = caller.perform_on(places.is_array, hooks)?;
    Ok(places.results(outputs))
}

fn probe(caller: &Caller<'_>, arguments: &Arguments<'_>) -> Result<Dynamic, Trouble> {
    let options = arguments.options()?;
    let Some(places) = places(caller, arguments)? else { return Ok(nothing()) };
    let probes = places.invocations(caller, arguments, &options)?.into_iter().map(|invocation| Probe { invocation }).collect();
    let outputs = caller.perform_on(places.is_array, probes)?;
    Ok(places.results(outputs))
}

/// The lease that a command needs: of the service that it, or the script by then, is about; where that is none, of the project.
fn lease(caller: &Caller<'_>, places: &Places) -> Option<HookLease> {
    places.list.iter().find(|place| place.host().is_some())?;
    let project = caller.session.project();
    let service = places.service.clone().or_else(|| caller.session.current().service.clone());
    let service = ServiceName::new(service.unwrap_or_else(|| project.to_string())).ok()?;
    Some(HookLease { project, service })
}

/// What a command in no release returns.
fn nothing() -> Dynamic {
    shown_output(CommandOutput::default())
}

fn shown_output(output: CommandOutput) -> Dynamic {
    fields([("code", output.code.into()), ("stdout", output.stdout.into()), ("stderr", output.stderr.into())])
}

/// Where a command runs, and what it is told about.
struct Places {
    list: Vec<Place>,
    is_array: bool,
    service: Option<String>,
    version: Option<String>,
}

impl Places {
    fn invocations(&self, caller: &Caller<'_>, arguments: &Arguments<'_>, options: &Options) -> Result<Vec<Invocation>, Trouble> {
        let command = command_line(caller, &arguments.value(1))?;
        let mut env = self.facts(caller);
        env.extend(declare::variables(&caller.session, &options.map("env"))?);
        let assume = options.get("assume").map(|_| assumed(&options.map("assume"))).transpose()?;
        let invocation = |place: &Place| Invocation {
            place: place.clone(),
            command: command.clone(),
            env: env.clone(),
            stdin: options.text("stdin").map(|text| caller.session.text(&text)),
            timeout: options.period("timeout").unwrap_or(Period::seconds(600)),
            check: options.bool("check").unwrap_or(true),
            name: options.text("name"),
            assume: assume.clone(),
        };
        Ok(self.list.iter().map(invocation).collect())
    }

    /// What podlift tells every command.
    fn facts(&self, caller: &Caller<'_>) -> BTreeMap<String, Text> {
        let run = &caller.session.circumstances().run;
        let current = caller.session.current().clone();
        let hosts: Vec<&str> = current.hosts.iter().map(crate::model::HostName::as_str).collect();
        [
            ("RUN", run.id.to_string()),
            ("PROJECT", caller.session.project().to_string()),
            ("SERVICE", self.service.clone().or(current.service).unwrap_or_default()),
            ("VERSION", self.version.clone().or(current.version).unwrap_or_default()),
            ("PREVIOUS", current.previous.unwrap_or_default()),
            ("HOSTS", hosts.join(" ")),
            ("OPERATOR", run.operator.clone()),
        ]
        .into_iter()
        .map(|(name, value)| (format!("PODLIFT_{name}"), value.into()))
        .collect()
    }

    fn results(&self, outputs: Vec<CommandOutput>) -> Dynamic {
        let mut results: Array = outputs.into_iter().map(shown_output).collect();
        if self.is_array { results.into() } else { results.pop().unwrap_or_default() }
    }
}

/// The place that `where` means; `None` for a release without containers.
fn places(caller: &Caller<'_>, arguments: &Arguments<'_>) -> Result<Option<Places>, Trouble> {
    let plain = |list, is_array| Places { list, is_array, service: None, version: None };
    let place = arguments.value(0);
    if place.is_unit() {
        return Ok(None);
    }
    if let Some(word) = place.read_lock::<ImmutableString>() {
        return match word.as_str() {
            "local" => Ok(Some(plain(vec![Place::Local], false))),
            other => Err(Failure::refused(format!("a command cannot run in {other:?}"))
                .hint("\"local\", a host, a release or [service, image, host]")
                .into()),
        };
    }
    if let Some(release) = place.clone().try_cast::<Release>() {
        let (host, container) = first_running(&release)?;
        return Ok(Some(Places {
            list: vec![Place::Container { host, container }],
            is_array: false,
            service: Some(release.service.name.to_string()),
            version: release.version().map(ToString::to_string),
        }));
    }
    if let Some(one_off) = one_off(caller, arguments, &place)? {
        return Ok(Some(one_off));
    }
    let hosts = arguments.some_hosts(0)?;
    let on = |host: Host| if host.is_local() { Place::Local } else { Place::Host { host } };
    Ok(Some(plain(hosts.list.into_iter().map(on).collect(), hosts.is_array)))
}

/// A container of its own, on one host or on each of several.
fn one_off(caller: &Caller<'_>, arguments: &Arguments<'_>, place: &Dynamic) -> Result<Option<Places>, Trouble> {
    let list = place.read_lock::<Array>().map(|list| list.clone()).unwrap_or_default();
    let [service, image, hosts] = list.as_slice() else { return Ok(None) };
    let service = service.flatten_clone().try_cast::<Service>();
    let Some((service, image)) = service.zip(image.flatten_clone().try_cast::<Image>()) else { return Ok(None) };
    let hosts = arguments.some_hosts_of("where[2]", hosts.flatten_clone())?;
    let on = |host: Host| Place::OneOff {
        host,
        project: caller.session.project(),
        service: Box::new(service.clone()),
        reference: image.reference.clone(),
        version: image.version.clone(),
    };
    Ok(Some(Places {
        is_array: hosts.is_array,
        service: Some(service.name.to_string()),
        version: Some(image.version.to_string()),
        list: hosts.list.into_iter().map(on).collect(),
    }))
}

fn first_running(release: &Release) -> Result<(Host, crate::model::ContainerName), Failure> {
    let running = |host: &Host, name: &crate::model::ContainerName| {
        release.containers.iter().any(|container| container.host == host.name && &container.name == name && container.is_running())
    };
    by_host(release)
        .find_map(|(host, names)| names.into_iter().find(|name| running(host, name)).map(|name| (host.clone(), name)))
        .ok_or_else(|| Failure::refused(format!("no container of {} runs, so no command can run in it", release.service.name)))
}

fn command_line(caller: &Caller<'_>, command: &Dynamic) -> Result<CommandLine, Trouble> {
    if let Some(line) = command.read_lock::<ImmutableString>() {
        if line.trim().is_empty() {
            return Err(Failure::refused("the command is empty").into());
        }
        return Ok(CommandLine::Shell(caller.session.text(declare::without_zero("command", &line)?)));
    }
    Kind::Command.fits(command).map_err(|problem| Failure::refused(format!("the command {problem}")))?;
    let words = command.read_lock::<Array>().map(|words| words.clone()).unwrap_or_default();
    let word = |word: &Dynamic| Ok(caller.session.text(declare::without_zero("command", &word.to_string())?));
    Ok(CommandLine::Program(words.iter().map(word).collect::<Result<_, Failure>>()?))
}

fn assumed(map: &Map) -> Result<CommandOutput, Trouble> {
    let mut output = CommandOutput::default();
    for (name, value) in map {
        let text = || value.clone().into_string().map_err(|_| Invalid::new("assumed output", shown(value), "a string"));
        match name.as_str() {
            "code" => output.code = value.as_int().map_err(|_| Invalid::new("assumed code", type_word(value), "a whole number"))?,
            "stdout" => output.stdout = text()?,
            "stderr" => output.stderr = text()?,
            _ => return Err(unknown(&format!("`assume` has no `{name}`"), name, &["code", "stdout", "stderr"]).into()),
        }
    }
    Ok(output)
}
