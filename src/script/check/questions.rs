//! The names of the questions that scripts ask.

use std::collections::BTreeSet;

use rhai::Expr;

use super::program::Program;

/// The names that `--yes=NAME` can answer; `None` where only the run knows one.
pub fn names(program: &Program) -> Option<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    let mut all_known = true;
    for script in &program.scripts {
        script.each_call(|called| {
            let is_confirm = called.call.name == "confirm" && !called.call.is_qualified();
            let has_options = called.call.args.len() + usize::from(called.method) > 1;
            if !is_confirm || !has_options {
                return;
            }
            match called.call.args.last() {
                Some(Expr::Map(map, _)) => {
                    let name = map.0.iter().find(|(key, _)| key.name == "name").map(|(_, value)| value);
                    match name.map(|name| name.get_literal_value(None).and_then(|name| name.into_string().ok())) {
                        Some(Some(name)) => drop(names.insert(name)),
                        Some(None) => all_known = false,
                        None => {}
                    }
                }
                _ => all_known = false,
            }
        });
    }
    all_known.then_some(names)
}
