//! What went wrong, in one shape for people and programs, whether a check found it or a run met it.

mod render;

use rhai::{Dynamic, EvalAltResult, Position};
use serde::Serialize;

pub use self::render::render;
use super::{
    check::{Finding, parse_message, uncapitalised},
    sources::Sources,
};
use crate::{
    failure::{Detail, Failure, Origin},
    model::HostName,
};

/// One thing that went wrong.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Diagnostic {
    /// What happened, in one sentence.
    pub message: String,
    /// The file where the script asked for it: a path as the user wrote it, or `std/NAME`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// The line, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    /// The column, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub column: Option<usize>,
    /// How many characters of the line it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub length: Option<usize>,
    /// The calls that led there, the innermost first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub stack: Vec<Frame>,
    /// The host it happened on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<HostName>,
    /// What the host said.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub details: Vec<Detail>,
    /// What to do next.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hints: Vec<String>,
}

/// One call on the way to an error.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Frame {
    /// What was called or imported.
    pub what: String,
    /// Where.
    #[serde(flatten)]
    pub origin: Origin,
}

impl Diagnostic {
    /// What a check found.
    pub fn of_finding(finding: &Finding) -> Self {
        let hints = finding.hint.iter().cloned().collect();
        Self { message: finding.message.clone(), hints, ..Self::default() }.at(&finding.origin, finding.length)
    }

    /// A failure outside of a script's call, for example of a file that cannot be read.
    pub fn of_failure(failure: &Failure, sources: &Sources) -> Self {
        let diagnostic = Self {
            message: failure.message.clone(),
            host: failure.host.clone(),
            details: failure.details.clone(),
            hints: failure.hints.clone(),
            ..Self::default()
        };
        match &failure.origin {
            Some(origin) => diagnostic.at(origin, sources.length(origin)),
            None => diagnostic,
        }
    }

    /// What a script ended with. The place is the failure's own origin, else where the innermost error was raised.
    pub fn of_error(error: &EvalAltResult, sources: &Sources) -> Self {
        let mut stack = Vec::new();
        let innermost = unwind(error, sources, &mut stack);
        let mut diagnostic = match innermost {
            EvalAltResult::ErrorRuntime(value, _) | EvalAltResult::ErrorTerminated(value, _) => thrown(value, sources),
            other => Self { message: message(other), ..Self::default() },
        };
        if diagnostic.file.is_none()
            && let Some(origin) = sources.locate(innermost.position())
        {
            let length = sources.length(&origin);
            diagnostic = diagnostic.at(&origin, length);
        }
        stack.reverse();
        diagnostic.stack = stack;
        diagnostic
    }

    fn at(mut self, origin: &Origin, length: usize) -> Self {
        self.file = Some(origin.file.to_string());
        self.line = Some(origin.line);
        self.column = Some(origin.column);
        self.length = Some(length);
        self
    }

    /// The place as an origin.
    pub fn origin(&self) -> Option<Origin> {
        Some(Origin { file: self.file.clone()?.into(), line: self.line?, column: self.column? })
    }
}

/// The error at the bottom of an error; notes the calls on the way down.
fn unwind<'a>(error: &'a EvalAltResult, sources: &Sources, stack: &mut Vec<Frame>) -> &'a EvalAltResult {
    let mut note = |what: String, position: Position| {
        stack.extend(sources.locate(position).map(|origin| Frame { what, origin }));
    };
    match error {
        EvalAltResult::ErrorInFunctionCall(name, _, inner, position) => {
            note(if name.starts_with("anon$") { "a closure".into() } else { format!("`{name}`") }, *position);
            unwind(inner, sources, stack)
        }
        EvalAltResult::ErrorInModule(path, inner, position) => {
            note(format!("import {path:?}"), *position);
            unwind(inner, sources, stack)
        }
        innermost => innermost,
    }
}

fn thrown(value: &Dynamic, sources: &Sources) -> Diagnostic {
    if let Some(failure) = value.read_lock::<Failure>() {
        return Diagnostic::of_failure(&failure, sources);
    }
    let message = match value.clone().into_string() {
        Ok(text) => text,
        Err(_) if value.is_unit() => "the script was stopped".into(),
        Err(_) => format!("the script threw {value}"),
    };
    Diagnostic { message, ..Diagnostic::default() }
}

/// What an error of the language says, in our words.
pub(super) fn message(error: &EvalAltResult) -> String {
    match error {
        EvalAltResult::ErrorParsing(kind, _) => parse_message(kind),
        EvalAltResult::ErrorFunctionNotFound(signature, _) => format!("there is no function {}", readable(signature)),
        EvalAltResult::ErrorVariableNotFound(name, _) => format!("there is no variable `{name}`"),
        EvalAltResult::ErrorPropertyNotFound(name, _) => format!("there is no property `{name}`"),
        EvalAltResult::ErrorIndexNotFound(index, _) => format!("there is nothing at `{index}`"),
        EvalAltResult::ErrorModuleNotFound(path, _) => format!("nothing is imported as `{path}`"),
        EvalAltResult::ErrorArrayBounds(0, index, _) => format!("the array is empty and has nothing at {index}"),
        EvalAltResult::ErrorArrayBounds(length, index, _) => format!("the array's length is {length}, and there is nothing at {index}"),
        EvalAltResult::ErrorMismatchDataType(expected, actual, _) if expected.is_empty() => {
            format!("a value of type {actual} does not fit")
        }
        EvalAltResult::ErrorMismatchDataType(expected, actual, _) | EvalAltResult::ErrorMismatchOutputType(expected, actual, _) => {
            format!("expected {expected}, and got {actual}")
        }
        EvalAltResult::ErrorStackOverflow(_) => "functions call each other too deeply".into(),
        EvalAltResult::ErrorAssignmentToConstant(name, _) => format!("`{name}` is a constant and cannot be changed"),
        // Rhai's own text ends with a place of the line space, which means nothing to a reader.
        other => {
            let text = other.to_string();
            uncapitalised(text.rsplit_once(" (line ").map_or(text.as_str(), |(message, _)| message))
        }
    }
}

/// Rhai's signature `start (Service, Image, &str | …)` in a form that reads like a call.
fn readable(signature: &str) -> String {
    let plain = signature.replace("&str | ImmutableString | String", "string").replace("&str | ImmutableString", "string");
    let plain = plain.replace("i64", "int").replace("f64", "float");
    match plain.split_once(" (") {
        Some((name, types)) => format!("`{name}` that takes ({types}"),
        None => format!("`{plain}`"),
    }
}

#[cfg(test)]
mod tests {
    use rhai::{Engine, FnPtr, NativeCallContext};

    use super::*;
    use crate::script::resolver::Resolver;

    fn run(script: &str, library: &str) -> (Diagnostic, Sources) {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("lib.rhai"), library).expect("a file");
        let sources = Sources::default();
        let mut engine = Engine::new();
        engine.set_module_resolver(Resolver::new(sources.clone(), folder.path(), folder.path()));
        engine.register_fn("twice", |context: NativeCallContext<'_>, closure: FnPtr| -> Result<(), Box<EvalAltResult>> {
            closure.call_within_context::<()>(&context, ())?;
            closure.call_within_context::<()>(&context, ())
        });
        engine.register_fn("check", |context: NativeCallContext<'_>| -> Result<(), Box<EvalAltResult>> {
            let failure = Failure::failed("web is unhealthy")
                .on(&HostName::new("10.0.0.11").expect("valid"))
                .detail("web-1, last log lines", "boom\nbang")
                .hint("look at its logs");
            Err(EvalAltResult::ErrorRuntime(Dynamic::from(failure), context.call_position()).into())
        });
        let padded = sources.add("deploy/web.rhai", script).expect("short");
        let error = engine.compile(padded).map_err(Into::into).and_then(|ast| engine.eval_ast::<Dynamic>(&ast)).expect_err("fails");
        let mut diagnostic = Diagnostic::of_error(&error, &sources);
        let short = |file: &str| file.rsplit('/').next().unwrap_or_default().to_owned();
        for frame in &mut diagnostic.stack {
            frame.origin.file = short(&frame.origin.file).into();
        }
        (diagnostic, sources)
    }

    fn stack(diagnostic: &Diagnostic) -> Vec<String> {
        diagnostic.stack.iter().map(|frame| format!("{} {}", frame.what, frame.origin)).collect()
    }

    #[test]
    fn a_failure_keeps_its_host_its_words_and_the_calls_that_led_to_it() {
        let (diagnostic, sources) = run(
            "import \"lib\" as lib;\n\nfn deploy() {\n  lib::each(|| {\n    check();\n  });\n}\ndeploy();",
            "\nfn each(f) {\n  twice(f);\n}\n",
        );
        assert_eq!((diagnostic.file.as_deref(), diagnostic.line, diagnostic.column), (Some("deploy/web.rhai"), Some(5), Some(5)));
        assert_eq!(diagnostic.message, "web is unhealthy");
        let calls = stack(&diagnostic);
        assert!(calls.contains(&"`each` web.rhai:4".into()) && calls.last() == Some(&"`deploy` web.rhai:8".into()), "{calls:?}");
        let text = render(std::slice::from_ref(&diagnostic), &sources, false);
        for part in [
            "10.0.0.11: web is unhealthy",
            "deploy/web.rhai:5:5",
            "check();",
            "in `deploy`, web.rhai:8",
            "    bang",
            "help: look at its logs",
        ] {
            assert!(text.contains(part), "{part} is not in:\n{text}");
        }
        assert!(!text.contains('\u{1b}'), "{text}");
        assert!(render(&[diagnostic], &sources, true).contains('\u{1b}'));
    }

    #[test]
    fn thrown_text_is_the_message() {
        let (diagnostic, _) = run("fn f() {\n  throw \"no way\";\n}\nf();", "");
        assert_eq!((diagnostic.message.as_str(), diagnostic.line), ("no way", Some(2)));
        assert_eq!(stack(&diagnostic), ["`f` web.rhai:4"]);
    }

    #[test]
    fn an_error_of_the_language_is_told_in_our_words() {
        let (diagnostic, _) = run("let a = [1];\na[7]", "");
        assert_eq!((diagnostic.message.as_str(), diagnostic.line), ("the array's length is 1, and there is nothing at 7", Some(2)));
        let (diagnostic, _) = run("import \"lib\" as lib;", "\nlet = 1;");
        assert_eq!((diagnostic.line, diagnostic.stack.len()), (Some(2), 1));
        let (diagnostic, _) = run("\nnosuch(1, \"a\")", "");
        assert_eq!(diagnostic.message, "there is no function `nosuch` that takes (int, string)");
    }

    #[test]
    fn programs_read_it_as_json() {
        let (diagnostic, _) = run("check()", "");
        let json = serde_json::to_value(&diagnostic).expect("serialises");
        assert_eq!(
            (&json["host"], &json["line"], &json["details"][0]["title"]),
            (&"10.0.0.11".into(), &1.into(), &"web-1, last log lines".into())
        );
        assert_eq!(json.get("stack"), None);
    }
}
