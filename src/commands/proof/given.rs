//! What a script says of its own tests: where they begin, and what must hold.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use serde_json::Value;

use super::Desk;
use crate::{
    executor::{Call, Executor, Outcome, faults::Faults},
    failure::Failure,
    model::{HostName, RunId, Version},
    op::{Build, Op},
    script::{Invariants, Tested, diagnostics::Diagnostic},
    world::watch::{Breach, Rules},
};

/// What came before the run that is tested.
pub const BEFORE: &str = "before";

/// A test of a script, as the script sees it.
pub struct Test {
    fleet: Arc<Faults<Arc<Desk>>>,
    run: RunId,
    /// Whether the rules are known, whatever the script says of them on its way.
    has_rules: bool,
    /// Whether it makes what the tests begin with, and what came of it where the script says what that is.
    begins: bool,
    gives: AtomicBool,
    declared: Mutex<Vec<HostName>>,
    given: Mutex<Option<Result<(), Failure>>>,
    invariants: Mutex<Option<Invariants>>,
    /// The first invariant that could not be asked.
    mistake: Mutex<Option<Diagnostic>>,
    /// The first that came to no end: with it the run is ended.
    endless: Mutex<Option<Diagnostic>>,
}

impl Test {
    /// A test of the script on this fleet, by this run.
    pub fn new(fleet: Arc<Faults<Arc<Desk>>>, run: RunId, has_rules: bool) -> Self {
        let begins = run.as_str() == BEFORE;
        let gives = AtomicBool::new(false);
        Self {
            fleet,
            run,
            has_rules,
            begins,
            gives,
            declared: Mutex::default(),
            given: Mutex::default(),
            invariants: Mutex::default(),
            mistake: Mutex::default(),
            endless: Mutex::default(),
        }
    }

    /// Whether the script says what its tests begin with.
    pub fn is_given(&self) -> bool {
        self.gives.load(Ordering::SeqCst)
    }

    /// The hosts that the script has declared and the run has not changed.
    pub fn untouched(&self) -> Vec<HostName> {
        let fates = self.fleet.fates();
        lock(&self.declared).iter().filter(|host| !fates.changed.contains(*host)).cloned().collect()
    }

    /// What came of it.
    pub fn what_was_given(&self) -> Option<Result<(), Failure>> {
        lock(&self.given).clone()
    }

    /// Whether the script has invariants of its own.
    pub fn is_asked(&self) -> bool {
        lock(&self.invariants).is_some()
    }

    /// Why an invariant of the script could not be asked.
    pub fn mistake(&self) -> Option<Diagnostic> {
        lock(&self.mistake).clone()
    }

    /// Which invariant of the script came to no end.
    pub fn endless(&self) -> Option<Diagnostic> {
        lock(&self.endless).clone()
    }

    /// Asks the script's own invariants about what happened when it had ended.
    pub fn ask(&self) {
        if let Some(invariants) = &*lock(&self.invariants) {
            invariants.ask(self);
        }
    }
}

impl Tested for Test {
    fn begins(&self) -> bool {
        self.begins
    }

    fn declares(&self, hosts: &[HostName]) {
        *lock(&self.declared) = hosts.to_vec();
    }

    fn gives(&self) {
        self.gives.store(true, Ordering::SeqCst);
    }

    fn given(&self, done: Result<(), Failure>) {
        *lock(&self.given) = Some(done);
    }

    fn rules(&self, change: &dyn Fn(&mut Rules)) {
        if !self.has_rules {
            self.fleet.change_rules(change);
        }
    }

    fn looks(&self) -> Vec<Value> {
        self.fleet.looks(&self.run)
    }

    fn look_now(&self) {
        self.fleet.look_now(&self.run);
    }

    fn broken(&self, breach: Breach) {
        if !self.begins {
            self.fleet.breach(breach);
        }
    }

    fn endless(&self, diagnostic: Diagnostic) {
        lock(&self.endless).get_or_insert(diagnostic);
    }

    fn mistaken(&self, diagnostic: Diagnostic) {
        lock(&self.mistake).get_or_insert(diagnostic);
    }

    fn keeps(&self, invariants: Invariants) {
        *lock(&self.invariants) = Some(invariants);
    }
}

/// Builds what came before, until the script itself says what that is.
pub struct Earlier {
    /// The fleet.
    pub inner: Arc<dyn Executor>,
    /// The test that it begins.
    pub test: Arc<Test>,
}

impl Executor for Earlier {
    fn perform(&self, call: &Call) -> Result<Outcome, Failure> {
        match &*call.op {
            Op::Build(build) if !self.test.is_given() => {
                let version = Version::new(BEFORE).expect("a word is a version");
                self.inner.perform(&call.with(Build { version, ..build.clone() }))
            }
            _ => self.inner.perform(call),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
