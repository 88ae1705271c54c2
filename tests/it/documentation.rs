//! README, docs/ and examples/ are tested: what they show passes a check and runs, and what they list is what there is.

use std::{
    collections::BTreeSet,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use clap::{CommandFactory, Parser};
use podlift::{
    cli::Cli,
    commands::exit::Exit,
    script::{documentation::Documentation, functions::Function, signatures, stdlib},
};

use crate::{podlift::Project, rig::Output, until::until};

/// What an example may speak of without declaring it: two hosts on which v1 serves and v2 is ready.
const CONTEXT: &str = r#"
import "std/rolling" as rolling;
import "std/recreate" as recreate;
let fleet = hosts(["10.0.0.11", "10.0.0.12"]);
let web = service("web", #{ port: 8000, replicas: 2, health: http("/health") });
let old = build(web, #{ tag: "v1" });
let img = build(web, #{ tag: "v2" });
ship(old, fleet);
ship(img, fleet);
let old = start(web, old, fleet);
healthcheck(old);
set_weights([[old, 100]]);
record(old);
let next = start(web, img, fleet);
healthcheck(next);
let db = database("postgres:///shop");
"#;

/// Where the generated part of a function's section begins, and where what is written by hand goes on.
const GENERATED: &str = "<!-- from the code -->\n";
const BY_HAND: &str = "<!-- by hand -->\n";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn text(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The code blocks of a language, each with its first line's number.
fn blocks<'a>(text: &'a str, language: &str) -> Vec<(usize, &'a str)> {
    let fence = format!("```{language}\n");
    let starts = text.match_indices(&fence).map(|(index, fence)| index + fence.len());
    starts.map(|start| (text[..start].lines().count() + 1, text[start..].split("```").next().unwrap_or_default())).collect()
}

/// The pieces of a text that are marked as code within a line.
fn spans(text: &str) -> impl Iterator<Item = &str> {
    text.lines().flat_map(|line| line.split('`').skip(1).step_by(2))
}

/// A project with what examples read: a secret, a file, a repository.
fn project() -> Project {
    let project = Project::new();
    project
        .write(".env", "DB_PASSWORD=pw\nCHAT_URL=http://127.0.0.1:9/chat\n")
        .write("expand.sql", "ALTER TABLE users ADD COLUMN email_new text;\n")
        .write("shop.env", "WORKERS=4\n")
        .write("podlift.yml", &text("examples/config/podlift.yml"))
        .write("VERSION", "v7\n");
    project.write("app/Dockerfile", "FROM scratch\n").write("Dockerfile", "FROM scratch\n");
    project
}

/// A whole script: an example that names its project is one, others are about [`CONTEXT`].
fn script(example: &str) -> String {
    if example.lines().any(|line| line.starts_with("project(")) { example.to_owned() } else { format!("{CONTEXT}{example}") }
}

/// Checks examples and runs them on a modelled fleet, each in a project of its own, with a commit where it asks for one.
#[track_caller]
fn assert_all_work<'a>(examples: impl IntoIterator<Item = (String, &'a str)>) {
    let mut wrong = String::new();
    for (place, example) in examples {
        let project = project();
        project.write("example.rhai", &script(example));
        if example.contains("git()") || example.contains("build(web);") {
            commit(&project);
        }
        let version = if example.contains("required(") { &["version=v7"][..] } else { &[] };
        // A run begins with the check, and does not begin where that finds something.
        let output = project.podlift(&[&["run", "example.rhai", "--simulate"], version].concat());
        if output.code != 0 {
            let _ = writeln!(wrong, "--- {place}, exit code {}:\n{}{}", output.code, output.stdout, output.stderr);
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}

fn commit(project: &Project) {
    for arguments in [&["init", "--quiet"][..], &["add", "--all"], &["commit", "--quiet", "--message", "an example"]] {
        let mut git = std::process::Command::new("git");
        git.args(["-c", "user.name=tester", "-c", "user.email=tester@example.com", "-c", "init.defaultBranch=main"]);
        assert!(git.args(arguments).current_dir(project.path()).status().expect("git is there").success());
    }
}

#[track_caller]
fn assert_succeeds(output: &Output, what: &str) {
    assert_eq!(output.code, 0, "{what}:\n{}{}", output.stdout, output.stderr);
}

#[test]
fn every_example_in_the_readme_works() {
    let readme = text("README.md");
    let examples = blocks(&readme, "rhai");
    assert!(examples.len() >= 2, "{examples:?}");
    assert_all_work(examples.into_iter().map(|(line, example)| (format!("README.md:{line}"), example)));
}

#[test]
fn the_readme_lists_every_function() {
    let readme = text("README.md");
    let (_, table) = readme.split_once("| family | functions |\n").expect("the table");
    let table: String = table.lines().take_while(|line| line.starts_with('|')).fold(String::new(), |rows, line| rows + line + "\n");
    let listed: BTreeSet<&str> = spans(&table).collect();
    let known: BTreeSet<&str> = signatures().map(|function| function.name).collect();
    assert_eq!(listed, known);
}

#[test]
fn every_command_line_in_the_documents_is_one() {
    let documents: String = ["README.md", "docs/language.md", "docs/guides.md"].map(text).concat();
    let shown = blocks(&documents, "sh").into_iter().flat_map(|(_, block)| block.lines());
    let lines = shown.chain(spans(&documents)).map(|line| line.split(" #").next().unwrap_or_default().trim());
    let lines: Vec<&str> = lines.filter(|line| line.starts_with("podlift ")).collect();
    assert!(lines.len() >= 8, "{lines:?}");
    for line in lines.into_iter().filter(|line| line.split(' ').count() > 2) {
        if let Err(error) = Cli::try_parse_from(line.split_whitespace()) {
            panic!("{line}: {error}");
        }
    }
}

#[test]
fn every_command_has_help_with_examples_that_are_command_lines() {
    let mut commands = vec![("podlift".to_owned(), Cli::command())];
    while let Some((line, command)) = commands.pop() {
        if command.has_subcommands() {
            commands.extend(command.get_subcommands().map(|sub| (format!("{line} {}", sub.get_name()), sub.clone())));
            continue;
        }
        let help = Cli::try_parse_from(format!("{line} --help").split(' ')).expect_err("help is no command");
        assert_eq!(help.kind(), clap::error::ErrorKind::DisplayHelp, "{line}");
        let help = help.to_string();
        let (_, examples) = help.split_once("Examples:\n").unwrap_or_else(|| panic!("{line} has no examples"));
        for example in examples.lines().map(str::trim).take_while(|line| line.starts_with("podlift ")) {
            // What follows two spaces says what it does, and what follows an arrow is the shell's.
            let words = example.split("  ").next().and_then(|words| words.split(" > ").next()).unwrap_or_default();
            if let Err(error) = Cli::try_parse_from(words.split(' ')) {
                panic!("{example}: {error}");
            }
        }
    }
}

#[test]
fn every_option_in_the_readme_and_the_guides_is_one_of_the_command_line() {
    let mut command = Cli::command();
    command.build();
    let known: BTreeSet<String> = command
        .get_subcommands()
        .flat_map(clap::Command::get_arguments)
        .flat_map(|argument| {
            let long = argument.get_long().map(|long| format!("--{long}"));
            long.into_iter().chain(argument.get_short().map(|short| format!("-{short}")))
        })
        .collect();
    let pages = ["README.md", "docs/guides.md"].map(text).concat();
    let shown: Vec<&str> =
        spans(&pages).filter(|span| span.starts_with('-')).map(|span| span.split([' ', '=']).next().unwrap_or(span)).collect();
    assert!(shown.len() >= 5, "{shown:?}");
    let unknown: Vec<&&str> = shown.iter().filter(|option| !known.contains(**option)).collect();
    assert!(unknown.is_empty(), "{unknown:?}");
}

#[test]
fn the_readmes_exit_codes_are_those_of_the_program() {
    let readme = text("README.md");
    let table: Vec<String> =
        readme.lines().filter(|line| line.starts_with("| ") && line.as_bytes()[2].is_ascii_digit()).map(Into::into).collect();
    let codes: Vec<String> = Exit::ALL.iter().map(|exit| format!("| {} | {} |", exit.code(), exit.meaning())).collect();
    assert_eq!(table, codes);
}

#[test]
fn the_first_command_of_the_readme_works_and_meets_its_own_release() {
    let readme = text("README.md");
    let command = blocks(&readme, "sh").first().expect("the first command").1.trim();
    let arguments = command.strip_prefix("cargo run --release -- ").expect("it runs podlift");
    let arguments: Vec<&str> = arguments.split(' ').collect();
    let project = Project::new();
    copy(&root().join("examples"), &project.path().join("examples"));
    let first = project.podlift(&arguments);
    assert_succeeds(&first, command);
    assert!(first.stdout.contains("v1; 0 failed"), "{}", first.stdout);
    let second = project.podlift(&[&arguments[..], &["version=v2"]].concat());
    assert_succeeds(&second, command);
    let shown = |name: &str| second.stdout.contains(&format!(" by {name}"));
    assert!(shown("v1") && shown("v2") && second.stdout.contains("; 0 failed"), "{}", second.stdout);
}

fn seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is past 1970").as_secs()
}

/// The scripts of an example, the deploy first and what follows it in alphabetical order.
fn scripts(example: &Path) -> Vec<PathBuf> {
    let files = fs::read_dir(example).expect("an example is a folder").map(|file| file.expect("an entry").path());
    let mut scripts: Vec<PathBuf> = files.filter(|file| file.extension().is_some_and(|end| end == "rhai")).collect();
    scripts.sort_by_key(|file| (!file.ends_with("deploy.rhai"), file.clone()));
    scripts
}

#[test]
fn every_example_of_the_repository_works_and_deploys_work_twice() {
    let mut count = 0;
    for example in fs::read_dir(root().join("examples")).expect("examples") {
        let scripts = scripts(&example.expect("an entry").path());
        assert!(!scripts.is_empty(), "an example without a script");
        count += 1;
        let project = Project::new();
        copy(&root().join("examples"), &project.path().join("examples"));
        let one_goes_back = scripts.iter().any(|file| file.ends_with("back.rhai"));
        for file in scripts {
            let name = file.strip_prefix(root()).expect("it is in the repository").to_string_lossy().into_owned();
            assert_succeeds(&project.podlift(&["check", &name]), &name);
            // The second deploy is of another version where a script goes back.
            let again = if one_goes_back { vec!["version=v2"] } else { Vec::new() };
            for further in [Vec::new(), again].iter().take(if file.ends_with("deploy.rhai") { 2 } else { 1 }) {
                assert_succeeds(&project.podlift(&[&["run", &name, "--simulate"], &further[..]].concat()), &name);
                // Which release is older is told by seconds.
                let ended = seconds();
                until("the next second", || !one_goes_back || seconds() > ended);
            }
        }
    }
    assert!(count >= 8, "{count}");
}

#[test]
fn every_strategy_shows_how_it_is_called() {
    assert!(!stdlib::MODULES.is_empty());
    for (name, module) in stdlib::MODULES {
        let head: String = module
            .lines()
            .map_while(|line| line.strip_prefix("//!"))
            .fold(String::new(), |head, line| head + line.strip_prefix(' ').unwrap_or(line) + "\n");
        let examples = blocks(&head, "rhai");
        assert!(!examples.is_empty(), "std/{name} has no example");
        assert_all_work(examples.into_iter().map(|(_, example)| (format!("std/{name}"), example)));
        for function in Documentation::of(module).functions {
            let examples = blocks(&function.text, "rhai").into_iter();
            assert_all_work(examples.map(|(_, example)| (format!("std/{name}, {}", function.name), example)));
        }
        let public = module.lines().filter(|line| line.starts_with("fn "));
        let undocumented: Vec<&str> = public
            .filter(|line| {
                module
                    .split(line)
                    .next()
                    .is_none_or(|before| !before.trim_end().lines().next_back().is_some_and(|last| last.starts_with("///")))
            })
            .collect();
        assert!(undocumented.is_empty(), "std/{name}: {undocumented:?}");
    }
}

#[test]
fn the_strategies_page_is_what_the_library_says_of_itself() {
    let path = "docs/strategies.md";
    let told = stdlib::MODULES.iter().fold(STRATEGIES.to_owned(), |page, (name, module)| page + section(name, module).as_str());
    if std::env::var_os("PODLIFT_UPDATE").is_some_and(|value| value == "1") {
        fs::write(root().join(path), &told).expect("the page can be written");
    } else {
        assert!(told == text(path), "{path} is out of date: PODLIFT_UPDATE=1 rewrites it");
    }
}

#[test]
fn the_readme_names_every_module_of_the_library() {
    let readme = text("README.md");
    let named: BTreeSet<&str> = spans(&readme).filter_map(|span| span.strip_prefix("std/")).collect();
    let known: BTreeSet<&str> = stdlib::MODULES.iter().map(|(name, _)| *name).collect();
    assert_eq!(named, known);
}

/// What a link to a heading is called, as GitHub makes it.
fn anchor(heading: &str) -> String {
    let plain = heading.trim_start_matches('#').trim().to_lowercase();
    plain.chars().filter(|c| c.is_alphanumeric() || " -".contains(*c)).map(|c| if c == ' ' { '-' } else { c }).collect()
}

#[test]
fn everything_that_the_page_of_the_guides_names_is_there() {
    let page = text("docs/guides.md");
    let mut counts = [0; 4];
    for span in spans(&page) {
        if let Some(module) = span.strip_prefix("std/") {
            assert!(stdlib::text(module).is_some(), "{span}");
            counts[0] += 1;
        } else if let Some((module, function)) = span.split('(').next().unwrap_or_default().split_once("::") {
            let there = stdlib::text(module).unwrap_or_else(|| panic!("{span}: there is no std/{module}"));
            assert!(there.contains(&format!("\nfn {function}(")), "{span}");
            counts[1] += 1;
        } else if let Some(name) = span.split('(').next().filter(|_| span.contains('(')) {
            assert!(signatures().any(|function| function.name == name), "{span}: there is no function {name}");
            counts[2] += 1;
        }
    }
    let headings: BTreeSet<String> = page.lines().filter_map(|line| line.strip_prefix('#')).map(anchor).collect();
    for link in page.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
        let is_there = link.strip_prefix('#').map_or_else(|| root().join("docs").join(link).exists(), |name| headings.contains(name));
        assert!(is_there, "{link}");
        counts[3] += 1;
    }
    // Modules, their functions, calls with arguments, links: that few of a kind are found means that the page is read wrongly.
    assert!(counts.iter().zip([10, 10, 2, 10]).all(|(count, least)| *count >= least), "{counts:?}");
    let words = page
        .lines()
        .filter(|line| line.starts_with("| "))
        .flat_map(spans)
        .filter(|span| span.chars().all(|c| c.is_ascii_lowercase() || c == '_'));
    let known: BTreeSet<&str> = signatures().map(|function| function.name).collect();
    let options: String = stdlib::MODULES.iter().map(|(_, module)| *module).chain([text("docs/language.md").as_str()]).collect();
    for word in words {
        assert!(known.contains(word) || options.contains(&format!("`{word}`")), "{word} is neither a function nor an option");
    }
}

#[test]
fn what_the_page_of_the_guides_shows_works() {
    let page = text("docs/guides.md");
    let examples = blocks(&page, "rhai");
    assert!(examples.len() >= 8, "{examples:?}");
    let whole: Vec<(usize, String)> =
        examples.into_iter().map(|(line, example)| (line, format!("project(\"shop\");\n{CONTEXT}{example}"))).collect();
    assert_all_work(whole.iter().map(|(line, example)| (format!("docs/guides.md:{line}"), example.as_str())));
}

#[test]
fn a_canary_that_is_moved_by_hand_gets_more_in_each_run_and_the_old_release_ends_with_the_last() {
    let page = text("docs/guides.md");
    let (_, canary) = page.split_once("### A canary by hand\n").expect("the section");
    let example = blocks(canary, "rhai")[0].1;
    let shop = "project(\"shop\");\nlet fleet = hosts([\"10.0.0.11\", \"10.0.0.12\"]);
let web = service(\"web\", #{ port: 8000, replicas: 2, health: http(\"/health\") });\n";
    let project = project();
    let image = "let img = build(web, #{ tag: \"v1\" });\nship(img, fleet);\n";
    project.write("first.rhai", &format!("import \"std/rolling\" as rolling;\n{shop}{image}rolling::deploy(web, img, fleet);\n"));
    project.write("canary.rhai", &format!("{shop}{}{example}", image.replace("v1", "v2")));
    assert_succeeds(&project.podlift(&["run", "first.rhai", "--simulate"]), "the first release");
    for (percent, shown) in [("5", "v1 95%, v2 5%"), ("25", "v1 75%, v2 25%"), ("100", "v2 100%")] {
        let output = project.podlift(&["run", "canary.rhai", "--simulate", &format!("percent={percent}")]);
        assert_succeeds(&output, percent);
        assert!(output.stderr.contains(&format!("(10.0.0.12: {shown})")), "{shown}: {}", output.stderr);
    }
}

#[test]
fn the_podlift_yml_of_its_page_is_deployed_and_what_stands_in_env_is_a_secret_or_written_out() {
    let page = text("docs/config.md");
    let file = blocks(&page, "yaml")[0].1;
    let project = Project::new();
    project.write("Dockerfile", "FROM scratch\n").write(".env", "SECRET_KEY=production\nREGISTRY_TOKEN=token\n");
    project.write(
        "deploy.rhai",
        "import \"std/rolling\" as rolling;\nlet shop = config();\nlet web = shop.service(\"web\");\nlet fleet = shop.fleet(\"web\");\n\
         let img = build(web, #{ tag: \"v1\" });\nship(img, fleet);\nrolling::deploy(web, img, fleet);\n",
    );
    for (file, is_written) in [(file.to_owned(), false), (file.replace("${SECRET_KEY}", "production"), true)] {
        project.write("podlift.yml", &file);
        assert_succeeds(&project.podlift(&["plan", "deploy.rhai", "--simulate", "--force", "-o", "plan"]), "the plan");
        let plan = fs::read_to_string(project.path().join("plan")).expect("a plan");
        assert_eq!(plan.contains("production"), is_written, "{plan}");
    }
}

#[test]
fn what_pipelines_run_is_a_command_of_a_script_that_is_there() {
    let mut count = 0;
    for file in ["examples/ci/github.yml", "examples/ci/gitlab.yml"] {
        let pipeline = text(file);
        for line in pipeline.lines().filter(|line| !line.trim_start().starts_with('#')) {
            let Some((_, command)) = line.split_once("podlift ") else { continue };
            let words: Vec<String> = command.split_whitespace().map(|word| word.replace('"', "")).collect();
            if let Err(error) = Cli::try_parse_from(std::iter::once("podlift").chain(words.iter().map(String::as_str))) {
                panic!("{file}: {line}: {error}");
            }
            assert!(words[1] == "deploy.rhai" && root().join("examples/ci/deploy.rhai").exists(), "{file}: {line}");
            count += 1;
        }
    }
    assert_eq!(count, 8);
}

/// What the page of the strategies begins with.
const STRATEGIES: &str = "\
# The strategies

The standard library: scripts that come with podlift and are imported as `std/NAME`. Each is a page of the language that your own scripts are
written in, so one that does not fit can be copied from `stdlib/` into the project and changed. A test writes this page from their comments, and
runs their examples on a modelled fleet.
";

/// What a module says of itself: its head, then each public function with its comment.
fn section(name: &str, module: &str) -> String {
    let comment = |line: &str| line.strip_prefix(' ').unwrap_or(line).to_owned() + "\n";
    let head: String = module.lines().map_while(|line| line.strip_prefix("//!")).map(comment).collect();
    let mut section = format!("\n## `std/{name}`\n\n{head}");
    let mut said = String::new();
    for line in module.lines() {
        if let Some(text) = line.strip_prefix("///") {
            said += &comment(text);
            continue;
        }
        if let Some(signature) = line.strip_prefix("fn ") {
            let _ = write!(section, "\n### `{name}::{}`\n\n{said}", signature.trim_end_matches(" {"));
        }
        said.clear();
    }
    section
}

#[test]
fn the_changelog_has_a_place_for_what_is_new() {
    let changelog = text("CHANGELOG.md");
    let sections: Vec<&str> = changelog.lines().filter_map(|line| line.strip_prefix("## ")).collect();
    assert_eq!(sections.first(), Some(&"Unreleased"));
}

#[test]
fn every_example_in_the_language_reference_works() {
    let reference = text("docs/language.md");
    let examples = blocks(&reference, "rhai");
    assert_all_work(examples.into_iter().map(|(line, example)| (format!("docs/language.md:{line}"), example)));
}

#[test]
fn the_language_reference_is_what_the_interpreter_has() {
    let path = "docs/language.md";
    let written = text(path);
    let told = with_signatures(&written);
    if std::env::var_os("PODLIFT_UPDATE").is_some_and(|value| value == "1") {
        fs::write(root().join(path), &told).expect("the reference can be written");
    } else {
        assert!(told == written, "{path} is out of date: PODLIFT_UPDATE=1 rewrites what comes from the code");
    }
    let sections: Vec<&str> = written.lines().filter_map(|line| line.strip_prefix("### `")?.strip_suffix('`')).collect();
    let known: BTreeSet<&str> = signatures().map(|function| function.name).collect();
    assert_eq!(sections.iter().copied().collect::<BTreeSet<_>>(), known);
    assert_eq!(sections.len(), known.len(), "a function has two sections");
    for section in written.split("\n### `").skip(1) {
        let name = section.split('`').next().unwrap_or_default();
        assert_eq!(section.matches("```rhai\n").count(), 1, "{name} has one example");
        assert!(section.contains("\nErrors: "), "{name} tells its errors");
    }
}

#[test]
fn the_language_reference_lists_every_property() {
    let reference = text("docs/language.md");
    let (_, table) = reference.split_once("| value | properties |\n").expect("the table");
    let listed: BTreeSet<&str> = table
        .lines()
        .take_while(|line| line.starts_with('|'))
        .flat_map(|line| spans(line).filter_map(|span| span.strip_prefix('.')))
        .collect();
    let engine = podlift::script::engine::language();
    let own = |name: &str| name.strip_prefix("get$").map(str::to_owned);
    let known: Vec<String> = engine.collect_fn_metadata(None, |function| own(&function.metadata.name), false);
    assert_eq!(listed, known.iter().map(String::as_str).collect());
}

/// The reference with what the interpreter's tables say of each function.
fn with_signatures(reference: &str) -> String {
    let mut told = String::new();
    let mut function = "";
    let mut rest = reference;
    while let Some((before, after)) = rest.split_once(GENERATED) {
        function = before.rsplit("### `").next().and_then(|name| name.split('`').next()).unwrap_or(function);
        let (_, after) = after.split_once(BY_HAND).unwrap_or_else(|| panic!("{function} has no end of what is generated"));
        told += before;
        told += GENERATED;
        told += &generated(function);
        told += BY_HAND;
        rest = after;
    }
    told + rest
}

fn generated(name: &str) -> String {
    let forms: Vec<&Function> = signatures().filter(|function| function.name == name).collect();
    let mut text = "```\n".to_owned();
    for form in &forms {
        let returns = if form.returns.is_empty() { String::new() } else { format!(" → {}", form.returns) };
        let _ = writeln!(text, "{form}{returns}");
    }
    text += "```\n\n";
    for form in &forms {
        let bullet = if forms.len() > 1 { "- " } else { "" };
        let _ = writeln!(text, "{bullet}{}", form.doc.replace('\n', " "));
    }
    text += "\n";
    let Some((_, spec)) = forms.iter().find_map(|form| form.options()) else { return text };
    text += "| option | default | value | |\n|---|---|---|---|\n";
    for key in spec.keys {
        let (meaning, default) = key.meaning();
        let default = match default {
            None if key.is_required => "required".to_owned(),
            Some(words) if words.contains(' ') => words.to_owned(),
            Some(value) => format!("`{value}`"),
            None => String::new(),
        };
        let _ = writeln!(text, "| `{}` | {default} | {} | {meaning} |", key.name, key.kind.expected());
    }
    text + "\n"
}

fn copy(from: &Path, to: &PathBuf) {
    fs::create_dir_all(to).expect("a folder can be made");
    for entry in fs::read_dir(from).expect("the folder can be read") {
        let path = entry.expect("an entry").path();
        let target = to.join(path.file_name().expect("an entry has a name"));
        if path.is_dir() {
            copy(&path, &target);
        } else {
            fs::copy(&path, &target).expect("a file can be copied");
        }
    }
}
