//! The live side: SSH, Docker, shipping, nginx, Postgres.

pub mod build;
pub mod command;
pub mod connection;
pub mod containers;
pub mod engine;
mod group;
pub mod health;
pub mod history;
pub mod http;
pub mod images;
pub mod journals;
pub mod lease;
mod listening;
pub mod local;
pub mod nginx;
pub mod postgres;
pub mod prometheus;
mod random;
pub mod registry;
pub mod secrets;
pub mod ship;
pub mod ssh;
pub mod survey;
pub mod trouble;

use std::{
    collections::{HashMap, HashSet},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use tokio::task::{JoinHandle, JoinSet};

use self::ssh::RunFolder;
pub use self::{
    connection::{Connection, Request, Stream},
    secrets::Secrets,
    ship::Exports,
};
use crate::{
    failure::Failure,
    model::{Host, HostName, ProjectName, ServiceName},
};

/// All hosts of a run, each reached on first use.
#[derive(Clone)]
pub struct Fleet(Arc<Inner>);

struct Inner {
    options: FleetOptions,
    folder: Arc<tokio::sync::OnceCell<RunFolder>>,
    connections: Mutex<HashMap<Host, Arc<Connection>>>,
    exports: Exports,
    /// Tells this process from another one of the same run.
    holder: String,
    /// What renews leases, once there is one.
    keeper: Mutex<Option<JoinHandle<()>>>,
}

/// What a fleet needs to know of the operator's machine.
#[derive(Clone, Debug)]
pub struct FleetOptions {
    /// An SSH configuration file in place of the user's own.
    pub ssh_config: Option<PathBuf>,
    /// A folder for control sockets; where its path is too long for sockets, one under `/tmp` is taken.
    pub state: PathBuf,
    /// The script's folder: build contexts and local commands are relative to it.
    pub folder: PathBuf,
    /// The values of secrets.
    pub secrets: Secrets,
}

impl Fleet {
    /// A fleet; nothing is reached yet.
    pub fn new(options: FleetOptions) -> Self {
        let exports = Exports::new(options.state.clone());
        let holder = lease::holder();
        let (folder, connections, keeper) = (Arc::default(), Mutex::default(), Mutex::default());
        Self(Arc::new(Inner { options, folder, connections, exports, holder, keeper }))
    }

    /// The connection to a host, which is opened before this returns, and again where it broke.
    pub async fn host(&self, host: &Host) -> Result<Arc<Connection>, Failure> {
        let connection = {
            let mut connections = self.0.connections.lock().unwrap_or_else(PoisonError::into_inner);
            let options = &self.0.options;
            let made = || {
                let connection = Connection::new(host.clone(), options.ssh_config.clone(), options.state.clone(), self.0.folder.clone());
                Arc::new(connection.held_by(&self.0.holder))
            };
            connections.entry(host.clone()).or_insert_with(made).clone()
        };
        connection.open().await?;
        Ok(connection)
    }

    /// Takes note that nobody waits for this host any longer; see [`Connection::give_up`].
    pub fn give_up(&self, host: &HostName) {
        self.connections().iter().filter(|connection| connection.host().name == *host).for_each(|connection| connection.give_up());
    }

    /// Lets every host that was given up be tried once more at once; see [`Connection::give_up`].
    pub fn reach_again(&self) {
        self.connections().iter().for_each(|connection| connection.reach_again());
    }

    /// The values of secrets.
    pub fn secrets(&self) -> &Secrets {
        &self.0.options.secrets
    }

    /// The script's folder.
    pub fn folder(&self) -> &Path {
        &self.0.options.folder
    }

    /// The images that were exported for shipping.
    pub fn exports(&self) -> &Exports {
        &self.0.exports
    }

    /// Tells this process from another one of the same run.
    pub fn holder(&self) -> &str {
        &self.0.holder
    }

    /// Why nothing may be changed on this host any longer, if another run has taken a lease of this one over.
    pub fn lost_lease(&self, host: &Host) -> Option<Failure> {
        self.connections()
            .into_iter()
            .filter(|connection| connection.host().name == host.name)
            .find_map(|connection| connection.leases().lost())
    }

    /// Why nothing may be changed any longer somewhere, if another run has taken a lease of this one over.
    pub fn lost(&self) -> Option<Failure> {
        self.connections().into_iter().find_map(|connection| connection.leases().lost())
    }

    /// Whether this process has taken this lease, or may have.
    pub fn has_lease(&self, host: &Host, project: &ProjectName, service: &ServiceName) -> bool {
        let connections = self.connections();
        connections.iter().any(|connection| connection.host().name == host.name && connection.leases().has(project, service))
    }

    /// Renews leases in the background from now on.
    fn keep_leases(&self) {
        let mut keeper = self.0.keeper.lock().unwrap_or_else(PoisonError::into_inner);
        if keeper.is_none() {
            *keeper = Some(tokio::spawn(keep(Arc::downgrade(&self.0))));
        }
    }

    fn connections(&self) -> Vec<Arc<Connection>> {
        connections(&self.0)
    }

    /// Ends all connections.
    pub async fn close(&self) {
        if let Some(keeper) = self.0.keeper.lock().unwrap_or_else(PoisonError::into_inner).take() {
            keeper.abort();
        }
        let connections: Vec<_> = self.0.connections.lock().unwrap_or_else(PoisonError::into_inner).drain().collect();
        futures_util::future::join_all(connections.iter().map(|(_, connection)| connection.close())).await;
    }
}

fn connections(fleet: &Inner) -> Vec<Arc<Connection>> {
    fleet.connections.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
}

/// Renews the leases of a fleet's connections after a third of the shortest one's time, each host by itself: one that does not
/// answer keeps no other waiting.
async fn keep(fleet: Weak<Inner>) {
    let (mut renewals, mut at_work) = (JoinSet::new(), HashSet::new());
    loop {
        let Some(connections) = fleet.upgrade().map(|fleet| connections(&fleet)) else { return };
        let soonest = connections.iter().filter_map(|connection| connection.leases().renewal()).min();
        tokio::time::sleep(soonest.unwrap_or(Duration::from_secs(1))).await;
        while let Some(renewed) = renewals.try_join_next() {
            match renewed {
                Ok(host) => drop(at_work.remove(&host)),
                // Nobody knows whose that was: each is asked for anew.
                Err(_) => at_work.clear(),
            }
        }
        for connection in connections {
            let host = connection.host().clone();
            if at_work.insert(host.clone()) {
                // A host that cannot be reached is noticed by the op that needs it.
                renewals.spawn(async move {
                    connection.renew_leases().await;
                    host
                });
            }
        }
    }
}
