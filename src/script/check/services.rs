//! Services that are written out and whose options cannot be meant together.

use rhai::Expr;

use super::{
    Finding,
    program::{Program, Script},
    vocabulary::Vocabulary,
};
use crate::script::service::{Given, contradictions};

/// Finds them.
pub fn contradictory(script: &Script, program: &Program, _: &Vocabulary) -> Vec<Finding> {
    let mut findings = Vec::new();
    script.each_known_call(|called| {
        let is_own = script.functions.iter().any(|function| function.name == "service");
        if is_own || called.call.name != "service" || called.call.is_qualified() {
            return;
        }
        let [Expr::StringConstant(name, _), Expr::Map(map, _)] = &called.call.args[..] else { return };
        let value = |option: &str| map.0.iter().find(|(key, _)| key.name == option).map(|(_, value)| value);
        let has = |option: &str| match value(option) {
            None | Some(Expr::Unit(_)) => Given::No,
            // What is no port at all is told as that.
            Some(value) if option == "port" && !matches!(value, Expr::IntegerConstant(..)) => Given::Perhaps,
            Some(value) if value.is_constant() || matches!(value, Expr::Map(..) | Expr::Array(..)) => Given::Yes,
            Some(_) => Given::Perhaps,
        };
        let has_no_proxy = matches!(value("balancer"), Some(Expr::StringConstant(word, _)) if word == "none");
        for found in contradictions(&format!("the service {name}"), has, has_no_proxy) {
            let key = map.0.iter().find(|(key, _)| key.name == found.option);
            findings.extend(key.map(|(key, _)| program.finding(key.pos, found.message).hint(found.hint)));
        }
    });
    findings
}
