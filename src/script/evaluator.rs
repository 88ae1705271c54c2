//! Evaluates what a person types while a run goes on: in the variables, imports and functions of a place in it.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
};

use rhai::{
    AST, Caches, Dynamic, Engine, EvalAltResult, FnAccess, GlobalRuntimeState, LexError, ParseErrorType, Scope, ScriptFnMetadata, Stmt,
};

use super::{
    check::{declared_options, parse_message},
    checked::Ended,
    diagnostics::Diagnostic,
    engine,
    functions::signatures,
    options::nearest,
    pieces::{Pieces, Within},
    resolver::Resolver,
    run::Stopped,
    session::{Circumstances, Session},
    values::{json, type_word},
    worked::{place, worked},
};
use crate::{
    executor::{
        Call, Executor, Key, Outcome, Recorded, Undo, Urgency,
        pending::{commits, done, is_final},
        undo::Left,
    },
    failure::{Failure, FailureKind, Origin},
    model::ProjectName,
    op::{Class, Op},
};

/// Variables, imports and functions: what is in scope at a place.
#[derive(Clone)]
pub struct Frame {
    scope: Scope<'static>,
    global: GlobalRuntimeState,
}

/// A function of a module that is imported.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Imported {
    /// `alias::name`.
    pub name: String,
    /// Its parameters, with commas between them.
    pub parameters: String,
    /// The keys of its option map.
    pub options: Vec<String>,
}

/// Why a text did not reach its end.
pub struct Broken {
    /// What went wrong.
    pub ended: Ended,
    /// What of the text had worked: it declares what is in the frame now.
    pub worked: String,
}

/// What became of an undo.
pub struct TakenBack {
    /// The calls that were taken back.
    pub taken: BTreeSet<Key>,
    /// Those that a commit made final: they stay.
    pub finals: BTreeSet<Key>,
    /// What could not be taken back.
    pub left: Vec<Left>,
}

/// Evaluates texts in frames, as calls of the run.
pub struct Evaluator {
    /// Takes any name for a variable's or a module's: those of a frame are not in the text.
    engine: Engine,
    /// Knows what is wrong with a text before it runs.
    strict: Engine,
    resolver: Resolver,
    session: Session,
}

impl Frame {
    pub(super) fn of(scope: &Scope<'_>, global: &GlobalRuntimeState) -> Self {
        let mut own = Scope::new();
        let variables: Vec<_> = scope.iter_raw().collect();
        for (name, is_constant, value) in variables.into_iter().rev() {
            // A clone of a shared value is the same value: what a closure captured can be changed here too.
            let value = value.clone();
            if is_constant {
                own.push_constant_dynamic(name, value)
            } else {
                own.push_dynamic(name, value)
            };
        }
        Self { scope: own, global: global.clone() }
    }

    /// The variables that can be seen, the last declared first.
    pub fn variables(&self) -> Vec<(String, Dynamic)> {
        let mut seen: Vec<(String, Dynamic)> = Vec::new();
        for (name, _, value) in self.scope.iter_raw() {
            if !seen.iter().any(|(known, _)| known == name) {
                seen.push((name.to_owned(), value.flatten_clone()));
            }
        }
        seen
    }

    /// The names that modules are imported by.
    pub fn imports(&self) -> Vec<String> {
        self.global.iter_imports().map(|(name, _)| name.to_owned()).collect()
    }

    /// Gives a variable another value. Fails for one that is not there, and for a constant.
    pub fn set(&mut self, name: &str, value: Dynamic) -> Result<(), Failure> {
        set(&mut self.scope, name, value)
    }
}

pub(super) fn set(scope: &mut Scope<'_>, name: &str, value: Dynamic) -> Result<(), Failure> {
    match scope.is_constant(name) {
        None => Err(Failure::refused(format!("there is no variable `{name}` here"))),
        Some(true) => Err(Failure::refused(format!("`{name}` is a constant"))),
        Some(false) => {
            if let Some(variable) = scope.get_mut(name) {
                if variable.is_shared() {
                    if let Some(mut variable) = variable.write_lock::<Dynamic>() {
                        *variable = value;
                    }
                } else {
                    *variable = value;
                }
            }
            Ok(())
        }
    }
}

impl Evaluator {
    pub(super) fn new(mut engine: Engine, resolver: Resolver, session: Session) -> Self {
        engine.set_strict_variables(false);
        Self { engine, strict: engine::language(), resolver, session }
    }

    /// An empty frame.
    pub fn frame(&self) -> Frame {
        Frame { scope: Scope::new(), global: self.engine.new_global_runtime_state() }
    }

    /// The project, as far as it is known by now.
    pub fn project(&self) -> ProjectName {
        self.session.project()
    }

    /// The functions of the modules that are imported in a frame, with what they take.
    pub fn imported(&self, frame: &Frame) -> Vec<Imported> {
        let of = |(alias, module): (&str, &rhai::Module)| -> Vec<Imported> {
            let compiled = module.id().and_then(|name| self.resolver.compiled(name));
            let one = |tree: &AST, function: ScriptFnMetadata<'_>| Imported {
                name: format!("{alias}::{}", function.name),
                options: declared_options(tree, function.name, &function.params).into_iter().flatten().map(|key| key.name).collect(),
                parameters: function.params.join(", "),
            };
            let all = |tree: &AST| tree.iter_functions().filter(is_for_others).map(|it| one(tree, it)).collect();
            compiled.map(|compiled| all(&compiled.ast)).unwrap_or_default()
        };
        frame.global.iter_imports().flat_map(of).collect()
    }

    /// What the run's own calls are made in.
    pub fn session(&self) -> Session {
        self.session.clone()
    }

    /// The texts, and what was typed so far.
    pub fn resolver(&self) -> &Resolver {
        &self.resolver
    }

    /// Evaluates a text, which messages call `name`, in a frame, which keeps what it declares, imports and defines. Its calls get
    /// the keys of `session`.
    pub fn evaluate(&self, name: &str, text: &str, frame: &mut Frame, session: &Session) -> Result<Dynamic, Box<Broken>> {
        self.evaluate_each(name, text, frame, session, &mut |_| {})
    }

    /// The same; `begins` is told where each statement of the text begins, before that does anything.
    pub fn evaluate_each(
        &self,
        name: &str,
        text: &str,
        frame: &mut Frame,
        session: &Session,
        begins: &mut dyn FnMut(&Origin),
    ) -> Result<Dynamic, Box<Broken>> {
        let tree = self.parse(name, text, frame).map_err(|diagnostic| {
            let ended = Ended { kind: None, diagnostic: *diagnostic };
            Box::new(Broken { ended, worked: String::new() })
        })?;
        frame.global.tag = Dynamic::from(session.clone());
        if tree.has_functions() {
            frame.global.lib.push(tree.shared_lib().clone());
        }
        let mut last = Dynamic::UNIT;
        for statement in tree.statements() {
            let place = self.resolver.sources().locate(statement.position());
            place.iter().for_each(&mut *begins);
            match self.run(frame, statement).map_err(|error| *error) {
                Ok(value) => last = value,
                Err(EvalAltResult::Return(value, _)) => return Ok(value.flatten_clone()),
                Err(error) => {
                    let worked = place.map(|place| worked(text, &place)).unwrap_or_default();
                    return Err(Box::new(Broken { ended: self.told(Box::new(error)), worked }));
                }
            }
        }
        Ok(last.flatten_clone())
    }

    #[expect(deprecated, reason = "Rhai marks the statements' evaluation as volatile; no other way keeps imports")]
    fn run(&self, frame: &mut Frame, statement: &Stmt) -> Result<Dynamic, Box<EvalAltResult>> {
        let levels = (frame.global.level, frame.global.scope_level);
        let one = std::slice::from_ref(statement);
        let result = self.engine.eval_statements_raw(&mut frame.global, &mut Caches::new(), &mut frame.scope, one);
        (frame.global.level, frame.global.scope_level) = levels;
        result
    }

    fn parse(&self, name: &str, text: &str, frame: &Frame) -> Result<AST, Box<Diagnostic>> {
        let sources = self.resolver.sources();
        let padded = sources.add(name, text).map_err(|failure| Box::new(Diagnostic::of_failure(&failure, sources)))?;
        // The frame's imports stand in the line before, which is another text's.
        let imports: String = frame.imports().iter().flat_map(|alias| ["import \"\" as ", alias, "; "]).collect();
        let begin = padded.len() - text.len();
        let known = format!("{}{imports}\n{text}", &padded[..begin.saturating_sub(1)]);
        let checked = self.strict.compile_with_scope(&frame.scope, known);
        let compiled = checked.and_then(|_| self.engine.compile_with_scope(&frame.scope, padded));
        if let Some((message, start)) = unfinished(text) {
            let (line, column) = place(text, start);
            let failure = Failure::refused(message).from(&Origin { file: name.into(), line, column });
            return Err(Box::new(Diagnostic::of_failure(&failure, sources)));
        }
        compiled.map_err(|error| {
            let mut failure = Failure::refused(parse_message(error.err_type()));
            failure.origin = sources.locate(error.position());
            if let ParseErrorType::VariableUndefined(name) = error.err_type() {
                let known = frame.variables();
                let known: Vec<&str> = known.iter().map(|(name, _)| name.as_str()).collect();
                failure = meant(failure, name, &known);
            }
            Box::new(Diagnostic::of_failure(&failure, sources))
        })
    }

    /// An error as people are told it.
    fn told(&self, error: Box<EvalAltResult>) -> Ended {
        let stopped = Stopped { error, placeholders: self.session.circumstances().placeholders.clone() };
        let mut ended = Ended::of(&stopped, self.resolver.sources());
        if let EvalAltResult::ErrorFunctionNotFound(signature, _) = stopped.error.unwrap_inner() {
            let name = signature.split(" (").next().unwrap_or_default();
            let known: Vec<&str> = signatures().map(|function| function.name).filter(|known| *known != name).collect();
            ended.diagnostic.hints.extend(nearest(name, &known).map(|nearest| format!("did you mean `{nearest}`?")));
        }
        ended
    }

    /// Whether a text goes on in the next line.
    pub fn is_incomplete(&self, text: &str) -> bool {
        goes_on(text)
    }

    /// The op of the same kind and host as `like` that a text asks for. Reads on the way are done; nothing else is.
    pub fn capture(&self, text: &str, frame: &Frame, like: &Op, number: usize) -> Result<Op, Box<Diagnostic>> {
        let captured =
            Arc::new(Capture { inner: self.session.circumstances().executor.clone(), like: like.clone(), found: Mutex::default() });
        let session = self.session.over(Key::aside(number).branch(), captured.clone());
        let result = self.evaluate("(redo)", text, &mut frame.clone(), &session);
        let found = captured.found.lock().unwrap_or_else(PoisonError::into_inner).take();
        let nothing =
            || Failure::refused(format!("this asks for no `{}` there: redo takes a call such as the one that failed", like.verb()));
        match (found, result) {
            (Some(op), _) => Ok(op),
            (None, Err(broken)) => Err(Box::new(broken.ended.diagnostic)),
            (None, Ok(_)) => Err(Box::new(Diagnostic::of_failure(&nothing(), self.resolver.sources()))),
        }
    }

    /// A value in words, secrets left out.
    pub fn words(&self, value: &Dynamic) -> String {
        let mut scope = Scope::new();
        scope.push_dynamic("it", value.clone());
        let words = self.engine.eval_with_scope::<String>(&mut scope, "it.to_debug()");
        without_closures(&self.show(&words.unwrap_or_else(|_| type_word(value))))
    }

    /// A text with the names of secrets in their places.
    pub fn show(&self, text: &str) -> String {
        self.session.circumstances().placeholders.show(text)
    }

    /// A value as plain data, secrets left out.
    pub fn plain(&self, value: &Dynamic) -> serde_json::Value {
        json::plain(value)
    }

    /// Takes back what these calls did, as an undo of the run would: the last first, weights straight to what they were before, and
    /// nothing that a commit made final.
    pub fn undo(&self, calls: &BTreeSet<Key>) -> TakenBack {
        let Circumstances { executor, run, branches, cancellation, .. } = self.session.circumstances();
        // What is typed beside the script stands in no order with its commits.
        let heeds_commits = !calls.iter().any(Key::is_aside);
        let matters = |record: &Recorded| {
            let context =
                record.key.is_undo() || matches!(*record.op, Op::Remove(_)) || (heeds_commits && matches!(*record.op, Op::Commit(_)));
            context || calls.contains(&record.key)
        };
        let records: Vec<Recorded> = executor.records().into_iter().filter(matters).collect();
        let (commits, done) = (commits(&records), done(&records));
        let of = |fits: &dyn Fn(&Recorded) -> bool| -> BTreeSet<Key> {
            records.iter().filter(|record| calls.contains(&record.key) && fits(record)).map(|record| record.key.clone()).collect()
        };
        let is_open = |record: &Recorded| (0..record.inverse().len()).any(|index| !done.contains(record.key.undo(index).as_str()));
        let finals = of(&|record| is_final(&record.key, &commits));
        let mut taken = of(&|record| is_open(record) && !is_final(&record.key, &commits));
        let left = Undo { executor: executor.as_ref(), run, branches: *branches, cancellation }.block(&records, "");
        taken.retain(|key| !left.iter().any(|left| left.record.key == *key));
        TakenBack { taken, finals, left }
    }

    /// Whether more can be typed behind what was stopped.
    pub fn goes_on(&self) -> bool {
        self.session.circumstances().cancellation.goes_on()
    }

    /// Whether what is going on was told to stop.
    pub fn is_stopped(&self) -> bool {
        self.session.circumstances().cancellation.urgency() > Urgency::None
    }

    /// Performs an op as a call of the run.
    pub fn perform(&self, op: Op, key: Key, origin: &Origin) -> Result<Outcome, Failure> {
        let circumstances = self.session.circumstances();
        let call =
            Call { cancellation: circumstances.cancellation.clone(), ..Call::new(op, key, origin.clone(), circumstances.run.clone()) };
        circumstances.executor.perform(&call)
    }
}

/// Takes the op that it waits for, and does reads only.
struct Capture {
    inner: Arc<dyn Executor>,
    like: Op,
    found: Mutex<Option<Op>>,
}

impl Executor for Capture {
    fn perform(&self, call: &Call) -> Result<Outcome, Failure> {
        if std::mem::discriminant(&*call.op) == std::mem::discriminant(&self.like) {
            let there = |op: &Op| op.host().map(|host| host.name.clone());
            if there(&call.op) == there(&self.like) {
                *self.found.lock().unwrap_or_else(PoisonError::into_inner) = Some((*call.op).clone());
            }
            return Err(Failure::new(FailureKind::Interrupted, "it is done by redo"));
        }
        if call.op.class() == Class::Read {
            return self.inner.perform(call);
        }
        Err(Failure::refused(format!("redo does `{}` again, and this asks for `{}`", self.like.verb(), call.op.verb())))
    }
}

fn meant(failure: Failure, name: &str, known: &[&str]) -> Failure {
    match nearest(name, known) {
        Some(nearest) => failure.hint(format!("did you mean `{nearest}`?")),
        None => failure,
    }
}

/// Whether others can call a function of a module: a closure is one that nobody can name.
fn is_for_others(function: &ScriptFnMetadata<'_>) -> bool {
    function.access == FnAccess::Public && !function.name.starts_with("anon$")
}

/// The same with closures called so, whose names nobody has given.
fn without_closures(words: &str) -> String {
    let mut parts = words.split("Fn(anon$");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| text + "a closure" + part.split_once(')').map_or("", |(_, rest)| rest))
}

/// Whether a text goes on in the next line: it ends within a bracket, a call, a comment or a string in backticks.
pub fn goes_on(text: &str) -> bool {
    let error = Engine::new_raw().compile(text).map_err(|error| error.err_type().clone()).err();
    let Pieces { open, within, .. } = Pieces::of(text);
    match (error, within) {
        (_, Within::Block | Within::Text('`', _)) | (Some(ParseErrorType::UnexpectedEOF), _) => true,
        (None | Some(ParseErrorType::BadInput(LexError::UnterminatedString)), _) => false,
        // What is missing is missing at the end, and not before something else, where more text is another error.
        (Some(_), _) => !open.is_empty(),
    }
}

/// What is missing where a text ends in the middle, and where that begins.
fn unfinished(text: &str) -> Option<(String, usize)> {
    let Pieces { all, open, within } = Pieces::of(text);
    let (message, piece) = match (within, open.last()) {
        (Within::Block, _) => ("this comment does not end: `*/` is missing".into(), all.last()?),
        (Within::Text('`', _), _) => ("this string does not end: its closing backtick is missing".into(), all.last()?),
        (_, Some(&bracket)) => (format!("this `{}` is not closed", all[bracket].text), &all[bracket]),
        (_, None) => return None,
    };
    goes_on(text).then_some((message, piece.start))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_closure_is_called_one() {
        assert_eq!(without_closures("[1, Fn(anon$05ed), Fn(retire)] Fn(anon$1)"), "[1, a closure, Fn(retire)] a closure");
    }

    #[test]
    fn a_text_goes_on_where_a_bracket_is_open() {
        for text in ["let a = [", "service(\"web\", #{", "fn f() {\n  1", "`a", "f(\n", "`a ${f(`b`)", "1 /* a"] {
            assert!(goes_on(text), "{text}");
        }
        for text in ["let a = 1;", "f(1)", "let = ;", "\"a", "", "a // (", "if x { y }", ")", "`a ${b}`"] {
            assert!(!goes_on(text), "{text}");
        }
    }
}
