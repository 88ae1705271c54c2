//! Reads hosts, all at once.

use std::{collections::BTreeMap, sync::Arc, thread};

use serde::de::DeserializeOwned;

use super::{
    about::About,
    complaint,
    exit::{Cause, Exit, Remains},
    identity,
};
use crate::{
    executor::{Call, Executor, Key, Narrate, Narrator},
    failure::{Failure, Origin},
    model::{Host, HostName, HostState},
    op::{Operation, Survey},
    terminal::{Printer, plan::States},
};

/// What each host is found to be, or why it could not be read.
pub fn survey(about: &About, narrator: Arc<dyn Narrator>) -> BTreeMap<HostName, Result<HostState, Failure>> {
    let project = &about.inventory.project;
    let hosts = about.inventory.hosts.values();
    let ops: Vec<Survey> = hosts.map(|host: &Host| Survey { host: host.clone(), project: project.clone() }).collect();
    let names: Vec<HostName> = ops.iter().map(|op| op.host.name.clone()).collect();
    names.into_iter().zip(read(about, narrator, ops)).collect()
}

/// Does these reads side by side and returns what came back of each, in their order.
pub fn read<O>(about: &About, narrator: Arc<dyn Narrator>, ops: Vec<O>) -> Vec<Result<O::Output, Failure>>
where
    O: Operation + Send,
    O::Output: DeserializeOwned + Send,
{
    let executor = Narrate::new(about.reads.clone(), narrator);
    let run = Arc::new(identity::new_run());
    let origin = Origin { file: "the command line".into(), line: 1, column: 1 };
    thread::scope(|scope| {
        let begin = |(index, op)| {
            let call = Call::new(op, Key::call("", 1).part(index), origin.clone(), run.clone());
            let executor = &executor;
            scope.spawn(move || executor.perform(&call))
        };
        let running: Vec<_> = ops.into_iter().enumerate().map(begin).collect();
        let output = |answer: Result<crate::op::Outcome, Failure>| {
            // No script asked for it.
            let answer = answer.map_err(|failure| Failure { origin: None, ..failure });
            answer?.value.read().map_err(|error| Failure::failed(format!("an answer could not be read: {error}")))
        };
        running.into_iter().map(|thread| output(thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))).collect()
    })
}

/// The hosts that answered, and why the others did not.
pub fn split(answers: BTreeMap<HostName, Result<HostState, Failure>>) -> (States, Vec<Failure>) {
    let (mut states, mut failures) = (States::new(), Vec::new());
    for (host, answer) in answers {
        match answer {
            Ok(state) => {
                states.insert(host, state);
            }
            Err(failure) => failures.push(failure.on(&host)),
        }
    }
    (states, failures)
}

/// Tells failures, and the exit code of the first.
pub fn tell_all(failures: &[Failure], printer: &Printer) -> Exit {
    for failure in failures {
        complaint::tell_failure(printer, failure);
    }
    failures.first().map_or(Exit::Done, |failure| Exit::of(Cause::Failure(failure.kind), Remains::Nothing))
}
