//! One run with what befalls it, from its beginning to an end that nobody has to see to.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Arc, Mutex, PoisonError},
};

use super::{
    Desk, Subject,
    given::{BEFORE, Earlier, Test},
    judge::{End, judge},
    left_out::judge_left_out,
    listen::listener,
    why::{EARLIER, GIVEN, not_done, unsaid},
};
use crate::{
    commands::{
        enter::enter,
        exit::Exit,
        journaling,
        mode::Mode,
        rehearse::rehearse,
        stack::Stack,
        work::{Finished, Manner, Work},
    },
    executor::{
        Branches, Cancellation, Executor, Model, Narrator, Recorded, RunInfo, Terms,
        faults::{Death, Faults, Met, Mortal, Noted, Planned, Step, Story, Then},
        record::{Answer, Decide, in_script_order},
        turns::InTurns,
    },
    journal::{Chain, How, Intent, Journal},
    model::{Container, HostName, Period, RunId},
    script::{ScriptRun, Tested, diagnostics::Diagnostic},
    world::{
        TrafficSeen, World,
        losses::Capacity,
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

/// What a tale is measured by.
#[derive(Clone, Debug, Default)]
pub struct Limits {
    /// The most calls.
    pub calls: usize,
    /// The most steps that the script's own code may take.
    pub steps: u64,
    /// What there is when all is done, where that is known.
    pub new: Option<Shape>,
    /// The containers that `prune` deletes where nothing goes wrong.
    pub pruned: Vec<Container>,
    /// Whether what the traffic loses is counted though no steps are noted: the script's own rules may ask for it.
    pub counts: bool,
    /// The rules that the script is held to from its beginning, where it is known what it says of them, wherever it does.
    pub rules: Option<Rules>,
}

/// How a tale ended.
pub struct Told {
    /// How the run itself ended, the first time that it did.
    pub exit: Option<Exit>,
    /// Why it failed, where it did.
    pub why: Option<String>,
    /// The same with its place in the script, where the script failed.
    pub diagnostic: Option<Diagnostic>,
    /// Why an invariant of the script could not be asked, where one could not.
    pub mistake: Option<Diagnostic>,
    /// The faults that befell nothing: the story did not come up.
    pub missed: Vec<Planned>,
    /// The rules that were broken.
    pub breaches: Vec<Breach>,
    /// The containers that `prune` was asked to delete.
    pub pruned: Vec<Container>,
    /// The calls, and what can go wrong with each.
    pub sites: Vec<Arc<Met>>,
    /// What happened.
    pub steps: Vec<Step>,
    /// The traffic, and how many containers served over time, where steps are noted or what is lost is counted.
    pub traffic: (TrafficSeen, Capacity),
    /// What the run's journal has of each call, where steps are noted.
    pub records: Vec<Recorded>,
    /// How many calls there were.
    pub calls: usize,
    /// How many steps the script's own code took.
    pub spent: u64,
    /// How long it took, on the modelled fleet.
    pub took: Period,
    /// The hosts that the script has declared and the run has not changed.
    pub untouched: Vec<HostName>,
    /// Whether the script has invariants of its own.
    pub is_asked: bool,
    /// The rules at its end.
    pub rules: Rules,
    /// Whether the run was ended because it went on and on.
    pub is_endless: bool,
    /// The fleet at the end.
    pub world: World,
}

impl Told {
    /// The fleet's shape at the end.
    pub fn shape(&self) -> Shape {
        self.world.shape(&id(TESTED))
    }

    /// Hosts with an image of the run and without a container of it.
    pub fn bare(&self) -> Vec<String> {
        self.world.bare(&id(TESTED))
    }

    /// What the run has made, that serves and is in no history.
    pub fn unrecorded(&self) -> Vec<String> {
        self.world.unrecorded(&id(TESTED))
    }

    /// Whether the fleet is another than in the beginning.
    pub fn changes(&self, start: &World) -> bool {
        !differences(&self.shape(), &start.shape(&id(TESTED))).is_empty() || self.world.has_other_schemas()
    }
}

/// Tells a story of the script on a fleet that is `start` in the beginning.
pub fn tell(subject: &Subject, start: &World, story: &Story, limits: &Limits, noted: Noted) -> Told {
    Tale::new(subject, start, story, limits, noted, TESTED, &[]).tell(story, limits, noted, start)
}

/// What stories have in common in which the operator's machine dies: all that came before.
pub struct Trunk {
    /// The journal, as another machine reads it.
    chain: Chain,
    parts: HashMap<Planned, Part>,
}

/// Where a story parts from the one in which the machine does not die.
struct Part {
    standing: Standing,
    death: Death,
}

impl Trunk {
    /// Tells `story`, and keeps what it is where the operator's machine could die so. `None` where each has to be told from its
    /// beginning: where the script has invariants, whose code is in the process that died, and where the journal cannot be read again.
    pub fn of(subject: &Subject, start: &World, story: &Story, limits: &Limits, noted: Noted, deaths: &[Planned]) -> Option<Self> {
        let mut tale = Tale::new(subject, start, story, limits, noted, TESTED, deaths);
        tale.live(story, limits, start);
        let journal = tale.journal.take().filter(|_| !tale.test.is_asked())?;
        // What another machine reads of the first records is the same whatever came behind them.
        let chain = Chain::read(&journal.text()).ok()?;
        let mut parts = HashMap::new();
        for part in std::mem::take(&mut tale.parts) {
            // A fault befalls the first call that it is planned for.
            parts.entry(part.death.planned.clone()).or_insert(part);
        }
        Some(Self { chain, parts })
    }

    /// Tells the story that ends with this death, from there; `None` where it did not come up. What is said of the script's own code,
    /// and the steps, are those of the processes behind it.
    pub fn tell(&self, subject: &Subject, start: &World, story: &Story, limits: &Limits, noted: Noted) -> Option<Told> {
        let Part { standing, death } = self.parts.get(story.faults.last()?)?;
        let fleet = Faults::after(subject.desk.clone(), death);
        let mut tale = Tale::with(subject, fleet, story, limits, TESTED);
        (tale.standing, tale.was_read) = (standing.clone(), true);
        tale.journal = Some(Arc::new(Journal::open(Mortal::new(tale.fleet.clone()), self.chain.first(death.written))));
        Some(tale.tell(story, limits, noted, start))
    }
}

/// The fleet after the script was run on an empty one, nothing going wrong, with a version of what it builds that came before.
pub fn before(subject: &Subject, limits: &Limits) -> Result<World, Box<Diagnostic>> {
    let empty = World::default();
    let story = Story::default();
    let mut tale = Tale::new(subject, &empty, &story, limits, Noted::default(), BEFORE, &[]);
    let ended = tale.process(How::Run);
    if let Some(endless) = tale.test.endless() {
        return Err(Box::new(endless));
    }
    let why = match (tale.test.what_was_given(), ended) {
        (Some(Ok(())), _) | (None, Life::Ended(Exit::Done, _)) => None,
        (Some(Err(failure)), _) => Some(failure.message),
        (None, Life::Ended(_, why) | Life::Refused(why)) => Some(why.unwrap_or_else(|| "it failed".into())),
        (None, Life::Died) => Some("it came to no end".into()),
    };
    if let Some(why) = why {
        let mut diagnostic = tale.diagnosed(&why);
        let unsaid = tale.journal.iter().find_map(|journal| unsaid(&journal.records(), &diagnostic));
        diagnostic.hints.extend(unsaid);
        diagnostic.hints.push(if tale.test.is_given() { GIVEN.into() } else { EARLIER.into() });
        return Err(diagnostic);
    }
    let mut world = tale.fleet.world();
    world.free();
    world.count_afresh();
    if !tale.test.is_given() {
        // What the script does to a schema is still to be done, and so is what its commands do.
        world.forget_schemas();
        world.settle_commands();
    }
    world.settle_schemas();
    Ok(world)
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
    /// Whether the next process reads the journal's text, as another machine does; else it is given the records.
    rereads: bool,
    /// Whether it was read for this process.
    was_read: bool,
    steps: u64,
    /// How many steps of the script's own code were taken.
    spent: u64,
    /// How the script failed the first time that it did.
    diagnostic: Mutex<Option<Diagnostic>>,
    test: Arc<Test>,
    narrator: Arc<dyn Narrator>,
    standing: Standing,
    parts: Vec<Part>,
    /// The hosts that the last process left out, and why, where its script came to its end.
    left_out: BTreeMap<HostName, String>,
}

/// How far the run has come with the processes before this one.
#[derive(Clone)]
struct Standing {
    /// How many there were.
    life: usize,
    /// What this one does.
    how: How,
    /// How the run itself ended, the first time that it did, and why.
    exit: Option<Exit>,
    why: Option<String>,
}

impl<'a> Tale<'a> {
    fn new(subject: &'a Subject, start: &World, story: &Story, limits: &Limits, noted: Noted, name: &str, deaths: &[Planned]) -> Self {
        let model = Model::new(start.clone(), subject.desk.clone());
        let rules = limits.rules.as_ref().unwrap_or(&subject.rules).clone();
        let fleet = Faults::new(model, story, Watch::new(rules, start), limits.calls, noted);
        let fleet = if limits.counts { fleet.counting() } else { fleet };
        Self::with(subject, fleet.keeping(deaths.iter().cloned()), story, limits, name)
    }

    fn with(subject: &'a Subject, fleet: Faults<Arc<Desk>>, story: &Story, limits: &Limits, name: &str) -> Self {
        let fleet = Arc::new(fleet);
        let narrator = listener(&fleet);
        let started = format!("2026-01-0{}T00:00:00Z", if name == BEFORE { 1 } else { 2 });
        let run = Arc::new(RunInfo { id: id(name), operator: OPERATOR.into(), started });
        let test = Arc::new(Test::new(fleet.clone(), run.id.clone(), limits.rules.is_some()));
        // What is written of a call is the same whatever befell the others, so that most stories of several faults read nothing new.
        let keys: BTreeSet<&str> = story.faults.iter().map(|planned| planned.site.key.as_str()).collect();
        let rereads = story.faults.len() < 2 || keys.len() < story.faults.len();
        let standing = Standing { life: 0, how: How::Run, exit: None, why: None };
        Self {
            subject,
            fleet,
            journal: None,
            run,
            rereads,
            was_read: false,
            steps: limits.steps,
            spent: 0,
            diagnostic: Mutex::default(),
            test,
            narrator,
            standing,
            parts: Vec::new(),
            left_out: BTreeMap::new(),
        }
    }

    /// How the script failed, or why the run did where the script did not.
    fn diagnosed(&self, why: &str) -> Box<Diagnostic> {
        let known = self.diagnostic.lock().unwrap_or_else(PoisonError::into_inner).take();
        let records = || self.journal.iter().flat_map(|journal| journal.records()).collect::<Vec<_>>();
        Box::new(known.unwrap_or_else(|| not_done(&records(), why, self.subject.script.sources())))
    }

    /// Lets one process after the other work on the run until it has come to its end.
    fn live(&mut self, story: &Story, limits: &Limits, start: &World) {
        loop {
            let ended = if self.fleet.is_dead() { Life::Died } else { self.process(self.standing.how) };
            let parts = self.fleet.deaths().into_iter().map(|death| Part { standing: self.standing.clone(), death });
            self.parts.extend(parts);
            if self.fleet.is_endless() {
                self.fleet.breach(Breach::new("ending", "the run does not come to its end"));
                break;
            }
            let standing = &mut self.standing;
            if let (None, Life::Ended(first, told)) = (standing.exit, &ended) {
                (standing.exit, standing.why) = (Some(*first), told.clone());
            }
            let is_last = standing.life + 1 == LIVES;
            match &ended {
                Life::Ended(Exit::Interrupted, _) | Life::Refused(_) | Life::Died if !is_last => {
                    if let Life::Refused(_) = &ended {
                        self.fleet.wait_for_others();
                    }
                    standing.how = if story.then == Then::Resume && standing.how != How::Undo { How::Resume } else { How::Undo };
                    self.fleet.revive(if standing.how == How::Undo { "undo" } else { "resume" });
                }
                Life::Ended(Exit::Mixed, _) if !is_last && !self.fleet.is_calm() => {
                    if !self.left_out.is_empty() {
                        let hosts = self.left_out.keys().cloned().collect();
                        judge_left_out(&self.fleet, &self.run.id, &hosts, limits, start);
                    }
                    // It is said to be mixed. Once all trouble has ended it can be taken back.
                    self.fleet.calm();
                    self.fleet.goes_on("undo");
                    standing.how = How::Undo;
                }
                Life::Ended(exit, told) => {
                    judge(&self.fleet, &self.run.id, &End { exit: *exit, why: told.as_deref(), start, limits });
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
            standing.life += 1;
        }
    }

    fn tell(mut self, story: &Story, limits: &Limits, noted: Noted, start: &World) -> Told {
        self.live(story, limits, start);
        let world = self.fleet.world();
        let mut records = Vec::new();
        if noted.steps {
            records.extend(self.journal.iter().flat_map(|journal| journal.records()));
            in_script_order(&mut records);
        }
        let Standing { exit, why, .. } = self.standing;
        Told {
            exit,
            why,
            diagnostic: self.diagnostic.into_inner().unwrap_or_else(PoisonError::into_inner),
            mistake: self.test.mistake(),
            missed: self.fleet.missed(),
            breaches: self.fleet.breaches(),
            pruned: self.fleet.fates().pruned,
            sites: self.fleet.sites(),
            steps: self.fleet.steps(),
            traffic: self.fleet.traffic(),
            records,
            calls: self.fleet.calls(),
            spent: self.spent,
            untouched: self.test.untouched(),
            is_asked: self.test.is_asked(),
            rules: self.fleet.rules(),
            is_endless: self.fleet.is_endless(),
            took: Period::milliseconds(world.clock().as_milliseconds() - start.clock().as_milliseconds()),
            world,
        }
    }

    /// One process that works on the run, as `podlift run`, `resume` and `undo` do.
    fn process(&mut self, how: How) -> Life {
        let chain = self.journal.take().map_or_else(Chain::default, |journal| {
            if !self.rereads || std::mem::take(&mut self.was_read) {
                return journal.chain();
            }
            Chain::read(&journal.text()).unwrap_or_else(|failure| {
                self.fleet.breach(Breach::new("ending", format!("the journal cannot be read again: {failure}")));
                Chain::default()
            })
        });
        let how = if chain.is_undoing() { How::Undo } else { how };
        let journal = Arc::new(Journal::open(Mortal::new(self.fleet.clone()), chain));
        self.journal = Some(journal.clone());
        let fleet: Arc<dyn Executor> = self.fleet.clone();
        let within: Arc<dyn Executor> = match self.run.id.as_str() {
            BEFORE => Arc::new(Earlier { inner: fleet, test: self.test.clone() }),
            _ => (self.subject.around)(fleet),
        };
        let decide: Arc<dyn Decide> = Arc::new(Truth { fleet: self.fleet.clone(), how });
        let terms = Terms { patience: self.subject.patience, branches: Branches::InOrder, ..Terms::default() };
        let stack = Stack::journaled(None, within, self.narrator.clone(), journal.clone(), decide.clone(), terms);
        let cancellation = if how == How::Undo { Cancellation::default() } else { Cancellation::within(self.steps) };
        if let Err(refused) = self.begin(&stack, &journal, how, &cancellation) {
            return if self.fleet.is_dead() { Life::Died } else { Life::Refused(Some(refused)) };
        }
        let work = Work { stack: &stack, journal: &journal, run: &self.run, decide: decide.as_ref(), mode: Mode::Live };
        let ended = match how {
            How::Run | How::Resume => self.runs(&work, &cancellation),
            How::Undo => self.undoes(&work, &cancellation),
        };
        self.spent += cancellation.taken();
        let ended = ended.filter(|_| !self.fleet.is_dead());
        ended.map_or(Life::Died, |(Finished { exit, .. }, why, left_out)| {
            self.left_out = left_out;
            Life::Ended(exit, why)
        })
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

    fn runs(&self, work: &Work<'_>, cancellation: &Cancellation) -> Option<Outcome> {
        let tested: Arc<dyn Tested> = self.test.clone();
        let run = ScriptRun {
            arguments: self.subject.arguments.clone(),
            executor: Arc::new(InTurns(work.stack.executor())),
            narrator: self.narrator.clone(),
            run: self.run.clone(),
            branches: Branches::InTurns,
            cancellation: cancellation.clone(),
            secrets: self.subject.secrets.clone(),
        };
        let ended = self.subject.script.test(run, &tested);
        if cancellation.is_spent() {
            self.fleet.exhaust();
        }
        if let (true, Err(ended)) = (self.fleet.is_endless(), &ended) {
            let message = self.endless(cancellation);
            let diagnostic = Diagnostic { message, hints: Vec::new(), ..ended.diagnostic.clone() };
            self.diagnostic.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(diagnostic);
        }
        // A dead machine does nothing more.
        if self.fleet.is_dead() || self.fleet.is_endless() {
            return None;
        }
        work.take_back_failed(&ended, cancellation);
        self.test.ask();
        if self.fleet.is_dead() {
            return None;
        }
        let why = ended.as_ref().err().map(|ended| ended.diagnostic.message.clone());
        let finished = work.finish(&ended, Manner::Script);
        if let Err(ended) = ended {
            self.diagnostic.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(ended.diagnostic);
        }
        let left_out = if why.is_none() { finished.counts.left_out.clone() } else { BTreeMap::new() };
        let why = why.or_else(|| in_words(&left_out));
        Some((finished, why, left_out))
    }

    /// What is told of a script that was stopped because it went on and on.
    fn endless(&self, cancellation: &Cancellation) -> String {
        if cancellation.is_spent() {
            return format!("the script does not come to its end: its own code took more than {} steps", self.steps);
        }
        format!("the script does not come to its end: it made more than {} calls", self.fleet.most())
    }

    fn undoes(&self, work: &Work<'_>, cancellation: &Cancellation) -> Option<Outcome> {
        let failures = work.take_back(cancellation);
        self.test.ask();
        if self.fleet.is_dead() {
            return None;
        }
        let finished = work.finish_undo(&failures, cancellation);
        Some((finished, failures.into_iter().next().map(|failure| failure.message), BTreeMap::new()))
    }
}

/// How a process ended, why its script failed if it did, and the hosts that it left out where it did not.
type Outcome = (Finished, Option<String>, BTreeMap<HostName, String>);

/// The hosts that were left out, and why.
fn in_words(left_out: &BTreeMap<HostName, String>) -> Option<String> {
    let each = left_out.iter().map(|(host, why)| format!("{host} is left out: {why}"));
    (!left_out.is_empty()).then(|| each.collect::<Vec<_>>().join("; "))
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
        let key = &intent.asked.key;
        match self.how {
            _ if self.fleet.was_done(key.as_str()) => Answer::Done,
            // What was not done need not be taken back; what takes something back has to be done.
            How::Undo if !key.is_undo() => Answer::Skip,
            How::Undo | How::Run | How::Resume => Answer::Redo,
        }
    }

    fn who(&self) -> String {
        OPERATOR.into()
    }
}
