//! `podlift test`

use std::{
    ops::ControlFlow,
    sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc},
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use super::{
    complaint,
    environment::Environment,
    exit::Exit,
    interrupt::Interrupt,
    outside::Outside,
    place::Place,
    proof::{Bounds, Desk, Finding, Proof, Subject, Unprovable, prove, retell},
    run::{path, quoted},
};
use crate::{
    cli,
    executor::{Recorded, faults::Story, settle::PATIENCE},
    failure::Failure,
    script::{SecretNames, diagnostics::Diagnostic, sources::Sources},
    terminal::{Conclusion, Printer, Style, clean, proof, words},
    world::{
        TrafficSeen,
        watch::{Breach, Rules},
    },
};

/// How long a test that is ended may take to say so.
const LAST_WORDS: Duration = Duration::from_millis(500);
/// The most calls of a script in which nothing goes wrong.
const CALLS: usize = 100_000;
/// The most steps of its own code.
const STEPS: u64 = 20_000_000;

/// Tries everything that can go wrong with a script, on a modelled fleet.
pub fn run(options: &cli::Test, printer: &Printer) -> Exit {
    let (subject, outside) = match prepare(options, printer) {
        Ok(prepared) => prepared,
        Err(exit) => return exit,
    };
    let phases = Phases(Arc::new(Mutex::new(Phase::Begins)));
    // Where signals cannot be heard they end the process, as ever.
    let _interrupt = {
        let (phases, printer, has_json) = (phases.clone(), printer.clone(), options.json);
        Interrupt::listen_to_look(outside.runtime(), move || phases.heed(has_json, &printer))
    };
    let exit = examine(options, &subject, &phases, printer);
    outside.close();
    exit
}

/// Tries everything, or tells one story again.
fn examine(options: &cli::Test, subject: &Subject, phases: &Phases, printer: &Printer) -> Exit {
    let began = Instant::now();
    let workers = thread::available_parallelism().map_or(1, usize::from);
    let bounds = Bounds { faults: options.faults, runs: options.runs, seed: options.seed, workers, calls: CALLS, steps: STEPS };
    let answer = if let Some(story) = &options.story {
        retell(subject, story, &bounds).map(|finding| (None, vec![finding]))
    } else {
        let progress = proof::Progress::new(printer);
        let proof = prove(subject, &bounds, &|far| {
            progress.told(far.told, far.broken, far.most);
            phases.goes_on()
        });
        proof.map(|mut proof| {
            let findings = std::mem::take(&mut proof.findings);
            (Some(proof), findings)
        })
    };
    phases.set(Phase::Tells);
    let (proof, findings) = match answer {
        Ok(answer) => answer,
        Err(unprovable) => return refuse(options, printer, vec![why(options, subject, unprovable)], subject.script.sources()),
    };
    let holds = findings.iter().all(|finding| finding.breaches.is_empty()) && proof.as_ref().is_none_or(|proof| proof.broken == 0);
    let is_stopped = proof.as_ref().is_some_and(|proof| proof.is_stopped);
    let exit = match (holds, is_stopped) {
        (true, false) => Exit::Done,
        (true, true) => Exit::Interrupted,
        (false, _) => Exit::Bad,
    };
    let took = Duration::from_millis(u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX));
    if options.json {
        printer.data(as_json(options, proof.as_ref(), &findings, exit, took));
        return exit;
    }
    for finding in &findings {
        printer.data(told(options, finding, printer));
    }
    for note in proof.as_ref().map(|proof| notes(proof, &findings, printer.style())).unwrap_or_default() {
        printer.tell(format!("{} where nothing goes wrong, {note}", printer.style().warning("!")));
    }
    let script = options.script.display();
    let (end, next) = match &proof {
        None if holds => (format!("in this story everything holds ({}): told", exit_word(findings.first())), None),
        None => ("in this story a rule is broken: told".to_owned(), None),
        Some(proof) if exit == Exit::Interrupted => {
            (format!("interrupted: {script} held until then in {}", extent(proof)), Some(ends(proof)))
        }
        Some(proof) if holds => (format!("{script} holds in {}", extent(proof)), Some(ends(proof))),
        Some(proof) => {
            let interrupted = if is_stopped { "interrupted: " } else { "" };
            let end = format!("{interrupted}{script} does not hold: a rule is broken in {} of {}", proof.broken, extent(proof));
            (end, Some(broken(proof)))
        }
    };
    printer.tell(Conclusion { good: exit == Exit::Done, end, took, next }.render(printer.style()));
    exit
}

/// What is no mistake for sure, and may be one.
fn notes(proof: &Proof, findings: &[Finding], style: Style) -> Vec<String> {
    let idle = (!proof.idle.is_empty()).then(|| format!("this runs in the end without traffic: {}", proof.idle.join(", ")));
    let nothing = (!proof.changes).then(|| "everything is in the end as it was: nothing is deployed".to_owned());
    let bare = (!proof.bare.is_empty()).then(|| format!("an image is there in vain, and no container of it: {}", proof.bare.join(", ")));
    let untouched = proof.untouched.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    // Where nothing at all is done that is said once.
    let untouched = (proof.changes && !untouched.is_empty()).then(|| format!("nothing is done on hosts that are declared: {untouched}"));
    let unrecorded = proof.unrecorded.join(", ");
    let unrecorded =
        (!unrecorded.is_empty()).then(|| format!("this serves and is not noted by `record`, for `std/rollback`: {unrecorded}"));
    idle.into_iter().chain(bare).chain(untouched).chain(unrecorded).chain(nothing).chain(downtime(proof, findings, style)).collect()
}

/// The requests that the script itself loses, where that breaks no rule.
fn downtime(proof: &Proof, findings: &[Finding], style: Style) -> Option<String> {
    if findings.iter().any(|finding| finding.story.faults.is_empty()) {
        return None;
    }
    let losing = proof.traffic.iter().filter(|(_, seen)| seen.lost() > 0.0);
    let losing: TrafficSeen = losing.map(|(service, seen)| (service.clone(), seen.clone())).collect();
    let lines = proof::traffic(&losing, &proof.capacity, style);
    (!losing.is_empty()).then(|| format!("requests are lost:\n{}", lines.trim_end()))
}

/// How far a test is, for what a signal makes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// No story was told.
    Begins,
    /// Stories are told.
    Searches,
    /// Somebody has asked for what was found.
    Stops,
    /// What was found is printed.
    Tells,
}

/// Where it is.
#[derive(Clone)]
struct Phases(Arc<Mutex<Phase>>);

impl Phases {
    fn lock(&self) -> MutexGuard<'_, Phase> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, phase: Phase) -> Phase {
        std::mem::replace(&mut *self.lock(), phase)
    }

    /// A story more was told: whether to go on.
    fn goes_on(&self) -> ControlFlow<()> {
        let mut phase = self.lock();
        if *phase == Phase::Stops {
            return ControlFlow::Break(());
        }
        *phase = Phase::Searches;
        ControlFlow::Continue(())
    }

    /// A first ctrl-C or SIGTERM has the test tell what it has found. Before anything was, behind that one and while it is printed it
    /// ends the process, which has changed nothing.
    fn heed(&self, has_json: bool, printer: &Printer) {
        let phase = self.set(Phase::Stops);
        if phase == Phase::Searches {
            printer.tell("telling what was found so far; ctrl-C again ends it now");
            return;
        }
        // Whoever prints may wait for a reader for ever.
        let (tell, told) = mpsc::channel();
        let printer = printer.clone();
        thread::spawn(move || {
            if phase == Phase::Begins && has_json {
                printer.data(nothing_tried(Exit::Interrupted, &[]));
            }
            printer.tell_last(if phase == Phase::Begins { "interrupted before the first story was told" } else { "interrupted" });
            let _ = tell.send(());
        });
        let _ = told.recv_timeout(LAST_WORDS);
        #[expect(clippy::disallowed_methods, reason = "a test reaches no host: no connection is left")]
        std::process::exit(Exit::Interrupted.code().into());
    }
}

/// Tells why nothing could be tried.
fn refuse(options: &cli::Test, printer: &Printer, diagnostics: Vec<Diagnostic>, sources: &Sources) -> Exit {
    let diagnostics: Vec<Diagnostic> = diagnostics.into_iter().map(complaint::harmless).collect();
    if options.json {
        printer.data(nothing_tried(Exit::Bad, &diagnostics));
    }
    complaint::tell(printer, &diagnostics, sources);
    Exit::Bad
}

fn nothing_tried(exit: Exit, diagnostics: &[Diagnostic]) -> Value {
    json!({ "holds": false, "exit": exit.code(), "diagnostics": diagnostics, "tried": null, "stories": [] })
}

/// Why nothing could be proven, in words.
fn why(options: &cli::Test, subject: &Subject, unprovable: Unprovable) -> Diagnostic {
    match unprovable {
        Unprovable::Fails(diagnostic) => {
            let message = format!("the script fails where nothing goes wrong: {}", diagnostic.message);
            Diagnostic { message, ..*diagnostic }
        }
        Unprovable::NeverMet(message) => {
            let hint = "`given` says what the tests begin with; else it is what the script itself deploys";
            Diagnostic { message, hints: vec![hint.into()], ..Diagnostic::default() }
        }
        Unprovable::Missed(failure) => Diagnostic::of_failure(&failure, subject.script.sources()),
        Unprovable::Idle => Diagnostic::of_failure(&idle(options), subject.script.sources()),
    }
}

/// A module, or another script than the one that was meant.
fn idle(options: &cli::Test) -> Failure {
    let message = format!("{} makes no call with these arguments: there is nothing that could go wrong", options.script.display());
    Failure::refused(message).hint("test a script that deploys; the functions of a module are tested by one that calls them")
}

fn prepare(options: &cli::Test, printer: &Printer) -> Result<(Subject, Outside), Exit> {
    let none = Sources::default();
    let failed = |failure: Failure| refuse(options, printer, vec![Diagnostic::of_failure(&failure, &none)], &none);
    let place = Place::find(&options.script).map_err(failed)?;
    let script = place.check().map_err(failed)?;
    let findings = script.diagnostics();
    if !findings.is_empty() {
        return Err(refuse(options, printer, findings, script.sources()));
    }
    let environment = Environment::beside(place.folder()).map_err(failed)?;
    let outside = Outside::open(&cli::Ssh { ssh_config: None }, place.folder(), &environment).map_err(failed)?;
    let subject = Subject {
        script: Arc::new(script),
        arguments: options.arguments.clone(),
        desk: Arc::new(Desk::new(outside.executor())),
        secrets: Arc::new(Every(environment)),
        rules: Rules::default(),
        patience: PATIENCE,
        around: |inner| inner,
    };
    Ok((subject, outside))
}

/// Has every secret: none is ever asked for its value.
struct Every(Environment);

impl SecretNames for Every {
    fn has(&self, _: &str) -> bool {
        true
    }

    fn in_file(&self, path: &str) -> Result<Vec<String>, Failure> {
        self.0.in_file(path)
    }
}

/// A story with its steps, and the command that tells it again.
fn told(options: &cli::Test, finding: &Finding, printer: &Printer) -> String {
    let style = printer.data_style();
    // What broke the rule first, and whatever says how what there is differs from what there should be.
    let mut heads: Vec<&Breach> = finding.breaches.iter().take(1).collect();
    heads.extend(finding.breaches.iter().skip(1).filter(|breach| !breach.differences.is_empty()));
    let head =
        if heads.is_empty() { style.good("✓ everything holds") } else { lines(heads.into_iter().map(|breach| head(breach, style))) };
    let why = finding.why.as_ref().map(|why| format!("\n  the run failed: {}", clean::line(why))).unwrap_or_default();
    let steps = proof::timeline(&finding.steps, finding.start, options.story.is_some(), style);
    let traffic = proof::traffic(&finding.traffic, &finding.capacity, style);
    format!("{head}{why}\n{steps}\n{traffic}  told again by: {}\n", style.code(command(options, &finding.story)))
}

/// What broke a rule, and how what there is differs from what there should be.
fn head(breach: &Breach, style: Style) -> String {
    let what = style.bad(format!("✗ {}: {}", clean::line(&breach.rule), clean::line(&breach.what)));
    let line = |line: &String| {
        let line = clean::line(line);
        format!("    {}", if line.starts_with('-') { style.bad(line) } else { style.good(line) })
    };
    lines(std::iter::once(what).chain(breach.differences.iter().map(line)))
}

fn lines(all: impl Iterator<Item = String>) -> String {
    all.collect::<Vec<_>>().join("\n")
}

fn command(options: &cli::Test, story: &Story) -> String {
    let script = path(&options.script.display().to_string());
    let arguments = options.arguments.iter().map(|(key, value)| format!("{key}={value}"));
    let words = std::iter::once(script).chain(arguments).map(|word| quoted(&word)).collect::<Vec<_>>().join(" ");
    format!("podlift test {words} --story {}", quoted(&story.to_string()))
}

/// What was tried, in words.
fn extent(proof: &Proof) -> String {
    let calls = words::count(proof.calls, "call");
    let how = match (proof.all_single, proof.all_pairs) {
        (true, true) => format!("every fault and every pair of faults at its {calls}"),
        (true, false) if proof.stories > proof.single + 1 => format!("every fault at its {calls}, and a choice of several at once"),
        (true, false) => format!("every fault at its {calls}"),
        (false, _) if proof.single == 0 => format!("no fault at its {calls}"),
        (false, _) => format!("a choice of the faults at its {calls}"),
    };
    let stories = if proof.stories == 1 { "1 story".to_owned() } else { format!("{} stories", proof.stories) };
    format!("{stories}: {how}")
}

/// Which rules were broken how often.
fn broken(proof: &Proof) -> String {
    let rules = proof.by_rule.iter().map(|(rule, count)| format!("{} in {count}", clean::line(rule))).collect::<Vec<_>>().join(", ");
    format!("{rules}; the shortest stories are told above")
}

/// How the stories ended.
fn ends(proof: &Proof) -> String {
    let word = |(word, count): (&&str, &usize)| match *word {
        "died" => format!("{count} with the operator's machine"),
        "mixed" => format!("{count} mixed, and said so"),
        word => format!("{count} {word}"),
    };
    let missed = match proof.missed {
        0 => String::new(),
        missed => format!("; {missed} more did not come up as planned and are not counted"),
    };
    format!("they ended {}{missed}", proof.exits.iter().map(word).collect::<Vec<_>>().join(", "))
}

fn exit_word(finding: Option<&Finding>) -> &'static str {
    finding.and_then(|finding| finding.exit).map_or("the operator's machine died", Exit::word)
}

fn as_json(options: &cli::Test, proof: Option<&Proof>, findings: &[Finding], exit: Exit, took: Duration) -> Value {
    let record = |record: &Recorded| {
        let failure = record.result.as_ref().err();
        json!({
            "key": record.key, "verb": record.op.verb(), "host": record.op.host().map(|host| &host.name), "origin": record.origin,
            "failed": failure.map(|failure| failure.kind),
        })
    };
    let finding = |finding: &Finding| {
        json!({
            "story": finding.story.to_string(), "command": command(options, &finding.story), "breaches": finding.breaches,
            "exit": finding.exit, "why": finding.why, "steps": proof::steps(&finding.steps, finding.start),
            "services": proof::traffic_json(&finding.traffic, &finding.capacity, finding.start),
            "records": finding.records.iter().map(record).collect::<Vec<_>>(), "there": finding.there,
        })
    };
    let extent = proof.map(|proof| {
        json!({
            "stories": proof.stories, "stopped": proof.is_stopped, "missed": proof.missed, "broken": proof.broken, "by_rule": proof.by_rule, "idle": proof.idle, "bare": proof.bare, "untouched": proof.untouched, "unrecorded": proof.unrecorded, "changes": proof.changes, "by_faults": proof.by_faults, "calls": proof.calls, "modelled_seconds": proof.took.duration().as_secs_f64(),
            "all_single": proof.all_single, "all_pairs": proof.all_pairs, "exits": proof.exits, "seed": options.seed,
            "services": proof::traffic_json(&proof.traffic, &proof.capacity, proof.start),
        })
    });
    json!({
        "holds": exit == Exit::Done, "exit": exit.code(), "seconds": took.as_secs_f64(), "tried": extent,
        "stories": findings.iter().map(finding).collect::<Vec<_>>(),
    })
}
