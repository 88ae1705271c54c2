//! The live side: SSH, Docker, shipping, nginx.

pub mod build;
pub mod command;
pub mod connection;
pub mod containers;
pub mod engine;
pub mod health;
pub mod history;
pub mod http;
pub mod images;
pub mod journals;
pub mod local;
pub mod nginx;
pub mod registry;
pub mod secrets;
pub mod ship;
pub mod ssh;
pub mod survey;
pub mod trouble;

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use self::ssh::RunFolder;
pub use self::{
    connection::{Connection, Request, Stream},
    secrets::Secrets,
    ship::Exports,
};
use crate::{failure::Failure, model::Host};

/// All hosts of a run, each reached on first use.
#[derive(Clone)]
pub struct Fleet(Arc<Inner>);

struct Inner {
    options: FleetOptions,
    folder: Arc<tokio::sync::OnceCell<RunFolder>>,
    connections: Mutex<HashMap<Host, Arc<Connection>>>,
    exports: Exports,
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
        Self(Arc::new(Inner { options, folder: Arc::default(), connections: Mutex::default(), exports }))
    }

    /// The connection to a host, which is opened before this returns, and again where it broke.
    pub async fn host(&self, host: &Host) -> Result<Arc<Connection>, Failure> {
        let connection = {
            let mut connections = self.0.connections.lock().unwrap_or_else(PoisonError::into_inner);
            let options = &self.0.options;
            let made = || Arc::new(Connection::new(host.clone(), options.ssh_config.clone(), options.state.clone(), self.0.folder.clone()));
            connections.entry(host.clone()).or_insert_with(made).clone()
        };
        connection.open().await?;
        Ok(connection)
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

    /// Ends all connections.
    pub async fn close(&self) {
        let connections: Vec<_> = self.0.connections.lock().unwrap_or_else(PoisonError::into_inner).drain().collect();
        futures_util::future::join_all(connections.iter().map(|(_, connection)| connection.close())).await;
    }
}
