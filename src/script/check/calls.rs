//! Calls of functions that are not there, or that take another number of arguments: everywhere, also inside `try`, where
//! running the script would swallow the error.

use std::collections::BTreeSet;

use rhai::{ASTNode, Expr, Stmt};

use super::{
    Finding,
    nearest::{did_you_mean, nearest},
    program::{Called, Function, Program, Script},
    vocabulary::{Arities, Vocabulary},
};

/// Finds such calls.
pub fn unknown(script: &Script, program: &Program, vocabulary: &Vocabulary) -> Vec<Finding> {
    let keys = keys(program);
    let mut findings = Vec::new();
    script.each_known_call(|called| {
        let pass = Pass { script, program, vocabulary, keys: &keys };
        findings.extend(if called.call.is_qualified() {
            pass.qualified(called)
        } else if called.method {
            pass.method(called)
        } else {
            pass.plain(called)
        });
    });
    findings
}

struct Pass<'a> {
    script: &'a Script,
    program: &'a Program,
    vocabulary: &'a Vocabulary,
    /// All keys of maps: a closure in a map is called like a method.
    keys: &'a BTreeSet<String>,
}

impl Pass<'_> {
    fn plain(&self, called: &Called<'_>) -> Option<Finding> {
        let name = called.call.name.as_str();
        let count = called.call.args.len();
        if let ("Fn", [Expr::StringConstant(pointed, position)]) = (name, &called.call.args[..]) {
            let known = self.own(pointed).next().is_some() || self.vocabulary.arities(pointed).is_some();
            return (!known).then(|| self.program.finding(*position, no_function(pointed)).maybe(self.similar(pointed)));
        }
        if self.own(name).next().is_none()
            && let Some(finding) = self.missing(called, count)
        {
            return Some(finding);
        }
        let host = self.vocabulary.arities(name);
        if host.as_ref().is_some_and(|arities| arities.take(count)) || self.own(name).any(|own| own.parameters.len() == count) {
            return None;
        }
        let counts: BTreeSet<usize> = self.own(name).map(|own| own.parameters.len()).chain(counts(host.as_ref())).collect();
        if !counts.is_empty() {
            return Some(self.program.finding(called.position, wrong_count(name, &counts, count)));
        }
        let finding = self.program.finding(called.position, no_function(name));
        if self.script.names.contains(name) {
            return Some(finding.hint(format!("`{name}` is a variable: call the closure in it with {name}.call(…)")));
        }
        Some(finding.maybe(self.similar(name)))
    }

    /// What is not in this language.
    fn missing(&self, called: &Called<'_>, count: usize) -> Option<Finding> {
        let name = called.call.name.as_str();
        let instead = self.vocabulary.instead(name, count)?;
        Some(self.program.finding(called.position, format!("`{name}` is not for deployment scripts")).hint(instead))
    }

    /// A method's receiver is known only when the script runs, so only name and argument count can be wrong.
    fn method(&self, called: &Called<'_>) -> Option<Finding> {
        let name = called.call.name.as_str();
        let count = called.call.args.len();
        // A method of Rhai's own types may have such a name.
        if self.own(name).next().is_none()
            && !self.vocabulary.is_of_rhai(name, count + 1)
            && let Some(finding) = self.missing(called, count + 1)
        {
            return Some(finding);
        }
        let host = self.vocabulary.arities(name);
        let fits = host.as_ref().is_some_and(|arities| arities.take(count + 1))
            || self.own(name).any(|own| own.parameters.len() == count || own.parameters.len() == count + 1)
            || self.keys.contains(name);
        if fits {
            return None;
        }
        let counts: BTreeSet<usize> = self
            .own(name)
            .map(|own| own.parameters.len())
            .chain(counts(host.as_ref()).into_iter().filter_map(|count| count.checked_sub(1)))
            .collect();
        if !counts.is_empty() {
            return Some(self.program.finding(called.position, wrong_count(&format!(".{name}"), &counts, count)));
        }
        let finding = self.program.finding(called.position, format!("nothing has a method `{name}`"));
        if self.vocabulary.is_property(name) {
            return Some(finding.hint(format!("`.{name}` is a property: leave the parentheses out")));
        }
        Some(finding.maybe(self.similar(name)))
    }

    fn qualified(&self, called: &Called<'_>) -> Option<Finding> {
        let namespace: Vec<&str> = called.call.namespace.path.iter().map(|part| part.name.as_str()).collect();
        let name = called.call.name.as_str();
        let count = called.call.args.len();
        let mut modules = vec![self.script];
        for alias in &namespace {
            let found: Option<Vec<&Script>> =
                modules.iter().flat_map(|script| script.modules(alias)).map(|module| Some(&self.program.scripts[module?])).collect();
            // A module that could not be read has a finding of its own.
            modules = found?;
            if modules.is_empty() {
                return Some(self.program.finding(called.position, format!("nothing is imported as `{}`", namespace.join("::"))));
            }
        }
        let public = || modules.iter().flat_map(|module| &module.functions).filter(|function| function.public);
        if public().any(|function| function.name == name && function.parameters.len() == count) {
            return None;
        }
        let whole = format!("{}::{name}", namespace.join("::"));
        let counts: BTreeSet<usize> = public().filter(|function| function.name == name).map(|function| function.parameters.len()).collect();
        if !counts.is_empty() {
            return Some(self.program.finding(called.position, wrong_count(&whole, &counts, count)));
        }
        let finding = self.program.finding(called.position, format!("`{}` has no function `{name}`", namespace.join("::")));
        let private = modules.iter().flat_map(|module| &module.functions).any(|function| function.name == name);
        if private {
            return Some(finding.hint("it is private there"));
        }
        let names: BTreeSet<&str> = public().map(|function| function.name.as_str()).collect();
        let hint = match nearest(name, names.iter().copied()) {
            Some(near) => Some(format!("did you mean `{near}`?")),
            None if names.is_empty() => None,
            None => Some(format!("it has {}", names.into_iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", "))),
        };
        Some(finding.maybe(hint))
    }

    fn own<'b>(&'b self, name: &'b str) -> impl Iterator<Item = &'b Function> {
        self.script.functions.iter().filter(move |function| function.name == name)
    }

    fn similar(&self, name: &str) -> Option<String> {
        let modules = self.script.aliases().flat_map(|alias| self.script.modules(alias).flatten().map(move |module| (alias, module)));
        for (alias, module) in modules {
            let functions = &self.program.scripts[module].functions;
            if functions.iter().any(|function| function.public && function.name == name) {
                return Some(format!("did you mean `{alias}::{name}`?"));
            }
        }
        let own = self.script.functions.iter().map(|function| function.name.as_str());
        did_you_mean(name, own.chain(self.vocabulary.names()))
    }
}

fn counts(arities: Option<&Arities>) -> Vec<usize> {
    match arities {
        Some(Arities::Exactly(counts)) => counts.iter().copied().collect(),
        Some(Arities::Between(least, _)) => vec![*least],
        None => Vec::new(),
    }
}

fn no_function(name: &str) -> String {
    format!("there is no function `{name}`")
}

fn wrong_count(name: &str, counts: &BTreeSet<usize>, given: usize) -> String {
    let mut words: Vec<String> = counts.iter().map(ToString::to_string).collect();
    let most = words.pop().unwrap_or_default();
    let takes = if words.is_empty() { most } else { format!("{} or {most}", words.join(", ")) };
    let noun = if takes == "1" { "argument" } else { "arguments" };
    format!("`{name}` takes {takes} {noun}, not {given}")
}

/// All keys that maps of the program are written with or get later.
fn keys(program: &Program) -> BTreeSet<String> {
    let mut keys = BTreeSet::new();
    for script in &program.scripts {
        script.tree().walk(&mut |path: &[ASTNode<'_>]| {
            match path.last() {
                Some(ASTNode::Expr(Expr::Map(map, _))) => keys.extend(map.0.iter().map(|(key, _)| key.name.to_string())),
                Some(ASTNode::Stmt(Stmt::Assignment(assignment))) => keys.extend(last_property(&assignment.1.lhs)),
                _ => {}
            }
            true
        });
    }
    keys
}

/// The key that is assigned to, such as `c` of `a.b["c"]`.
pub(super) fn last_property(place: &Expr) -> Option<String> {
    match place {
        Expr::Dot(pair, ..) | Expr::Index(pair, ..) => last_property(&pair.rhs),
        Expr::StringConstant(key, _) => Some(key.to_string()),
        Expr::Property(property, _) => Some(property.2.to_string()),
        _ => None,
    }
}
