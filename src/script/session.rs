//! What a script's calls have in common: their keys, and the way to the executor and back.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use serde::de::DeserializeOwned;

use super::{
    ledger::Ledger,
    placeholders::{Placeholders, foreign_answer},
    pruning::Asked,
    sources::Sources,
    tested::{Invariant, Tested},
};
use crate::{
    executor::{
        Branches, Call, Cancellation, Event, Executor, Key, Level, Narrator, Outcome, RunInfo, Undo, branches::each, call::Urgency,
        event::Discard, undo::Left,
    },
    failure::{Failure, FailureKind, Origin},
    model::{Host, HostName, Period, ProjectName, Registry, Text},
    op::{Class, Inverse, Op, Operation},
};

/// Tells which secrets there are, never their values.
pub trait SecretNames: Send + Sync {
    /// Whether the environment or `.env` beside the script has this secret.
    fn has(&self, name: &str) -> bool;

    /// The names in an env file, relative to the script's folder; the secret that a name stands for is called `PATH#NAME`.
    fn in_file(&self, path: &str) -> Result<Vec<String>, Failure>;
}

/// What is the same for a whole run.
pub(super) struct Circumstances {
    pub(super) executor: Arc<Ledger>,
    pub(super) narrator: Arc<dyn Narrator>,
    pub(super) run: Arc<RunInfo>,
    pub(super) branches: Branches,
    pub(super) cancellation: Cancellation,
    pub(super) secrets: Arc<dyn SecretNames>,
    pub(super) sources: Sources,
    pub(super) placeholders: Placeholders,
    /// The run's `KEY=VALUE` arguments, until `params` takes them.
    pub(super) arguments: Mutex<Option<Vec<(String, String)>>>,
    pub(super) project: Mutex<Project>,
    /// Where images of this run were built, by reference.
    pub(super) built: Mutex<BTreeMap<String, Host>>,
    /// The registries that the script has declared.
    pub(super) registries: Mutex<Vec<Registry>>,
    /// What registries' tags stand for in this run, by reference.
    pub(super) resolved: Mutex<BTreeMap<String, String>>,
    /// Who tests the script, where it is a test.
    pub(super) tested: Option<Arc<dyn Tested>>,
    /// What the script itself says must hold in tests.
    pub(super) invariants: Mutex<Vec<Invariant>>,
    /// Whether `given` was said.
    pub(super) is_given: AtomicBool,
}

/// The project, and whether a service carries its name already.
#[derive(Clone, Default)]
pub(super) struct Project {
    pub(super) name: ProjectName,
    pub(super) is_used: bool,
    /// How long its hosts are tried again where they are lost.
    pub(super) reconnect: Option<Period>,
}

/// What hooks are told about: it follows the calls that were made, branch by branch.
#[derive(Clone, Default)]
pub(super) struct Current {
    pub(super) service: Option<String>,
    pub(super) version: Option<String>,
    pub(super) previous: Option<String>,
    pub(super) hosts: Vec<HostName>,
}

/// A script's run, or one branch of it. Clones are the same session.
#[derive(Clone)]
pub struct Session(Arc<Branch>);

struct Branch {
    circumstances: Arc<Circumstances>,
    prefix: String,
    calls: AtomicUsize,
    phases: AtomicUsize,
    current: Mutex<Current>,
    /// What is to be pruned when all is final.
    asked: Mutex<Vec<Asked>>,
    /// Set when a sibling of this branch, or of one that it is in, has failed.
    stops: Vec<Arc<AtomicBool>>,
}

impl Session {
    pub(super) fn new(circumstances: Circumstances) -> Self {
        Self(Arc::new(Branch {
            circumstances: Arc::new(circumstances),
            prefix: String::new(),
            calls: AtomicUsize::new(0),
            phases: AtomicUsize::new(0),
            current: Mutex::default(),
            asked: Mutex::default(),
            stops: Vec::new(),
        }))
    }

    /// The session of branch number `index` of the call `key`; it stops once `stop` is set.
    pub(super) fn branch(&self, key: &Key, index: usize, stop: Arc<AtomicBool>) -> Self {
        self.within(key.part(index).branch(), Some(stop))
    }

    /// The session of a block of its own in place of the call `key`.
    pub(super) fn block(&self, key: &Key) -> Self {
        self.within(key.part(0).branch(), None)
    }

    fn within(&self, prefix: String, stop: Option<Arc<AtomicBool>>) -> Self {
        Self(Arc::new(Branch {
            circumstances: Arc::clone(&self.0.circumstances),
            prefix,
            calls: AtomicUsize::new(0),
            phases: AtomicUsize::new(self.phases().load(Ordering::SeqCst)),
            current: Mutex::new(self.current().clone()),
            asked: Mutex::default(),
            stops: self.0.stops.iter().cloned().chain(stop).collect(),
        }))
    }

    /// Undoes what was done in it since its last commit. What is left could not be undone.
    pub(super) fn undo(&self) -> Vec<Left> {
        let Circumstances { executor, run, branches, cancellation, .. } = self.circumstances();
        Undo { executor: executor.as_ref(), run, branches: *branches, cancellation }.block(&executor.records(), &self.0.prefix)
    }

    /// A session beside this one, for what is typed while it waits: its keys begin with `prefix`, so that this one's do not change.
    #[must_use]
    pub fn aside(&self, prefix: String) -> Self {
        self.within(prefix, None)
    }

    /// A session beside this one whose calls another executor gets.
    #[must_use]
    pub fn over(&self, prefix: String, executor: Arc<dyn Executor>) -> Self {
        let circumstances = self.circumstances();
        let session = Self::new(Circumstances {
            executor: Arc::new(Ledger::over(executor)),
            narrator: Arc::clone(&circumstances.narrator),
            run: Arc::clone(&circumstances.run),
            branches: circumstances.branches,
            cancellation: circumstances.cancellation.clone(),
            secrets: Arc::clone(&circumstances.secrets),
            sources: circumstances.sources.clone(),
            placeholders: circumstances.placeholders.clone(),
            arguments: Mutex::new(None),
            project: Mutex::new(lock(&circumstances.project).clone()),
            built: Mutex::new(lock(&circumstances.built).clone()),
            registries: Mutex::new(lock(&circumstances.registries).clone()),
            resolved: Mutex::new(lock(&circumstances.resolved).clone()),
            tested: None,
            invariants: Mutex::default(),
            is_given: AtomicBool::new(false),
        });
        session.aside(prefix)
    }

    pub(super) fn circumstances(&self) -> &Circumstances {
        &self.0.circumstances
    }

    /// Who tests the script, where it is a test.
    pub(super) fn tested(&self) -> Option<Arc<dyn Tested>> {
        self.circumstances().tested.clone()
    }

    pub(super) fn current(&self) -> MutexGuard<'_, Current> {
        lock(&self.0.current)
    }

    /// What is to be pruned when all is final.
    pub(super) fn asked(&self) -> &Mutex<Vec<Asked>> {
        &self.0.asked
    }

    /// Whether it is a block of a script, and not the script itself.
    pub(super) fn is_block(&self) -> bool {
        !self.0.prefix.is_empty()
    }

    /// The project.
    pub fn project(&self) -> ProjectName {
        lock(&self.circumstances().project).name.clone()
    }

    /// How many phases it is in.
    pub(super) fn phases(&self) -> &AtomicUsize {
        &self.0.phases
    }

    /// The text that a script's string means.
    pub(super) fn text(&self, string: &str) -> Text {
        self.circumstances().placeholders.text(string)
    }

    pub(super) fn say(&self, level: Level, words: &str, origin: &Origin) {
        let text = self.circumstances().placeholders.show(words);
        self.circumstances().narrator.tell(Event::Said { level, text: &text, origin });
    }

    /// The next call's key.
    pub(super) fn next_key(&self) -> Key {
        Key::call(&self.0.prefix, self.0.calls.fetch_add(1, Ordering::SeqCst) + 1)
    }

    /// Fails when the run was told to stop, or a sibling has failed.
    pub(super) fn check(&self) -> Result<(), Failure> {
        self.goes_on()?;
        if self.is_stopped() { Err(Failure::of_another_branch()) } else { Ok(()) }
    }

    /// Fails when the run was told to stop. What begins blocks asks this: only a call is forgone for another branch's sake, so that
    /// there is a key to note it by.
    pub(super) fn goes_on(&self) -> Result<(), Failure> {
        if self.circumstances().cancellation.urgency() > Urgency::None {
            return Err(Failure::new(FailureKind::Interrupted, "the run was told to stop"));
        }
        Ok(())
    }

    fn is_stopped(&self) -> bool {
        self.0.stops.iter().any(|stop| stop.load(Ordering::SeqCst))
    }

    /// Takes note that a call, or a branch, is not made for another branch's sake.
    pub(super) fn forgo(&self, key: &Key) {
        self.circumstances().executor.forgo(key);
    }

    /// Performs one op.
    pub fn perform<O: Operation>(&self, origin: &Origin, op: O) -> Result<O::Output, Failure> {
        self.goes_on()?;
        let key = self.next_key();
        if self.is_stopped() {
            self.forgo(&key);
            return Err(Failure::of_another_branch());
        }
        let call = self.call(origin, op, key);
        match self.circumstances().executor.perform(&call) {
            Ok(outcome) => answer(outcome, &call),
            Err(failure) => {
                let inverse = failure.inverse.clone();
                Err(self.all_or_nothing(&[call], &[inverse], failure.from(origin)))
            }
        }
    }

    /// Performs the parts of one call, side by side as far as the run allows, and returns their answers in order. Where a part
    /// of a create or put fails, those that succeeded are undone; the error tells all that failed.
    pub fn perform_all<O: Operation>(&self, origin: &Origin, ops: Vec<O>) -> Result<Vec<O::Output>, Failure> {
        self.goes_on()?;
        if ops.is_empty() {
            return Ok(Vec::new());
        }
        let key = self.next_key();
        if self.is_stopped() {
            (0..ops.len()).for_each(|index| self.forgo(&key.part(index)));
            return Err(Failure::of_another_branch());
        }
        let (calls, results) = self.parts(origin, ops, &key);
        if results.iter().all(Result::is_ok) {
            return calls.iter().zip(results).map(|(call, result)| result.and_then(|outcome| answer(outcome, call))).collect();
        }
        let inverses: Vec<Inverse> = results
            .iter()
            .map(|result| result.as_ref().map_or_else(|failure| failure.inverse.clone(), |outcome| outcome.inverse.clone()))
            .collect();
        let failures: Vec<(&Call, Failure)> = calls.iter().zip(results).filter_map(|(call, result)| Some((call, result.err()?))).collect();
        let failure = joined(&calls, &failures).from(origin);
        Err(self.all_or_nothing(&calls, &inverses, failure))
    }

    /// Performs the parts of one call, each for itself: one that fails does not concern the others. An error is what ends the run.
    pub(super) fn perform_apart<O: Operation>(&self, origin: &Origin, ops: Vec<O>) -> Result<Vec<Result<O::Output, Failure>>, Failure> {
        self.check()?;
        if ops.is_empty() {
            return Ok(Vec::new());
        }
        let key = self.next_key();
        let (calls, results) = self.parts(origin, ops, &key);
        if let Some(Err(ending)) = results.iter().find(|result| result.as_ref().is_err_and(|failure| failure.kind.ends_the_run())) {
            return Err(ending.clone());
        }
        Ok(calls.iter().zip(results).map(|(call, result)| result.and_then(|outcome| answer(outcome, call))).collect())
    }

    /// The parts of one call, and what came of each.
    fn parts<O: Operation>(&self, origin: &Origin, ops: Vec<O>, key: &Key) -> (Vec<Call>, Vec<Result<Outcome, Failure>>) {
        let calls: Vec<Call> = ops.into_iter().enumerate().map(|(index, op)| self.call(origin, op, key.part(index))).collect();
        let executor = &self.circumstances().executor;
        let results = each(self.circumstances().branches, &calls, |_, call| executor.perform(call), |_| false);
        let results = results.into_iter().map(|result| result.unwrap_or_else(|| Err(Failure::failed("it was not begun")))).collect();
        (calls, results)
    }

    /// Undoes what these parts of a create or put did, the last first. What cannot be undone is told in the failure, and the rest
    /// goes on.
    fn all_or_nothing(&self, calls: &[Call], inverses: &[Inverse], mut failure: Failure) -> Failure {
        if !matches!(calls[0].op.class(), Class::Create | Class::Put) || failure.kind.ends_the_run() {
            return failure;
        }
        for (call, inverse) in calls.iter().zip(inverses).rev() {
            for (index, op) in inverse.iter().enumerate() {
                let undo = self.call(&call.origin, op.clone(), call.key.undo(index));
                if let Err(left) = self.circumstances().executor.perform(&undo) {
                    let place = op.host().map(|host| format!(" on {}", host.name)).unwrap_or_default();
                    failure = failure
                        .detail(format!("{} {}{place}, which was to undo {}, failed", op.verb(), op.describe(), call.key), left.message)
                        .hint(format!("look at {}{place}: what this call did there is left", call.op.verb()));
                    break;
                }
            }
        }
        failure
    }

    fn call(&self, origin: &Origin, op: impl Into<Op>, key: Key) -> Call {
        let circumstances = self.circumstances();
        Call {
            op: op.into().into(),
            token: key.token(&circumstances.run.id),
            key,
            origin: origin.clone(),
            run: Arc::clone(&circumstances.run),
            progress: Arc::new(Discard),
            cancellation: circumstances.cancellation.clone(),
            reconnect: lock(&circumstances.project).reconnect,
            foreseen: Inverse::default(),
            is_in_doubt: false,
        }
    }
}

fn answer<T: DeserializeOwned + Clone + 'static>(outcome: Outcome, call: &Call) -> Result<T, Failure> {
    foreign_answer(outcome.value)
        .read()
        .map_err(|error| Failure::failed(format!("`{}` was answered with something else: {error}", call.op.verb())).from(&call.origin))
}

/// One failure for all parts that failed.
fn joined(calls: &[Call], failures: &[(&Call, Failure)]) -> Failure {
    let named = |(call, failure): &(&Call, Failure)| match call.op.host() {
        Some(host) => failure.clone().on(&host.name),
        None => failure.clone(),
    };
    let failures: Vec<Failure> = failures.iter().map(named).collect();
    if let Some(ending) = failures.iter().find(|failure| failure.kind.ends_the_run()) {
        return ending.clone();
    }
    // A host may have several parts of it: a page of each of its containers, say.
    let hosts: BTreeSet<Option<&HostName>> = calls.iter().map(|call| call.op.host().map(|host| &host.name)).collect();
    let where_or_how_often = match (failures.len(), calls.len()) {
        (failed, parts) if hosts.len() == parts => format!("on {failed} of {parts} hosts"),
        (failed, parts) => format!("{failed} of {parts} times"),
    };
    let message = format!("`{}` failed {where_or_how_often}", calls[0].op.verb());
    combined(message, failures)
}

/// One failure for several, which says all that they say; a single one stays as it is.
pub(super) fn combined(message: String, mut failures: Vec<Failure>) -> Failure {
    if failures.len() == 1 {
        return failures.remove(0);
    }
    let kind = failures.first().map_or(FailureKind::Failed, |first| first.kind);
    let kind = if failures.iter().all(|failure| failure.kind == kind) { kind } else { FailureKind::Failed };
    let origin = failures.first().and_then(|first| first.origin.clone());
    let mut each: Vec<String> = failures
        .iter()
        .map(|failure| failure.host.as_ref().map_or_else(|| failure.message.clone(), |host| format!("{host}: {}", failure.message)))
        .collect();
    each.dedup();
    let mut sum = Failure { origin, ..Failure::new(kind, format!("{message}: {}", each.join("; "))) };
    for failure in failures {
        let place = failure.host.map(|host| format!("{host}: ")).unwrap_or_default();
        for detail in failure.details {
            sum = sum.detail(format!("{place}{}", detail.title), detail.text);
        }
        for hint in failure.hints {
            if !sum.hints.contains(&hint) {
                sum = sum.hint(hint);
            }
        }
    }
    sum
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
