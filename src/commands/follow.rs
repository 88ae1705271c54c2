//! `podlift logs --follow`

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use tokio::{
    runtime::Handle,
    signal::unix::{Signal, SignalKind, signal},
    task::JoinHandle,
};

use super::{
    about::{About, Deaf},
    complaint,
    exit::Exit,
    logs::lines,
    look::{split, survey, tell_all},
};
use crate::{
    cli,
    failure::Failure,
    fleet::containers,
    model::{Container, ContainerName, Host},
    terminal::Printer,
};

/// How often it looks for containers that were started meanwhile.
const EVERY: Duration = Duration::from_secs(2);
/// Lines of a container that was started meanwhile: all that it wrote.
const ALL: u32 = 100_000;

/// Prints what a service's containers write, those too that are started meanwhile, until ctrl-C. A host that does not answer is told once,
/// and looked at again.
pub fn follow(options: &cli::Logs, about: &About, printer: &Printer) -> Exit {
    let runtime = about.outside.runtime();
    let mut stop = match Stop::listen(runtime) {
        Ok(stop) => stop,
        Err(error) => {
            complaint::tell_failure(printer, &Failure::failed(format!("ctrl-C cannot be listened to: {error}")));
            return Exit::Error;
        }
    };
    let mut followed = Followed { about, printer, containers: BTreeMap::new() };
    let mut told = BTreeSet::new();
    let mut tail = options.tail;
    loop {
        let (states, failures) = split(survey(about, Arc::new(Deaf)));
        if states.is_empty() && followed.containers.is_empty() && !failures.is_empty() {
            return tell_all(&failures, printer);
        }
        for failure in failures.iter().filter(|failure| !told.contains(&failure.message)) {
            complaint::tell_failure(printer, failure);
        }
        told = failures.into_iter().map(|failure| failure.message).collect();
        for (host, state) in &states {
            let Some(host) = about.inventory.hosts.get(host) else { continue };
            let running = state.containers.values().filter(|one| one.service == options.service && one.is_running());
            running.for_each(|container| followed.begin(host, container, tail));
        }
        if tail != ALL && followed.containers.is_empty() {
            printer.tell(format!("no container of {} runs there yet", options.service));
        }
        tail = ALL;
        if runtime.block_on(stop.within(EVERY)) {
            followed.containers.values().for_each(|one| one.task.abort());
            return Exit::Done;
        }
    }
}

/// The containers whose lines are printed.
struct Followed<'a> {
    about: &'a About,
    printer: &'a Printer,
    containers: BTreeMap<ContainerName, Following>,
}

struct Following {
    task: JoinHandle<()>,
    /// When it was last seen to be at work, in seconds since 1970.
    seen: i32,
}

impl Followed<'_> {
    /// Begins with a container that is new, and again with one whose lines came to an end although it runs.
    fn begin(&mut self, host: &Host, container: &Container, tail: u32) {
        let now =
            SystemTime::now().duration_since(UNIX_EPOCH).ok().and_then(|since| i32::try_from(since.as_secs()).ok()).unwrap_or(i32::MAX);
        let known = self.containers.get_mut(&container.name);
        if let Some(known) = known
            && !known.task.is_finished()
        {
            known.seen = now;
            return;
        }
        let since = self.containers.get(&container.name).map(|known| known.seen);
        let (fleet, printer) = (self.about.outside.fleet().clone(), self.printer.clone());
        let (host, name) = (host.clone(), container.name.clone());
        let task = self.about.outside.runtime().spawn(async move {
            let print = |line: &str| printer.data(lines(&name, line, true));
            let ended = match fleet.host(&host).await {
                Ok(connection) => containers::follow(&connection, &name, tail, since, fleet.secrets(), print).await,
                Err(failure) => Err(failure),
            };
            if let Err(failure) = ended {
                complaint::tell_failure(&printer, &failure.on(&host.name));
            }
        });
        self.containers.insert(container.name.clone(), Following { task, seen: now });
    }
}

/// What ends it: ctrl-C, SIGTERM, a closed terminal.
struct Stop([Signal; 3]);

impl Stop {
    fn listen(runtime: &Handle) -> io::Result<Self> {
        let _runtime = runtime.enter();
        Ok(Self([signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?, signal(SignalKind::hangup())?]))
    }

    /// Whether one of them came before this time was over.
    async fn within(&mut self, time: Duration) -> bool {
        let [interrupt, terminate, hangup] = &mut self.0;
        tokio::select! {
            _ = interrupt.recv() => true,
            _ = terminate.recv() => true,
            _ = hangup.recv() => true,
            () = tokio::time::sleep(time) => false,
        }
    }
}
