//! One execution of a script.

use std::{
    collections::BTreeMap,
    panic,
    sync::{Arc, Mutex, atomic::AtomicBool},
    thread,
};

use rhai::{AST, ASTNode, Dynamic, Engine, EvalAltResult, Expr, Position, Stmt};

use super::{
    debugger::{self, Watcher},
    engine,
    evaluator::Evaluator,
    functions::{aside, raise},
    ledger::Ledger,
    placeholders::{Placeholders, foreign},
    resolver::Resolver,
    session::{Circumstances, Project, SecretNames, Session, lock},
    tested::{Invariants, Tested},
};
use crate::{
    executor::{Branches, Cancellation, Executor, Narrator, RunInfo, branches::STACK, call::Urgency},
    failure::{Failure, FailureKind},
    model::ProjectName,
};

/// What a script is run with.
pub struct ScriptRun {
    /// The run's `KEY=VALUE` arguments.
    pub arguments: Vec<(String, String)>,
    /// Performs its calls.
    pub executor: Arc<dyn Executor>,
    /// Listens to what it says.
    pub narrator: Arc<dyn Narrator>,
    /// The run.
    pub run: Arc<RunInfo>,
    /// How its branches and the hosts of a call are done.
    pub branches: Branches,
    /// Tells it to stop.
    pub cancellation: Cancellation,
    /// Tells which secrets there are.
    pub secrets: Arc<dyn SecretNames>,
}

/// Why a script did not reach its end.
pub struct Stopped {
    /// What was raised, with the frames that it came through; positions are of the run's line space.
    pub error: Box<EvalAltResult>,
    /// The secrets' places in what the script threw.
    pub placeholders: Placeholders,
}

impl Stopped {
    /// The failure that a host function raised, if it was one.
    pub fn failure(&self) -> Option<Failure> {
        match self.error.unwrap_inner() {
            EvalAltResult::ErrorRuntime(value, _) | EvalAltResult::ErrorTerminated(value, _) => value.clone().try_cast(),
            _ => None,
        }
    }

    /// Whether it was told to stop.
    pub fn is_interrupted(&self) -> bool {
        let told = |failure: Failure| failure.kind == FailureKind::Interrupted;
        matches!(self.error.unwrap_inner(), EvalAltResult::ErrorTerminated(..)) && self.failure().is_none_or(told)
    }
}

impl ScriptRun {
    /// Runs a script that was compiled in its place of the resolver's line space, on a thread of its own, and blocks until it
    /// ends.
    pub fn perform(self, script: &AST, resolver: &Resolver) -> Result<(), Stopped> {
        self.look(script, resolver).0
    }

    /// The same; also tells which project it named, as far as it came.
    pub fn look(self, script: &AST, resolver: &Resolver) -> (Result<(), Stopped>, ProjectName) {
        let begun = match self.takes_its_arguments(script) {
            Ok(run) => run.begin(resolver),
            Err(stopped) => return (Err(stopped), ProjectName::default()),
        };
        let session = begun.session.clone();
        let ended = begun.on_a_thread(|engine, session| engine.run_ast(script).and_then(|()| finish(session)));
        (ended, session.project())
    }

    /// The same, as a test of the script, on this thread: it has the stack that scripts need.
    pub fn test(self, script: &AST, resolver: &Resolver, tested: &Arc<dyn Tested>) -> Result<(), Stopped> {
        let begun = self.takes_its_arguments(script)?.begin_tested(resolver, Some(tested.clone()));
        let ended = begun.engine.run_ast(script).and_then(|()| finish(&begun.session));
        tested.declares(&begun.session.current().hosts);
        let all = lock(&begun.session.circumstances().invariants).clone();
        if !all.is_empty() {
            let session = aside(&begun.session);
            let engine = engine(session.clone(), resolver, begun.cancellation.again());
            let (sources, placeholders) = (resolver.sources().clone(), begun.placeholders.clone());
            tested.keeps(Invariants { engine, session, all, sources, placeholders });
        }
        ended.map_err(|error| Stopped { error, placeholders: begun.placeholders })
    }

    /// The same, with someone who watches each step.
    pub fn step(self, script: &AST, resolver: &Resolver, watcher: Arc<dyn Watcher>) -> Result<(), Stopped> {
        let mut begun = self.takes_its_arguments(script)?.begin(resolver);
        watcher.begins(begun.evaluator(resolver));
        debugger::register(&mut begun.engine, resolver.sources().clone(), watcher);
        begun.on_a_thread(|engine, session| engine.run_ast(script).and_then(|()| finish(session)))
    }

    /// Lets someone type what a script would say.
    pub fn converse<T: Send>(self, resolver: &Resolver, talk: impl FnOnce(Evaluator) -> T + Send) -> Result<T, Stopped> {
        let begun = self.begin(resolver);
        let evaluator = begun.evaluator(resolver);
        begun.on_a_thread(|_, _| Ok(talk(evaluator)))
    }

    fn takes_its_arguments(self, script: &AST) -> Result<Self, Stopped> {
        if let (Some((name, _)), false) = (self.arguments.first(), calls_params(script)) {
            let failure = Failure::refused(format!("the script takes no arguments, and got {name}=…"));
            let failure = failure.hint("a script takes them with params(#{ name: default })");
            return Err(Stopped { error: raise(failure, Position::NONE), placeholders: Placeholders::default() });
        }
        Ok(self)
    }

    fn begin(self, resolver: &Resolver) -> Begun {
        self.begin_tested(resolver, None)
    }

    fn begin_tested(self, resolver: &Resolver, tested: Option<Arc<dyn Tested>>) -> Begun {
        let placeholders = Placeholders::default();
        let cancellation = self.cancellation.clone();
        let session = Session::new(Circumstances {
            executor: Arc::new(Ledger::over(self.executor)),
            narrator: self.narrator,
            run: self.run,
            branches: self.branches,
            cancellation: self.cancellation,
            secrets: self.secrets,
            sources: resolver.sources().clone(),
            placeholders: placeholders.clone(),
            arguments: Mutex::new(Some(self.arguments.into_iter().map(|(key, value)| (foreign(&key), foreign(&value))).collect())),
            project: Mutex::new(Project::default()),
            built: Mutex::new(BTreeMap::new()),
            registries: Mutex::default(),
            resolved: Mutex::default(),
            tested,
            invariants: Mutex::default(),
            is_given: AtomicBool::new(false),
        });
        Begun { engine: engine(session.clone(), resolver, cancellation.clone()), session, cancellation, placeholders }
    }
}

/// A run whose engine and session are there.
struct Begun {
    engine: Engine,
    session: Session,
    cancellation: Cancellation,
    placeholders: Placeholders,
}

impl Begun {
    fn evaluator(&self, resolver: &Resolver) -> Evaluator {
        let engine = engine(self.session.clone(), resolver, self.cancellation.clone());
        Evaluator::new(engine, resolver.clone(), self.session.clone())
    }

    fn on_a_thread<T: Send>(self, work: impl FnOnce(&Engine, &Session) -> Result<T, Box<EvalAltResult>> + Send) -> Result<T, Stopped> {
        let (engine, session) = (&self.engine, &self.session);
        let ended = thread::scope(|scope| {
            match thread::Builder::new().name("script".into()).stack_size(STACK).spawn_scoped(scope, move || work(engine, session)) {
                Ok(running) => running.join().unwrap_or_else(|payload| panic::resume_unwind(payload)),
                Err(error) => Err(raise(Failure::failed(format!("no thread can be had for the script: {error}")), Position::NONE)),
            }
        });
        ended.map_err(|error| Stopped { error, placeholders: self.placeholders })
    }
}

/// The script's end is a commit: what was asked to be pruned is pruned.
fn finish(session: &Session) -> Result<(), Box<EvalAltResult>> {
    session.prune().map_err(|failure| raise(failure, Position::NONE))
}

/// An engine with the run's session, its modules, and a way to stop.
fn engine(session: Session, resolver: &Resolver, cancellation: Cancellation) -> Engine {
    let mut engine = engine::language();
    engine.set_module_resolver(resolver.clone());
    engine.set_default_tag(Dynamic::from(session));
    engine.on_progress(move |_| {
        cancellation.spends(1);
        let told = cancellation.urgency() > Urgency::None;
        told.then(|| Dynamic::from(Failure::new(FailureKind::Interrupted, "the run was told to stop")))
    });
    engine
}

fn calls_params(script: &AST) -> bool {
    let mut found = false;
    script.walk(&mut |path| {
        let call = match path.last() {
            Some(ASTNode::Expr(Expr::FnCall(call, _)) | ASTNode::Stmt(Stmt::FnCall(call, _))) => Some(call),
            _ => None,
        };
        found |= call.is_some_and(|call| call.name == "params" && call.args.len() == 1);
        !found
    });
    found
}
