//! Which hosts and services a script is about: learnt by running it in a model.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    executor::Recorded,
    model::{Database, Host, HostName, ProjectName, Service, ServiceName},
    op::Op,
    terminal::hosts::Part,
};

/// What a script is about.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Inventory {
    /// Its project.
    pub project: ProjectName,
    /// The hosts that its services are on, and their proxies' hosts, by name.
    pub hosts: BTreeMap<HostName, Host>,
    /// The services that it starts.
    pub services: BTreeMap<ServiceName, Service>,
    /// Which of them it starts where.
    pub places: BTreeMap<HostName, BTreeSet<ServiceName>>,
    /// The databases that it reads or changes.
    pub databases: Vec<Asked>,
}

/// A database, and what a script asks of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Asked {
    /// The database.
    pub database: Database,
    /// Whether it is written to; else it is only read.
    pub is_changed: bool,
}

/// No services.
static NONE: BTreeSet<ServiceName> = BTreeSet::new();

impl Inventory {
    /// What each of its hosts is for it.
    pub fn parts(&self) -> impl Iterator<Item = Part<'_>> {
        let here = |host: &Host| self.places.get(&host.name).unwrap_or(&NONE);
        self.hosts.values().map(move |host| Part { host, services: &self.services, here: here(host) })
    }

    /// What these calls of a script of this project are about.
    pub fn of(project: ProjectName, records: &[Recorded]) -> Self {
        let mut inventory = Self { project, ..Self::default() };
        for op in records.iter().map(|record| &*record.op) {
            if let Some(database) = op.database() {
                let is_changed = matches!(op, Op::Sql(_) | Op::Backfill(_));
                match inventory.databases.iter_mut().find(|asked| asked.database == *database) {
                    Some(asked) => asked.is_changed |= is_changed,
                    None => inventory.databases.push(Asked { database: database.clone(), is_changed }),
                }
                // Nothing is deployed to the host that a database is reached through, or dumped on.
                continue;
            }
            // An image may be built and shipped from here without anything being deployed here.
            let builder = |host: &Host| matches!(op, Op::Build(_) | Op::Ship(_) | Op::Push(_)) && host.is_local();
            inventory.hosts.extend(op.hosts().into_iter().filter(|host| !builder(host)).map(|host| (host.name.clone(), host.clone())));
            if let Op::Start(start) = op {
                inventory.services.entry(start.service.name.clone()).or_insert_with(|| start.service.clone());
                inventory.places.entry(start.host.name.clone()).or_default().insert(start.service.name.clone());
            }
        }
        inventory
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        executor::{Key, Outcome},
        failure::Origin,
        op::{Find, Now, Sought},
    };

    #[test]
    fn hosts_come_from_the_calls() {
        let shop = ProjectName::new("shop").expect("valid");
        let find = Find {
            host: Host::parse("deploy@h1").expect("valid"),
            project: shop.clone(),
            service: ServiceName::new("web").expect("valid"),
            proxies: vec![Host::parse("balancer").expect("valid")],
            sought: Sought::Running,
        };
        let record = |op: Op| Recorded {
            key: Key::call("", 1),
            op: op.into(),
            origin: Origin { file: "deploy.rhai".into(), line: 1, column: 1 },
            result: Ok(Outcome::default()),
            seconds: 0.0,
        };
        let inventory = Inventory::of(shop, &[record(Now {}.into()), record(find.into())]);
        assert_eq!(inventory.project.as_str(), "shop");
        assert_eq!(inventory.hosts.keys().map(HostName::as_str).collect::<Vec<_>>(), ["balancer", "h1"]);
    }
}
