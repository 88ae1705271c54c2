//! What is outside of podlift: the operator's machine and the fleet.

use std::{path::Path, sync::Arc};

use tokio::runtime::{Builder, Handle, Runtime};

use super::environment::Environment;
use crate::{
    cli,
    executor::{Call, Executor, Outcome},
    failure::Failure,
    terminal::plan::RenderFile,
};

/// The live side, for one command.
pub struct Outside {
    runtime: Runtime,
    executor: Arc<dyn Executor>,
}

impl Outside {
    /// Gets ready; no host is reached before it is needed.
    pub fn open(_: &cli::Ssh, _: &Path, _: &Environment) -> Result<Self, Failure> {
        let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build();
        let runtime = runtime.map_err(|error| Failure::failed(format!("the runtime cannot be started: {error}")))?;
        Ok(Self { runtime, executor: Arc::new(Unconnected) })
    }

    /// Does things for real.
    pub fn executor(&self) -> Arc<dyn Executor> {
        self.executor.clone()
    }

    /// Runs what is asynchronous.
    pub fn runtime(&self) -> &Handle {
        self.runtime.handle()
    }

    /// Makes a proxy's file of a table, where this build can.
    pub fn proxy_files(&self) -> Option<RenderFile<'_>> {
        None
    }

    /// Ends all connections.
    pub fn close(self) {}
}

/// Before the live side is there: nothing real can be done or read.
struct Unconnected;

impl Executor for Unconnected {
    fn perform(&self, call: &Call) -> Result<Outcome, Failure> {
        Err(Failure::refused(format!("`{}` needs the live fleet, which this build does not have", call.op.verb()))
            .hint("--simulate runs a script without hosts"))
    }
}
