//! Imports go one way only: reads the sources and fails where a floor reaches up, or names a crate that another one owns.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Which modules of the crate the files below a path may not name. Tests are not held to it.
const UP: &[(&str, &[&str])] = &[
    ("model/", &["failure", "nginx_file", "op", "world", "executor", "fleet", "script", "repl", "terminal", "commands", "cli", "journal"]),
    ("failure.rs", &["nginx_file", "world", "executor", "fleet", "script", "repl", "terminal", "commands", "cli", "journal"]),
    ("nginx_file/", &["op", "world", "executor", "fleet", "script", "repl", "terminal", "commands", "cli", "journal"]),
    ("op/", &["failure", "nginx_file", "world", "executor", "fleet", "script", "repl", "terminal", "commands", "cli", "journal"]),
    ("journal/", &["world", "executor", "fleet", "script", "repl", "terminal", "commands", "cli"]),
    ("world/", &["executor", "fleet", "script", "repl", "terminal", "commands", "cli", "journal"]),
    ("fleet/", &["world", "script", "repl", "terminal", "commands", "cli", "journal"]),
    ("executor/", &["script", "repl", "terminal", "commands", "cli"]),
    ("script/", &["fleet", "repl", "terminal", "commands", "cli"]),
    ("terminal/", &["fleet", "commands"]),
];

/// Which words belong to which folders.
const OWNED: &[(&str, &[&str])] = &[
    ("rhai::", &["script/", "repl/"]),
    ("bollard::", &["fleet/"]),
    ("openssh::", &["fleet/"]),
    ("reqwest::", &["fleet/"]),
    ("tokio_postgres::", &["fleet/"]),
    ("println!", &["terminal/"]),
    ("eprintln!", &["terminal/"]),
    ("print!", &["terminal/"]),
    ("eprint!", &["terminal/"]),
];

/// What is pure, and what it may not name.
const PURE: &[&str] = &["op/", "model/", "failure.rs", "nginx_file/", "world/"];
const IMPURE: &[&str] = &["std::fs", "std::process", "std::env", "std::net", "std::time::SystemTime", "tokio::", "Instant::now"];

/// What is wrong with a file, whose path is relative to `src`.
fn violations(path: &str, text: &str) -> Vec<String> {
    let code = code(text);
    let mut found = Vec::new();
    for (_, up) in UP.iter().filter(|(floor, _)| path.starts_with(floor)) {
        let names = crate_names(&code);
        found.extend(
            up.iter().filter(|module| names.iter().any(|name| name == *module)).map(|module| format!("{path} names crate::{module}")),
        );
    }
    if path.starts_with("executor/") && path != "executor/live.rs" && crate_names(&code).iter().any(|name| name == "fleet") {
        found.push(format!("{path} names crate::fleet"));
    }
    for (word, owners) in OWNED {
        if !owners.iter().any(|owner| path.starts_with(owner)) && names(&code, word) {
            found.push(format!("{path} names {word}"));
        }
    }
    if PURE.iter().any(|pure| path.starts_with(pure)) {
        let expanded = expand(&code);
        found.extend(IMPURE.iter().filter(|word| names(&expanded, word)).map(|word| format!("{path} is pure and names {word}")));
    }
    found
}

/// The text without comments and without the tests at its end.
fn code(text: &str) -> String {
    let text = text.split("#[cfg(test)]\nmod ").next().unwrap_or_default();
    text.lines().map(|line| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n")
}

/// Whether a word is named, and not merely the end of another one.
fn names(code: &str, word: &str) -> bool {
    code.match_indices(word).any(|(index, _)| !code[..index].ends_with(|before: char| before.is_alphanumeric() || before == '_'))
}

/// The modules that follow `crate::`, also in a group.
fn crate_names(code: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (index, prefix) in code.match_indices("crate::") {
        let rest = &code[index + prefix.len()..];
        found.extend(match rest.strip_prefix('{') {
            Some(group) => items(group),
            None => vec![word(rest)],
        });
    }
    found
}

/// The first words of the items of a group, up to its closing brace.
fn items(group: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut depth = 0;
    let mut start = 0;
    for (index, character) in group.char_indices() {
        match character {
            '{' => depth += 1,
            '}' if depth == 0 => {
                found.push(word(group[start..index].trim_start()));
                break;
            }
            '}' => depth -= 1,
            ',' if depth == 0 => {
                found.push(word(group[start..index].trim_start()));
                start = index + 1;
            }
            _ => {}
        }
    }
    found
}

fn word(text: &str) -> String {
    text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

/// The code with `std::{fs, …}` also written as `std::fs`.
fn expand(code: &str) -> String {
    let groups = code.match_indices("std::{").flat_map(|(index, prefix)| items(&code[index + prefix.len()..]));
    groups.fold(code.to_owned(), |code, item| format!("{code}\nstd::{item}"))
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("src is there") {
        let path = entry.expect("src can be read").path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|end| end == "rs") && !path.ends_with("tests.rs") {
            found.push(path);
        }
    }
}

#[test]
fn imports_go_one_way_only() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&root, &mut files);
    assert!(files.len() > 20, "only {} files were found", files.len());
    let found: Vec<String> = files
        .iter()
        .flat_map(|file| {
            let path = file.strip_prefix(&root).expect("below src").to_string_lossy().replace('\\', "/");
            violations(&path, &fs::read_to_string(file).expect("a source"))
        })
        .collect();
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

#[test]
fn a_line_that_reaches_up_is_found() {
    for (path, text, problem) in [
        ("op/put.rs", "use crate::script::Session;", "op/put.rs names crate::script"),
        ("model/host.rs", "use crate::{\n    model::Image,\n    op::{Op, Start},\n};", "model/host.rs names crate::op"),
        ("executor/record.rs", "fn f(x: &crate::fleet::Fleet) {}", "executor/record.rs names crate::fleet"),
        ("script/session.rs", "use crate::{commands, op};", "script/session.rs names crate::commands"),
        ("executor/call.rs", "use rhai::Dynamic;", "executor/call.rs names rhai::"),
        ("script/run.rs", "    bollard::Docker::connect()", "script/run.rs names bollard::"),
        ("commands/run.rs", "println!(\"done\");", "commands/run.rs names println!"),
        ("world/mod.rs", "use std::{collections::BTreeMap, fs};", "world/mod.rs is pure and names std::fs"),
        ("failure.rs", "use tokio::time;", "failure.rs is pure and names tokio::"),
    ] {
        assert!(violations(path, text).iter().any(|found| found == problem), "{path}: {:?}", violations(path, text));
    }
}

#[test]
fn a_line_that_stays_on_its_floor_is_not() {
    for (path, text) in [
        ("executor/live.rs", "use crate::fleet::Fleet;"),
        ("script/session.rs", "use crate::{executor::Executor, op::{Op, read}};\nuse rhai::Engine;"),
        ("op/put.rs", "// what crate::script calls println!\nuse crate::model::Release;"),
        ("terminal/mod.rs", "println!(\"done\")"),
        ("model/host.rs", "#[cfg(test)]\nmod tests {\n    use crate::op::Op;\n}"),
        ("world/mod.rs", "let my_tokio::x; use std::{collections::BTreeMap, fmt};"),
    ] {
        assert_eq!(violations(path, text), Vec::<String>::new(), "{path}");
    }
}
