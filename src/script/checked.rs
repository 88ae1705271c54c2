//! A script between its text and its run.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::Arc,
};

use rhai::{AST, EvalAltResult};

use super::{
    Evaluator, REPLACED, ScriptRun, Stopped, Tested, Watcher,
    check::{Entry, Examined, Finding, OptionKey, Vocabulary, check},
    diagnostics::Diagnostic,
    engine,
    options::unknown,
    resolver::{Resolver, project_folder},
    signatures,
    sources::Sources,
    types,
};
use crate::{
    failure::{Failure, FailureKind},
    model::ProjectName,
};

/// A script that was read, with what a check found in it and its imports.
pub struct Checked {
    findings: Vec<Finding>,
    tree: Option<AST>,
    functions: BTreeSet<String>,
    questions: Option<BTreeSet<String>>,
    resolver: Resolver,
}

/// Why a script did not reach its end.
#[derive(Clone, Debug)]
pub struct Ended {
    /// What kind of failure it was; `None` if the script itself is wrong.
    pub kind: Option<FailureKind>,
    /// What is to be told.
    pub diagnostic: Diagnostic,
}

impl Ended {
    pub(super) fn of(stopped: &Stopped, sources: &Sources) -> Self {
        let kind = match (stopped.is_interrupted(), stopped.failure(), stopped.error.unwrap_inner()) {
            (_, Some(failure), _) => Some(failure.kind),
            (true, ..) => Some(FailureKind::Interrupted),
            (_, None, EvalAltResult::ErrorRuntime(..)) => Some(FailureKind::Failed),
            _ => None,
        };
        let mut diagnostic = Diagnostic::of_error(&stopped.error, sources);
        diagnostic.message = stopped.placeholders.show(&diagnostic.message);
        Self { kind, diagnostic }
    }
}

impl Checked {
    /// Checks a text that messages call `name`; what it imports is beside it in `folder`, or embedded.
    pub fn new(name: &str, folder: &Path, text: &str) -> Self {
        let resolver = Resolver::new(Sources::default(), folder, project_folder(folder));
        Self::over(resolver, name, text)
    }

    /// Checks a text that was recorded with everything that it imports, by name: nothing is read from this machine.
    pub fn recorded(name: &str, text: &str, imports: BTreeMap<String, String>) -> Self {
        let folder = Path::new(name).parent().unwrap_or(Path::new(""));
        let resolver = Resolver::recorded(Sources::default(), folder, imports);
        Self::over(resolver, name, text)
    }

    fn over(resolver: Resolver, name: &str, text: &str) -> Self {
        let Examined { findings, trees, functions, questions } =
            check(&engine::language(), &resolver, &vocabulary(), &[Entry { name, text }]);
        Self { findings, tree: trees.into_iter().next().flatten(), functions, questions, resolver }
    }

    /// Everything that is wrong with it, by place.
    pub fn diagnostics(&self) -> Vec<Diagnostic> {
        self.findings.iter().map(Diagnostic::of_finding).collect()
    }

    /// The names of the functions that it and its imports define.
    pub const fn functions(&self) -> &BTreeSet<String> {
        &self.functions
    }

    /// Refuses an answer to a question that it does not ask, where its questions' names can be known before it runs.
    pub fn asks(&self, name: &str) -> Result<(), Failure> {
        match &self.questions {
            Some(known) if !known.contains(name) => {
                let known: Vec<&str> = known.iter().map(String::as_str).collect();
                Err(unknown(&format!("the script asks no question named `{name}`"), name, &known))
            }
            _ => Ok(()),
        }
    }

    /// The texts of the script and its imports.
    pub fn sources(&self) -> &Sources {
        self.resolver.sources()
    }

    /// Runs it and blocks until it ends. A script with findings does not begin: the first of them is told.
    pub fn run(&self, run: ScriptRun) -> Result<(), Ended> {
        self.begin(|tree| run.perform(tree, &self.resolver))
    }

    /// The same; also tells which project it named, as far as it came.
    pub fn look(&self, run: ScriptRun) -> (Result<(), Ended>, ProjectName) {
        let mut project = ProjectName::default();
        let ended = self.begin(|tree| {
            let (ended, named) = run.look(tree, &self.resolver);
            project = named;
            ended
        });
        (ended, project)
    }

    /// The same, as a test of it, on this thread: it has the stack that scripts need.
    pub fn test(&self, run: ScriptRun, tested: &Arc<dyn Tested>) -> Result<(), Ended> {
        self.begin(|tree| run.test(tree, &self.resolver, tested))
    }

    /// The same, with someone who watches each step.
    pub fn step(&self, run: ScriptRun, watcher: Arc<dyn Watcher>) -> Result<(), Ended> {
        self.begin(|tree| run.step(tree, &self.resolver, watcher))
    }

    /// Lets someone type what a script would say, beside it.
    pub fn converse<T: Send>(&self, run: ScriptRun, talk: impl FnOnce(Evaluator) -> T + Send) -> Result<T, Ended> {
        run.converse(&self.resolver, talk).map_err(|stopped| Ended::of(&stopped, self.sources()))
    }

    fn begin(&self, run: impl FnOnce(&AST) -> Result<(), Stopped>) -> Result<(), Ended> {
        if let Some(finding) = self.findings.first() {
            return Err(Ended { kind: None, diagnostic: Diagnostic::of_finding(finding) });
        }
        let Some(tree) = &self.tree else {
            let message = "the script could not be parsed".into();
            return Err(Ended { kind: None, diagnostic: Diagnostic { message, ..Diagnostic::default() } });
        };
        run(tree).map_err(|stopped| Ended::of(&stopped, self.sources()))
    }
}

/// What scripts may say.
fn vocabulary() -> Vocabulary {
    let known = Vocabulary::of(&engine::language()).replacing(REPLACED);
    signatures().fold(known, |known, function| {
        let forms = function.arity().map(|count| &function.parameters[..count]);
        let known = forms.fold(known, |known, parameters| known.with_form(function.name, parameters, types::returned(function.returns)));
        match function.options() {
            Some((_, spec)) => {
                let keys = spec.keys.iter().map(|key| OptionKey {
                    name: key.name.into(),
                    fits: Arc::new(|value| key.kind.fits(value)),
                    required: key.is_required.then(|| key.doc.into()),
                });
                known.with_options(function.name, keys)
            }
            None => known,
        }
    })
}
