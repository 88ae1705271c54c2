//! `podlift repl`: a run that is typed.

mod save;
mod undo;

use std::{
    cell::RefCell,
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use rhai::{Array, Dynamic, Map};

use super::{console::Console, known::Known, stepper::first_aside, values};
use crate::{
    executor::{Answer, Call, Executor, Outcome, Steps, confirm::Ask},
    failure::{Failure, FailureKind, Origin},
    model::{Host, HostState, Image, Key, Release, Service},
    op::{Class, Confirm, Op, Survey},
    script::{
        Broken, Ended, Evaluator, Frame, Session,
        diagnostics::{Diagnostic, render},
        documentation::Documentation,
        reference, signatures, stdlib, worked,
    },
    terminal::{Printer, clean, containers, markdown, plan::States, table::Table, words::Line},
};

/// The prompt's own commands.
pub const COMMANDS: &[&str] = &["help", "hosts", "load", "plan", "quit", "save", "status", "undo", "vars"];

const HELP: &str = "\
:help [NAME]   this, or the page of a function or of std/NAME
:hosts         the hosts that variables hold
:status        what runs on them, and what traffic it gets
:plan EXPR     what EXPR would do, op by op; nothing is touched
:undo          take back what the last input did that changed something
:vars          the variables
:load FILE     run a script here
:save FILE     write what was typed and worked as a script
:quit          end (so does ctrl-D)
Anything else is script: let web = service(\"web\", #{ … }), running(web, fleet), set_weights(…). Tab completes.";

/// Runs what is asked of an executor in a model, and tells what that was.
pub type Rehearse = dyn Fn(&dyn Fn(Arc<dyn Executor>) -> Option<String>) -> Result<String, Failure> + Send + Sync;

/// Asks before the first effect, and what a script wants to know, and remembers what each input did.
pub struct Consent {
    console: Arc<dyn Console>,
    /// Whether all is answered with yes.
    agrees: bool,
    given: Mutex<bool>,
    done: Mutex<Vec<(Call, Vec<Op>)>>,
    /// Of which classes the ops of this input are.
    classes: Mutex<Vec<Class>>,
}

impl Consent {
    /// Nothing is allowed yet; one that `agrees` says yes to everything.
    pub fn new(console: Arc<dyn Console>, agrees: bool) -> Arc<Self> {
        Arc::new(Self { console, agrees, given: Mutex::new(agrees), done: Mutex::default(), classes: Mutex::default() })
    }

    fn changes(&self) -> MutexGuard<'_, Vec<(Call, Vec<Op>)>> {
        self.done.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn classes(&self) -> MutexGuard<'_, Vec<Class>> {
        self.classes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Steps for Consent {
    fn before(&self, call: &Call) -> Answer {
        self.classes().push(call.op.class());
        if let Op::Confirm(Confirm { question, otherwise: None, .. }) = &*call.op
            && !self.agrees
            && !self.console.is_terminal()
        {
            let failure = Failure::refused(format!("nobody is there to answer: {question}"));
            return Answer::Fail(Box::new(failure.hint("`podlift repl --yes` answers every question with yes")));
        }
        // Held while it is asked: the question is put once, however many hosts a call has.
        let mut given = self.given.lock().unwrap_or_else(PoisonError::into_inner);
        if !call.op.class().changes() || *given {
            return Answer::Do;
        }
        let Line { host, verb, description } = Line::of(&call.op);
        if !self.console.is_terminal() {
            let failure = Failure::refused(format!("{verb} {description} on {host} is the first change, and nobody is there to ask"));
            return Answer::Fail(Box::new(failure.hint("`podlift repl --yes` answers every question with yes")));
        }
        self.console.tell(&format!("{verb} {description} on {host}: the first change of this session"));
        let answer = self.console.ask("go on, for this and all that follows? [y/N] ");
        if answer.is_some_and(|answer| ["y", "yes"].contains(&answer.trim().to_lowercase().as_str())) {
            *given = true;
            return Answer::Do;
        }
        Answer::Fail(Box::new(Failure::refused("you said no: nothing was changed")))
    }

    fn done(&self, call: &Call, outcome: &Outcome) {
        if call.op.class().changes() {
            self.changes().push((call.clone(), outcome.inverse.to_vec()));
        }
    }

    fn failed(&self, _: &Call, failure: &Failure) -> Answer {
        Answer::Fail(Box::new(failure.clone()))
    }
}

impl Ask for Consent {
    fn ask(&self, question: &Confirm, _: &Call) -> Option<bool> {
        if self.agrees || !self.console.is_terminal() {
            return self.agrees.then_some(true);
        }
        loop {
            let answer = self.console.ask(&format!("? {} [y/n] ", clean::line(&question.question)))?;
            match answer.trim().to_lowercase().as_str() {
                "y" | "yes" => return Some(true),
                "n" | "no" => return Some(false),
                _ => {}
            }
        }
    }
}

/// A session.
pub struct Talk {
    console: Arc<dyn Console>,
    printer: Printer,
    consent: Arc<Consent>,
    rehearse: Box<Rehearse>,
    known: Arc<Mutex<Known>>,
    evaluator: Arc<Evaluator>,
    session: Session,
    frame: Frame,
    inputs: Vec<Input>,
    number: usize,
    asides: usize,
    /// What the script was given that it began with, as a shell takes it.
    arguments: Vec<String>,
    /// The files that it has saved itself in.
    saved: BTreeSet<PathBuf>,
    /// Why an input has failed, the first that did.
    failed: Option<Ended>,
    /// Whether an input was taken back: what it declared is no part of the script then.
    has_undone: bool,
}

/// What was typed and worked.
struct Input {
    text: String,
    /// What of it came before its first change: that stays where the input is taken back.
    unchanging: String,
    /// How many changes were there before it.
    before: usize,
    is_kept: bool,
}

impl Talk {
    /// A session that evaluates with `evaluator`.
    pub fn new(
        console: Arc<dyn Console>,
        printer: Printer,
        consent: Arc<Consent>,
        rehearse: Box<Rehearse>,
        known: Arc<Mutex<Known>>,
        evaluator: Arc<Evaluator>,
    ) -> Self {
        let (session, frame) = (evaluator.session(), evaluator.frame());
        known.lock().unwrap_or_else(PoisonError::into_inner).commands = COMMANDS;
        Self {
            console,
            printer,
            consent,
            rehearse,
            known,
            evaluator,
            session,
            frame,
            inputs: Vec::new(),
            number: 0,
            asides: first_aside(),
            arguments: Vec::new(),
            saved: BTreeSet::new(),
            failed: None,
            has_undone: false,
        }
    }

    /// Goes on until the end of the input or `:quit`, or until it is told to stop. Whoever types sees what fails and goes on; what was
    /// written before ends there, as a script does.
    ///
    /// # Errors
    /// Why it did not come to its end.
    pub fn run(mut self) -> Result<(), Ended> {
        while self.goes_on() {
            if let (false, Some(failed)) = (self.console.is_terminal(), self.failed.take()) {
                return Err(failed);
            }
            self.learn();
            let evaluator = self.evaluator.clone();
            let asked = self.console.ask_script("podlift> ", &move |text| evaluator.is_incomplete(text));
            if !self.goes_on() {
                break;
            }
            let Some(text) = asked else { return Ok(()) };
            let text = text.trim();
            match text.strip_prefix(':').map(|command| command.split_once(char::is_whitespace).unwrap_or((command, ""))) {
                Some(("quit" | "q" | "exit", _)) => return Ok(()),
                Some((command, rest)) => self.command(command, rest.trim()),
                None if text.is_empty() => {}
                None => self.input(text),
            }
        }
        let failure = Failure::new(FailureKind::Interrupted, "the session was told to stop");
        Err(self.ended(&failure))
    }

    /// Ctrl-C stops an input, and whoever types says what comes next; lines that were written before end with it.
    fn goes_on(&self) -> bool {
        if self.console.is_terminal() { self.evaluator.goes_on() } else { !self.evaluator.is_stopped() }
    }

    fn ended(&self, failure: &Failure) -> Ended {
        Ended { kind: Some(failure.kind), diagnostic: Diagnostic::of_failure(failure, self.evaluator.resolver().sources()) }
    }

    /// Tells why something is not done.
    fn refuse(&mut self, message: impl Into<String>) {
        let failure = Failure::refused(message);
        self.console.tell(&failure.message);
        let ended = self.ended(&failure);
        self.failed.get_or_insert(ended);
    }

    /// Begins with a script, and the words of a command line that give it its arguments.
    pub fn begin(&mut self, script: &Path, arguments: Vec<String>) {
        self.arguments = arguments;
        self.load(script);
    }

    /// Evaluates a script's file. What it did until it failed stands.
    fn load(&mut self, file: &Path) {
        match fs::read_to_string(file) {
            Ok(text) => self.evaluate(&file.display().to_string(), &text),
            Err(error) => self.refuse(format!("{} cannot be read: {error}", file.display())),
        }
    }

    fn input(&mut self, text: &str) {
        self.number += 1;
        self.evaluate(&format!("(input {})", self.number), text);
    }

    fn evaluate(&mut self, name: &str, text: &str) {
        let before = self.consent.changes().len();
        self.consent.classes().clear();
        let has_changed = || self.consent.changes().len() > before;
        let (mut last, mut changing) = (None, None);
        let result = self.evaluator.evaluate_each(name, text, &mut self.frame, &self.session, &mut |origin| {
            changing = changing.take().or_else(|| last.take().filter(|_| has_changed()));
            last = Some(origin.clone());
        });
        let changed = has_changed();
        let changing = changing.or(last).filter(|_| changed);
        let unchanging = changing.map(|place| worked(text, &place)).unwrap_or_default();
        match result {
            Ok(value) => {
                if !value.is_unit() && !text.trim_end().ends_with(';') {
                    self.console.show(&values::show(&value, &self.evaluator, self.printer.data_style()));
                }
                let is_kept = changed || value.is_unit() || !only_looks(text, &self.consent.classes());
                self.inputs.push(Input { text: text.to_owned(), unchanging, before, is_kept });
            }
            Err(broken) => {
                let Broken { ended, worked } = *broken;
                if self.evaluator.is_stopped() {
                    self.console.tell("this input was stopped");
                } else {
                    self.complain(&ended.diagnostic);
                }
                self.failed.get_or_insert(ended);
                let is_kept = !worked.is_empty();
                if changed || is_kept {
                    self.inputs.push(Input { text: worked, unchanging, before, is_kept });
                }
                if changed {
                    self.console.tell("what it did until then stands; :undo takes it back");
                }
            }
        }
    }

    fn command(&mut self, command: &str, rest: &str) {
        match command {
            "help" | "h" | "?" if rest.is_empty() => self.console.tell(HELP),
            "help" | "h" | "?" => self.help(rest),
            "hosts" => self.hosts(),
            "status" => self.status(),
            "vars" => {
                let lines: Vec<String> =
                    self.frame.variables().iter().rev().map(|(name, value)| format!("{name} = {}", self.evaluator.words(value))).collect();
                self.console.show(&lines.join("\n"));
            }
            "plan" if rest.is_empty() => self.refuse(":plan takes what to look at: :plan stop(old)"),
            "plan" => self.plan(rest),
            "undo" => self.undo(),
            "load" if !rest.is_empty() => self.load(Path::new(rest)),
            "save" if !rest.is_empty() => self.save(Path::new(rest)),
            "load" | "save" => self.refuse(format!(":{command} takes a file: :{command} deploy.rhai")),
            _ => {
                let nearest = crate::script::options::nearest(command, COMMANDS).map(|nearest| format!("did you mean :{nearest}? "));
                self.refuse(format!("there is no command :{command}; {}:help lists them", nearest.unwrap_or_default()));
            }
        }
    }

    fn help(&mut self, name: &str) {
        let module = name.split("::").next().unwrap_or(name);
        let module = module.strip_prefix("std/").unwrap_or(module);
        let page = reference::section(name).map(|section| format!("# `{}`\n\n{}\n", section.title, section.text));
        let page = page.or_else(|| Some(Documentation::of(stdlib::text(module)?).markdown(&format!("std/{module}"))));
        let Some(page) = page else {
            let known: Vec<&str> = signatures().map(|function| function.name).collect();
            let nearest = crate::script::options::nearest(name, &known).map(|nearest| format!("; did you mean `{nearest}`?"));
            return self.refuse(format!("there is no page {name:?}{}", nearest.unwrap_or_default()));
        };
        self.console.show(&markdown::render(&page, self.printer.data_style()));
    }

    fn known_hosts(&self) -> Vec<Host> {
        hosts_of(&self.frame.variables())
    }

    fn hosts(&self) {
        let hosts = self.known_hosts();
        if hosts.is_empty() {
            return self.console.tell("no variable holds a host: let fleet = hosts([\"web1\", \"web2\"])");
        }
        let mut table = Table::new(["HOST", "ADDRESS", "PROXY", "LABELS"]);
        for host in hosts {
            let labels: Vec<String> = host.labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
            let proxy = serde_json::to_value(&host.proxy).ok().and_then(|proxy| Some(proxy["kind"].as_str()?.to_owned()));
            table.row([host.name.to_string(), host.address(), proxy.unwrap_or_default(), labels.join(" ")]);
        }
        self.console.show(&table.render(self.printer.data_style()));
    }

    fn status(&mut self) {
        let hosts = self.known_hosts();
        if hosts.is_empty() {
            return self.console.tell("no variable holds a host: let fleet = hosts([\"web1\", \"web2\"])");
        }
        let origin = Origin { file: "(status)".into(), line: 1, column: 1 };
        let mut states = States::new();
        for host in hosts {
            self.asides += 1;
            let op = Survey { host: host.clone(), project: self.evaluator.project() };
            match self.evaluator.perform(op.into(), Key::aside(self.asides), &origin) {
                Ok(outcome) => {
                    // What cannot be read is as good as empty.
                    let state: HostState = outcome.value.read().unwrap_or_default();
                    states.insert(host.name.clone(), state);
                }
                Err(failure) => self.console.tell(&format!("{}: {}", host.name, failure.message)),
            }
        }
        let rows = containers::rows(&states);
        if rows.is_empty() {
            return self.console.tell("nothing of this project runs there");
        }
        self.console.show(&containers::table(&rows, jiff::Timestamp::now(), self.printer.data_style()));
    }

    fn plan(&mut self, text: &str) {
        let problem = RefCell::new(None);
        let shown = (self.rehearse)(&|executor| {
            let session = self.session.over(String::new(), executor);
            let broken = self.evaluator.evaluate("(plan)", text, &mut self.frame.clone(), &session).err()?;
            let told =
                render(std::slice::from_ref(&broken.ended.diagnostic), self.evaluator.resolver().sources(), self.printer.style().colour);
            problem.replace(Some(broken.ended));
            Some(told)
        });
        match shown {
            Ok(plan) => self.console.show(&plan),
            Err(failure) => self.refuse(failure.message),
        }
        self.failed = self.failed.take().or(problem.take());
    }

    fn complain(&self, diagnostic: &Diagnostic) {
        let sources = self.evaluator.resolver().sources();
        self.console.tell(&render(std::slice::from_ref(diagnostic), sources, self.printer.style().colour));
    }

    /// Tells the editor what there is now. Whoever types waits for it: what is the same as before is not looked at again.
    fn learn(&mut self) {
        let variables = self.frame.variables();
        let hosts = hosts_of(&variables);
        let mut texts: Vec<String> = hosts.iter().map(|host| host.name.to_string()).collect();
        for (_, value) in &variables {
            collect_versions(value, &mut texts);
        }
        texts.extend(files(Path::new("")));
        texts.extend(files(Path::new("deploy")));
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let modules = self.frame.imports();
        if known.modules != modules {
            known.imported = self.evaluator.imported(&self.frame);
            known.modules = modules;
        }
        known.variables = variables;
        known.texts = texts;
    }
}

/// Whether an input whose value was shown is not worth repeating: one expression that calls nothing, or whose ops have only read.
/// A call without an op may have declared something, as `project(…)` does.
fn only_looks(text: &str, classes: &[Class]) -> bool {
    let has_read = !classes.is_empty() && classes.iter().all(|class| *class == Class::Read);
    !text.contains(';') && (has_read || !text.contains('('))
}

/// The hosts that variables hold, in arrays, maps, services and releases too.
fn hosts_of(variables: &[(String, Dynamic)]) -> Vec<Host> {
    let mut hosts = Vec::new();
    for (_, value) in variables.iter().rev() {
        collect(value, &mut hosts);
    }
    hosts
}

fn collect(value: &Dynamic, hosts: &mut Vec<Host>) {
    let mut add = |host: &Host| {
        if !hosts.contains(host) {
            hosts.push(host.clone());
        }
    };
    if let Some(host) = value.read_lock::<Host>() {
        add(&host);
    } else if let Some(release) = value.read_lock::<Release>() {
        release.hosts.iter().for_each(add);
    } else if let Some(service) = value.read_lock::<Service>() {
        service.proxies(&[]).iter().for_each(add);
    } else {
        each_item(value, |item| collect(item, hosts));
    }
}

/// The versions of images and releases, in arrays and maps too.
fn collect_versions(value: &Dynamic, texts: &mut Vec<String>) {
    if let Some(release) = value.read_lock::<Release>() {
        texts.extend(release.versions().iter().map(ToString::to_string));
    } else if let Some(image) = value.read_lock::<Image>() {
        texts.push(image.version.to_string());
    } else {
        each_item(value, |item| collect_versions(item, texts));
    }
}

/// What an array or a map has in it.
fn each_item(value: &Dynamic, look: impl FnMut(&Dynamic)) {
    if let Some(items) = value.read_lock::<Array>() {
        items.iter().for_each(look);
    } else if let Some(items) = value.read_lock::<Map>() {
        items.values().for_each(look);
    }
}

/// The files of a folder that is here, for `:load` and strings.
fn files(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(Path::new(".").join(folder)).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok()).filter(|name| !name.starts_with('.'));
    names.take(200).map(|name| folder.join(name).display().to_string()).collect()
}
