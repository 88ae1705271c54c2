//! The language, told as cases: `tests/suite/*.rhai`.
//!
//! A file holds many cases. `// Case: NAME` begins one, `// File: PATH` another file of the same case, and `// Arguments: …`
//! gives the run its arguments. What is wrong stands above the line that it is about:
//! `// Error: FIRST-PAST MESSAGE`, in columns, and `// Hint: …` and `// In: …` for hints and calls. A case is checked first,
//! and where nothing is found it is run on a modelled fleet, with hosts that are fresh. `PODLIFT_UPDATE=1` rewrites the files
//! to what is really said.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use podlift::{
    executor::{Call, Cancellation, Event, Executor, Guard, Model, Narrator, Outcome, RunInfo, Simulated},
    failure::Failure,
    model::RunId,
    op::Op,
    script::{Branches, Checked, ScriptRun, SecretNames, diagnostics::Diagnostic},
    world::{Kept, World},
};

const CASE: &str = "// Case: ";
const FILE: &str = "// File: ";
const ARGUMENTS: &str = "// Arguments: ";
const SAID: [&str; 3] = ["// Error: ", "// Hint: ", "// In: "];
/// The file of a case that is run.
const MAIN: &str = "main.rhai";

/// One case: its lines without what is expected of them.
struct Case {
    head: Vec<String>,
    arguments: Vec<(String, String)>,
    files: Vec<(String, Vec<String>)>,
}

impl Case {
    fn read(text: &str) -> Self {
        let mut case = Self { head: Vec::new(), arguments: Vec::new(), files: vec![(MAIN.into(), Vec::new())] };
        for line in text.lines().filter(|line| !SAID.iter().any(|said| line.trim_start().starts_with(said))) {
            if let Some(name) = line.strip_prefix(FILE) {
                case.files.push((name.into(), Vec::new()));
            } else if line.starts_with(CASE) || line.starts_with(ARGUMENTS) {
                case.head.push(line.into());
            } else if let Some((_, lines)) = case.files.last_mut() {
                lines.push(line.into());
            }
            let arguments = line.strip_prefix(ARGUMENTS).unwrap_or_default();
            let split = |pair: &str| pair.split_once('=').map(|(key, value)| (key.into(), value.into()));
            case.arguments.extend(arguments.split_whitespace().filter_map(split));
        }
        case
    }

    /// What is wrong with it, by a check or else by a run.
    fn diagnostics(&self) -> Vec<Diagnostic> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        for (name, lines) in &self.files {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().expect("inside the folder")).expect("a folder");
            fs::write(path, lines.join("\n")).expect("a file");
        }
        let checked = Checked::new(MAIN, folder.path(), &self.files[0].1.join("\n"));
        let mut found = checked.diagnostics();
        if found.is_empty() {
            found.extend(checked.run(self.run()).err().map(|ended| ended.diagnostic));
        }
        let here = format!("{}/", folder.path().display());
        let real = format!("{}/", fs::canonicalize(folder.path()).expect("it is there").display());
        let short = |text: &str| text.replace(&here, "").replace(&real, "");
        found.into_iter().map(|diagnostic| told_in_short(diagnostic, short)).collect()
    }

    fn run(&self) -> ScriptRun {
        let run = RunInfo {
            id: RunId::new("20260101-000000-test").expect("valid"),
            operator: "tester@here".into(),
            started: "2026-01-01T00:00:00Z".into(),
        };
        let desk = Desk(self.files.iter().map(|(name, lines)| (name.clone(), lines.join("\n"))).collect());
        ScriptRun {
            arguments: self.arguments.clone(),
            executor: Arc::new(Guard::new(Model::new(World::default(), Simulated::new(Kept::default(), desk)))),
            narrator: Arc::new(Silence),
            run: Arc::new(run),
            branches: Branches::InOrder,
            cancellation: Cancellation::default(),
            secrets: Arc::new(OneSecret),
        }
    }

    /// The case with what was said written into it.
    fn told(&self, diagnostics: &[Diagnostic]) -> String {
        let mut said: BTreeMap<(&str, usize), String> = BTreeMap::new();
        for diagnostic in diagnostics {
            let place = (diagnostic.file.as_deref().unwrap_or(MAIN), diagnostic.line.unwrap_or(1));
            let text = said.entry(place).or_default();
            let columns = diagnostic.column.zip(diagnostic.length).map(|(first, length)| format!("{first}-{} ", first + length));
            let _ = writeln!(text, "{}{}{}", SAID[0], columns.unwrap_or_default(), diagnostic.message);
            for hint in &diagnostic.hints {
                let _ = writeln!(text, "{}{hint}", SAID[1]);
            }
            for frame in &diagnostic.stack {
                let _ = writeln!(text, "{}{}, {}", SAID[2], frame.what, frame.origin);
            }
        }
        let mut told = String::new();
        for line in &self.head {
            let _ = writeln!(told, "{line}");
        }
        for (name, lines) in &self.files {
            if name != MAIN {
                let _ = writeln!(told, "{FILE}{name}");
            }
            for (index, line) in lines.iter().enumerate() {
                told += said.remove(&(name.as_str(), index + 1)).unwrap_or_default().as_str();
                let _ = writeln!(told, "{line}");
            }
        }
        // What has its place elsewhere, for example in the standard library.
        for ((file, line), text) in said {
            let _ = write!(told, "// At: {file}:{line}\n{text}");
        }
        told
    }
}

fn told_in_short(mut diagnostic: Diagnostic, short: impl Fn(&str) -> String) -> Diagnostic {
    diagnostic.file = diagnostic.file.map(|file| short(&file));
    diagnostic.message = short(&diagnostic.message).replace('\n', " ");
    diagnostic.hints = diagnostic.hints.iter().map(|hint| short(hint)).collect();
    for frame in &mut diagnostic.stack {
        frame.origin.file = short(&frame.origin.file).into();
    }
    diagnostic
}

/// The machine that the scripts are run from: a clean commit, one variable, a clock that stands, and the case's files.
struct Desk(BTreeMap<String, String>);

impl Executor for Desk {
    fn perform(&self, call: &Call) -> Result<Outcome, Failure> {
        Ok(Outcome::of(match &*call.op {
            Op::Git(_) => serde_json::json!({
                "commit": "0123456789abcdef0123456789abcdef01234567", "short": "0123456", "branch": "main", "tag": null,
                "dirty": false, "difference": "", "message": "a change",
            }),
            Op::ReadEnv(read) => serde_json::json!((read.name == "STAGE").then_some("test")),
            Op::ReadFile(read) => match self.0.get(&read.path) {
                Some(text) => serde_json::json!(text),
                None => return Err(Failure::failed(format!("{} cannot be read", read.path))),
            },
            Op::Now(_) => serde_json::json!("2026-01-01T00:00:00Z"),
            other => return Err(Failure::failed(format!("{other:?} is not for a test"))),
        }))
    }
}

struct OneSecret;

impl SecretNames for OneSecret {
    fn has(&self, name: &str) -> bool {
        name == "PASSWORD"
    }

    fn in_file(&self, path: &str) -> Result<Vec<String>, Failure> {
        Err(Failure::failed(format!("{path} does not exist")))
    }
}

struct Silence;

impl Narrator for Silence {
    fn tell(&self, _: Event<'_>) {}
}

/// The cases of a file's text, what comes before the first one left as it is.
fn cases(text: &str) -> (&str, Vec<&str>) {
    let starts: Vec<usize> =
        text.match_indices(CASE).map(|(index, _)| index).filter(|index| text[..*index].ends_with('\n') || *index == 0).collect();
    let ends = starts.iter().skip(1).copied().chain([text.len()]);
    let preface = starts.first().map_or(text, |first| &text[..*first]);
    (preface, starts.iter().zip(ends).map(|(start, end)| &text[*start..end]).collect())
}

/// A file's text as it would be if it said what is really said.
fn as_it_is(text: &str) -> String {
    let (preface, cases) = cases(text);
    cases.iter().fold(preface.to_owned(), |told, case| {
        let case = without_places(case);
        let case = Case::read(&case);
        told + case.told(&case.diagnostics()).as_str()
    })
}

/// A case without what is expected at places outside of it.
fn without_places(case: &str) -> String {
    case.split("// At: ").next().map(|case| if case.ends_with('\n') { case.to_owned() } else { format!("{case}\n") }).unwrap_or_default()
}

fn suite() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/suite");
    let mut files: Vec<PathBuf> = fs::read_dir(folder).expect("the suite").map(|entry| entry.expect("an entry").path()).collect();
    files.sort();
    files
}

#[test]
fn the_language_does_as_the_suite_says() {
    let update = std::env::var_os("PODLIFT_UPDATE").is_some_and(|value| value == "1");
    let mut wrong = String::new();
    let mut count = 0;
    for file in suite() {
        let written = fs::read_to_string(&file).expect("a suite file");
        count += cases(&written).1.len();
        let told = as_it_is(&written);
        if told == written {
            continue;
        }
        if update {
            fs::write(&file, told).expect("a suite file");
            continue;
        }
        for (expected, actual) in cases(&written).1.iter().zip(cases(&told).1) {
            if *expected != actual {
                let name = file.file_name().unwrap_or_default().display();
                let _ = writeln!(wrong, "--- {name}: expected\n{expected}--- and it is\n{actual}");
            }
        }
    }
    assert!(count >= 60, "only {count} cases were found");
    assert!(wrong.is_empty(), "\n{wrong}PODLIFT_UPDATE=1 rewrites the suite");
}

#[test]
fn a_suite_that_expects_something_else_is_found() {
    let right = "// Case: a slip\nlet a = 1;\n// Error: 1-5 there is no function `wolf`\nwolf(a);\n";
    assert_eq!(as_it_is(right), right);
    for wrong in [
        "// Case: a slip\nlet a = 1;\nwolf(a);\n",
        "// Case: a slip\n// Error: 1-5 there is no function `wolf`\nlet a = 1;\nwolf(a);\n",
        "// Case: a slip\nlet a = 1;\n// Error: 1-6 there is no function `wolf`\nwolf(a);\n",
        "// Case: a slip\nlet a = 1;\n// Error: 1-5 there is no function `fox`\nwolf(a);\n",
    ] {
        assert_eq!(as_it_is(wrong), right);
    }
}
