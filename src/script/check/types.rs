//! Arguments whose type is known before anything runs, and that the function does not take: literals, and variables that are given
//! what a function returns, and never anything of another type.

use rhai::Expr;

use super::{
    Finding,
    program::{Called, Program, Script},
    vocabulary::Vocabulary,
};
use crate::script::types::{in_words, taken, with_article};

/// More variables that are given other variables in a row than anyone writes.
const DEPTH: usize = 16;

/// What functions of the standard library call their parameters, and what those are.
const PARAMETERS: &[(&str, &[&str])] = &[
    ("service", &["service"]),
    ("img", &["image"]),
    ("fleet", &["host", "array"]),
    ("joining", &["host", "array"]),
    ("leaving", &["host", "array"]),
    ("opts", &["map", "()"]),
];

/// Finds such arguments.
pub fn wrong(script: &Script, program: &Program, vocabulary: &Vocabulary) -> Vec<Finding> {
    let variables = Variables { script, vocabulary };
    let mut findings = Vec::new();
    script.each_call(|called| {
        if called.method {
            return;
        }
        let parameters = parameters(called, script, program, vocabulary);
        let names: Vec<&str> = parameters.iter().map(|(name, _)| name.as_str()).collect();
        let form = format!("it is {}({})", called.call.name, names.join(", "));
        for (argument, (parameter, types)) in called.call.args.iter().zip(&parameters) {
            let (Some(types), Some(got)) = (*types, variables.type_of(argument, DEPTH)) else { continue };
            if !types.contains(&got) {
                let expected = in_words(types);
                let message = format!("`{parameter}` of `{}` is to be {expected}, and got {}", called.call.name, with_article(got));
                findings.push(program.finding(argument.start_position(), message).hint(form.clone()));
            }
        }
    });
    findings
}

type Parameter = (String, Option<&'static [&'static str]>);

/// The parameters of the function that is called, each with what it takes.
fn parameters(called: &Called<'_>, script: &Script, program: &Program, vocabulary: &Vocabulary) -> Vec<Parameter> {
    let (name, count) = (called.call.name.as_str(), called.call.args.len());
    if called.call.is_qualified() {
        let [alias] = &called.call.namespace.path[..] else { return Vec::new() };
        let module = script.modules(&alias.name).flatten().map(|module| &program.scripts[module]);
        let mut functions = module.filter(|module| module.name().starts_with("std/")).flat_map(|module| &module.functions);
        let function = functions.find(|function| function.name == name && function.parameters.len() == count);
        let taken = |parameter: &str| PARAMETERS.iter().find(|(name, _)| *name == parameter).map(|(_, types)| *types);
        return function.into_iter().flat_map(|function| &function.parameters).map(|name| (name.clone(), taken(name))).collect();
    }
    // `push` and `drain` are Rhai's too, for arrays.
    if script.functions.iter().any(|function| function.name == name) || vocabulary.is_of_rhai(name, count) {
        return Vec::new();
    }
    let parameters = vocabulary.parameters(name, count).unwrap_or_default();
    parameters.iter().map(|parameter| (parameter.trim_end_matches('?').to_owned(), taken(name, parameter))).collect()
}

/// What a script's variables are given, and what its functions return.
struct Variables<'a> {
    script: &'a Script,
    vocabulary: &'a Vocabulary,
}

impl Variables<'_> {
    /// The type of an expression, where it has only one.
    fn type_of(&self, expression: &Expr, depth: usize) -> Option<&'static str> {
        let depth = depth.checked_sub(1)?;
        Some(match expression {
            Expr::StringConstant(..) | Expr::InterpolatedString(..) => "string",
            Expr::IntegerConstant(..) => "int",
            Expr::FloatConstant(..) => "float",
            Expr::BoolConstant(..) => "bool",
            Expr::Unit(..) => "()",
            Expr::Array(..) => "array",
            Expr::Map(..) => "map",
            Expr::Variable(variable, ..) if variable.2.is_empty() => {
                let mut types = self.script.given.get(variable.1.as_str())?.iter().map(|given| self.type_of(given.as_ref()?, depth));
                let first = types.next()??;
                return types.all(|other| other == Some(first)).then_some(first);
            }
            Expr::FnCall(call, _) if !call.is_qualified() && call.op_token.is_none() => {
                let is_own = self.script.functions.iter().any(|function| function.name == call.name.as_str());
                return if is_own { None } else { self.vocabulary.returned(&call.name, call.args.len()) };
            }
            _ => return None,
        })
    }
}
