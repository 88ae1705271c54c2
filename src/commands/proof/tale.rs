//! One run with what befalls it, from its beginning to an end that nobody has to see to.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use serde_json::Value;

use super::{Desk, Subject};
use crate::{
    commands::{
        changes::Counts,
        exit::{Cause, Exit, Remains},
        stack::Stack,
    },
    executor::{
        Branches, Call, Cancellation, Event, Executor, Model, Narrator, Outcome, RunInfo, Terms, Undo, Urgency,
        doubts::{take_back, touched},
        ending::{Ending, State},
        faults::{Faults, Met, Mortal, Noted, Planned, Step, Story, Then},
        record::{Answer, Decide},
    },
    failure::{Failure, FailureKind},
    journal::{Chain, Ended, Entry, How, Intent, Journal, now},
    model::{Period, RunId, Version},
    op::{Build, Op, Release},
    script::{ScriptRun, Tested, diagnostics::Diagnostic},
    world::{
        World,
        shape::{Shape, differences},
        watch::{Breach, Rules, Watch},
    },
};

/// How often a run is gone on with or taken back before it is said not to come to its end.
const LIVES: usize = 6;

/// Who runs it.
const OPERATOR: &str = "operator@test";
/// The run that is tested.
const TESTED: &str = "tested";
/// The run that came before it.
const BEFORE: &str = "before";

/// What a tale is measured by.
#[derive(Clone, Debug, Default)]
pub struct Limits {
    /// The most calls.
    pub calls: usize,
    /// The most steps that the script's own code may take in one block.
    pub steps: u64,
    /// What there is when all is done, where that is known.
    pub new: Option<Shape>,
}

/// How a tale ended.
pub struct Told {
    /// How the run itself ended, the first time that it did.
    pub exit: Option<Exit>,
    /// Why it failed, where it did.
    pub why: Option<String>,
    /// The same with its place in the script, where the script failed.
    pub diagnostic: Option<Diagnostic>,
    /// The faults that befell nothing: the story did not come up.
    pub missed: Vec<Planned>,
    /// The rules that were broken.
    pub breaches: Vec<Breach>,
    /// The calls, and what can go wrong with each.
    pub sites: Vec<Met>,
    /// What happened.
    pub steps: Vec<Step>,
    /// How many calls there were.
    pub calls: usize,
    /// How long it took, on the modelled fleet.
    pub took: Period,
    /// The fleet at the end.
    pub world: World,
}

impl Told {
    /// The fleet's shape at the end.
    pub fn shape(&self) -> Shape {
        self.world.shape(&id(TESTED))
    }
}

/// Tells a story of the script on a fleet that is `start` in the beginning.
pub fn tell(subject: &Subject, start: &World, story: &Story, limits: &Limits, noted: Noted) -> Told {
    Tale::new(subject, start, story, limits, noted, TESTED).tell(story, limits, start)
}

/// The fleet after the script was run on an empty one, nothing going wrong, with a version of what it builds that came before.
pub fn before(subject: &Subject, limits: &Limits) -> Result<World, Box<Diagnostic>> {
    let empty = World::default();
    let story = Story::default();
    let tale = Tale::new(subject, &empty, &story, limits, Noted::default(), BEFORE);
    let ended = tale.process(How::Run);
    let given = tale.given.lock().unwrap_or_else(PoisonError::into_inner).take();
    match (given, ended) {
        (Some(Ok(())), _) | (None, Some((Exit::Done, _))) => {}
        (Some(Err(failure)), _) => return Err(tale.diagnosed(failure.message)),
        (None, Some((_, why))) => return Err(tale.diagnosed(why.unwrap_or_else(|| "it failed".into()))),
        (None, None) => return Err(tale.diagnosed("it came to no end".into())),
    }
    let mut world = tale.fleet.world();
    world.free();
    Ok(world)
}

/// Builds what came before, until the script itself says what that is.
struct Earlier {
    inner: Arc<dyn Executor>,
    gives: Arc<AtomicBool>,
}

impl Executor for Earlier {
    fn perform(&self, call: &Call) -> Result<Outcome, Failure> {
        match &call.op {
            Op::Build(build) if !self.gives.load(Ordering::SeqCst) => {
                let version = Version::new(BEFORE).expect("a word is a version");
                self.inner.perform(&call.with(Build { version, ..build.clone() }))
            }
            _ => self.inner.perform(call),
        }
    }
}

fn id(name: &str) -> RunId {
    RunId::new(name).expect("a word is a run's id")
}

struct Tale<'a> {
    subject: &'a Subject,
    fleet: Arc<Faults<Arc<Desk>>>,
    disk: Arc<Mutex<String>>,
    run: Arc<RunInfo>,
    steps: u64,
    /// How the script failed the first time that it did.
    diagnostic: Mutex<Option<Diagnostic>>,
    /// Whether it makes what the tests begin with, and what came of it where the script says what that is.
    begins: bool,
    gives: Arc<AtomicBool>,
    given: Arc<Mutex<Option<Result<(), Failure>>>>,
}

impl<'a> Tale<'a> {
    fn new(subject: &'a Subject, start: &World, story: &Story, limits: &Limits, noted: Noted, name: &str) -> Self {
        let model = Model::new(start.clone(), subject.desk.clone());
        let fleet = Arc::new(Faults::new(model, story, Watch::new(subject.rules.clone(), start), limits.calls, noted));
        let started = format!("2026-01-0{}T00:00:00Z", if name == BEFORE { 1 } else { 2 });
        let run = Arc::new(RunInfo { id: id(name), operator: OPERATOR.into(), started });
        Self {
            subject,
            fleet,
            disk: Arc::default(),
            run,
            steps: limits.steps,
            diagnostic: Mutex::default(),
            begins: name == BEFORE,
            gives: Arc::default(),
            given: Arc::default(),
        }
    }

    /// How the script failed, or in these words where it did not.
    fn diagnosed(&self, otherwise: String) -> Box<Diagnostic> {
        let known = self.diagnostic.lock().unwrap_or_else(PoisonError::into_inner).take();
        Box::new(known.unwrap_or_else(|| Diagnostic { message: otherwise, ..Diagnostic::default() }))
    }

    fn tell(self, story: &Story, limits: &Limits, start: &World) -> Told {
        let (mut exit, mut why) = (None, None);
        let mut how = How::Run;
        for life in 0.. {
            let ended = self.process(how);
            if self.fleet.is_endless() {
                self.fleet.breach(Breach::new("ending", "the run does not come to its end"));
                break;
            }
            if let (None, Some((first, told))) = (exit, &ended) {
                (exit, why) = (Some(*first), told.clone());
            }
            match &ended {
                Some((Exit::Interrupted, _)) | None if life + 1 < LIVES => {
                    self.fleet.revive();
                    how = if story.then == Then::Resume && how != How::Undo { How::Resume } else { How::Undo };
                }
                Some((Exit::Mixed, _)) if life + 1 < LIVES && !self.fleet.is_calm() => {
                    // It is said to be mixed. Once all trouble has ended it can be taken back.
                    self.fleet.calm();
                    how = How::Undo;
                }
                Some((exit, told)) => {
                    self.judge(*exit, told.as_deref(), start, limits);
                    break;
                }
                None => {
                    self.fleet.breach(Breach::new("ending", "it cannot be gone on with or taken back"));
                    break;
                }
            }
        }
        let world = self.fleet.world();
        Told {
            exit,
            why,
            diagnostic: self.diagnostic.into_inner().unwrap_or_else(PoisonError::into_inner),
            missed: self.fleet.missed(),
            breaches: self.fleet.breaches(),
            sites: self.fleet.sites(),
            steps: self.fleet.steps(),
            calls: self.fleet.calls(),
            took: Period::milliseconds(world.clock().as_milliseconds() - start.clock().as_milliseconds()),
            world,
        }
    }

    /// Whether what is there is what the exit says.
    fn judge(&self, exit: Exit, why: Option<&str>, start: &World, limits: &Limits) {
        if !self.fleet.rules().ending {
            return;
        }
        let (found, run) = (self.fleet.world().shape(&self.run.id), &self.run.id);
        let old = self.fleet.committed().unwrap_or_else(|| start.shape(run));
        let left = differences(&found, &old);
        let broken = |what: String| self.fleet.breach(Breach::new("ending", what));
        match exit {
            Exit::Done => {
                let Some(new) = &limits.new else { return };
                let missing = differences(&found, new);
                if !missing.is_empty() && !left.is_empty() {
                    broken(format!("the run says that it is done, and what there is differs from what it makes: {}", missing.join("; ")));
                }
            }
            Exit::Error | Exit::Bad | Exit::Refused | Exit::Undone | Exit::Unreachable if !left.is_empty() => {
                broken(format!(
                    "the run says that it left nothing ({}), and what there is differs from before: {}",
                    exit.word(),
                    left.join("; ")
                ));
            }
            // What was committed on the way stays, as the script said.
            Exit::Mixed if left.is_empty() => {}
            Exit::Mixed | Exit::Interrupted => {
                let why = why.map(|why| format!(": {why}")).unwrap_or_default();
                broken(format!(
                    "with every host there and nothing going wrong, it cannot be taken back{why}; what differs from before: {}",
                    left.join("; ")
                ));
            }
            _ => {}
        }
    }

    /// One process that works on the run. `None` where its machine died.
    fn process(&self, how: How) -> Option<(Exit, Option<String>)> {
        let chain = {
            let mut disk = self.disk.lock().unwrap_or_else(PoisonError::into_inner);
            let chain = Chain::read(&disk).unwrap_or_else(|failure| {
                self.fleet.breach(Breach::new("ending", format!("the journal cannot be read again: {failure}")));
                Chain::default()
            });
            disk.truncate(chain.text().len());
            chain
        };
        let how = if chain.is_undoing() { How::Undo } else { how };
        let journal = Arc::new(Journal::open(Mortal::new(self.fleet.clone(), self.disk.clone()), chain));
        let fleet: Arc<dyn Executor> = self.fleet.clone();
        let within = if self.begins { Arc::new(Earlier { inner: fleet, gives: self.gives.clone() }) } else { (self.subject.around)(fleet) };
        let decide: Arc<dyn Decide> = Arc::new(Truth { fleet: self.fleet.clone(), how });
        let terms = Terms { patience: self.subject.patience, ..Terms::default() };
        let stack = Stack::journaled(None, within, Arc::new(Deaf), journal.clone(), decide.clone(), terms);
        let ended = match how {
            How::Run | How::Resume => self.runs(&stack, &journal),
            How::Undo => self.undoes(&stack, &journal, decide.as_ref()),
        };
        let (exit, why, ending) = ended?;
        let release = if exit == Exit::Interrupted { Release::Left } else { Release::Free };
        stack.release(&self.run, &release);
        if self.fleet.is_dead() {
            return None;
        }
        let state = ending.map(|state| format!("{state:?}"));
        let _ = journal.append(Entry::Ended(Ended { at: now(), exit: exit.word().into(), state, why: why.clone() }));
        Some((exit, why))
    }

    fn runs(&self, stack: &Stack, journal: &Journal) -> Option<(Exit, Option<String>, Option<State>)> {
        let cancellation = Cancellation::within(self.steps);
        let tested = Arc::new(Test {
            fleet: self.fleet.clone(),
            run: self.run.id.clone(),
            begins: self.begins,
            gives: self.gives.clone(),
            given: self.given.clone(),
        });
        let run = ScriptRun {
            arguments: self.subject.arguments.clone(),
            executor: stack.executor(),
            narrator: Arc::new(Deaf),
            run: self.run.clone(),
            branches: Branches::InOrder,
            cancellation: cancellation.clone(),
            secrets: self.subject.secrets.clone(),
        };
        let ended = self.subject.script.test(run, tested);
        if cancellation.is_spent() {
            self.fleet.exhaust();
        }
        if self.fleet.is_dead() || self.fleet.is_endless() {
            return None;
        }
        if matches!(&ended, Err(ended) if !ended.kind.is_some_and(FailureKind::leaves_all)) {
            let _ = journal.append(Entry::Undoing { at: now() });
            let executor = stack.executor();
            let undo = Undo { executor: executor.as_ref(), run: &self.run, branches: Branches::InOrder, cancellation: &cancellation };
            undo.block(&stack.records(), "");
        }
        if self.fleet.is_dead() {
            return None;
        }
        if let Err(ended) = &ended {
            self.diagnostic.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(|| ended.diagnostic.clone());
        }
        let records = stack.records();
        let counts = Counts::of(&records);
        let ending = (counts.changes + counts.doubtful > 0).then(|| Ending::read(stack.within(), &records, &self.run));
        let (state, taken_back) = (ending.as_ref().map(Ending::state), ending.as_ref().is_none_or(Ending::is_taken_back));
        let (exit, why) = match ended {
            Ok(()) if !counts.left_out.is_empty() => (Exit::Mixed, Some("hosts were left out".to_owned())),
            Ok(()) => (Exit::Done, None),
            Err(ended) => {
                let cause = match ended.kind {
                    None => Cause::Script,
                    Some(FailureKind::Refused) if counts.failed == 0 => Cause::Script,
                    Some(kind) => Cause::Failure(kind),
                };
                (Exit::of(cause, Remains::of(&counts, state.unwrap_or(State::Unchanged), taken_back)), Some(ended.diagnostic.message))
            }
        };
        Some((exit, why, state))
    }

    fn undoes(&self, stack: &Stack, journal: &Journal, decide: &dyn Decide) -> Option<(Exit, Option<String>, Option<State>)> {
        let _ = journal.append(Entry::Undoing { at: now() });
        let cancellation = Cancellation::default();
        let executor = stack.executor();
        let undo = Undo { executor: executor.as_ref(), run: &self.run, branches: Branches::InOrder, cancellation: &cancellation };
        let failures = take_back(journal, stack.settling(), decide, &undo);
        if self.fleet.is_dead() {
            return None;
        }
        let ending = Ending::read(stack.within(), &touched(journal), &self.run);
        let state = ending.state();
        let was_stopped = cancellation.urgency() > Urgency::None || failures.iter().any(|failure| failure.kind.leaves_all());
        let exit = match (was_stopped, failures.is_empty() && ending.is_taken_back()) {
            (true, _) => Exit::Interrupted,
            (false, true) => Exit::Undone,
            (false, false) => Exit::Mixed,
        };
        Some((exit, failures.first().map(|failure| failure.message.clone()), Some(state)))
    }
}

/// Who answers for a command whose answer was lost knows what became of it.
struct Truth {
    fleet: Arc<Faults<Arc<Desk>>>,
    how: How,
}

impl Decide for Truth {
    fn decide(&self, intent: &Intent) -> Answer {
        match (self.fleet.was_done(intent.asked.key.as_str()), self.how) {
            (true, _) => Answer::Done,
            (false, How::Undo) => Answer::Skip,
            (false, How::Run | How::Resume) => Answer::Redo,
        }
    }

    fn who(&self) -> String {
        OPERATOR.into()
    }
}

/// What the script says of its own tests.
struct Test {
    fleet: Arc<Faults<Arc<Desk>>>,
    run: RunId,
    begins: bool,
    gives: Arc<AtomicBool>,
    given: Arc<Mutex<Option<Result<(), Failure>>>>,
}

impl Tested for Test {
    fn begins(&self) -> bool {
        self.begins
    }

    fn gives(&self) {
        self.gives.store(true, Ordering::SeqCst);
    }

    fn given(&self, done: Result<(), Failure>) {
        *self.given.lock().unwrap_or_else(PoisonError::into_inner) = Some(done);
    }

    fn rules(&self, change: &dyn Fn(&mut Rules)) {
        self.fleet.change_rules(change);
    }

    fn looks(&self) -> Vec<Value> {
        self.fleet.looks(&self.run)
    }

    fn broken(&self, breach: Breach) {
        if !self.begins {
            self.fleet.breach(breach);
        }
    }
}

struct Deaf;

impl Narrator for Deaf {
    fn tell(&self, _: Event<'_>) {}
}
