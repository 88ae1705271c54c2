//! What a script says of itself: `//!` about the file, `///` about its functions, and the arguments that it takes.

use std::fmt::Write as _;

use rhai::{ASTNode, Array, Dynamic, Expr, FnAccess, Stmt};

use super::{engine, options::shown};

/// A script's documentation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Documentation {
    /// What `//!` says at its top, as Markdown.
    pub head: String,
    /// Its public functions, as they stand in the file.
    pub functions: Vec<DocumentedFunction>,
    /// The run's arguments that it takes: name, and what stands there for a default.
    pub parameters: Vec<Parameter>,
}

/// A script function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DocumentedFunction {
    /// Its name.
    pub name: String,
    /// Its parameters.
    pub parameters: Vec<String>,
    /// What `///` says above it, as Markdown.
    pub text: String,
}

/// A `KEY=VALUE` argument of a run.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Parameter {
    /// Its key.
    pub name: String,
    /// What it is without being given, as it would be written; `None` where it has to be given or its default is computed.
    pub default: Option<String>,
    /// What it is, where it has to be given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub required: Option<String>,
}

impl Documentation {
    /// Reads a script's text; of one that does not parse, only what its head says.
    pub fn of(text: &str) -> Self {
        let head = uncommented(text.lines().map_while(|line| line.strip_prefix("//!")));
        let Ok(tree) = engine::language().compile(text) else { return Self { head, ..Self::default() } };
        let mut functions: Vec<_> = tree
            .iter_fn_def()
            .filter(|function| function.access == FnAccess::Public && !function.name.starts_with("anon$"))
            .map(|function| {
                let lines = function.comments.iter().flat_map(|comment| comment.lines()).filter_map(|line| line.trim().strip_prefix("///"));
                let documented = DocumentedFunction {
                    name: function.name.to_string(),
                    parameters: function.params.iter().map(ToString::to_string).collect(),
                    text: uncommented(lines),
                };
                (function.body.start_position(), documented)
            })
            .collect();
        functions.sort_by_key(|(position, _)| (position.line(), position.position()));
        let mut parameters = Vec::new();
        tree.walk(&mut |path| {
            if let Some(ASTNode::Expr(Expr::FnCall(call, _)) | ASTNode::Stmt(Stmt::FnCall(call, _))) = path.last()
                && let ("params", [Expr::Map(map, _)]) = (call.name.as_str(), &call.args[..])
            {
                parameters = map.0.iter().map(|(key, value)| parameter(&key.name, value)).collect();
            }
            parameters.is_empty()
        });
        Self { head, functions: functions.into_iter().map(|(_, function)| function).collect(), parameters }
    }

    /// What it does, in one line.
    pub fn summary(&self) -> String {
        sentence(&self.head)
    }

    /// All of it as Markdown, under the name that it is called by.
    pub fn markdown(&self, name: &str) -> String {
        let mut text = format!("# {name}\n");
        if !self.head.is_empty() {
            let _ = write!(text, "\n{}\n", self.head);
        }
        if !self.parameters.is_empty() {
            text += "\n## Arguments\n\n";
            for parameter in &self.parameters {
                let _ = writeln!(text, "- {parameter}");
            }
        }
        for function in &self.functions {
            let _ = write!(text, "\n## `{}`\n", function.signature());
            if !function.text.is_empty() {
                let _ = write!(text, "\n{}\n", function.text);
            }
        }
        text
    }
}

impl DocumentedFunction {
    /// How it is called: `deploy(service, img, fleet)`.
    pub fn signature(&self) -> String {
        format!("{}({})", self.name, self.parameters.join(", "))
    }
}

impl std::fmt::Display for Parameter {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (&self.required, &self.default) {
            (Some(what), _) => write!(formatter, "`{}`: {what} (required)", self.name),
            (None, Some(default)) => write!(formatter, "`{}` ({default})", self.name),
            (None, None) => write!(formatter, "`{}`", self.name),
        }
    }
}

fn parameter(name: &str, value: &Expr) -> Parameter {
    let required = match value {
        Expr::FnCall(call, _) if call.name == "required" => {
            call.args.first().and_then(|what| what.get_literal_value(None)?.into_string().ok()).or_else(|| Some(String::new()))
        }
        _ => None,
    };
    let default = match value {
        Expr::FnCall(call, _) if call.name == "one_of" => {
            call.args.first().and_then(|words| words.get_literal_value(None)).map(|words| as_argument(&words).replace(',', "|"))
        }
        value => value.get_literal_value(None).map(|value| as_argument(&value)),
    };
    Parameter { name: name.into(), default, required }
}

/// A default as it would be given behind the script: a list's items with commas between them.
fn as_argument(value: &Dynamic) -> String {
    match value.read_lock::<Array>() {
        Some(items) => items.iter().map(|item| as_argument(item).trim_matches('"').to_owned()).collect::<Vec<_>>().join(","),
        None => shown(value),
    }
}

fn uncommented<'a>(lines: impl Iterator<Item = &'a str>) -> String {
    let text = lines.fold(String::new(), |text, line| text + line.strip_prefix(' ').unwrap_or(line) + "\n");
    text.trim().to_owned()
}

/// The first sentence of a text, on one line and without its full stop.
pub fn sentence(text: &str) -> String {
    let paragraph = text.split("\n\n").next().unwrap_or_default().replace('\n', " ");
    let sentence = paragraph.split_once(". ").map_or(paragraph.as_str(), |(sentence, _)| sentence);
    sentence.trim().trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TASK: &str = "//! Ships the shop. Nightly.\n//!\n//! podlift run shop version=v2\n\nlet p = params(#{ version: required(\"the tag\"), batch: 1, hosts: \
                        \"a,b\", n: 1 + 1, on: [\"h1\", \"h2\"], by: one_of([\"weight\", \"hosts\"]) });\n/// Does it.\n///\n/// Well.\nfn second(a, b) { a + b }\nfn third() { [1].map(|x| x) }\nprivate fn hidden() { 1 }\n";

    #[test]
    fn a_script_is_documented_by_its_comments() {
        let documentation = Documentation::of(TASK);
        assert_eq!(documentation.summary(), "Ships the shop");
        let functions: Vec<String> = documentation.functions.iter().map(DocumentedFunction::signature).collect();
        assert_eq!(functions, ["second(a, b)", "third()"]);
        assert_eq!(documentation.functions[0].text, "Does it.\n\nWell.");
        let parameters: Vec<String> = documentation.parameters.iter().map(ToString::to_string).collect();
        assert_eq!(
            parameters,
            ["`version`: the tag (required)", "`batch` (1)", "`hosts` (\"a,b\")", "`n`", "`on` (h1,h2)", "`by` (weight|hosts)"]
        );
        let markdown = documentation.markdown("shop");
        assert!(
            markdown.starts_with("# shop\n\nShips the shop. Nightly.\n") && markdown.contains("\n## `second(a, b)`\n\nDoes it."),
            "{markdown}"
        );
    }

    #[test]
    fn a_script_that_does_not_parse_still_has_its_head() {
        let documentation = Documentation::of("//! Breaks\n//! in two.\nlet = ;");
        assert_eq!((documentation.summary().as_str(), documentation.functions.len()), ("Breaks in two", 0));
    }
}
