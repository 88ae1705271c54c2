//! `podlift logs --follow`

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use tokio::{
    runtime::Handle,
    signal::unix::{Signal, SignalKind, signal},
    sync::oneshot,
    task::JoinHandle,
};

use super::{
    about::{About, Deaf},
    complaint,
    exit::Exit,
    look::{split, survey, tell_all},
};
use crate::{
    cli,
    failure::Failure,
    fleet::containers,
    model::{Container, ContainerName, Host},
    terminal::{Printer, clean},
};

/// How often it looks for containers that were started meanwhile.
const EVERY: Duration = Duration::from_secs(2);
/// Lines of a container that was started meanwhile: all that it wrote.
const ALL: u32 = 100_000;

/// Prints what a service's containers write, those too that are started meanwhile, until ctrl-C, or until nobody reads it any more. What
/// keeps a host or a container from being read is told once, and tried again.
pub fn follow(options: &cli::Logs, about: About, printer: &Printer) -> Exit {
    let about = Arc::new(about);
    let runtime = about.outside.runtime();
    let exit = match Stop::listen(runtime) {
        Ok(mut stop) => followed(options, &about, printer, &mut stop),
        Err(error) => tell_all(&[Failure::failed(format!("ctrl-C cannot be listened to: {error}"))], printer),
    };
    runtime.block_on(about.outside.fleet().close());
    exit
}

fn followed(options: &cli::Logs, about: &Arc<About>, printer: &Printer, stop: &mut Stop) -> Exit {
    let runtime = about.outside.runtime();
    let mut followed = Followed { about, printer, containers: BTreeMap::new() };
    let mut told = BTreeSet::new();
    let mut tail = options.tail;
    while !printer.is_closed() {
        // A host that does not answer is waited for: whoever ends it meanwhile does not wait.
        let (sender, answers) = oneshot::channel();
        let looking = about.clone();
        thread::spawn(move || sender.send(survey(&looking, Arc::new(Deaf))));
        let Some(Ok(answers)) = runtime.block_on(stop.before(answers)) else { break };
        let (states, failures) = split(answers);
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
        if runtime.block_on(stop.before(async { tokio::time::sleep(EVERY).await })).is_none() {
            break;
        }
    }
    followed.containers.values().for_each(|one| one.task.abort());
    Exit::Done
}

/// The containers whose lines are printed.
struct Followed<'a> {
    about: &'a About,
    printer: &'a Printer,
    containers: BTreeMap<ContainerName, Following>,
}

struct Following {
    task: JoinHandle<()>,
    heard: Arc<Mutex<Heard>>,
}

/// What was heard of a container.
#[derive(Default)]
struct Heard {
    /// The moment of its last line, by its host's clock.
    last: Option<String>,
    /// Why it could not be heard, as it was told last.
    trouble: Option<String>,
}

impl Followed<'_> {
    /// Begins with a container that is new, and again with one whose lines came to an end although it runs: behind its last one.
    fn begin(&mut self, host: &Host, container: &Container, tail: u32) {
        let known = self.containers.get(&container.name);
        if known.is_some_and(|known| !known.task.is_finished()) {
            return;
        }
        let heard = known.map(|known| known.heard.clone()).unwrap_or_default();
        let (fleet, printer) = (self.about.outside.fleet().clone(), self.printer.clone());
        let (host, name, hearing) = (host.clone(), container.name.clone(), heard.clone());
        let task = self.about.outside.runtime().spawn(async move {
            let after = lock(&hearing).last.clone();
            let print = |moment: &str, line: &str| {
                *lock(&hearing) = Heard { last: Some(moment.to_owned()), trouble: None };
                printer.data(format!("{name} | {}", clean::line(line)));
            };
            let ended = match fleet.host(&host).await {
                Ok(connection) => containers::follow(&connection, &name, tail, after.as_deref(), fleet.secrets(), print).await,
                Err(failure) => Err(failure),
            };
            if let Err(failure) = ended
                && lock(&hearing).trouble.replace(failure.message.clone()).is_none_or(|told| told != failure.message)
            {
                complaint::tell_failure(&printer, &failure.on(&host.name));
            }
        });
        self.containers.insert(container.name.clone(), Following { task, heard });
    }
}

fn lock(heard: &Mutex<Heard>) -> MutexGuard<'_, Heard> {
    heard.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What ends it: ctrl-C, SIGTERM, a closed terminal.
struct Stop([Signal; 3]);

impl Stop {
    fn listen(runtime: &Handle) -> io::Result<Self> {
        let _runtime = runtime.enter();
        Ok(Self([signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?, signal(SignalKind::hangup())?]))
    }

    /// What comes of this; `None` where one of them came before.
    async fn before<T>(&mut self, other: impl Future<Output = T>) -> Option<T> {
        let [interrupt, terminate, hangup] = &mut self.0;
        tokio::select! {
            _ = interrupt.recv() => None,
            _ = terminate.recv() => None,
            _ = hangup.recv() => None,
            output = other => Some(output),
        }
    }
}
