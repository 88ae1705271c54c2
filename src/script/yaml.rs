//! The part of YAML that people write configuration in: maps, lists and scalars, each with its line. Anchors, tags and keys that
//! stand twice are refused: what they mean is a matter of taste, or of a slip.

use rhai::Dynamic;
use saphyr_parser::{Event, Parser, ScalarStyle, Span};

/// How deep maps and lists may be nested.
const DEPTH: usize = 32;

/// A value and the line that it begins in, from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Node {
    pub(super) line: usize,
    pub(super) value: Value,
}

/// What a node is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    Scalar {
        text: String,
        /// Whether it stands without quotes, so that `true` and `8000` are what they look like.
        is_plain: bool,
    },
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// A key with its value; the line is the key's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) line: usize,
    pub(super) node: Node,
}

/// What is wrong in a text, and in which line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Problem {
    pub(super) line: usize,
    pub(super) message: String,
}

/// A map or list that is not at its end, and the line that it begins in.
enum Open {
    List(usize, Vec<Node>),
    /// With the key whose value comes next.
    Map(usize, Vec<Entry>, Option<(String, usize)>),
}

/// Reads a text of one document; `None` is an empty one.
pub(super) fn parse(text: &str) -> Result<Option<Node>, Problem> {
    let mut open: Vec<Open> = Vec::new();
    let mut root = None;
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| Problem { line: error.marker().line(), message: error.info().to_owned() })?;
        let line = span.start.line();
        plain(&event, &span)?;
        match event {
            Event::Scalar(text, style, ..) => {
                let value = Value::Scalar { text: text.into_owned(), is_plain: style == ScalarStyle::Plain };
                put(&mut open, &mut root, Node { line, value })?;
            }
            Event::SequenceStart(..) => open.push(Open::List(line, Vec::new())),
            Event::MappingStart(..) => open.push(Open::Map(line, Vec::new(), None)),
            Event::SequenceEnd | Event::MappingEnd => {
                let node = match open.pop() {
                    Some(Open::List(line, items)) => Node { line, value: Value::List(items) },
                    Some(Open::Map(line, entries, _)) => Node { line, value: Value::Map(entries) },
                    None => continue,
                };
                put(&mut open, &mut root, node)?;
            }
            _ => {}
        }
        if open.len() > DEPTH {
            return Err(Problem { line, message: format!("maps and lists are nested more than {DEPTH} deep") });
        }
    }
    Ok(root)
}

/// Refuses what is not plain data.
fn plain(event: &Event<'_>, span: &Span) -> Result<(), Problem> {
    let has_extras = match event {
        Event::Alias(_) => true,
        Event::Scalar(_, _, anchor, tag) | Event::SequenceStart(anchor, tag) | Event::MappingStart(anchor, tag) => {
            *anchor != 0 || tag.is_some()
        }
        _ => false,
    };
    if has_extras {
        return Err(Problem {
            line: span.start.line(),
            message: "anchors (&), aliases (*) and tags (!) are not read: write it out".into(),
        });
    }
    Ok(())
}

fn put(open: &mut [Open], root: &mut Option<Node>, node: Node) -> Result<(), Problem> {
    match open.last_mut() {
        None if root.is_some() => return Err(Problem { line: node.line, message: "there is a second document".into() }),
        None => *root = Some(node),
        Some(Open::List(_, items)) => items.push(node),
        Some(Open::Map(_, entries, key)) => match (key.take(), node.value) {
            (Some((name, line)), value) => entries.push(Entry { name, line, node: Node { line: node.line, value } }),
            (None, Value::Scalar { text, .. }) => {
                if let Some(first) = entries.iter().find(|entry| entry.name == text) {
                    let message = format!("the key `{text}` stands here a second time, and first in line {}", first.line);
                    return Err(Problem { line: node.line, message });
                }
                *key = Some((text, node.line));
            }
            (None, _) => return Err(Problem { line: node.line, message: "a key is a word".into() }),
        },
    }
    Ok(())
}

/// A scalar as YAML's core schema reads it: `()`, a boolean, a number, else text.
pub(super) fn scalar(text: &str, is_plain: bool) -> Dynamic {
    if !is_plain {
        return text.to_owned().into();
    }
    match text {
        "" | "~" | "null" => return Dynamic::UNIT,
        "true" => return true.into(),
        "false" => return false.into(),
        _ => {}
    }
    let is_number = text.trim_start_matches(['-', '+']).starts_with(|first: char| first.is_ascii_digit());
    if let (true, Ok(whole)) = (is_number, text.parse::<i64>()) {
        return whole.into();
    }
    match text.parse::<f64>() {
        Ok(number) if is_number && number.is_finite() => number.into(),
        _ => text.to_owned().into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_node_knows_its_line() {
        let node = parse("# words\nservices:\n  web:\n    port: 8000\n    command: [\"a\", b]\n").expect("YAML").expect("a node");
        let Value::Map(top) = &node.value else { panic!("{node:?}") };
        let Value::Map(services) = &top[0].node.value else { panic!("{node:?}") };
        let Value::Map(web) = &services[0].node.value else { panic!("{node:?}") };
        assert_eq!((top[0].line, services[0].line, web[0].line, web[1].line), (2, 3, 4, 5));
        assert_eq!(web[0].node, Node { line: 4, value: Value::Scalar { text: "8000".into(), is_plain: true } });
        let Value::List(words) = &web[1].node.value else { panic!("{node:?}") };
        assert_eq!(words[0].value, Value::Scalar { text: "a".into(), is_plain: false });
        assert_eq!(parse("# nothing\n").expect("YAML"), None);
    }

    #[test]
    fn what_is_no_plain_data_is_told_with_its_line() {
        for (text, line, words) in [
            ("a: 1\nb: 2\na: 3\n", 3, "first in line 1"),
            ("a: &x 1\nb: *x\n", 1, "anchors"),
            ("a: !!str 1\n", 1, "tags"),
            ("a: 1\n---\nb: 2\n", 3, "second document"),
            ("a: 1\n[b]: 2\n", 2, "a key is a word"),
        ] {
            let problem = parse(text).expect_err(text);
            assert!(problem.line == line && problem.message.contains(words), "{text}: {problem:?}");
        }
        let broken = parse("a: [1, 2\nb: 3\n").expect_err("it has no end");
        assert!(broken.line > 0 && !broken.message.is_empty(), "{broken:?}");
        let deep = format!("{}{}", "[".repeat(100), "]".repeat(100));
        assert!(parse(&deep).expect_err("too deep").message.contains("deep"));
    }

    #[test]
    fn scalars_are_what_they_look_like() {
        let words = |text: &str, is_plain| format!("{:?}", scalar(text, is_plain));
        for (text, shown) in [("8000", "8000"), ("-1", "-1"), ("1.5", "1.5"), ("true", "true"), ("~", "()"), ("", "()")] {
            assert_eq!(words(text, true), shown);
        }
        for text in ["yes", "on", "postgres:16", "1.2.3", "inf", "nan", "10s", "512m", "."] {
            assert!(scalar(text, true).is_string(), "{text}");
        }
        assert!(scalar("8000", false).is_string());
    }
}
