//! `config`: a project's `podlift.yml` as typed values.

mod describe;
mod read;

use std::sync::Arc;

use rhai::{Array, Dynamic, Module};

use self::read::Reader;
use super::{Arguments, Caller, Function, Trouble, declare::file_path};
use crate::{
    failure::Failure,
    model::{Host, Image, Registry, Service},
    op,
    script::options::unknown,
};

pub(super) const FUNCTIONS: &[Function] = &[
    Function {
        name: "config",
        parameters: &["path?"],
        returns: "Config",
        doc: "The project's `podlift.yml`, beside the script or at `path`, as typed values.",
        body: config,
    },
    Function {
        name: "fleet",
        parameters: &["config", "role?"],
        returns: "Array",
        doc: "The hosts of a Config: those of a role, or all.",
        body: fleet,
    },
];

/// Where it is, unless the script says it.
const PATH: &str = "podlift.yml";

/// What a `podlift.yml` describes. Clones share it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::script) struct Config(Arc<Described>);

#[derive(Debug, Default, PartialEq, Eq)]
struct Described {
    path: String,
    /// The hosts of each role, in the file's order.
    roles: Vec<(String, Vec<Host>)>,
    services: Vec<Service>,
    dependencies: Vec<Dependency>,
    /// Commands by when they are run.
    hooks: Vec<(&'static str, Vec<String>)>,
    registry: Option<Registry>,
}

/// What runs once beside the services.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Dependency {
    service: Service,
    image: Image,
    host: Host,
}

impl Described {
    /// All hosts, each once.
    fn hosts(&self) -> Vec<&Host> {
        let mut hosts: Vec<&Host> = Vec::new();
        for host in self.roles.iter().flat_map(|(_, hosts)| hosts) {
            if !hosts.iter().any(|known| known.name == host.name) {
                hosts.push(host);
            }
        }
        hosts
    }

    /// The host that is marked so, else the first.
    fn primary(&self) -> Option<&Host> {
        let hosts = self.hosts();
        hosts.iter().find(|host| host.labels.contains_key("primary")).or(hosts.first()).copied()
    }
}

impl Config {
    /// The service of this name.
    pub(super) fn service(&self, name: &str) -> Result<Service, Failure> {
        let found = self.0.services.iter().find(|service| service.name.as_str() == name);
        found.cloned().ok_or_else(|| {
            let known: Vec<&str> = self.0.services.iter().map(|service| service.name.as_str()).collect();
            unknown(&format!("{} has no service `{name}`", self.0.path), name, &known)
        })
    }

    fn fleet(&self, role: &str) -> Result<Vec<Host>, Failure> {
        let found = self.0.roles.iter().find(|(known, _)| known == role);
        found.map(|(_, hosts)| hosts.clone()).ok_or_else(|| {
            let known: Vec<&str> = self.0.roles.iter().map(|(role, _)| role.as_str()).collect();
            unknown(&format!("{} has no servers of the role `{role}`", self.0.path), role, &known)
        })
    }
}

fn config(caller: &Caller<'_>, arguments: &Arguments<'_>) -> Result<Dynamic, Trouble> {
    let path = if arguments.len() == 0 { PATH.to_owned() } else { file_path("config", arguments.plain(0)?)? };
    let text = caller.perform(op::ReadFile { path: path.clone() })?;
    let described = Reader { caller, path: &path }.read(&text)?;
    Ok(Dynamic::from(Config(Arc::new(described))))
}

fn fleet(_: &Caller<'_>, arguments: &Arguments<'_>) -> Result<Dynamic, Trouble> {
    let config = arguments.value(0).try_cast::<Config>().ok_or_else(|| arguments.mismatch())?;
    let hosts = match arguments.len() {
        1 => config.0.hosts().into_iter().cloned().collect(),
        _ => config.fleet(&arguments.plain(1)?)?,
    };
    Ok(hosts.into_iter().map(Dynamic::from).collect::<Array>().into())
}

/// Registers the type with its properties.
pub(in crate::script) fn register(module: &mut Module) {
    describe::register(module);
}
