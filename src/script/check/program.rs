//! A script and everything that it imports, parsed.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::Arc,
};

use rhai::{AST, ASTNode, Engine, EvalAltResult, Expr, FnAccess, FnCallExpr, ParseError, ParseErrorType, Position, Scope, Stmt};

use super::{
    Entry, Finding, syntax,
    variables::{Given, given, methods},
};
use crate::{
    failure::{Failure, Origin},
    script::{
        resolver::{Compiled, Resolver},
        sources::Sources,
    },
};

/// All scripts that a run would reach, those that were given first.
pub struct Program {
    /// The scripts.
    pub scripts: Vec<Script>,
    sources: Sources,
    files: Resolver,
}

/// One script of a program.
pub struct Script {
    compiled: Arc<Compiled>,
    /// Its text.
    pub text: Arc<str>,
    /// The functions that it defines, closures left out.
    pub functions: Vec<Function>,
    /// What it imports: the name it calls the module by, and the module's place among the scripts.
    imports: Vec<(String, Option<usize>)>,
    /// All names of variables, parameters and modules in it.
    pub names: BTreeSet<String>,
    /// What its variables are given.
    pub given: Given,
    /// The keys under which its maps may have closures.
    methods: BTreeSet<String>,
}

/// A function that a script defines.
pub struct Function {
    /// Its name.
    pub name: String,
    /// Its parameters' names.
    pub parameters: Vec<String>,
    /// Whether importing scripts can call it.
    pub public: bool,
    body: Position,
    end: Position,
}

/// A call in a script, in whichever way it is written.
pub struct Called<'a> {
    /// The call; a method's receiver is not among its arguments.
    pub call: &'a FnCallExpr,
    /// Where its name is.
    pub position: Position,
    /// Whether it is written `value.name(…)`.
    pub method: bool,
}

impl Script {
    /// What messages call it.
    pub fn name(&self) -> &str {
        &self.compiled.name
    }

    /// Its syntax tree.
    pub fn tree(&self) -> &AST {
        &self.compiled.ast
    }

    /// Visits every call, operators and what the parser itself adds left out.
    pub fn each_call(&self, mut visit: impl FnMut(&Called<'_>)) {
        each_call(self.tree(), &mut visit);
    }

    /// Visits the calls of which something can be wrong by their function's name: what may be a closure in a map is left out.
    pub fn each_known_call(&self, mut visit: impl FnMut(&Called<'_>)) {
        self.each_call(|called| {
            if !(called.method && self.methods.contains(called.call.name.as_str())) {
                visit(called);
            }
        });
    }

    /// The modules that a name stands for here; `None` stands for one that could not be read.
    pub fn modules<'a>(&'a self, alias: &'a str) -> impl Iterator<Item = Option<usize>> + 'a {
        self.imports.iter().filter(move |(name, _)| name == alias).map(|(_, module)| *module)
    }

    /// Whether a place is within one of its functions, in their closures too.
    pub fn is_in_a_function(&self, place: Position) -> bool {
        self.functions.iter().any(|function| function.body <= place && place <= function.end)
    }

    /// The names that it calls modules by.
    pub fn aliases(&self) -> impl Iterator<Item = &str> {
        self.imports.iter().map(|(alias, _)| alias.as_str())
    }
}

/// Whether only a run knows if what is in this is done.
pub fn may_be_left_out(node: &ASTNode<'_>) -> bool {
    matches!(
        node,
        ASTNode::Stmt(Stmt::If(..) | Stmt::Switch(..) | Stmt::While(..) | Stmt::Do(..) | Stmt::For(..) | Stmt::TryCatch(..))
            | ASTNode::Expr(Expr::And(..) | Expr::Or(..) | Expr::Coalesce(..))
    )
}

/// Visits every call of a syntax tree.
pub fn each_call(tree: &AST, visit: &mut impl FnMut(&Called<'_>)) {
    tree.walk(&mut |path: &[ASTNode<'_>]| {
        let found = match path.last() {
            Some(ASTNode::Expr(Expr::FnCall(call, position)) | ASTNode::Stmt(Stmt::FnCall(call, position))) => {
                Some((call, position, false))
            }
            Some(ASTNode::Expr(Expr::MethodCall(call, position))) => Some((call, position, true)),
            _ => None,
        };
        if let Some((call, position, method)) = found
            && call.op_token.is_none()
        {
            visit(&Called { call, position: *position, method });
        }
        true
    });
}

impl Program {
    /// Parses the scripts and everything that they import; what cannot be read or parsed is a finding.
    pub fn read(engine: &Engine, resolver: &Resolver, entries: &[Entry<'_>]) -> (Self, Vec<Finding>) {
        let mut program = Self { scripts: Vec::new(), sources: resolver.sources().clone(), files: resolver.clone() };
        let mut findings = Vec::new();
        for entry in entries {
            match program.sources.add(entry.name, entry.text).map(|padded| program.parse(engine, &padded, &mut findings)) {
                Ok(Ok(mut ast)) => {
                    ast.set_source(entry.name);
                    program.scripts.push(Script::new(Arc::new(Compiled { name: entry.name.into(), ast }), entry.text.into()));
                }
                Ok(Err(error)) => findings.push(syntax::error(&program, error.err_type(), error.position())),
                Err(failure) => findings.push(told(Origin { file: entry.name.into(), line: 1, column: 1 }, 1, &failure)),
            }
        }
        let mut next = 0;
        while next < program.scripts.len() {
            program.follow(next, engine, resolver, &mut findings);
            next += 1;
        }
        findings.extend(program.circles());
        (program, findings)
    }

    /// Parses a text. Variables that are not there are findings, each where it stands first: the rest is read as if they were.
    fn parse(&self, engine: &Engine, padded: &str, findings: &mut Vec<Finding>) -> Result<AST, ParseError> {
        let mut missing = Scope::new();
        loop {
            match engine.compile_with_scope(&missing, padded) {
                Err(ParseError(kind, position)) if is_missing(&kind, &missing) => {
                    findings.push(syntax::error(self, &kind, position));
                    if let ParseErrorType::VariableUndefined(name) = *kind {
                        missing.push(name, ());
                    }
                }
                parsed => return parsed,
            }
        }
    }

    fn follow(&mut self, index: usize, engine: &Engine, resolver: &Resolver, findings: &mut Vec<Finding>) {
        for (path, alias, position) in imports(self.scripts[index].tree()) {
            let module = match path.map(|path| resolver.compile(engine, &path, position)) {
                None => None,
                Some(Ok(compiled)) => Some(self.include(compiled)),
                Some(Err(error)) => {
                    findings.push(self.unreachable(*error, position));
                    None
                }
            };
            self.scripts[index].names.insert(alias.clone());
            self.scripts[index].imports.push((alias, module));
        }
    }

    fn include(&mut self, compiled: Arc<Compiled>) -> usize {
        if let Some(known) = self.scripts.iter().position(|script| script.name() == compiled.name) {
            return known;
        }
        let text = self.sources.text(&compiled.name).unwrap_or_default();
        self.scripts.push(Script::new(compiled, text));
        self.scripts.len() - 1
    }

    fn unreachable(&self, error: EvalAltResult, position: Position) -> Finding {
        match error {
            EvalAltResult::ErrorInModule(_, inner, _) => match *inner {
                EvalAltResult::ErrorParsing(kind, place) => syntax::error(self, &kind, place),
                other => self.finding(position, other.to_string()),
            },
            EvalAltResult::ErrorRuntime(value, _) if value.is::<Failure>() => {
                let failure = value.cast::<Failure>();
                self.finding(position, failure.message).maybe(failure.hints.into_iter().next())
            }
            other => self.finding(position, other.to_string()),
        }
    }

    /// Modules that would have to be loaded before themselves.
    fn circles(&self) -> Vec<Finding> {
        let mut needs: BTreeMap<usize, Vec<(usize, Position)>> = BTreeMap::new();
        for (index, script) in self.scripts.iter().enumerate() {
            for (path, alias, position) in imports(&script.tree().clone_statements_only()) {
                let module = script.modules(&alias).flatten().next();
                if let (Some(module), Some(_)) = (module, path) {
                    needs.entry(index).or_default().push((module, position));
                }
            }
        }
        let mut findings = Vec::new();
        let mut settled = BTreeSet::new();
        for index in 0..self.scripts.len() {
            self.descend(index, &needs, &mut Vec::new(), &mut settled, &mut findings);
        }
        findings
    }

    fn descend(
        &self,
        index: usize,
        needs: &BTreeMap<usize, Vec<(usize, Position)>>,
        above: &mut Vec<usize>,
        settled: &mut BTreeSet<usize>,
        findings: &mut Vec<Finding>,
    ) {
        if !settled.insert(index) {
            return;
        }
        above.push(index);
        for (module, position) in needs.get(&index).into_iter().flatten() {
            if let Some(start) = above.iter().position(|one| one == module) {
                let circle: Vec<&str> = above[start..].iter().chain([module]).map(|one| self.scripts[*one].name()).collect();
                let message = format!("modules import each other in a circle: {}", circle.join(" → "));
                findings.push(self.finding(*position, message).hint("move what they share into a module of its own"));
            }
            self.descend(*module, needs, above, settled, findings);
        }
        above.pop();
    }

    /// The module that a called function is of: `""` for the host's; `None` for functions of the script itself.
    pub fn module_of(&self, called: &Called<'_>, script: &Script) -> Option<&str> {
        if called.call.is_qualified() {
            let [alias] = &called.call.namespace.path[..] else { return None };
            return script.modules(&alias.name).flatten().next().map(|module| self.scripts[module].name());
        }
        let is_own = script.functions.iter().any(|function| function.name == called.call.name.as_str());
        (!is_own).then_some("")
    }

    /// Whether another script imports this one.
    pub fn is_imported(&self, script: &Script) -> bool {
        let modules = self.scripts.iter().flat_map(|other| &other.imports).filter_map(|(_, module)| *module);
        modules.map(|module| self.scripts[module].name()).any(|name| name == script.name())
    }

    /// A finding about the word at a position.
    pub fn finding(&self, position: Position, message: impl Into<String>) -> Finding {
        let origin = self.sources.locate(position).unwrap_or(Origin { file: "".into(), line: 1, column: 1 });
        let length = self.sources.length(&origin);
        Finding { origin, length, message: message.into(), hint: None }
    }

    /// A finding about the name of a function where it is defined.
    pub fn at_definition(&self, script: &Script, function: &Function, message: impl Into<String>) -> Finding {
        let mut finding = self.finding(function.body, message);
        let named = |line: &str| {
            let after = line.find("fn ")? + 3;
            let rest = line[after..].trim_start();
            let start = line.len() - rest.len();
            let name = rest.split(|c: char| !c.is_alphanumeric() && c != '_').next()?;
            (name == function.name).then(|| line[..start].chars().count() + 1)
        };
        let lines: Vec<&str> = script.text.lines().take(finding.origin.line).collect();
        if let Some((line, column)) = lines.iter().enumerate().rev().find_map(|(line, text)| Some((line + 1, named(text)?))) {
            finding.origin.line = line;
            finding.origin.column = column;
            finding.length = function.name.chars().count();
        }
        finding
    }

    /// The text of a script, also of one that does not parse.
    pub fn text(&self, name: &str) -> Option<Arc<str>> {
        self.sources.text(name)
    }

    /// The script's folder, where its files can be looked at.
    pub fn folder(&self) -> Option<PathBuf> {
        self.files.folder()
    }

    /// The text of a file that a script names, its path relative to the script's folder; `None` where it cannot be read now.
    pub fn file(&self, path: &str) -> Option<String> {
        self.files.beside(path)
    }

    /// Where these words stand first from a place on: line, column, and how many characters of the line are theirs.
    pub fn line_of(&self, from: &Origin, words: &str) -> Option<(usize, usize, usize)> {
        let text = self.sources.text(&from.file)?;
        text.lines().enumerate().skip(from.line - 1).find_map(|(index, line)| {
            let start = line.find(words).filter(|_| !words.is_empty())?;
            Some((index + 1, line[..start].chars().count() + 1, words.chars().count()))
        })
    }

    /// The first character of what is at a position.
    pub fn character(&self, position: Position) -> Option<char> {
        let origin = self.sources.locate(position)?;
        let text = self.sources.text(&origin.file)?;
        text.lines().nth(origin.line - 1)?.chars().nth(origin.column - 1)
    }
}

/// Whether this is about a variable that was not missed before.
fn is_missing(kind: &ParseErrorType, missing: &Scope<'_>) -> bool {
    matches!(kind, ParseErrorType::VariableUndefined(name) if !missing.contains(name))
}

impl Script {
    fn new(compiled: Arc<Compiled>, text: Arc<str>) -> Self {
        let mut names = BTreeSet::new();
        let mut functions = Vec::new();
        for function in compiled.ast.iter_fn_def() {
            names.extend(function.params.iter().map(ToString::to_string));
            if !function.name.starts_with("anon$") {
                functions.push(Function {
                    name: function.name.to_string(),
                    parameters: function.params.iter().map(ToString::to_string).collect(),
                    public: function.access == FnAccess::Public,
                    body: function.body.start_position(),
                    end: function.body.end_position(),
                });
            }
        }
        compiled.ast.walk(&mut |path: &[ASTNode<'_>]| {
            match path.last() {
                Some(ASTNode::Stmt(Stmt::Var(variable, ..))) => {
                    names.insert(variable.0.name.to_string());
                }
                Some(ASTNode::Stmt(Stmt::For(each, _))) => {
                    names.insert(each.0.name.to_string());
                    names.extend(each.1.iter().map(|counter| counter.name.to_string()));
                }
                _ => {}
            }
            true
        });
        let given = given(&compiled.ast);
        let methods = methods(&compiled.ast, &given);
        Self { compiled, text, functions, imports: Vec::new(), names, given, methods }
    }
}

/// A tree of one function only, to walk its body by itself.
pub fn only(tree: &AST, function: &str, arity: Option<usize>) -> AST {
    // Not `clone_functions_only_filtered`: Rhai 1.27 ignores its filter, and keeps all.
    let mut one = tree.clone_functions_only();
    one.retain_functions(|_, _, name, count| name == function && arity.is_none_or(|arity| arity == count));
    one
}

/// The imports of a tree: the path where it is a literal, the name, and where the path is.
fn imports(tree: &AST) -> Vec<(Option<String>, String, Position)> {
    let mut found = Vec::new();
    tree.walk(&mut |path: &[ASTNode<'_>]| {
        if let Some(ASTNode::Stmt(Stmt::Import(import, _))) = path.last() {
            let literal = match &import.0 {
                Expr::StringConstant(text, _) => Some(text.to_string()),
                _ => None,
            };
            found.push((literal, import.1.name.to_string(), import.0.start_position()));
        }
        true
    });
    found
}

fn told(origin: Origin, length: usize, failure: &Failure) -> Finding {
    Finding { origin, length, message: failure.message.clone(), hint: failure.hints.first().cloned() }
}
