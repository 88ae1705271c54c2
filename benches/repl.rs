//! Whether `podlift repl` answers within a frame of a screen: completion, what is computed at each key (hints and colours), at Enter, and
//! before each prompt. The session is a large one that was really typed: every module of the library, a hundred hosts with a deployed
//! service, hundreds of variables and files.
//!
//! Prints the median and the slowest of each, and fails where a median is longer than a frame.

use std::{
    collections::VecDeque,
    env, fs,
    hint::black_box,
    path::Path,
    process::ExitCode,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use podlift::{
    cli,
    commands::{
        about::Deaf,
        environment::Environment,
        identity,
        outside::Outside,
        stack::{Modelled, Stack},
    },
    executor::{Branches, Cancellation, Narrator, Simulated, Terms},
    failure::Failure,
    repl::{
        console::Console,
        editor::Help,
        known::Known,
        session::{Consent, Talk},
    },
    script::{Checked, ScriptRun, goes_on, stdlib},
    terminal::Printer,
    world::Kept,
};
use rustyline::{Context, completion::Completer, highlight::Highlighter, hint::Hinter, history::MemHistory};

/// Sixty a second.
const FRAME: Duration = Duration::from_micros(16_667);
const ROUNDS: usize = 200;
const HOSTS: usize = 100;
const VARIABLES: usize = 300;
const FILES: usize = 200;

/// What is completed: what it is called, the line before the cursor, and one of the answers.
const COMPLETIONS: &[(&str, &str, &str)] = &[
    ("anything", "", "… "),
    ("a function", "set_w", "set_weights"),
    ("a function in a plan", ":plan set_w", "set_weights"),
    ("an option", "drain(live, #{ time", "timeout: "),
    ("an option of a module's function", "canary::deploy(web, img, fleet, #{ sticky: \"seen\", st", "steps: "),
    ("a module's function", "rolling::", "rolling::deploy"),
    ("a variable", "let other = variable_29", "variable_299"),
    ("a property", "live.ver", "version"),
    ("a host", "host(\"web9", "web99"),
    ("a version", "releases(web, fleet).filter(|one| one.version == \"v", "v1"),
    ("a file", "read_file(\"file-19", "file-199.rhai"),
    ("a file to load", ":load file-19", "file-199.rhai"),
    ("a module", "import \"std/", "std/rolling"),
    ("a page of help", ":help set_w", "set_weights"),
];

/// Types the lines of a session, and then nothing, again and again.
#[derive(Default)]
struct Typist(Mutex<Typing>);

#[derive(Default)]
struct Typing {
    lines: VecDeque<String>,
    entered: Option<Instant>,
    /// How long the prompt took to come back after an empty line.
    prompts: Vec<Duration>,
    told: Vec<String>,
}

impl Typist {
    fn typing(&self) -> MutexGuard<'_, Typing> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Console for Typist {
    /// Nobody sees what fails: the first failure ends it.
    fn is_terminal(&self) -> bool {
        false
    }

    fn ask(&self, _: &str) -> Option<String> {
        None
    }

    fn ask_script(&self, _: &str, _: &dyn Fn(&str) -> bool) -> Option<String> {
        let mut typing = self.typing();
        let waited = typing.entered.take().map(|entered| entered.elapsed());
        typing.prompts.extend(waited);
        let line = typing.lines.pop_front()?;
        typing.entered = line.is_empty().then(Instant::now);
        Some(line)
    }

    fn tell(&self, text: &str) {
        self.typing().told.push(text.to_owned());
    }

    fn show(&self, _: &str) {}
}

/// What is typed before anything is measured.
fn session() -> VecDeque<String> {
    let modules = stdlib::MODULES.iter().map(|(name, _)| format!("import \"std/{name}\" as {name};"));
    let deploy = [
        "project(\"bench\");".to_owned(),
        format!("let fleet = []; for n in 0..{HOSTS} {{ fleet += host(`web${{n}}`); }}"),
        "let web = service(\"web\", #{ port: 8000, replicas: 2, health: http(\"/health\") });".to_owned(),
        "let img = build(web, #{ tag: \"v1\" });".to_owned(),
        "ship(img, fleet);".to_owned(),
        "rolling::deploy(web, img, fleet, #{ batch: \"50%\" });".to_owned(),
        "let live = running(web, fleet);".to_owned(),
        "let all = releases(web, fleet);".to_owned(),
    ];
    let variables = (0..VARIABLES).map(|n| format!("let variable_{n} = #{{ name: \"variable\", number: {n} }};"));
    modules.chain(deploy).chain(variables).chain((0..ROUNDS).map(|_| String::new())).collect()
}

/// Types the session on a simulated fleet; returns what is known at its end, and how long its prompts took.
fn typed() -> Result<(Known, Vec<Duration>), String> {
    let said = |failure: Failure| failure.message;
    let folder = Path::new(".");
    let environment = Environment::beside(folder).map_err(said)?;
    let outside = Outside::open(&cli::Ssh { ssh_config: None }, folder, &environment).map_err(said)?;
    let typist = Arc::new(Typist(Mutex::new(Typing { lines: session(), ..Typing::default() })));
    let known = Arc::new(Mutex::new(Known::default()));
    let narrator: Arc<dyn Narrator> = Arc::new(Deaf);
    let consent = Consent::new(typist.clone(), true);
    let model = Modelled::new(Simulated::new(Kept::default(), outside.executor()));
    let stack = Stack::over(Arc::new(model), narrator.clone(), Terms::default()).stepping(consent.clone(), narrator.clone());
    let run = ScriptRun {
        arguments: Vec::new(),
        executor: stack.executor(),
        narrator,
        run: Arc::new(identity::new_run()),
        branches: Branches::default(),
        cancellation: Cancellation::default(),
        secrets: Arc::new(environment),
    };
    let plan = Box::new(|_: &dyn Fn(_) -> Option<String>| Err(Failure::refused("nothing is planned here")));
    let (console, learnt) = (typist.clone(), known.clone());
    let ended = Checked::new("(typed)", folder, "")
        .converse(run, move |evaluator| Talk::new(console, Printer::standard(), consent, plan, learnt, Arc::new(evaluator)).run());
    outside.close();
    let typing = typist.typing();
    match ended {
        Ok(Ok(())) => Ok((known.lock().unwrap_or_else(PoisonError::into_inner).clone(), typing.prompts.clone())),
        Ok(Err(_)) => Err(format!("the session failed:\n{}", typing.told.join("\n"))),
        Err(ended) => Err(ended.diagnostic.message),
    }
}

fn times(mut work: impl FnMut()) -> Vec<Duration> {
    let time = |()| {
        let begin = Instant::now();
        work();
        begin.elapsed()
    };
    std::iter::repeat_n((), ROUNDS).map(time).collect()
}

/// The lines of what was measured, and the longest median.
struct Results {
    printer: Printer,
    longest: Duration,
}

impl Results {
    fn add(&mut self, what: &str, mut times: Vec<Duration>) {
        times.sort_unstable();
        let (median, slowest) = (times[times.len() / 2], times[times.len() - 1]);
        self.longest = self.longest.max(median);
        let milliseconds = |time: Duration| time.as_secs_f64() * 1e3;
        self.printer.data(format!("  {what:<44} {:>9.3} {:>9.3}", milliseconds(median), milliseconds(slowest)));
    }
}

fn measure(printer: &Printer) -> Result<Duration, String> {
    let (known, prompts) = typed()?;
    let (names, texts, imported) = (known.variables.len() + known.modules.len(), known.texts.len(), known.imported.len());
    printer.data(format!("a session with {names} names, {texts} hosts, versions and files, and {imported} functions of modules"));
    let help = Help { known: Arc::new(Mutex::new(known)), is_incomplete: Arc::new(goes_on), colour: true };
    let history = MemHistory::new();
    let context = Context::new(&history);
    // The longest module of the library, as it would be pasted.
    let long = stdlib::MODULES.iter().map(|(_, text)| *text).max_by_key(|text| text.len()).unwrap_or_default();
    let long = &long[..long.rfind('}').unwrap_or(long.len())];

    printer.data(format!("{:<46} {:>9} {:>9}", "milliseconds", "median", "slowest"));
    let mut results = Results { printer: printer.clone(), longest: Duration::ZERO };
    for (what, line, expected) in COMPLETIONS {
        let complete = |line: &str| help.complete(line, line.len(), &context).map_err(|error| error.to_string());
        let (_, found) = complete(line)?;
        if !found.iter().any(|one| one == expected || expected.starts_with('…') && one.starts_with(expected)) {
            return Err(format!("{line:?} is not completed to {expected:?}, but to {found:?}"));
        }
        results.add(&format!("Tab: {what}"), times(|| drop(black_box(complete(black_box(line))))));
    }
    let behind = format!("{long}\nset_w");
    results.add(
        &format!("Tab: a function, behind {} lines", long.lines().count()),
        times(|| {
            drop(black_box(help.complete(black_box(&behind), behind.len(), &context)));
        }),
    );
    for (what, line) in
        [("in a short line", "drain(live, #{ timeout: \"30s\", "), ("behind as many lines", &format!("{long}\ndrain(live, "))]
    {
        if help.hint(line, line.len(), &context).is_none() {
            return Err(format!("there is no hint {what}"));
        }
        results.add(
            &format!("a key: hint and colours, {what}"),
            times(|| {
                let line = black_box(line);
                let hint = help.hint(line, line.len(), &context);
                black_box((help.highlight(line, line.len()), hint));
            }),
        );
        results.add(
            &format!("Enter: does it go on, {what}"),
            times(|| {
                black_box((help.is_incomplete)(black_box(line)));
            }),
        );
    }
    results.add("the prompt, with all that is there by then", prompts);
    Ok(results.longest)
}

/// A folder with files of its own, so that it is the same wherever this is run.
fn in_a_folder(work: impl FnOnce() -> Result<Duration, String>) -> Result<Duration, String> {
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    for n in 0..FILES {
        fs::write(folder.path().join(format!("file-{n}.rhai")), "").map_err(|error| error.to_string())?;
    }
    env::set_current_dir(folder.path()).map_err(|error| error.to_string())?;
    let measured = work();
    // A folder that a process stands in cannot be removed everywhere.
    let _ = env::set_current_dir("/");
    measured
}

fn main() -> ExitCode {
    let printer = Printer::standard();
    match in_a_folder(|| measure(&printer)) {
        Ok(longest) if longest <= FRAME => {
            let share = FRAME.as_secs_f64() / longest.as_secs_f64();
            printer.data(format!("the longest median is {:.2} ms: {share:.1} times into a frame of 16.7 ms", longest.as_secs_f64() * 1e3));
            ExitCode::SUCCESS
        }
        Ok(longest) => {
            printer.tell(format!("the longest median is {:.2} ms: longer than a frame of 16.7 ms", longest.as_secs_f64() * 1e3));
            ExitCode::FAILURE
        }
        Err(problem) => {
            printer.tell(problem);
            ExitCode::FAILURE
        }
    }
}
