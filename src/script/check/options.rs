//! Option maps that are written out: keys that a function does not know, and values of a kind that it does not take.

use rhai::{Expr, Position};

use super::{
    Finding,
    literals::tell,
    nearest::nearest,
    program::{Called, Function, Program, Script, each_call},
    vocabulary::{Kind, OptionKey, Vocabulary},
};
use crate::model::{Bytes, Period};

/// Finds them, for host functions and for functions of modules that read their options with `options(given, #{…})`.
pub fn options(script: &Script, program: &Program, vocabulary: &Vocabulary) -> Vec<Finding> {
    let mut findings = Vec::new();
    script.each_call(|called| {
        let Some(Expr::Map(map, _)) = called.call.args.last() else { return };
        let name = called.call.name.as_str();
        let Some(keys) = known(called, script, program, vocabulary) else { return };
        for (key, value) in &map.0 {
            findings.extend(one(program, name, &keys, (&key.name, key.pos), value));
        }
    });
    findings
}

fn known(called: &Called<'_>, script: &Script, program: &Program, vocabulary: &Vocabulary) -> Option<Vec<OptionKey>> {
    let name = called.call.name.as_str();
    let count = called.call.args.len();
    let defines = |script: &Script| {
        let function = script.functions.iter().find(|function| function.name == name && function.parameters.len() == count)?;
        declared(script, function)
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

/// The options that a script function declares for its last parameter with `options(parameter, #{ key: default })`.
fn declared(script: &Script, function: &Function) -> Option<Vec<OptionKey>> {
    let parameter = function.parameters.last()?;
    let body =
        script.tree().clone_functions_only_filtered(|_, _, _, name, arity| name == function.name && arity == function.parameters.len());
    let mut keys = None;
    each_call(&body, &mut |called: &Called<'_>| {
        if let ("options", [Expr::Variable(given, ..), Expr::Map(defaults, _)]) = (called.call.name.as_str(), &called.call.args[..])
            && given.1 == parameter.as_str()
        {
            let all = defaults.0.iter().map(|(key, default)| OptionKey { name: key.name.to_string(), kinds: like(default) });
            keys = Some(all.collect());
        }
    });
    keys
}

/// What fits where this default stands.
fn like(default: &Expr) -> Vec<Kind> {
    match default {
        Expr::BoolConstant(..) => vec![Kind::Bool],
        Expr::FloatConstant(..) => vec![Kind::Number],
        Expr::Array(..) => vec![Kind::Array],
        Expr::Map(..) => vec![Kind::Map],
        Expr::StringConstant(text, _) if Period::parse(text).is_ok() => vec![Kind::Duration],
        Expr::StringConstant(..) | Expr::InterpolatedString(..) => vec![Kind::Text],
        // `batch: 1` may be given as "25%": what an integer stands for, only the function knows.
        _ => Vec::new(),
    }
}

fn one(program: &Program, function: &str, keys: &[OptionKey], (name, position): (&str, Position), value: &Expr) -> Option<Finding> {
    let Some(key) = keys.iter().find(|key| key.name == name) else {
        let finding = program.finding(position, format!("`{function}` has no option `{name}`"));
        return Some(finding.maybe(suggestion(name, keys)));
    };
    let fits = key.kinds.is_empty() || key.kinds.iter().any(|kind| takes(*kind, value).unwrap_or(true));
    if fits {
        return grammar(program, key, value);
    }
    let words: Vec<&str> = key.kinds.iter().map(|kind| kind.words()).collect();
    let message = format!("the option `{name}` of `{function}` is {}, not {}", words.join(" or "), described(value));
    Some(program.finding(value.start_position(), message))
}

fn suggestion(name: &str, keys: &[OptionKey]) -> Option<String> {
    let names = || keys.iter().map(|key| key.name.as_str());
    match nearest(name, names()) {
        Some(near) => Some(format!("did you mean `{near}`?")),
        None if keys.is_empty() => None,
        None => Some(format!("it has {}", names().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", "))),
    }
}

/// Whether a literal is of a kind; `None` for what is known only when the script runs.
fn takes(kind: Kind, value: &Expr) -> Option<bool> {
    Some(match value {
        Expr::BoolConstant(..) => kind == Kind::Bool,
        Expr::IntegerConstant(..) => matches!(kind, Kind::Integer | Kind::Number),
        Expr::FloatConstant(..) => kind == Kind::Number,
        Expr::StringConstant(..) | Expr::InterpolatedString(..) => matches!(kind, Kind::Text | Kind::Duration | Kind::Size),
        Expr::Array(..) => kind == Kind::Array,
        Expr::Map(..) => kind == Kind::Map,
        Expr::Unit(_) => kind == Kind::Nothing,
        _ => return None,
    })
}

fn grammar(program: &Program, key: &OptionKey, value: &Expr) -> Option<Finding> {
    let Expr::StringConstant(text, position) = value else { return None };
    let invalid = match key.kinds[..] {
        [Kind::Duration] => Period::parse(text).err(),
        [Kind::Size] => Bytes::parse(text).err(),
        _ => None,
    };
    invalid.map(|invalid| tell(program, *position, &invalid))
}

fn described(value: &Expr) -> String {
    match value {
        Expr::BoolConstant(value, _) => format!("{value}"),
        Expr::IntegerConstant(value, _) => format!("{value}"),
        Expr::FloatConstant(value, _) => format!("{value}"),
        Expr::StringConstant(value, _) => format!("{value:?}"),
        Expr::InterpolatedString(..) => "a string".into(),
        Expr::Array(..) => "an array".into(),
        Expr::Map(..) => "a map".into(),
        _ => "()".into(),
    }
}
