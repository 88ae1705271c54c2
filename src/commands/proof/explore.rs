//! All that can go wrong with a script, tried.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    ops::ControlFlow,
    panic,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
};

use super::{
    Subject,
    findings::{Broken, Kind, Names, by_rule, findings},
    random::Random,
    tale::{Limits, Told, before, tell},
    together::{groups, tell_all},
    why::{LATER, not_done, unsaid},
};
use crate::{
    commands::exit::Exit,
    executor::{
        Recorded,
        branches::STACK,
        faults::{Fault, Met, Noted, Planned, Step, Story, Then},
    },
    failure::Failure,
    model::{HostName, Period},
    script::diagnostics::Diagnostic,
    world::{
        TrafficSeen, World,
        losses::Capacity,
        shape::Shape,
        watch::{Breach, Watch},
    },
};

/// How much is tried.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// The most faults of a story.
    pub faults: usize,
    /// The most stories.
    pub runs: usize,
    /// What decides which stories are tried where there are more.
    pub seed: u64,
    /// How many are tried at once.
    pub workers: usize,
    /// The most calls of the story without a fault.
    pub calls: usize,
    /// The most steps of the script's own code.
    pub steps: u64,
}

/// Is told how far it is after each story, and answers whether to go on.
pub type Progress<'a> = &'a (dyn Fn(Far) -> ControlFlow<()> + Sync);

/// How far a test is.
#[derive(Clone, Copy, Debug)]
pub struct Far {
    /// How many stories were told.
    pub told: usize,
    /// In how many of them a rule was broken.
    pub broken: usize,
    /// The most that are told.
    pub most: usize,
}

/// Why nothing could be proven.
#[derive(Debug)]
pub enum Unprovable {
    /// The script fails when nothing goes wrong.
    Fails(Box<Diagnostic>),
    /// The story did not come up: no call came by that a fault of it could befall.
    Missed(Box<Failure>),
    /// A rule is broken before the script does anything.
    NeverMet(String),
    /// The script makes no call: nothing can go wrong with it, and nothing can hold.
    Idle,
}

/// What was found out.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a finding of its own")]
pub struct Proof {
    /// How many stories were told in which all came up that was planned, or a rule was broken.
    pub stories: usize,
    /// How many others were told: a fault of theirs found no call, so that they say nothing.
    pub missed: usize,
    /// Whether it was stopped before all were told.
    pub is_stopped: bool,
    /// How many of them had one fault.
    pub single: usize,
    /// How many stories of so many faults came up.
    pub by_faults: BTreeMap<usize, usize>,
    /// Whether every fault at every call was tried.
    pub all_single: bool,
    /// Whether every pair was.
    pub all_pairs: bool,
    /// How many calls the story without a fault has.
    pub calls: usize,
    /// How long it takes.
    pub took: Period,
    /// How many stories ended how.
    pub exits: BTreeMap<&'static str, usize>,
    /// The shortest story of each kind in which a rule was broken.
    pub findings: Vec<Finding>,
    /// In how many stories one was.
    pub broken: usize,
    /// In how many stories each rule was broken.
    pub by_rule: BTreeMap<String, usize>,
    /// What runs in the end without traffic where nothing goes wrong.
    pub idle: Vec<String>,
    /// Hosts with an image of the run and without a container of it where nothing goes wrong.
    pub bare: Vec<String>,
    /// Hosts that are declared and that nothing is done on where nothing goes wrong.
    pub untouched: Vec<HostName>,
    /// What serves in the end and is in no history where nothing goes wrong.
    pub unrecorded: Vec<String>,
    /// Whether the fleet is another one in the end where nothing goes wrong.
    pub changes: bool,
    /// The traffic where nothing goes wrong.
    pub traffic: TrafficSeen,
    /// How many containers served over time where nothing goes wrong.
    pub capacity: Capacity,
    /// When a story begins.
    pub start: Period,
}

/// A story in which a rule was broken.
#[derive(Debug)]
pub struct Finding {
    /// The story.
    pub story: Story,
    /// The rules that were broken.
    pub breaches: Vec<Breach>,
    /// How the run ended.
    pub exit: Option<Exit>,
    /// Why it failed, where it did.
    pub why: Option<String>,
    /// What happened.
    pub steps: Vec<Step>,
    /// When it began.
    pub start: Period,
    /// The traffic that a steady load would have seen.
    pub traffic: TrafficSeen,
    /// How many containers served over time.
    pub capacity: Capacity,
    /// What the run's journal has of each call, in the script's order.
    pub records: Vec<Recorded>,
    /// What is there in the end.
    pub there: Shape,
}

/// Does something on a thread with the stack that scripts need.
fn deep<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    thread::scope(|scope| {
        let running = thread::Builder::new().name("script".into()).stack_size(STACK).spawn_scoped(scope, work);
        let running = running.expect("a thread can be had: a run has one too");
        running.join().unwrap_or_else(|payload| panic::resume_unwind(payload))
    })
}

/// Tries everything within these bounds.
pub fn prove(subject: &Subject, bounds: &Bounds, progress: Progress<'_>) -> Result<Proof, Unprovable> {
    deep(|| proven(subject, bounds, progress))
}

fn proven(subject: &Subject, bounds: &Bounds, progress: Progress<'_>) -> Result<Proof, Unprovable> {
    let (start, limits, whole) = begin(subject, bounds)?;
    let mut search = Search {
        subject,
        start: &start,
        limits: &limits,
        names: Names::of(&whole.world),
        bounds,
        progress,
        told: AtomicUsize::new(0),
        broken_so_far: AtomicUsize::new(0),
        is_to_stop: AtomicBool::new(false),
        is_stopped: false,
        met: Mutex::default(),
        is_asked: whole.is_asked,
        broken: Vec::new(),
        missed: 0,
        exits: BTreeMap::new(),
        by_faults: BTreeMap::new(),
    };
    search.note(&Story::default(), &End::of(&Story::default(), &whole, &search.names));
    let singles = stories(&Story::default(), &whole.sites);
    let all_single = singles.len() < bounds.runs && bounds.faults > 0;
    let mut random = Random::of(bounds.seed);
    let singles = if bounds.faults == 0 { Vec::new() } else { random.some(singles, bounds.runs.saturating_sub(1)) };
    let deeper = bounds.faults > 1 && singles.len() + 1 < bounds.runs;
    // The pairs are known only where the calls behind each single fault were noted.
    let sites = search.try_all(&singles, deeper);
    let (single, all_single) = (search.told.load(Ordering::SeqCst), all_single && !search.is_stopped);
    let mut longer: Vec<(Story, Sites)> = singles.iter().cloned().zip(sites).collect();
    let mut all_pairs = bounds.faults > 1 && (deeper || singles.is_empty()) && all_single;
    let mut left = bounds.runs.saturating_sub(singles.len() + 1);
    for depth in 2..=bounds.faults {
        let candidates: usize = longer.iter().map(|(story, sites)| count(story, sites)).sum();
        search.is_stopped |= search.is_to_stop() && candidates > 0 && left > 0;
        if candidates == 0 || left == 0 || search.is_stopped {
            all_pairs &= depth > 2 || candidates == 0;
            break;
        }
        let chosen = if candidates <= left {
            longer.iter().flat_map(|(story, sites)| stories(story, sites)).collect()
        } else {
            all_pairs &= depth > 2;
            // A part of what is left for each further depth.
            picks(&mut random, &longer, left / (bounds.faults + 1 - depth))
        };
        let sites = search.try_all(&chosen, depth < bounds.faults);
        all_pairs &= depth > 2 || !search.is_stopped;
        left = left.saturating_sub(chosen.len());
        longer = chosen.into_iter().zip(sites).collect();
    }
    let (broken, exits) = (search.broken.len(), search.exits.clone());
    let (missed, by_faults, is_stopped) = (search.missed, search.by_faults.clone(), search.is_stopped);
    let stories = search.told.load(Ordering::SeqCst) + 1 - missed;
    let (findings, by_rule) = (findings(subject, &start, &limits, &search.names, &search.broken), by_rule(&search.broken));
    let (calls, took, idle, changes) = (whole.calls, whole.took, whole.world.idle(), whole.changes(&start));
    let (bare, unrecorded, untouched) = (whole.bare(), whole.unrecorded(), whole.untouched.clone());
    let (traffic, capacity) = whole.traffic;
    Ok(Proof {
        stories,
        missed,
        is_stopped,
        single,
        by_faults,
        all_single,
        all_pairs,
        calls,
        took,
        exits,
        findings,
        broken,
        by_rule,
        idle,
        bare,
        untouched,
        unrecorded,
        changes,
        traffic,
        capacity,
        start: start.clock(),
    })
}

/// Tells one story again.
pub fn retell(subject: &Subject, story: &Story, bounds: &Bounds) -> Result<Finding, Unprovable> {
    deep(|| told_again(subject, story, bounds))
}

fn told_again(subject: &Subject, story: &Story, bounds: &Bounds) -> Result<Finding, Unprovable> {
    let (start, limits, _) = begin(subject, bounds)?;
    let told = tell(subject, &start, story, &limits, Noted { steps: true, sites: true });
    came_up(story, &told).map_err(|failure| Unprovable::Missed(Box::new(failure)))?;
    Ok(finding(story.clone(), told, &start))
}

/// Refuses a story of which a fault found no call, or one that cannot meet it.
fn came_up(story: &Story, told: &Told) -> Result<(), Failure> {
    for planned in &story.faults {
        let written = planned.site.to_string();
        let met = told.sites.iter().find(|met| met.site == planned.site);
        if let Some(met) = met
            && !met.faults.iter().any(|(fault, _)| *fault == planned.fault)
        {
            let known: Vec<&str> = met.faults.iter().map(|(fault, _)| fault.word()).collect();
            let message = format!("the story did not come up: the call `{written}` cannot meet `{}`", planned.fault);
            return Err(Failure::refused(message).hint(format!("it can meet {}", known.join(", "))));
        }
        // What dies before it is noted makes no call.
        let came_by = met.is_some() || planned.fault == Fault::OperatorBeforeIntent;
        if !came_by || told.missed.contains(planned) {
            let sites: Vec<String> = told.sites.iter().map(|met| met.site.to_string()).collect();
            let nearest = sites.iter().min_by_key(|site| strsim::damerau_levenshtein(&written, site));
            let message = format!("the story did not come up: no call `{written}` was met by `{}`", planned.fault);
            let hint = nearest.map_or_else(|| "no call was made".to_owned(), |site| format!("the nearest call is `{site}`"));
            return Err(Failure::refused(message).hint(hint));
        }
    }
    Ok(())
}

pub(super) fn finding(story: Story, told: Told, start: &World) -> Finding {
    let there = told.shape();
    let Told { breaches, exit, why, steps, traffic: (traffic, capacity), records, .. } = told;
    Finding { start: start.clock(), story, breaches, exit, why, steps, traffic, capacity, records, there }
}

/// The fleet that the run meets, what it is measured by, and the story in which nothing goes wrong.
pub(super) fn begin(subject: &Subject, bounds: &Bounds) -> Result<(World, Limits, Told), Unprovable> {
    let mut first = Limits { calls: bounds.calls, steps: bounds.steps, counts: true, ..Limits::default() };
    let mut start = before(subject, &first).map_err(Unprovable::Fails)?;
    let noted = Noted { sites: true, steps: false };
    let mut whole = tell(subject, &start, &Story::default(), &first, noted);
    // Where a script says what must hold is no part of that.
    first.rules = Some(whole.rules.clone());
    if whole.rules != subject.rules || whole.is_asked {
        whole = tell(subject, &start, &Story::default(), &first, noted);
    }
    if let Some(what) = Watch::new(whole.rules.clone(), &start).never_met() {
        return Err(Unprovable::NeverMet(what));
    }
    if let Some(mistake) = &whole.mistake {
        return Err(Unprovable::Fails(Box::new(mistake.clone())));
    }
    if whole.is_endless || whole.breaches.is_empty() && whole.exit != Some(Exit::Done) {
        let why = || whole.why.unwrap_or_else(|| "it failed".into());
        let again = tell(subject, &start, &Story::default(), &first, Noted { sites: false, steps: true });
        let otherwise = || not_done(&again.records, &why(), subject.script.sources());
        let mut diagnostic = whole.diagnostic.unwrap_or_else(otherwise);
        diagnostic.hints.extend(unsaid(&again.records, &diagnostic));
        diagnostic.hints.push(LATER.into());
        return Err(Unprovable::Fails(Box::new(diagnostic)));
    }
    if whole.breaches.is_empty() && whole.calls == 0 {
        return Err(Unprovable::Idle);
    }
    // Whatever goes wrong, a run takes at most so many times as many calls: those of its undo, and of as many tries.
    let steps = (whole.spent * 20 + 100_000).min(bounds.steps);
    let (new, pruned) = (Some(whole.shape()), whole.pruned.clone());
    let limits = Limits { calls: whole.calls * 20 + 1_000, steps, new, pruned, counts: whole.is_asked, rules: first.rules };
    start.expect_schemas(&whole.world);
    Ok((start, limits, whole))
}

/// The stories that are this one and one fault more, behind its last.
pub(super) fn stories(story: &Story, sites: &[Arc<Met>]) -> Vec<Story> {
    let behind = behind(story, sites);
    let all = behind.iter().flat_map(|met| met.faults.iter().map(move |(fault, interrupts)| (met, *fault, *interrupts)));
    all.flat_map(|(met, fault, interrupts)| {
        let mut longer = story.clone();
        longer.faults.push(Planned { site: met.site.clone(), fault });
        let resumed = may_be_resumed(story, met, interrupts).then(|| Story { then: Then::Resume, ..longer.clone() });
        std::iter::once(longer).chain(resumed)
    })
    .collect()
}

fn count(story: &Story, sites: &[Arc<Met>]) -> usize {
    let of =
        |met: &Arc<Met>| met.faults.iter().map(|(_, interrupts)| 1 + usize::from(may_be_resumed(story, met, *interrupts))).sum::<usize>();
    behind(story, sites).iter().map(of).sum()
}

/// Whether a fault at this call has the story go on in two ways: one that was interrupted before goes the way that it went then.
fn may_be_resumed(story: &Story, met: &Met, interrupts: bool) -> bool {
    interrupts && story.then == Then::Undo && !met.was_left
}

/// The calls behind the story's last fault.
fn behind<'a>(story: &Story, sites: &'a [Arc<Met>]) -> &'a [Arc<Met>] {
    let last = story.faults.last().and_then(|last| sites.iter().position(|met| met.site == last.site));
    &sites[last.map_or(0, |last| last + 1)..]
}

/// What is kept of each of a hundred thousand stories.
struct End {
    exit: Option<Exit>,
    /// How rules were broken, each way once.
    broken: Vec<Kind>,
    /// Whether it says nothing, because a fault of it found no call.
    was_missed: bool,
}

impl End {
    fn of(story: &Story, told: &Told, names: &Names) -> Self {
        let mut broken: Vec<Kind> = Vec::new();
        for kind in told.breaches.iter().map(|breach| Kind::of(breach, story, names)) {
            if !broken.contains(&kind) {
                broken.push(kind);
            }
        }
        Self { exit: told.exit, was_missed: !told.missed.is_empty() && broken.is_empty(), broken }
    }
}

/// The calls of a story. Most stories have the same ones, so they share them.
type Sites = Vec<Arc<Met>>;
/// A story's end, and its calls where they are wanted.
type Ended = (End, Sites);

struct Search<'a> {
    subject: &'a Subject,
    start: &'a World,
    limits: &'a Limits,
    names: Names,
    bounds: &'a Bounds,
    progress: Progress<'a>,
    told: AtomicUsize,
    /// In how many of them a rule was broken.
    broken_so_far: AtomicUsize,
    /// Whether somebody has asked it to stop, and whether a story is not told because of that.
    is_to_stop: AtomicBool,
    is_stopped: bool,
    /// Every call that a story has met of which longer ones were to be made.
    met: Mutex<HashSet<Arc<Met>>>,
    /// Whether the script has invariants of its own: then every story is told from its beginning.
    is_asked: bool,
    /// The stories in which rules were broken, and how.
    broken: Vec<Broken>,
    missed: usize,
    exits: BTreeMap<&'static str, usize>,
    by_faults: BTreeMap<usize, usize>,
}

impl Search<'_> {
    fn note(&mut self, story: &Story, end: &End) {
        if end.was_missed {
            self.missed += 1;
            return;
        }
        if !story.faults.is_empty() {
            *self.by_faults.entry(story.faults.len()).or_default() += 1;
        }
        *self.exits.entry(end.exit.map_or("died", Exit::word)).or_default() += 1;
        if !end.broken.is_empty() {
            self.broken.push((story.clone(), end.broken.clone()));
        }
    }

    /// These calls, each as the one that other stories have.
    fn shared(&self, sites: Sites) -> Sites {
        let mut known = self.met.lock().unwrap_or_else(PoisonError::into_inner);
        let mut share = |met: Arc<Met>| {
            known.get(&met).cloned().unwrap_or_else(|| {
                known.insert(met.clone());
                met
            })
        };
        sites.into_iter().map(&mut share).collect()
    }

    /// Tells all of these, side by side, and returns the calls of each where they are wanted.
    fn try_all(&mut self, stories: &[Story], deeper: bool) -> Vec<Sites> {
        let alone = || (0..stories.len()).map(|index| vec![index]).collect();
        let groups = if self.is_asked { alone() } else { groups(stories) };
        let next = AtomicUsize::new(0);
        let results: Mutex<Vec<Option<Ended>>> = Mutex::new(stories.iter().map(|_| None).collect());
        let noted = Noted { sites: deeper, steps: false };
        let worker = || {
            while let Some(group) = groups.get(next.fetch_add(1, Ordering::SeqCst)) {
                tell_all(self.subject, self.start, stories, group, self.limits, noted, |index, told| {
                    let end = End::of(&stories[index], &told, &self.names);
                    let far = self.comes_to(&end);
                    results.lock().unwrap_or_else(PoisonError::into_inner)[index] = Some((end, self.shared(told.sites)));
                    far
                });
                if self.is_to_stop() {
                    break;
                }
            }
        };
        thread::scope(|scope| {
            for _ in 0..self.bounds.workers.clamp(1, groups.len().max(1)) {
                if thread::Builder::new().stack_size(STACK).spawn_scoped(scope, worker).is_err() {
                    worker();
                }
            }
        });
        let told = results.into_inner().unwrap_or_else(PoisonError::into_inner);
        let mut sites = Vec::new();
        for (story, told) in stories.iter().zip(told) {
            self.is_stopped |= told.is_none();
            let met = told.map(|(end, met)| {
                self.note(story, &end);
                met
            });
            sites.push(met.unwrap_or_default());
        }
        sites
    }

    /// One story more was told: whether to go on.
    fn comes_to(&self, end: &End) -> ControlFlow<()> {
        let told = self.told.fetch_add(1, Ordering::SeqCst) + 1;
        let is_broken = usize::from(!end.broken.is_empty());
        let broken = self.broken_so_far.fetch_add(is_broken, Ordering::SeqCst) + is_broken;
        let far = (self.progress)(Far { told, broken, most: self.bounds.runs });
        self.is_to_stop.fetch_or(far.is_break(), Ordering::SeqCst);
        far
    }

    fn is_to_stop(&self) -> bool {
        self.is_to_stop.load(Ordering::SeqCst)
    }
}

/// So many stories with one fault more than these have.
fn picks(random: &mut Random, from: &[(Story, Sites)], count: usize) -> Vec<Story> {
    let mut picked = BTreeSet::new();
    for _ in 0..count * 4 {
        if picked.len() == count {
            break;
        }
        let (story, sites) = &from[random.below(from.len())];
        let longer = stories(story, sites);
        if !longer.is_empty() {
            picked.insert(longer[random.below(longer.len())].clone());
        }
    }
    picked.into_iter().collect()
}
