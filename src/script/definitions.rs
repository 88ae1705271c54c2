//! Definition files, by which editors complete and document what scripts can call.

use std::fmt::Write as _;

use super::{REPLACED, documentation::Documentation, functions::Function, reference, signatures, stdlib};

/// Every definition file: its path relative to the scripts' folder, and its text. The files of the standard library lie where an
/// editor looks for `import "std/NAME"`.
pub fn files() -> Vec<(String, String)> {
    let rhai = rhai::Engine::new();
    let definitions = rhai.definitions();
    let own = definitions.iter_files().map(|(name, text)| (name.replace("__", "").replace(".d.rhai", ""), kept(&text)));
    let mut files: Vec<(String, String)> = own.map(|(name, text)| (format!("rhai-{name}.d.rhai"), text)).collect();
    files.push(("podlift.d.rhai".into(), podlift()));
    files.extend(stdlib::MODULES.iter().map(|(name, text)| (format!("std/{name}.d.rhai"), module(text))));
    files
}

/// Rhai's own definitions without what deployment scripts cannot call, and without what podlift defines in its own way.
fn kept(text: &str) -> String {
    let hidden = |name: &str| {
        ["eval", "print", "debug"].contains(&name)
            || REPLACED.iter().any(|(replaced, ..)| *replaced == name)
            || signatures().any(|function| function.name == name)
    };
    let definitions = text.split("\n\n").filter(|definition| {
        let name = definition.lines().find_map(|line| line.strip_prefix("fn ")).and_then(|rest| rest.split('(').next());
        !name.is_some_and(hidden)
    });
    definitions.collect::<Vec<_>>().join("\n\n") + "\n"
}

fn podlift() -> String {
    let mut text = "/// podlift's functions. `podlift definitions` writes this file; do not change it.\nmodule static;\n".to_owned();
    for function in signatures() {
        let section = reference::section(function.name).map(|section| section.text).unwrap_or_default();
        for count in function.arity() {
            let documentation = format!("{}\n\n{section}", function.doc);
            let parameters: Vec<String> = function.parameters[..count].iter().map(|name| parameter(name)).collect();
            define(&mut text, &documentation, function.name, &parameters, returned(function));
        }
    }
    for name in ["print", "debug"] {
        define(&mut text, "Says what `info` says.", name, &["message: ?".into()], "()");
    }
    text
}

fn module(text: &str) -> String {
    let documentation = Documentation::of(text);
    let mut definitions = commented(&documentation.head) + "module;\n";
    for function in &documentation.functions {
        let parameters: Vec<String> = function.parameters.iter().map(|name| parameter(name)).collect();
        define(&mut definitions, &function.text, &function.name, &parameters, "?");
    }
    definitions
}

fn define(text: &mut String, documentation: &str, name: &str, parameters: &[String], returns: &str) {
    let _ = write!(text, "\n{}fn {name}({}) -> {returns};\n", commented(documentation), parameters.join(", "));
}

fn commented(documentation: &str) -> String {
    documentation.lines().map(|line| format!("/// {line}").trim_end().to_owned() + "\n").collect()
}

fn parameter(name: &str) -> String {
    format!("{}: ?", name.trim_end_matches('?'))
}

fn returned(function: &Function) -> &str {
    match function.returns {
        "" => "()",
        "Dynamic" => "?",
        "string" => "String",
        name => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str) -> String {
        files().into_iter().find(|(path, _)| path == name).unwrap_or_else(|| panic!("no {name}")).1
    }

    #[test]
    fn every_function_is_defined_with_each_number_of_arguments() {
        let text = file("podlift.d.rhai");
        for function in signatures() {
            for count in function.arity() {
                let parameters: Vec<String> = function.parameters[..count].iter().map(|name| parameter(name)).collect();
                let line = format!("\nfn {}({}) -> ", function.name, parameters.join(", "));
                assert!(text.contains(&line), "{line}");
            }
        }
        assert!(text.contains("/// | `on_timeout` | `\"proceed\"` |"), "options are documented");
    }

    #[test]
    fn a_module_of_the_standard_library_lies_where_its_import_is_looked_for() {
        let text = file("std/rolling.d.rhai");
        assert!(text.starts_with("/// Rolling: ") && text.contains("\nmodule;\n"), "{text}");
        assert!(text.contains("\nfn deploy(service: ?, img: ?, fleet: ?, opts: ?) -> ?;\n"), "{text}");
        assert!(!text.contains("fn end("), "private functions are not for importers");
    }

    #[test]
    fn what_a_script_cannot_call_is_not_offered() {
        for (name, text) in files().into_iter().filter(|(name, _)| name.starts_with("rhai-")) {
            assert!(!text.contains("\nfn sleep(") && !text.contains("\nfn eval(") && !text.contains("\nfn print("), "{name}");
        }
        assert!(file("rhai-static.d.rhai").contains("fn to_upper("));
    }
}
