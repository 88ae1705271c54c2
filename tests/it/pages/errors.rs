//! Every kind of mistake that people make, and what podlift says then: a page to be read for its tone, `tests/pages/errors.md`.

use std::{fmt::Write as _, fs, path::PathBuf};

use crate::podlift::{Project, without_tokens};

/// A mistake: its title, the script `deploy.rhai` (none where it is not about one), and what podlift is called with.
type Mistake = (&'static str, &'static str, &'static [&'static str]);

const CHECK: &[&str] = &["check", "deploy.rhai"];
const RUN: &[&str] = &["run", "deploy.rhai"];
const SIMULATE: &[&str] = &["run", "deploy.rhai", "--simulate"];

/// What a service is declared with, where a mistake is about something else.
const WEB: &str = "let fleet = hosts([\"h1\", \"h2\"]);\nlet web = service(\"web\", #{ port: 8000, health: http(\"/\") });\n";

const MISTAKES: &[Mistake] = &[
    ("a function that is misspelt", "helthcheck(1);", CHECK),
    ("a variable that is misspelt", "let fleet = hosts([\"h1\"]);\nship(image(\"a:b\"), fleeet);", CHECK),
    ("too many arguments", "pause(\"1s\", \"2s\");", CHECK),
    ("an option that is misspelt", "service(\"web\", #{ prot: 8000 });", CHECK),
    ("an option that does not exist", "drain((), #{ colour: 1 });", CHECK),
    ("an option of another type", "service(\"web\", #{ port: \"eighty\" });", CHECK),
    ("a choice that there is not", "drain((), #{ on_timeout: \"wait\" });", CHECK),
    ("a duration without a unit", "pause(\"30\");", CHECK),
    ("a service's name in capitals", "service(\"Web\");", CHECK),
    ("a host that is none", "host(\"deploy@\");", CHECK),
    ("a semicolon that is missing", "let a = 1\nlet b = 2;", CHECK),
    ("a string that does not end", "info(\"hello);", CHECK),
    ("a bracket that does not close", "if true {\n    info(\"a\");", CHECK),
    ("a word of the language for a variable", "let new = 1;", CHECK),
    ("a value in double quotes", "let v = \"v1\";\ninfo(\"deploying ${v}\");", CHECK),
    ("a variable that a branch cannot change", "let n = 0;\nparallel([1, 2], |x| { n += x; });", CHECK),
    ("a function of podlift's name", "fn start(x) { x }\nstart(1);", CHECK),
    ("a module that is not there", "import \"std/roling\" as rolling;", CHECK),
    ("a module outside of the project", "import \"../../etc/passwd\" as x;", CHECK),
    ("a function that a module does not have", "import \"std/rolling\" as rolling;\nrolling::deply(1, 2, 3);", CHECK),
    (
        "an option that a strategy does not have",
        "import \"std/rolling\" as rolling;\nfn shop(web, img, fleet) { rolling::deploy(web, img, fleet, #{ bach: 1 }); }",
        CHECK,
    ),
    (
        "a strategy's option of another type",
        "import \"std/rolling\" as rolling;\nfn shop(web, img, fleet) { rolling::deploy(web, img, fleet, #{ pause: \"soon\" }); }",
        CHECK,
    ),
    (
        "a service in a release's place",
        "WEB let img = build(web, #{ tag: \"v1\" });\nlet next = start(web, img, fleet);\npreview(web, next);",
        CHECK,
    ),
    ("a name in place of a database's URL", "let db = database(\"shop\", \"postgres://shop@10.0.0.9/shop\");", CHECK),
    (
        "a strategy's choice that is written out",
        "import \"std/rolling\" as rolling;\nlet policy = #{};\nrolling::deploy(policy.web, policy.img, policy.fleet, #{ on_failure: \"ignore\" });",
        CHECK,
    ),
    ("a proxy that podlift does not speak to", "host(\"h1\", #{ proxy: \"haproxy\" });", CHECK),
    ("a deploy to no host", "WEB ship(image(\"shop:v1\"), fleet.filter(|one| one.name == \"h3\"));", SIMULATE),
    ("a parameter that is missing", "let p = params(#{ version: required(\"the tag to deploy\") });", RUN),
    ("a parameter that there is not", "let p = params(#{ version: \"v1\" });", &["run", "deploy.rhai", "verison=v2"]),
    ("a parameter of another type", "let p = params(#{ percent: 10 });", &["run", "deploy.rhai", "percent=ten"]),
    ("an argument that is none", "let p = params(#{});", &["run", "deploy.rhai", "version"]),
    ("params twice", "params(#{});\nparams(#{});", RUN),
    ("fail", "fail(\"the shop is closed on Sundays\");", RUN),
    ("ensure", "let n = 2;\nensure(n == 3, `three replicas are needed, and there are ${n}`);", RUN),
    ("a key that a map does not have", "let a = #{ version: 1 };\ninfo(a.verison);", RUN),
    ("an index behind the end", "let a = [1, 2];\ninfo(a[2]);", RUN),
    ("a number that is a string", "let a = \"1\" - 1;", RUN),
    ("a division by zero", "let a = 1 / 0;", RUN),
    ("an error deep in functions", "fn inner(x) { fail(`no ${x}`) }\nfn outer(x) { inner(x) }\nouter(\"luck\");", RUN),
    ("a command that fails", "hook(\"local\", \"echo 'cannot connect to the queue' >&2; exit 3\");", RUN),
    ("a command that is not there", "hook(\"local\", [\"no-such-command\"]);", RUN),
    ("a command that takes too long", "hook(\"local\", \"sleep 60\", #{ timeout: \"100ms\" });", RUN),
    ("a secret that is not set", "hook(\"local\", \"true\", #{ env: #{ TOKEN: secret(\"SHOP_TOKEN\") } });", RUN),
    ("an environment variable that is not set", "info(env(\"SHOP_REGION\"));", RUN),
    ("a file that is not there", "info(read_file(\"VERSION\"));", RUN),
    (
        "a port without a health check",
        "let web = service(\"web\", #{ port: 8000 });\nlet img = build(web, #{ tag: \"v1\" });\nstart(web, img, host(\"h1\"));",
        SIMULATE,
    ),
    ("an image that was not shipped", "WEB start(web, build(web, #{ tag: \"v1\" }), fleet);", SIMULATE),
    ("a build without a tag and without git", "WEB build(web);", SIMULATE),
    (
        "a release in a service's place",
        "WEB let img = build(web, #{ tag: \"v1\" });\nship(img, fleet);\nlet next = start(web, img, fleet);\nrunning(next, fleet);",
        SIMULATE,
    ),
    (
        "weights that are no table",
        "WEB let img = build(web, #{ tag: \"v1\" });\nship(img, fleet);\nlet next = start(web, img, fleet);\nset_weights([next, 100]);",
        SIMULATE,
    ),
    (
        "a negative weight",
        "WEB let img = build(web, #{ tag: \"v1\" });\nship(img, fleet);\nlet next = start(web, img, fleet);\nset_weights([[next, -1]]);",
        SIMULATE,
    ),
    (
        "a stop of what has traffic",
        "WEB let img = build(web, #{ tag: \"v1\" });\nship(img, fleet);\nlet next = start(web, img, fleet);\nhealthcheck(next);\nset_weights([[next, 100]]);\nstop(next.on(fleet[0]));",
        SIMULATE,
    ),
    (
        "traffic taken from all",
        "WEB let img = build(web, #{ tag: \"v1\" });\nship(img, fleet);\nlet next = start(web, img, fleet);\nhealthcheck(next);\nset_weights([[next, 100]]);\nset_weights([[next, 0]]);",
        SIMULATE,
    ),
    (
        "a strategy's choice that there is not",
        "WEB import \"std/rolling\" as rolling;\nlet img = build(web, #{ tag: \"v1\" });\nship(img, fleet);\nlet policy = \"ignore\";\nrolling::deploy(web, img, fleet, #{ on_failure: policy });",
        SIMULATE,
    ),
    ("a question that nobody answers", "confirm(\"switch the traffic?\", #{ name: \"switch\" });", RUN),
    ("an answer to no question", "confirm(\"switch the traffic?\", #{ name: \"switch\" });", &["run", "deploy.rhai", "--yes=swich"]),
    ("a script that is not there", "", &["run", "delpoy.rhai"]),
    ("a task that is not there", "", &["run", "backup"]),
    ("a folder for a script", "", &["run", "."]),
    ("a place to stop at that there is not", "info(1);", &["run", "deploy.rhai", "--step", "--break", "healthchek"]),
    ("a script for a plan", "info(1);", &["run", "--plan", "deploy.rhai"]),
    ("a run where there is none", "", &["resume"]),
    ("a run that there is not", "", &["show", "20260101-000000-abcdef"]),
    ("a page that there is not", "", &["docs", "set_wieghts"]),
    ("a module that cannot be ejected", "", &["eject", "std/roling"]),
    ("a command that there is not", "", &["unod"]),
    ("a command of other tools", "", &["deploy"]),
    ("a flag that there is not", "info(1);", &["run", "deploy.rhai", "--dryrun"]),
    ("a duration on the command line", "info(1);", &["run", "deploy.rhai", "--wait", "soon"]),
];

/// What one mistake brings, without what differs from run to run.
fn told((title, script, arguments): &Mistake) -> String {
    let project = Project::new();
    let script = script.replace("WEB ", WEB);
    if !script.is_empty() {
        project.write("deploy.rhai", &script);
    }
    let output = project.podlift(arguments);
    assert!(output.code != 0, "{title}: nothing is wrong\n{}", output.stderr);
    assert!(output.stdout.is_empty() || arguments.contains(&"--simulate"), "{title}: errors go to standard error\n{}", output.stdout);
    let errors = output.stderr.lines().filter(|line| !["began ", "done  ", "failed "].iter().any(|word| line.starts_with(word)));
    let errors = errors.fold(String::new(), |text, line| text + line.trim_end() + "\n");
    let errors = errors.replace(&project.path().display().to_string(), "FOLDER");
    let errors = without_runs(&without_tokens(&without_times(&errors)));
    let mut text = format!("## {}\n\n", capitalised(title));
    if !script.is_empty() {
        let _ = write!(text, "```rhai\n{}\n```\n\n", script.trim_end());
    }
    let _ = write!(text, "```text\n$ podlift {}\n{}\n[exit code {}]\n```\n\n", arguments.join(" "), errors.trim_end(), output.code);
    text
}

fn capitalised(title: &str) -> String {
    let (first, rest) = title.split_at(1);
    first.to_uppercase() + rest
}

/// `in 12ms` without its number.
fn without_times(text: &str) -> String {
    let is_time = |word: &str| word.starts_with(|one: char| one.is_ascii_digit()) && word.trim_end_matches(';').ends_with('s');
    let mut after_in = false;
    let words = text.split_inclusive([' ', '\n']).map(|word| {
        let bare = word.trim_end();
        let time = after_in && is_time(bare);
        after_in = bare == "in";
        if time { word.replace(bare.trim_end_matches(';'), "…") } else { word.to_owned() }
    });
    words.collect()
}

/// The ids of runs: `20261128-224154-a1b2c3`.
fn without_runs(text: &str) -> String {
    let is_id = |word: &str| word.len() == 22 && word.as_bytes()[8] == b'-' && word[..8].bytes().all(|one| one.is_ascii_digit());
    let words = text.split_inclusive(|one: char| !one.is_ascii_alphanumeric() && one != '-');
    let word = |word: &str| match word.trim_end_matches(|one: char| !one.is_ascii_alphanumeric()) {
        id if is_id(id) && !id.starts_with("20260101") => word.replace(id, "RUN"),
        _ => word.to_owned(),
    };
    words.map(word).collect()
}

#[test]
fn every_mistake_is_told_as_the_page_has_it() {
    let head = "# What podlift says\n\nWritten by tests/it/pages/errors.rs from real runs; `PODLIFT_UPDATE=1` rewrites it. Each message is to say what is \
                wrong, where, and what to do next: read it so.\n\n";
    let told = MISTAKES.iter().fold(head.to_owned(), |page, mistake| page + told(mistake).as_str());
    let told = told.trim_end().to_owned() + "\n";
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/pages/errors.md");
    if std::env::var_os("PODLIFT_UPDATE").is_some_and(|value| value == "1") {
        fs::create_dir_all(file.parent().expect("it is in a folder")).expect("the folder can be made");
        fs::write(&file, &told).expect("it can be written");
    }
    let kept = fs::read_to_string(&file).unwrap_or_default();
    for (told, kept) in told.split("\n## ").zip(kept.split("\n## ")) {
        assert!(told == kept, "tests/pages/errors.md has this otherwise (PODLIFT_UPDATE=1 rewrites it):\n{told}\n--- there:\n{kept}");
    }
    assert_eq!(told.matches("\n## ").count(), kept.matches("\n## ").count());
}
