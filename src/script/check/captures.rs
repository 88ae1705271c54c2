//! Writes to captured variables in `parallel`, which are lost: each branch has a copy of what its closure captured.

use std::collections::BTreeSet;

use rhai::{AST, ASTNode, Dynamic, Expr, FnCallExpr, FnPtr, Position, Stmt};

use super::{
    Finding,
    program::{Called, Program, Script, only},
    vocabulary::Vocabulary,
};

/// Methods of Rhai's own collections that change what they are called on.
const CHANGING: &[&str] = &[
    "append",
    "clear",
    "chop",
    "crop",
    "fill_with",
    "insert",
    "mixin",
    "pad",
    "pop",
    "push",
    "retain",
    "reverse",
    "set",
    "shift",
    "sort",
    "splice",
    "truncate",
];

/// Finds such writes.
pub fn lost(script: &Script, program: &Program, _: &Vocabulary) -> Vec<Finding> {
    let mut writes = Vec::new();
    script.each_known_call(|called: &Called<'_>| {
        if called.call.name == "parallel" && !called.call.is_qualified() {
            for closure in called.call.args.iter().filter_map(closure) {
                let captured = closure.captured.iter().cloned().collect();
                collect(script.tree(), &closure, &captured, &mut writes);
            }
        }
    });
    let told = |(name, position): (String, Position)| {
        let message = format!("`{name}` is changed in a branch of `parallel`, and the change is lost");
        program.finding(position, message).hint("return a value from the branch: `parallel` returns them all, in order")
    };
    writes.into_iter().map(told).collect()
}

/// What the parser makes of a closure.
pub(super) struct Closure {
    function: String,
    captured: Vec<String>,
}

/// Reads what the parser makes of `|x| …`: the name of a function, curried with what it captured.
pub(super) fn closure(argument: &Expr) -> Option<Closure> {
    match argument {
        Expr::DynamicConstant(value, _) => Some(Closure { function: anonymous(value)?, captured: Vec::new() }),
        Expr::Stmt(block) => block.iter().find_map(|statement| match statement {
            Stmt::Expr(expression) => closure(expression),
            Stmt::FnCall(call, _) => curried(call),
            _ => None,
        }),
        Expr::FnCall(call, _) => curried(call),
        _ => None,
    }
}

fn curried(call: &FnCallExpr) -> Option<Closure> {
    let (Expr::DynamicConstant(value, _), captured) = call.args.split_first().filter(|_| call.name == "curry")? else { return None };
    let captured = captured.iter().filter_map(variable).map(|(name, _)| name).collect();
    Some(Closure { function: anonymous(value)?, captured })
}

fn anonymous(value: &Dynamic) -> Option<String> {
    value.read_lock::<FnPtr>().map(|pointer| pointer.fn_name().to_owned())
}

fn collect(tree: &AST, closure: &Closure, watched: &BTreeSet<String>, writes: &mut Vec<(String, Position)>) {
    if watched.is_empty() {
        return;
    }
    let body = only(tree, &closure.function, None);
    let note = |place: Option<(String, Position)>, writes: &mut Vec<_>| {
        writes.extend(place.filter(|(name, _)| watched.contains(name)));
    };
    body.walk(&mut |path: &[ASTNode<'_>]| {
        match path.last() {
            Some(ASTNode::Stmt(Stmt::Assignment(assignment))) => note(root(&assignment.1.lhs), writes),
            Some(ASTNode::Expr(Expr::Dot(pair, ..))) => {
                if let Expr::MethodCall(call, _) = &pair.rhs
                    && CHANGING.contains(&call.name.as_str())
                {
                    note(root(&pair.lhs), writes);
                }
            }
            Some(ASTNode::Expr(inner @ Expr::Stmt(_))) => {
                if let Some(inner) = self::closure(inner) {
                    let both = inner.captured.iter().filter(|name| watched.contains(*name)).cloned().collect();
                    collect(tree, &inner, &both, writes);
                }
            }
            _ => {}
        }
        true
    });
}

/// The variable that a place such as `x.y[0]` is in.
fn root(place: &Expr) -> Option<(String, Position)> {
    match place {
        Expr::Dot(pair, ..) | Expr::Index(pair, ..) => root(&pair.lhs),
        place => variable(place),
    }
}

fn variable(expression: &Expr) -> Option<(String, Position)> {
    match expression {
        Expr::Variable(variable, _, position) if variable.2.is_empty() => Some((variable.1.to_string(), *position)),
        _ => None,
    }
}
