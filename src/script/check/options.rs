//! Option maps that are written out: keys that a function does not know, values of a kind that it does not take, and what is missing.

use std::sync::Arc;

use rhai::{AST, ASTNode, Array, Dynamic, Expr, Ident, Position, Stmt};

use super::{
    Finding,
    nearest::nearest,
    program::{Called, Program, Script, each_call, may_be_left_out, only},
    vocabulary::{Fits, OptionKey, Vocabulary},
};
use crate::script::functions::{Choice, fits};

/// Options that are maps of options of another function: module, functions, option, the function that they are of.
const INNER: &[(&str, &[&str], &str, &str)] = &[("std/expand_contract", &["begin", "run"], "backfill", "backfill")];

/// The entries of a map that is written out.
type Entries = [(Ident, Expr)];

/// Finds them, for host functions and for functions of modules that read their options with `options(given, #{…})`.
pub fn options(script: &Script, program: &Program, vocabulary: &Vocabulary) -> Vec<Finding> {
    let mut findings = Vec::new();
    script.each_known_call(|called| {
        let Some(Expr::Map(map, _)) = called.call.args.last() else { return };
        let name = called.call.name.as_str();
        let Some(keys) = known(called, script, program, vocabulary) else { return };
        findings.extend(all(program, name, &keys, &map.0, called.position));
        let module = program.module_of(called, script);
        let inner =
            |option: &str| INNER.iter().find(|(of, functions, key, _)| module == Some(*of) && functions.contains(&name) && *key == option);
        for (key, value) in &map.0 {
            let Some((.., function)) = inner(&key.name) else { continue };
            let keys = vocabulary.options(function).unwrap_or_default();
            findings.extend(maps(value).into_iter().flat_map(|map| all(program, function, keys, map, key.pos)));
        }
    });
    findings
}

/// The maps that an option is: one, or several in an array.
fn maps(value: &Expr) -> Vec<&Entries> {
    match value {
        Expr::Map(map, _) => vec![&map.0[..]],
        Expr::Array(list, _) => list.iter().flat_map(maps).collect(),
        _ => Vec::new(),
    }
}

/// Everything that is wrong with a map; what is missing is told at `position`.
fn all(program: &Program, function: &str, keys: &[OptionKey], map: &Entries, position: Position) -> Vec<Finding> {
    let given = map.iter().filter_map(|(key, value)| one(program, function, keys, (&key.name, key.pos), value));
    let is_given = |key: &OptionKey| map.iter().any(|(name, _)| name.name == key.name);
    let missing = keys.iter().filter(|key| !is_given(key)).filter_map(|key| {
        let what = key.required.as_ref()?;
        Some(program.finding(position, format!("`{function}` needs the option `{}`: {what}", key.name)))
    });
    given.chain(missing).collect()
}

fn known(called: &Called<'_>, script: &Script, program: &Program, vocabulary: &Vocabulary) -> Option<Vec<OptionKey>> {
    let name = called.call.name.as_str();
    let count = called.call.args.len();
    let defines = |script: &Script| {
        let function = script.functions.iter().find(|function| function.name == name && function.parameters.len() == count)?;
        let parameters: Vec<&str> = function.parameters.iter().map(String::as_str).collect();
        declared(script.tree(), &function.name, &parameters)
    };
    if called.call.is_qualified() {
        let [alias] = &called.call.namespace.path[..] else { return None };
        return script.modules(&alias.name).flatten().find_map(|module| defines(&program.scripts[module]));
    }
    if script.functions.iter().any(|function| function.name == name && function.parameters.len() == count) {
        return defines(script);
    }
    vocabulary.options(name).map(<[OptionKey]>::to_vec)
}

/// The options that a script function declares for its last parameter with `options(parameter, #{ key: default })`. Of several such
/// calls only a run knows which are made: what one of them takes is taken, and nothing is required. Nor is it where the call is made
/// in some cases only, or the function does anything else with the parameter, which may fill it.
pub fn declared(tree: &AST, function: &str, parameters: &[&str]) -> Option<Vec<OptionKey>> {
    let parameter = parameters.last()?;
    let body = only(tree, function, Some(parameters.len()));
    let mut calls = Vec::new();
    each_call(&body, &mut |called: &Called<'_>| {
        if let ("options", [Expr::Variable(given, ..), defaults]) = (called.call.name.as_str(), &called.call.args[..])
            && given.1 == *parameter
        {
            calls.push(defaults_of(tree, defaults));
        }
    });
    let is_one = calls.len() == 1 && is_all_it_does(&body, parameter);
    let defaults: Vec<(String, Expr)> =
        calls.into_iter().collect::<Option<Vec<_>>>()?.into_iter().reduce(|all, more| [all, more].concat())?;
    let mut keys: Vec<OptionKey> = Vec::new();
    for (name, default) in defaults {
        let (fits, required) = (like(&default), what_is_required(&default).filter(|_| is_one));
        match keys.iter_mut().find(|key| key.name == name) {
            Some(key) => key.fits = either(key.fits.clone(), fits),
            None => keys.push(OptionKey { name, fits, required }),
        }
    }
    Some(keys)
}

/// Whether a function names its parameter once, and in no part of it that may be left out.
fn is_all_it_does(body: &AST, parameter: &str) -> bool {
    let (mut mentions, mut is_sure) = (0, true);
    body.walk(&mut |path: &[ASTNode<'_>]| {
        let is_named = match path.last() {
            Some(ASTNode::Expr(Expr::Variable(given, ..))) => given.1 == parameter,
            Some(ASTNode::Stmt(Stmt::Var(declared, ..))) => declared.0.name == parameter,
            _ => false,
        };
        if is_named {
            mentions += 1;
            is_sure &= !path.iter().any(may_be_left_out);
        }
        true
    });
    mentions == 1 && is_sure
}

/// What fits one of the two.
fn either(one: Fits, other: Fits) -> Fits {
    Arc::new(move |value| one(value).or_else(|_| other(value)))
}

/// The defaults by key, also where a function of the script is nothing but them. What another function returns, a run knows.
fn defaults_of(script: &AST, defaults: &Expr) -> Option<Vec<(String, Expr)>> {
    match defaults {
        Expr::Map(map, _) => Some(map.0.iter().map(|(key, value)| (key.name.to_string(), value.clone())).collect()),
        Expr::FnCall(call, _) if call.args.is_empty() && !call.is_qualified() => {
            let (mut found, mut statements) = (None, 0);
            only(script, &call.name, Some(0)).walk(&mut |path: &[ASTNode<'_>]| {
                if let [ASTNode::Stmt(statement)] = path {
                    statements += 1;
                    if let Stmt::Expr(map) = statement
                        && let Expr::Map(..) = **map
                    {
                        found = defaults_of(script, map);
                    }
                }
                true
            });
            found.filter(|_| statements == 1)
        }
        _ => None,
    }
}

/// What is to be given where there is no default, in words.
fn what_is_required(default: &Expr) -> Option<String> {
    let Expr::FnCall(call, _) = default else { return None };
    match (call.name.as_str(), &call.args[..]) {
        ("required", [Expr::StringConstant(what, _)]) => Some(what.to_string()),
        _ => None,
    }
}

/// What fits where this default stands; anything where only a run knows it.
fn like(default: &Expr) -> Fits {
    let known = match default {
        Expr::FnCall(call, _) if call.name == "one_of" => {
            let words = call.args.first().and_then(|words| words.get_literal_value(None)).and_then(Dynamic::try_cast::<Array>);
            words.as_ref().and_then(Choice::of).map(Dynamic::from)
        }
        default => default.get_literal_value(None),
    };
    Arc::new(move |value| known.as_ref().map_or(Ok(()), |default| fits(value, default)))
}

fn one(program: &Program, function: &str, keys: &[OptionKey], (name, position): (&str, Position), value: &Expr) -> Option<Finding> {
    let Some(key) = keys.iter().find(|key| key.name == name) else {
        let finding = program.finding(position, format!("`{function}` has no option `{name}`"));
        return Some(finding.maybe(suggestion(name, keys)));
    };
    let literal = value.get_literal_value(None).filter(|literal| !literal.is_unit())?;
    let problem = (key.fits)(&literal).err()?;
    let pause = if problem.starts_with('"') { ":" } else { "" };
    Some(program.finding(value.start_position(), format!("the option `{name}` of `{function}`{pause} {problem}")))
}

fn suggestion(name: &str, keys: &[OptionKey]) -> Option<String> {
    let names = || keys.iter().map(|key| key.name.as_str());
    match nearest(name, names()) {
        Some(near) => Some(format!("did you mean `{near}`?")),
        None if keys.is_empty() => None,
        None => Some(format!("it has {}", names().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", "))),
    }
}
