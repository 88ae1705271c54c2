//! One run with what befalls it, from its beginning to an end that nobody has to see to.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use serde_json::Value;

use super::{Desk, Subject};
use crate::{
    commands::{
        enter::enter,
        exit::Exit,
        journaling,
        mode::Mode,
        rehearse::rehearse,
        stack::Stack,
        work::{Finished, Work},
    },
    executor::{
        Branches, Call, Cancellation, Event, Executor, Model, Narrator, Outcome, RunInfo, Terms,
        faults::{Faults, Met, Mortal, Noted, Planned, Step, Story, Then},
        record::{Answer, Decide},
    },
    failure::Failure,
    journal::{Chain, How, Intent, Journal},
    model::{Period, RunId, Version},
    op::{Build, Op},
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
    let mut tale = Tale::new(subject, &empty, &story, limits, Noted::default(), BEFORE);
    let ended = tale.process(How::Run);
    let given = tale.given.lock().unwrap_or_else(PoisonError::into_inner).take();
    match (given, ended) {
        (Some(Ok(())), _) | (None, Life::Ended(Exit::Done, _)) => {}
        (Some(Err(failure)), _) => return Err(tale.diagnosed(failure.message)),
        (None, Life::Ended(_, why) | Life::Refused(why)) => return Err(tale.diagnosed(why.unwrap_or_else(|| "it failed".into()))),
        (None, Life::Died) => return Err(tale.diagnosed("it came to no end".into())),
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
    /// The run's journal, as the last process left it.
    journal: Option<Arc<Journal>>,
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
            journal: None,
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

    fn tell(mut self, story: &Story, limits: &Limits, start: &World) -> Told {
        let (mut exit, mut why) = (None, None);
        let mut how = How::Run;
        for life in 0.. {
            let ended = self.process(how);
            if self.fleet.is_endless() {
                self.fleet.breach(Breach::new("ending", "the run does not come to its end"));
                break;
            }
            if let (None, Life::Ended(first, told)) = (exit, &ended) {
                (exit, why) = (Some(*first), told.clone());
            }
            match &ended {
                Life::Ended(Exit::Interrupted, _) | Life::Refused(_) | Life::Died if life + 1 < LIVES => {
                    self.fleet.revive();
                    how = if story.then == Then::Resume && how != How::Undo { How::Resume } else { How::Undo };
                }
                Life::Ended(Exit::Mixed, _) if life + 1 < LIVES && !self.fleet.is_calm() => {
                    // It is said to be mixed. Once all trouble has ended it can be taken back.
                    self.fleet.calm();
                    how = How::Undo;
                }
                Life::Ended(exit, told) => {
                    self.judge(*exit, told.as_deref(), start, limits);
                    break;
                }
                Life::Refused(why) => {
                    let why = why.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
                    self.fleet.breach(Breach::new("ending", format!("it cannot be gone on with or taken back{why}")));
                    break;
                }
                Life::Died => {
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

    /// One process that works on the run, as `podlift run`, `resume` and `undo` do.
    fn process(&mut self, how: How) -> Life {
        let chain = self.journal.take().map_or_else(Chain::default, |journal| {
            // As another machine reads it.
            Chain::read(Chain::of(journal.chain().entries()).text()).unwrap_or_else(|failure| {
                self.fleet.breach(Breach::new("ending", format!("the journal cannot be read again: {failure}")));
                Chain::default()
            })
        });
        let how = if chain.is_undoing() { How::Undo } else { how };
        let journal = Arc::new(Journal::open(Mortal::new(self.fleet.clone()), chain));
        self.journal = Some(journal.clone());
        let fleet: Arc<dyn Executor> = self.fleet.clone();
        let within = if self.begins { Arc::new(Earlier { inner: fleet, gives: self.gives.clone() }) } else { (self.subject.around)(fleet) };
        let decide: Arc<dyn Decide> = Arc::new(Truth { fleet: self.fleet.clone(), how });
        let terms = Terms { patience: self.subject.patience, branches: Branches::InOrder, ..Terms::default() };
        let stack = Stack::journaled(None, within, Arc::new(Deaf), journal.clone(), decide.clone(), terms);
        let cancellation = if how == How::Undo { Cancellation::default() } else { Cancellation::within(self.steps) };
        if let Err(refused) = self.begin(&stack, &journal, how, &cancellation) {
            return if self.fleet.is_dead() { Life::Died } else { Life::Refused(Some(refused)) };
        }
        let work = Work { stack: &stack, journal: &journal, run: &self.run, decide: decide.as_ref(), mode: Mode::Live };
        let ended = match how {
            How::Run | How::Resume => self.runs(&work, &cancellation),
            How::Undo => self.undoes(&work, &cancellation),
        };
        match ended {
            Some((Finished { exit, .. }, why)) if !self.fleet.is_dead() => Life::Ended(exit, why),
            _ => Life::Died,
        }
    }

    /// Comes to work on the run, or tells why not.
    fn begin(&self, stack: &Stack, journal: &Journal, how: How, cancellation: &Cancellation) -> Result<(), String> {
        if !journal.goes_on() {
            return journaling::began(journal, how).map_err(|failure| failure.message);
        }
        if how == How::Resume {
            let Subject { script, arguments, secrets, .. } = self.subject;
            rehearse(script, arguments, &self.run, journal, secrets).map_err(|ended| ended.diagnostic.message)?;
        }
        enter(stack, journal, &self.run, how, cancellation).map_err(|failure| failure.message)
    }

    fn runs(&self, work: &Work<'_>, cancellation: &Cancellation) -> Option<(Finished, Option<String>)> {
        let tested = Arc::new(Test {
            fleet: self.fleet.clone(),
            run: self.run.id.clone(),
            begins: self.begins,
            gives: self.gives.clone(),
            given: self.given.clone(),
        });
        let run = ScriptRun {
            arguments: self.subject.arguments.clone(),
            executor: work.stack.executor(),
            narrator: Arc::new(Deaf),
            run: self.run.clone(),
            branches: work.stack.branches(),
            cancellation: cancellation.clone(),
            secrets: self.subject.secrets.clone(),
        };
        let ended = self.subject.script.test(run, tested);
        if cancellation.is_spent() {
            self.fleet.exhaust();
        }
        // A dead machine does nothing more.
        if self.fleet.is_dead() || self.fleet.is_endless() {
            return None;
        }
        work.take_back_failed(&ended, cancellation);
        if self.fleet.is_dead() {
            return None;
        }
        let why = ended.as_ref().err().map(|ended| ended.diagnostic.message.clone());
        let finished = work.finish(&ended, false);
        if let Err(ended) = ended {
            self.diagnostic.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(ended.diagnostic);
        }
        let why = why.or_else(|| (!finished.counts.left_out.is_empty()).then(|| "hosts were left out".to_owned()));
        Some((finished, why))
    }

    fn undoes(&self, work: &Work<'_>, cancellation: &Cancellation) -> Option<(Finished, Option<String>)> {
        let failures = work.take_back(cancellation);
        if self.fleet.is_dead() {
            return None;
        }
        Some((work.finish_undo(&failures, cancellation), failures.into_iter().next().map(|failure| failure.message)))
    }
}

/// What became of a process.
enum Life {
    /// It came to its end, with this exit, and failed for this reason if it did.
    Ended(Exit, Option<String>),
    /// It did not begin.
    Refused(Option<String>),
    /// Its machine died.
    Died,
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
