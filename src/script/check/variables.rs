//! What a script's variables are given, and under which keys of its maps there may be closures.

use std::collections::{BTreeMap, BTreeSet};

use rhai::{AST, ASTNode, Expr, Stmt};

use super::{calls::last_property, captures::closure};

/// What each variable is given, wherever it is; `None` stands for what can be anything.
pub type Given = BTreeMap<String, Vec<Option<Expr>>>;

/// Everything that the variables and parameters of a script are given.
pub fn given(tree: &AST) -> Given {
    let mut given = Given::new();
    let mut note = |name: &str, value: Option<&Expr>| given.entry(name.to_owned()).or_default().push(value.cloned());
    for function in tree.iter_fn_def() {
        function.params.iter().for_each(|parameter| note(parameter, None));
    }
    tree.walk(&mut |path: &[ASTNode<'_>]| {
        match path.last() {
            Some(ASTNode::Stmt(Stmt::Var(variable, ..))) => note(&variable.0.name, Some(&variable.1)),
            Some(ASTNode::Stmt(Stmt::For(each, _))) => {
                std::iter::once(&each.0).chain(&each.1).for_each(|variable| note(&variable.name, None));
            }
            Some(ASTNode::Stmt(Stmt::TryCatch(tried, _))) => {
                if let Expr::Variable(caught, ..) = &tried.expr {
                    note(&caught.1, None);
                }
            }
            Some(ASTNode::Stmt(Stmt::Assignment(assignment))) => {
                if let Expr::Variable(variable, ..) = &assignment.1.lhs {
                    note(&variable.1, (!assignment.0.is_op_assignment()).then_some(&assignment.1.rhs));
                }
            }
            _ => {}
        }
        true
    });
    given
}

/// The keys under which its maps have closures, or something that may be one: such a method may be none of the host's.
pub fn methods(tree: &AST, given: &Given) -> BTreeSet<String> {
    let is_closure = |value: &Expr| Closures { tree, given, seen: BTreeSet::new() }.may_be(value);
    let mut keys = BTreeSet::new();
    tree.walk(&mut |path: &[ASTNode<'_>]| {
        match path.last() {
            Some(ASTNode::Expr(Expr::Map(map, _))) => {
                keys.extend(map.0.iter().filter(|(_, value)| is_closure(value)).map(|(key, _)| key.name.to_string()));
            }
            Some(ASTNode::Stmt(Stmt::Assignment(assignment))) => {
                keys.extend(last_property(&assignment.1.lhs).filter(|_| is_closure(&assignment.1.rhs)));
            }
            _ => {}
        }
        true
    });
    keys
}

struct Closures<'a> {
    tree: &'a AST,
    given: &'a Given,
    /// The variables that were looked at.
    seen: BTreeSet<String>,
}

impl Closures<'_> {
    /// Whether a value is a closure, has one, or is not known before the script runs.
    fn may_be(&mut self, value: &Expr) -> bool {
        if closure(value).is_some() {
            return true;
        }
        match value {
            Expr::Variable(variable, ..) => {
                let is_of_a_module = variable.2.path.iter().any(|part| part.name != "global");
                is_of_a_module || self.may_be_given(&variable.1)
            }
            Expr::Array(list, _) => list.iter().any(|element| self.may_be(element)),
            Expr::Map(map, _) => map.0.iter().any(|(_, value)| self.may_be(value)),
            Expr::Dot(pair, ..) | Expr::Index(pair, ..) => self.may_be(&pair.lhs) || self.may_be(&pair.rhs),
            Expr::Coalesce(values, _) => values.iter().any(|value| self.may_be(value)),
            // A host function makes none: it may return one that it got.
            Expr::FnCall(call, _) | Expr::MethodCall(call, _) if call.op_token.is_none() => {
                let is_own = self.tree.iter_fn_def().any(|function| function.name == call.name);
                is_own || call.is_qualified() || call.name == "Fn" || call.args.iter().any(|argument| self.may_be(argument))
            }
            Expr::Stmt(_) | Expr::ThisPtr(_) => true,
            _ => false,
        }
    }

    fn may_be_given(&mut self, variable: &str) -> bool {
        // Nothing else comes of a variable that was looked at before.
        if !self.seen.insert(variable.to_owned()) {
            return false;
        }
        let Some(values) = self.given.get(variable) else { return true };
        values.iter().any(|value| value.as_ref().is_none_or(|value| self.may_be(value)))
    }
}
