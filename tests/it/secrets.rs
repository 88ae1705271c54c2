//! A secret arrives where it is needed, and is nowhere else to be seen, however it is written.

use std::collections::BTreeSet;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::podlift::Project;
use crate::rig::{Output, Rig, RigOptions, output};

/// A part of the value that no escaping changes.
const CORE: &str = "Hunter2CoreOfTheSecret";
/// One of its second line.
const SECOND: &str = "Hunter2SecondLine";

/// Quotes, a dollar, a backslash, a line's end, a character beyond ASCII.
fn value() -> String {
    format!("a'b\"c $HOME \\ {CORE} é\n{SECOND}%/+=")
}

/// The ways in which the value may be written, by what all of them have in common.
fn needles() -> Vec<String> {
    let mut needles = vec![CORE.to_owned(), SECOND.to_owned()];
    for core in [CORE, SECOND] {
        for shift in 0..3 {
            let text = format!("{}{core}", "x".repeat(shift));
            let base64 = output(Command::new("base64").arg("-w0"), &text).text().trim_end_matches('=').to_owned();
            // The digits at the ends share bits with what is beside.
            needles.push(base64[4.min(shift * 4)..base64.len() - 2].to_owned());
        }
    }
    needles
}

/// Panics if the text shows the secret.
#[track_caller]
fn assert_hidden(place: &str, text: &str) {
    for needle in needles() {
        let line = text.lines().find(|line| line.contains(&needle));
        assert!(line.is_none(), "{place} shows the secret as {needle}: {line:?}");
    }
}

/// Everything that a run said.
#[track_caller]
fn assert_said_nothing(run: &Output) {
    assert_hidden("stdout", &run.stdout);
    assert_hidden("stderr", &run.stderr);
}

/// Reads the command lines of all processes, those of the rig's hosts among them, again and again.
struct Watcher {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<BTreeSet<String>>,
}

impl Watcher {
    fn start() -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            let mut seen = BTreeSet::new();
            while !told.load(Ordering::SeqCst) {
                let processes = std::fs::read_dir("/proc").expect("it is Linux").flatten();
                // This very process has the value in no argument, but what starts it may.
                let lines = processes.filter_map(|process| std::fs::read(process.path().join("cmdline")).ok());
                seen.extend(lines.map(|line| String::from_utf8_lossy(&line).replace('\0', " ")));
                thread::sleep(Duration::from_millis(2));
            }
            seen
        });
        Self { stop, thread }
    }

    fn seen(self) -> BTreeSet<String> {
        self.stop.store(true, Ordering::SeqCst);
        self.thread.join().expect("it only reads")
    }
}

const DEPLOY: &str = r#"
import "std/rolling" as rolling;
project("PROJECT");
let pw = secret("PW");
let url = `postgres://u:${pw}@db/app`;
let h = host("h1");
let web = service("web", #{
    port: 8000, health: http("/health"),
    env: #{ SHOW_ENV: "DATABASE_URL", DATABASE_URL: url },
});
let img = build(web, #{ tag: "v1", args: #{ TOKEN: pw } });
ship(img, h);
rolling::deploy(web, img, [h]);
let release = running(web, h);
let hidden = "$" + "{PW}";
print(pw);
info(`the url is ${url}`);
let shell = ["/busybox", "sh", "-c"];
let commands = [
    ["local", "echo marker-here $TOKEN; cat; sleep 0.3; true"],
    [h, "echo marker-there \"$TOKEN\"; cat; sleep 0.3; true"],
    [h, ["sh", "-c", "echo marker-words \"$TOKEN\" | base64 -w0; cat; sleep 0.3; true"]],
    [release, shell + ["echo marker-inside \"$TOKEN\"; cat; /busybox sleep 0.3; true"]],
    [[web, img, h], shell + ["echo marker-alone \"$TOKEN\"; echo \"$DATABASE_URL\"; cat; /busybox sleep 0.3; true"]],
];
for command in commands {
    let said = hook(command[0], command[1], #{ env: #{ TOKEN: pw }, stdin: pw });
    ensure(said.stdout.contains(hidden), "it should have said the secret, and said " + said.stdout);
    info(said.stdout);
}
"#;

fn project(rig: &Rig, script: &str) -> Project {
    let project = Project::on(rig).env("PW", &value());
    std::fs::copy("/usr/bin/busybox", project.path().join("busybox"))
        .or_else(|_| std::fs::copy("/bin/busybox", project.path().join("busybox")))
        .expect("busybox is installed");
    project.write(".dockerignore", "");
    project.write("Dockerfile", "FROM scratch\nARG TOKEN\nCOPY app /app\nCOPY busybox /busybox\nENTRYPOINT [\"/app\"]\n");
    project.write("deploy.rhai", &script.replace("PROJECT", &format!("shop{}", rig.id())));
    project
}

#[test]
fn a_secret_in_a_url_works_in_the_app_and_is_seen_nowhere_else() {
    let rig = Rig::up(RigOptions::default());
    let project = project(&rig, DEPLOY);
    assert_said_nothing(&project.podlift(&["run", "deploy.rhai", "--dry-run", "--diff", "-v"]));

    let watcher = Watcher::start();
    let run = project.podlift(&["run", "deploy.rhai", "-v"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    let again = project.podlift(&["run", "deploy.rhai", "-v", "--json"]);
    assert_eq!(again.code, 0, "{}", again.stderr);
    let seen = watcher.seen();
    for marker in ["marker-here", "marker-words", "marker-inside", "marker-alone", "docker build"] {
        let is_seen = seen.iter().any(|line| line.contains(marker));
        assert!(is_seen, "{marker} was not seen to run, so the watch proves nothing");
    }
    assert_hidden("a process list", &seen.into_iter().collect::<Vec<_>>().join("\n"));

    assert_eq!(rig.exec(1, &["curl", "-sS", "http://127.0.0.1/env"]).stdout, format!("postgres://u:{}@db/app\n", value()));
    assert_said_nothing(&run);
    assert!(run.stderr.contains("${PW}"), "{}", run.stderr);
    assert_said_nothing(&again);
    for arguments in [&["ps", "deploy.rhai"][..], &["ps", "deploy.rhai", "--json"], &["logs", "web", "deploy.rhai"]] {
        let output = project.podlift(arguments);
        assert_eq!(output.code, 0, "{}", output.stderr);
        assert_said_nothing(&output);
    }

    let engine = "docker inspect -f '{{json .Name}} {{json .Config.Labels}} {{json .Args}} {{json .Path}}' $(docker ps -aq); \
                  docker history --no-trunc $(docker images -q)";
    assert_hidden("the engine", rig.exec(1, &["sh", "-c", engine]).text());
    // Docker itself keeps a container's environment under /var/lib/docker and /run.
    let files =
        "cat $(find /etc/nginx /var/lib/podlift /var/log /root /home /tmp /var/tmp -type f) 2>/dev/null; ls -R /run /var/lib/podlift";
    let files = rig.exec(1, &["sh", "-c", files]).stdout;
    assert!(files.contains("\"kind\":\"header\""), "no copy of the journal is on the host, so the search proves nothing");
    assert_hidden("a file of the host", &files);
    let local =
        output(Command::new("sh").args(["-c", "cat $(find . -type f ! -name busybox ! -name app)"]).current_dir(project.path()), "");
    assert!(local.stdout.contains("\"kind\":\"header\""), "no journal is in the project, so the search proves nothing");
    assert_hidden("a file of the project", &local.stdout);
    for arguments in [&["show", "-v"][..], &["show", "--json"], &["runs"], &["runs", "--json"], &["show", "--json", "--from", "h1"]] {
        let shown = project.podlift(arguments);
        assert_eq!(shown.code, 0, "{}", shown.stderr);
        assert_said_nothing(&shown);
    }
}

#[test]
fn what_failing_commands_and_containers_say_shows_no_secret() {
    let rig = Rig::up(RigOptions::default());
    let before = containers_here();
    let failing = project(
        &rig,
        r#"
        project("PROJECT");
        let h = host("h1");
        let job = service("job", #{
            env: #{ URL: `postgres://u:${secret("PW")}@db` }, restart: "no", health: no_health(),
            command: ["/busybox", "sh", "-c", "echo \"$URL\"; echo -n \"$URL\" | /busybox base64 -w0; exit 3"],
        });
        let img = build(job, #{ tag: "v1", dockerfile: "Job" });
        ship(img, h);
        let p = params(#{ what: "container" });
        if p.what == "container" { healthcheck(start(job, img, h)); }
        if p.what == "hook" { hook(h, "echo \"$T\" >&2; echo -n \"$T\" | base64 -w0; exit 4", #{ env: #{ T: secret("PW") } }); }
        if p.what == "thrown" { fail("no " + secret("PW")); }
        if p.what == "build" { build(job, #{ tag: "v2", dockerfile: "Broken", args: #{ TOKEN: secret("PW") } }); }
        "#,
    );
    failing.write("Job", "FROM scratch\nCOPY busybox /busybox\n");
    failing.write(
        "Broken",
        "FROM scratch\nARG TOKEN\nCOPY busybox /busybox\nRUN [\"/busybox\", \"sh\", \"-c\", \"echo $TOKEN; env; exit 5\"]\n",
    );
    for (what, words) in [
        ("container", "instead of becoming healthy"),
        ("hook", "nothing was changed but what 1 command may have done"),
        ("thrown", "no ${PW}"),
        ("build", "docker build"),
    ] {
        for more in [&["-v"][..], &["-v", "--json"]] {
            let run = failing.podlift(&[&["run", "deploy.rhai", &format!("what={what}")], more].concat());
            println!("--- {what} exit {}\n{}{}", run.code, run.stdout, run.stderr);
            assert_ne!(run.code, 0, "{}", run.stderr);
            assert_said_nothing(&run);
            let said = format!("{}{}", run.stdout, run.stderr);
            assert!(said.contains(words) && said.contains("${PW}"), "{words:?} or the secret's name is not in\n{said}");
        }
    }
    // Containers of builds that run beside this come and go.
    for container in containers_here().difference(&before) {
        let inspected = output(Command::new("docker").args(["inspect", container]), "");
        assert_hidden("a container that a failed build left here", &inspected.stdout);
    }
}

/// The containers of the engine that builds.
fn containers_here() -> BTreeSet<String> {
    output(Command::new("docker").args(["ps", "--all", "--quiet", "--no-trunc"]), "").text().lines().map(str::to_owned).collect()
}
