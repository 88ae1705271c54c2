//! From a text to what it describes. What is wrong is told with its line, by the same rules as in a script.

use rhai::{Array, Dynamic, Map};

use super::{Dependency, Described};
use crate::{
    failure::Failure,
    model::{Check, Health, Host, Registry, Service, name::env_name},
    op,
    script::{
        functions::{
            Caller, Trouble,
            declare::{declared_host, declared_service, image_of, name_project},
            health::{path_of_url, with_times},
            registry::declared_registry,
        },
        options::{Kind, Options, spec, unknown},
        yaml::{Entry, Node, Problem, Value, parse, scalar},
    },
};

/// When a project's commands are run.
const HOOKS: [&str; 3] = ["before_deploy", "after_deploy", "after_rollback"];
/// The ways to tell a health check, and the function whose options it takes besides.
const CHECKS: [(&str, &str); 4] = [("path", "http"), ("tcp", "tcp"), ("command", "command"), ("docker", "docker_health")];

pub(super) struct Reader<'a> {
    pub(super) caller: &'a Caller<'a>,
    pub(super) path: &'a str,
}

/// Whether `${NAME}` in a text is a secret, or a variable of the environment.
#[derive(Clone, Copy, PartialEq)]
enum Names {
    Secrets,
    Variables,
    /// A shell's own: left as it stands.
    Nothing,
}

impl Reader<'_> {
    pub(super) fn read(&self, text: &str) -> Result<Described, Trouble> {
        let root = parse(text).map_err(|Problem { line, message }| self.at(line, Failure::refused(message)))?;
        let root = root.ok_or_else(|| self.at(1, Failure::refused("the file is empty")))?;
        let top = self.map(&root, "the file")?;
        self.known(top, "the file", &["project", "registry", "servers", "services", "dependencies", "hooks"])?;
        let part = |name: &str| top.iter().find(|entry| entry.name == name).map(|entry| &entry.node);
        if let Some(node) = part("project") {
            let name = self.text(node, "project", Names::Variables)?;
            name_project(self.caller, &name).map_err(|trouble| self.wrong(node.line, trouble))?;
        }
        let mut described = Described { path: self.path.to_owned(), ..Described::default() };
        if let Some(node) = part("servers") {
            self.servers(node, &mut described)?;
        }
        described.registry = part("registry").map(|node| self.registry(node, &described)).transpose()?;
        for entry in self.entries(part("services"), "services")? {
            described.services.push(self.service(entry, &described)?);
        }
        for entry in self.entries(part("dependencies"), "dependencies")? {
            let dependency = self.dependency(entry, &described)?;
            described.dependencies.push(dependency);
        }
        let given = self.entries(part("hooks"), "hooks")?;
        self.known(given, "hooks", &HOOKS)?;
        for when in HOOKS {
            let node = given.iter().find(|entry| entry.name == when).map(|entry| &entry.node);
            described.hooks.push((when, node.map_or(Ok(Vec::new()), |node| self.commands(node, when))?));
        }
        Ok(described)
    }

    fn servers(&self, node: &Node, described: &mut Described) -> Result<(), Trouble> {
        match &node.value {
            Value::List(_) => self.role("web", node, described),
            Value::Map(roles) => roles.iter().try_for_each(|role| self.role(&role.name, &role.node, described)),
            Value::Scalar { .. } => Err(self.refused(node.line, "`servers` is a list of hosts, or such a list for each role")),
        }
    }

    fn role(&self, role: &str, node: &Node, described: &mut Described) -> Result<(), Trouble> {
        let Value::List(items) = &node.value else {
            return Err(self.refused(node.line, &format!("the servers of `{role}` are a list of hosts")));
        };
        let mut hosts: Vec<Host> = Vec::new();
        for item in items {
            let (address, options) = match &item.value {
                Value::Map(entries) => self.split(item, entries, "host", "a server")?,
                _ => (item, Vec::new()),
            };
            let text = self.text(address, "host", Names::Variables)?;
            let parsed = Host::parse(&text).map_err(|invalid| self.wrong(address.line, invalid.into()))?;
            let known = described.hosts().into_iter().find(|known| known.name == parsed.name).cloned();
            let host = match known {
                Some(known) if options.is_empty() => known,
                Some(_) => return Err(self.refused(item.line, &format!("the host {text} is described twice: here write its address only"))),
                None => {
                    let options = self.options("host", &options)?;
                    let mut host = declared_host(self.caller, &text, &options).map_err(|trouble| self.wrong(address.line, trouble))?;
                    host.labels.entry("role".into()).or_insert_with(|| role.into());
                    host
                }
            };
            if hosts.iter().any(|other| other.name == host.name) {
                return Err(self.refused(item.line, &format!("the host {text} is among the servers of `{role}` twice")));
            }
            hosts.push(host);
        }
        described.roles.push((role.to_owned(), hosts));
        Ok(())
    }

    fn registry(&self, node: &Node, described: &Described) -> Result<Registry, Trouble> {
        let entries = self.map(node, "registry")?;
        let (address, rest) = self.split(node, entries, "address", "registry")?;
        let via = rest.iter().find(|entry| entry.name == "via").map(|entry| self.host(&entry.node, described)).transpose()?;
        let rest: Vec<Entry> = rest.iter().filter(|entry| entry.name != "via").cloned().collect();
        let text = self.text(address, "address", Names::Variables)?;
        let options = self.options("registry", &rest)?;
        declared_registry(self.caller, text, &options, via).map_err(|trouble| self.wrong(address.line, trouble))
    }

    fn service(&self, entry: &Entry, described: &Described) -> Result<Service, Trouble> {
        self.described_service(entry, self.map(&entry.node, &format!("the service {}", entry.name))?, described)
    }

    fn dependency(&self, entry: &Entry, described: &Described) -> Result<Dependency, Trouble> {
        let what = format!("the dependency {}", entry.name);
        let (image, rest) = self.split(&entry.node, self.map(&entry.node, &what)?, "image", &what)?;
        let reference = self.text(image, "image", Names::Variables)?;
        let image = image_of(&reference).map_err(|trouble| self.wrong(image.line, trouble))?;
        let host = match rest.iter().find(|entry| entry.name == "host") {
            Some(entry) => self.host(&entry.node, described)?,
            None => described.primary().cloned().ok_or_else(|| self.refused(entry.line, &format!("{what} has no server to be on")))?,
        };
        let rest: Vec<Entry> = rest.iter().filter(|entry| entry.name != "host").cloned().collect();
        Ok(Dependency { service: self.described_service(entry, &rest, described)?, image, host })
    }

    fn described_service(&self, entry: &Entry, entries: &[Entry], described: &Described) -> Result<Service, Trouble> {
        let own = |name: &str| entries.iter().find(|entry| entry.name == name);
        let plain: Vec<Entry> =
            entries.iter().filter(|entry| !["healthcheck", "balancer", "command"].contains(&entry.name.as_str())).cloned().collect();
        if let Some(health) = own("health") {
            let failure = Failure::refused("a service's health check is called `healthcheck` here");
            return Err(self.at(health.line, failure.hint("healthcheck: { path: /health, timeout: 30s }, or false")).into());
        }
        let mut map = self.values("service", &plain)?;
        if map.contains_key("port") && own("healthcheck").is_none() {
            let failure = Failure::refused(format!("{} has a port and no health check", entry.name));
            return Err(self.at(entry.line, failure.hint("healthcheck: { path: /health }, { tcp: true }, or false")).into());
        }
        if let Some(check) = own("healthcheck") {
            map.insert("health".into(), Dynamic::from(self.health(&check.node)?));
        }
        if let Some(command) = own("command") {
            map.insert("command".into(), self.words(&command.node)?);
        }
        if let Some(balancer) = own("balancer") {
            map.insert("balancer".into(), self.balancer(&balancer.node, described)?);
        }
        let options = Options::read(spec("service").expect("it takes options"), Some(&map.into()));
        let service = options.map_err(Trouble::from).and_then(|options| declared_service(self.caller, &entry.name, &options));
        service.map_err(|trouble| self.wrong(entry.line, trouble))
    }

    fn balancer(&self, node: &Node, described: &Described) -> Result<Dynamic, Trouble> {
        match &node.value {
            Value::Scalar { text, .. } if text == "none" => Ok(text.clone().into()),
            Value::List(items) => {
                let hosts = items.iter().map(|item| self.host(item, described).map(Dynamic::from)).collect::<Result<Array, _>>()?;
                Ok(hosts.into())
            }
            _ => Ok(Dynamic::from(self.host(node, described)?)),
        }
    }

    /// One of the servers, by its address.
    fn host(&self, node: &Node, described: &Described) -> Result<Host, Trouble> {
        let text = self.text(node, "host", Names::Variables)?;
        let hosts = described.hosts();
        let name = Host::parse(&text).map_err(|invalid| self.wrong(node.line, invalid.into()))?.name.clone();
        let found = hosts.iter().find(|host| host.name == name);
        found.map(|host| (*host).clone()).ok_or_else(|| {
            let known: Vec<&str> = hosts.iter().map(|host| host.name.as_str()).collect();
            self.at(node.line, unknown(&format!("{text} is none of the servers"), &text, &known)).into()
        })
    }

    fn health(&self, node: &Node) -> Result<Health, Trouble> {
        if let Value::Scalar { text, is_plain: true } = &node.value
            && text == "false"
        {
            return Ok(Health::new(Check::None));
        }
        let what = "`healthcheck` is false, or a map with path, tcp, command or docker in it";
        let Value::Map(entries) = &node.value else { return Err(self.refused(node.line, what)) };
        let ways: Vec<(&Entry, &str)> =
            CHECKS.iter().filter_map(|(way, function)| Some((entries.iter().find(|entry| entry.name == *way)?, *function))).collect();
        let [(way, function)] = ways[..] else { return Err(self.refused(node.line, what)) };
        let rest: Vec<Entry> = entries.iter().filter(|entry| entry.name != way.name).cloned().collect();
        let options = self.options(function, &rest)?;
        let check = match function {
            "http" => {
                let path = self.text(&way.node, "path", Names::Variables)?;
                path_of_url(&path).map_err(|failure| self.at(way.line, failure))?;
                Check::Http { path, expect: vec![200] }
            }
            "command" => Check::Command { command: self.strings(&way.node, "command")? },
            _ if way.node.value != (Value::Scalar { text: "true".into(), is_plain: true }) => {
                return Err(self.refused(way.line, &format!("`{}` is true", way.name)));
            }
            "tcp" => Check::Tcp,
            _ => Check::Docker,
        };
        Ok(with_times(Health::new(check), &options))
    }

    /// A program and its arguments: a list, or a line without anything that only a shell understands.
    fn words(&self, node: &Node) -> Result<Dynamic, Trouble> {
        let Value::Scalar { text, .. } = &node.value else { return self.value(node, Names::Secrets) };
        if text.contains(['"', '\'', '\\', '|', '&', ';', '<', '>', '`', '*', '?']) || text.contains("$(") {
            let failure = Failure::refused("what a shell would understand in a command stands in a list here");
            return Err(self
                .at(node.line, failure.hint("command: [\"sh\", \"-c\", \"…\"], or the program and its arguments one by one"))
                .into());
        }
        let words = text.split_whitespace().map(|word| self.named(word, node.line, Names::Secrets).map(Dynamic::from));
        Ok(words.collect::<Result<Array, _>>()?.into())
    }

    fn commands(&self, node: &Node, when: &str) -> Result<Vec<String>, Trouble> {
        match &node.value {
            Value::List(items) => items.iter().map(|item| self.text(item, when, Names::Nothing)).collect(),
            _ => Err(self.refused(node.line, &format!("`{when}` is a list of commands"))),
        }
    }

    fn strings(&self, node: &Node, what: &str) -> Result<Vec<String>, Trouble> {
        match &node.value {
            Value::List(items) if !items.is_empty() => items.iter().map(|item| self.text(item, what, Names::Variables)).collect(),
            _ => Err(self.refused(node.line, &format!("`{what}` is a list: the program and its arguments"))),
        }
    }

    /// The options of a script's function, by its own rules.
    fn options(&self, function: &str, entries: &[Entry]) -> Result<Options, Trouble> {
        let map = self.values(function, entries)?;
        Ok(Options::read(spec(function).expect("it takes options"), Some(&map.into()))?)
    }

    fn values(&self, function: &str, entries: &[Entry]) -> Result<Map, Trouble> {
        let spec = spec(function).expect("it takes options");
        let mut map = Map::new();
        for entry in entries {
            let called = |name| if name == "health" { "healthcheck" } else { name };
            let known: Vec<&str> = spec.keys.iter().map(|key| called(key.name)).collect();
            let foreign = || self.at(entry.line, unknown(&format!("there is no `{}` here", entry.name), &entry.name, &known));
            let key = spec.keys.iter().find(|key| key.name == entry.name).ok_or_else(foreign)?;
            let names = if matches!(key.kind, Kind::Variables | Kind::Secretive) { Names::Secrets } else { Names::Variables };
            let value = match (key.name, &entry.node.value) {
                // Names are labels that say nothing more.
                ("labels", Value::List(items)) => {
                    let names = items.iter().map(|item| Ok((self.text(item, "labels", Names::Variables)?.into(), "yes".into())));
                    names.collect::<Result<Map, Trouble>>()?.into()
                }
                _ => self.value(&entry.node, names)?,
            };
            if !value.is_unit() {
                let problem = |problem: String| self.refused(entry.node.line, &format!("`{}` {problem}", entry.name));
                key.kind.fits(&value).map_err(problem)?;
            }
            map.insert(entry.name.clone().into(), value);
        }
        Ok(map)
    }

    fn value(&self, node: &Node, names: Names) -> Result<Dynamic, Trouble> {
        Ok(match &node.value {
            Value::Scalar { text, is_plain } => {
                let value = scalar(text, *is_plain);
                if value.is_string() { self.named(text, node.line, names)?.into() } else { value }
            }
            Value::List(items) => items.iter().map(|item| self.value(item, names)).collect::<Result<Array, _>>()?.into(),
            Value::Map(entries) => {
                let fields = entries.iter().map(|entry| Ok((entry.name.clone().into(), self.value(&entry.node, names)?)));
                fields.collect::<Result<Map, Trouble>>()?.into()
            }
        })
    }

    /// A text with what `${NAME}` in it stands for; `$${` is `${`.
    fn named(&self, text: &str, line: usize, names: Names) -> Result<String, Trouble> {
        if names == Names::Nothing {
            return Ok(text.to_owned());
        }
        let mut told = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("${") {
            if let Some(before) = before.strip_suffix('$') {
                told += before;
                told += "${";
                rest = after;
                continue;
            }
            let unended = || self.refused(line, "`${` has no `}`: a `${` that is meant as it stands is written `$${`");
            let (name, after) = after.split_once('}').ok_or_else(unended)?;
            told += before;
            told += &self.meaning(name, line, names)?;
            rest = after;
        }
        Ok(told + rest)
    }

    fn meaning(&self, name: &str, line: usize, names: Names) -> Result<String, Trouble> {
        env_name(name).map_err(|invalid| self.wrong(line, invalid.into()))?;
        let circumstances = self.caller.session.circumstances();
        let found = match names {
            Names::Secrets if circumstances.secrets.has(name) => Some(circumstances.placeholders.stand_in(name)?),
            Names::Secrets => None,
            _ => self.caller.perform(op::ReadEnv { name: name.to_owned() })?,
        };
        let missing = || {
            let failure = Failure::failed(format!("the environment variable {name} is not set"));
            self.at(line, failure.hint(format!("set {name}, or write it into .env beside the script"))).into()
        };
        found.ok_or_else(missing)
    }

    /// A scalar as text.
    fn text(&self, node: &Node, what: &str, names: Names) -> Result<String, Trouble> {
        match &node.value {
            Value::Scalar { text, is_plain } if !scalar(text, *is_plain).is_unit() => self.named(text, node.line, names),
            _ => Err(self.refused(node.line, &format!("`{what}` is a text"))),
        }
    }

    fn map<'n>(&self, node: &'n Node, what: &str) -> Result<&'n [Entry], Trouble> {
        match &node.value {
            Value::Map(entries) => Ok(entries),
            Value::Scalar { text, is_plain } if scalar(text, *is_plain).is_unit() => Ok(&[]),
            _ => Err(self.refused(node.line, &format!("{what} is a map, `key: value` line by line"))),
        }
    }

    fn entries<'n>(&self, node: Option<&'n Node>, what: &str) -> Result<&'n [Entry], Trouble> {
        node.map_or(Ok(&[]), |node| self.map(node, &format!("`{what}`")))
    }

    /// The entry that a map has to have, and a map of the others.
    fn split<'n>(&self, node: &Node, entries: &'n [Entry], name: &str, what: &str) -> Result<(&'n Node, Vec<Entry>), Trouble> {
        let own = entries.iter().find(|entry| entry.name == name);
        let own = own.ok_or_else(|| self.refused(node.line, &format!("{what} has no `{name}`")))?;
        Ok((&own.node, entries.iter().filter(|entry| entry.name != name).cloned().collect()))
    }

    fn known(&self, entries: &[Entry], what: &str, known: &[&str]) -> Result<(), Trouble> {
        let foreign = entries.iter().find(|entry| !known.contains(&entry.name.as_str()));
        foreign.map_or(Ok(()), |entry| {
            Err(self.at(entry.line, unknown(&format!("{what} has no `{}`", entry.name), &entry.name, known)).into())
        })
    }

    /// The same failure with the file and line that it is about.
    fn at(&self, line: usize, failure: Failure) -> Failure {
        Failure { message: format!("{}:{line}: {}", self.path, failure.message), ..failure }
    }

    fn wrong(&self, line: usize, trouble: Trouble) -> Trouble {
        match trouble {
            Trouble::Failed(failure) => Trouble::Failed(Box::new(self.at(line, *failure))),
            other => other,
        }
    }

    fn refused(&self, line: usize, message: &str) -> Trouble {
        self.at(line, Failure::refused(message)).into()
    }
}
