//! What is outside of podlift: the operator's machine and the fleet.

use std::{path::Path, sync::Arc};

use tokio::runtime::{Builder, Handle, Runtime};

use super::environment::Environment;
use crate::{
    cli,
    executor::{Executor, Live},
    failure::Failure,
    fleet::{Fleet, FleetOptions, Secrets},
};

/// The live side, for one command.
pub struct Outside {
    runtime: Runtime,
    fleet: Fleet,
    executor: Arc<dyn Executor>,
}

impl Outside {
    /// Gets ready; no host is reached before it is needed. Local commands run in `folder`.
    pub fn open(ssh: &cli::Ssh, folder: &Path, environment: &Environment) -> Result<Self, Failure> {
        let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build();
        let runtime = runtime.map_err(|error| Failure::failed(format!("the runtime cannot be started: {error}")))?;
        let environment = environment.clone();
        let fleet = Fleet::new(FleetOptions {
            ssh_config: ssh.ssh_config.clone(),
            state: std::env::temp_dir(),
            folder: folder.to_path_buf(),
            secrets: Secrets::new(move |name| environment.value(name)),
        });
        let executor = Arc::new(Live::new(fleet.clone(), runtime.handle().clone()));
        Ok(Self { runtime, fleet, executor })
    }

    /// Does things for real.
    pub fn executor(&self) -> Arc<dyn Executor> {
        self.executor.clone()
    }

    /// The fleet, for what is no op.
    pub const fn fleet(&self) -> &Fleet {
        &self.fleet
    }

    /// Runs what is asynchronous.
    pub fn runtime(&self) -> &Handle {
        self.runtime.handle()
    }

    /// Ends all connections.
    pub fn close(self) {
        self.runtime.block_on(self.fleet.close());
    }
}
