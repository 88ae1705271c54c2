//! Ctrl-C, SIGTERM and hosts that vanish, at any moment of a deploy: it ends soon, says what to do, leaves nothing of its own behind,
//! and no request is lost. The same deploy works afterwards.

use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::load::{Load, LoadOptions};
use crate::podlift::Project;
use crate::rig::{Output, Rig, RigOptions, output};
use crate::until::until;

const DEPLOY: &str = r#"
import "std/rolling" as rolling;
project("PROJECT");
let p = params(#{ version: "v1", health: 200, hosts: "h1", pause: "0s", context: ".", batch: 1 });
let fleet = hosts(p.hosts.split(","));
let web = service("web", #{
    port: 8000, replicas: 2, health: http("/health", #{ timeout: "60s" }), env: #{ HEALTH_STATUS: `${p.health}` },
});
let img = build(web, #{ tag: p.version, args: #{ VERSION: p.version }, context: p.context });
ship(img, fleet);
rolling::deploy(web, img, fleet, #{ pause: p.pause, batch: p.batch });
"#;

/// Hosts on which v1 serves, under load.
struct Serving {
    rig: Rig,
    project: Project,
    load: Option<Load>,
    /// Where podlift keeps its sockets.
    sockets: tempfile::TempDir,
}

/// A deploy that runs.
struct Running {
    child: Child,
    lines: Arc<Mutex<Vec<String>>>,
    reader: JoinHandle<()>,
}

impl Serving {
    fn on(hosts: usize) -> Self {
        let serving = Self::without_load(hosts);
        let load = Load::start(&serving.rig, LoadOptions { kept: 16, fresh: 8, ..LoadOptions::on(&serving.rig) });
        Self { load: Some(load), ..serving }
    }

    fn without_load(hosts: usize) -> Self {
        let rig = Rig::up(RigOptions { hosts, client: true, ..RigOptions::default() });
        let sockets = tempfile::tempdir_in("/tmp").expect("there is /tmp");
        let project = Project::on(&rig).env("TMPDIR", sockets.path().to_str().expect("it is plain"));
        // Tests share this machine's engine, in which a name is one image.
        project.write("deploy.rhai", &DEPLOY.replace("PROJECT", &format!("shop{}", rig.id())));
        let fleet: Vec<String> = (1..=hosts).map(|number| format!("h{number}")).collect();
        let first = project.podlift(&["run", "deploy.rhai", &format!("hosts={}", fleet.join(","))]);
        assert_eq!(first.code, 0, "{}", first.stderr);
        Self { rig, project, load: None, sockets }
    }

    /// Starts the deploy, and waits until it says these words.
    fn deploy_until(&self, arguments: &[&str], words: &str) -> Running {
        let mut command = self.project.command(&[&["run", "deploy.rhai"], arguments].concat());
        // A terminal's ctrl-C goes to all processes of the group: podlift's own programs among them, if they are in it.
        command.process_group(0).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("podlift starts");
        let lines = Arc::new(Mutex::new(Vec::new()));
        let stderr = BufReader::new(child.stderr.take().expect("it is piped"));
        let heard = Arc::clone(&lines);
        let reader = std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                heard.lock().expect("nobody panics").push(line);
            }
        });
        let running = Running { child, lines, reader };
        running.says(words);
        running
    }

    /// Gives up what an interrupted run left behind: its lease keeps others away until then.
    #[track_caller]
    fn let_go(&self, arguments: &[&str]) {
        let refused = self.project.podlift(&[&["run", "deploy.rhai"], arguments].concat());
        assert_eq!(refused.code, 3, "{}", refused.stderr);
        assert!(refused.stderr.contains("podlift lock release --host "), "{}", refused.stderr);
        let released = self.project.podlift(&[&["lock", "release", "deploy.rhai"], arguments, &["--force"]].concat());
        assert_eq!(released.code, 0, "{}", released.stderr);
    }

    /// Lets some more requests be answered before what comes now.
    fn more_load(&mut self, mark: &str) {
        if let Some(load) = &mut self.load {
            load.more(300);
            load.mark(mark);
        }
    }

    /// The deploy must have ended as an interrupted one, and left no process and no socket.
    #[track_caller]
    fn assert_interrupted(&self, ended: &Output) {
        println!("--- exit {}\n{}", ended.code, ended.stderr);
        assert_eq!(ended.code, 7, "{}", ended.stderr);
        for words in ["interrupted", "`podlift"] {
            assert!(ended.stderr.contains(words), "{words:?} is not in\n{}", ended.stderr);
        }
        self.assert_nothing_stays();
    }

    #[track_caller]
    fn assert_nothing_stays(&self) {
        let left: Vec<_> = std::fs::read_dir(self.sockets.path()).expect("it is there").flatten().map(|entry| entry.path()).collect();
        assert!(left.is_empty(), "left behind: {left:?}");
        let folder = self.sockets.path().to_str().expect("it is plain").to_owned();
        until("no process of the run is left", || processes_with(&folder).is_empty());
    }

    /// The same deploy must work, and nothing may have been lost from before the first one until after this one.
    fn assert_works_again(mut self, arguments: &[&str]) {
        self.more_load("again");
        let again = self.project.podlift(&[&["run", "deploy.rhai"], arguments].concat());
        println!("--- again\n{}", again.stderr);
        assert_eq!(again.code, 0, "{}", again.stderr);
        self.more_load("after");
        self.assert_nothing_stays();
        if let Some(load) = self.load.take() {
            load.finish().assert_nothing_lost();
        }
        for number in 1..=self.rig.hosts().len() {
            let version = self.rig.exec(number, &["curl", "-sS", "http://127.0.0.1/version"]);
            assert_eq!(version.stdout, "v2\n");
        }
    }
}

impl Running {
    fn says(&self, words: &str) {
        until(&format!("podlift says {words:?}"), || self.text().contains(words));
    }

    fn text(&self) -> String {
        self.lines.lock().expect("nobody panics").join("\n")
    }

    fn signal(&self, name: &str) -> &Self {
        output(Command::new("kill").args([&format!("-{name}"), "--", &format!("-{}", self.child.id())]), "").text();
        self
    }

    /// Waits for its end, which must come within this time.
    #[track_caller]
    fn ends_within(mut self, limit: Duration) -> Output {
        let begin = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("it is our child") {
                break status;
            }
            assert!(begin.elapsed() < limit, "it still runs after {limit:?}\n{}", self.text());
            std::thread::sleep(Duration::from_millis(10));
        };
        self.reader.join().expect("it only reads");
        println!("ended after {:?}", begin.elapsed());
        let stderr = self.lines.lock().expect("nobody panics").join("\n");
        Output { code: status.code().unwrap_or(-1), stdout: String::new(), stderr }
    }
}

/// The processes of this machine with these words in their command line.
fn processes_with(words: &str) -> Vec<String> {
    let processes = std::fs::read_dir("/proc").expect("it is Linux").flatten();
    let lines = processes.filter_map(|process| std::fs::read(process.path().join("cmdline")).ok());
    lines.map(|line| String::from_utf8_lossy(&line).replace('\0', " ")).filter(|line| line.contains(words)).collect()
}

const SOON: Duration = Duration::from_secs(15);

/// A build with a step that takes five seconds; returns words of that step's command line.
fn slow_build(serving: &Serving) -> String {
    let path = |name: &str| serving.project.path().join(name);
    std::fs::create_dir(path("slow")).expect("the folder can be written");
    let busybox = ["/bin/busybox", "/usr/bin/busybox"].into_iter().find(|path| std::path::Path::new(path).exists());
    std::fs::copy(busybox.expect("it is installed"), path("slow/busybox")).expect("both are there");
    std::fs::copy(path("app"), path("slow/app")).expect("both are there");
    let mark = format!("slow build of {}", serving.sockets.path().display());
    let dockerfile = format!(
        "FROM scratch\nARG VERSION\nENV VERSION=$VERSION\nCOPY app /app\nCOPY busybox /busybox\n\
         RUN [\"/busybox\", \"sh\", \"-c\", \"/busybox sleep 5; : {mark}\"]\nENTRYPOINT [\"/app\"]\n"
    );
    serving.project.write("slow/Dockerfile", &dockerfile);
    mark
}

#[test]
fn ctrl_c_during_a_build_lets_it_end_and_a_second_one_does_not() {
    let serving = Serving::on(1);
    let mark = slow_build(&serving);
    let builds = || until("the slow step runs", || !processes_with(&mark).is_empty());
    let deploy = ["version=v2", "context=slow"];
    let running = serving.deploy_until(&deploy, "build");
    builds();
    running.signal("INT").says("stopping after the op in flight; ctrl-C again stops now");
    running.signal("INT");
    serving.assert_interrupted(&running.ends_within(SOON));
    let running = serving.deploy_until(&deploy, "build");
    builds();
    running.signal("INT");
    let ended = running.ends_within(Duration::from_secs(15));
    serving.assert_interrupted(&ended);
    assert!(ended.stderr.contains("interrupted; nothing was changed"), "{}", ended.stderr);
    serving.assert_works_again(&deploy);
}

#[test]
fn ctrl_c_while_an_image_is_sent() {
    let serving = Serving::on(1);
    let mut random = std::fs::File::open("/dev/urandom").expect("it is there");
    let mut large = std::fs::File::create(serving.project.path().join("large")).expect("the folder can be written");
    std::io::copy(&mut std::io::Read::by_ref(&mut std::io::Read::take(&mut random, 200 << 20)), &mut large).expect("there is room");
    serving.project.write(".dockerignore", "");
    let dockerfile = "FROM scratch\nARG VERSION\nENV VERSION=$VERSION\nCOPY app /app\nCOPY large /large\nENTRYPOINT [\"/app\"]\n";
    serving.project.write("Dockerfile", dockerfile);
    let before = serving.rig.snapshot(1);
    let running = serving.deploy_until(&["version=v2"], "h1              ship");
    running.signal("INT").says("stopping after");
    running.signal("INT");
    serving.assert_interrupted(&running.ends_within(SOON));
    until("the engine has let go of it", || serving.rig.snapshot(1) == before);
    let running = serving.deploy_until(&["version=v2"], "h1              ship");
    running.signal("INT");
    // It ends when the image is there, and how long that takes is the machine's.
    serving.assert_interrupted(&running.ends_within(Duration::from_secs(240)));
    serving.assert_works_again(&["version=v2"]);
}

#[test]
fn ctrl_c_during_the_wait_for_health_ends_it_at_once() {
    let serving = Serving::on(1);
    for signal in ["INT", "TERM"] {
        let running = serving.deploy_until(&["version=v2", "health=503"], "h1              healthcheck");
        running.signal(signal);
        let ended = running.ends_within(SOON);
        serving.assert_interrupted(&ended);
        assert!(ended.stderr.contains("! h1: 2 containers of this run got no traffic and stay: "), "{}", ended.stderr);
        serving.let_go(&["version=v2"]);
    }
    serving.assert_works_again(&["version=v2"]);
}

#[test]
fn signals_during_the_switch_of_the_proxy_lose_nothing() {
    let mut serving = Serving::on(1);
    for (number, signals) in [&["INT"][..], &["INT", "INT"], &["TERM"]].into_iter().enumerate() {
        let running = serving.deploy_until(&["version=v2"], "h1              set_weights");
        // In the second that the flag is up, and a little later.
        std::thread::sleep(Duration::from_millis(400 * number as u64));
        for signal in signals {
            running.signal(signal);
            std::thread::sleep(Duration::from_millis(100));
        }
        let ended = running.ends_within(SOON);
        serving.assert_interrupted(&ended);
        if signals != ["INT"] {
            assert!(ended.stderr.contains("what it began on h1 may still come to its end there"), "{}", ended.stderr);
        }
        until("what was begun at nginx has ended", || {
            !serving.rig.snapshot(1).iter().any(|line| line.contains("podlift-drain") || line.contains(".conf.new"))
        });
        serving.let_go(&["version=v2"]);
        serving.more_load("next");
    }
    serving.assert_works_again(&["version=v2"]);
}

#[test]
fn ctrl_c_during_a_drain_ends_the_wait_and_the_request_in_flight_is_answered() {
    let serving = Serving::on(1);
    let url = format!("http://{}/work?ms=20000", serving.rig.host(1).address);
    let begin = Instant::now();
    let request = std::thread::spawn(move || output(Command::new("curl").args(["-sS", "--max-time", "60", &url]), ""));
    let running = serving.deploy_until(&["version=v2"], "h1              drain");
    running.signal("INT");
    serving.assert_interrupted(&running.ends_within(SOON));
    assert!(begin.elapsed() < Duration::from_secs(20), "the request had ended before");
    assert!(request.join().expect("curl ends").text().starts_with("v1"));
    serving.let_go(&["version=v2"]);
    serving.assert_works_again(&["version=v2"]);
}

#[test]
fn ctrl_c_during_a_pause_ends_it_at_once() {
    let serving = Serving::on(2);
    let running = serving.deploy_until(&["version=v2", "hosts=h1,h2", "pause=60s"], "here            pause");
    running.signal("INT");
    let ended = running.ends_within(SOON);
    serving.assert_interrupted(&ended);
    serving.let_go(&["version=v2", "hosts=h1,h2"]);
    serving.assert_works_again(&["version=v2", "hosts=h1,h2"]);
}

#[test]
fn what_a_killed_run_leaves_behind_is_ended_by_the_next_one() {
    let serving = Serving::on(1);
    let running = serving.deploy_until(&["version=v2", "health=503"], "h1              healthcheck");
    // Only podlift itself: its programs are what is left.
    output(Command::new("kill").args(["-KILL", &running.child.id().to_string()]), "").text();
    assert_eq!(running.ends_within(SOON).code, -1);
    let folder = serving.sockets.path().to_str().expect("it is plain");
    assert!(!processes_with(folder).is_empty(), "nothing was left, so there is nothing to end");
    serving.let_go(&["version=v2"]);
    serving.assert_works_again(&["version=v2"]);
}

/// Deploys v2 to two hosts, of which the second is cut off once podlift says these words; returns what podlift said in the end.
#[track_caller]
fn losing_the_second_host(serving: &Serving, arguments: &[&str], words: &str) -> Output {
    let Serving { rig, .. } = serving;
    // A cut-off host answers nobody, so it gets no load.
    let targets = vec![format!("{}:80", rig.host(1).address)];
    let load = Load::start(rig, LoadOptions { kept: 16, fresh: 8, targets, ..LoadOptions::on(rig) });
    let before = rig.snapshot(1);
    let running = serving.deploy_until(&[&["version=v2", "hosts=h1,h2", "--reconnect", "1s"], arguments].concat(), words);
    rig.partition(2);
    // ssh takes up to twelve seconds to notice; after that the host is waited for once.
    let ended = running.ends_within(Duration::from_secs(50));
    println!("--- exit {}\n{}", ended.code, ended.stderr);
    load.finish().assert_nothing_lost();
    assert_eq!(ended.code, 6, "{}", ended.stderr);
    for words in ["! h2: what runs of web there is not known", "the fleet is mixed", "podlift ps"] {
        assert!(ended.stderr.contains(words), "{words:?} is not in\n{}", ended.stderr);
    }
    serving.assert_nothing_stays();
    let version = rig.exec(1, &["curl", "-sS", "http://127.0.0.1/version"]);
    assert_eq!(version.stdout, "v1\n");
    let containers = |lines: Vec<String>| lines.into_iter().filter(|line| line.starts_with("container ")).collect::<Vec<_>>();
    assert_eq!(containers(rig.snapshot(1)), containers(before), "h1 was not taken back");
    rig.heal(2);
    ended
}

#[test]
fn a_host_that_is_lost_during_start_is_told_and_the_other_host_is_taken_back() {
    let serving = Serving::without_load(2);
    let ended = losing_the_second_host(&serving, &["batch=2"], "h2              start");
    // Whichever call was on its way: one of the engine's, or one of ssh's.
    assert!(ended.stderr.lines().any(|line| line.contains("h2") && line.contains("was lost")), "{}", ended.stderr);
    assert!(ended.stderr.contains("! h2: the lease could not be given back"), "{}", ended.stderr);
    serving.let_go(&["version=v2", "hosts=h1,h2"]);
    serving.assert_works_again(&["version=v2", "hosts=h1,h2"]);
}

#[test]
fn a_host_that_is_lost_during_the_switch_is_told_and_the_other_host_is_taken_back() {
    let serving = Serving::without_load(2);
    losing_the_second_host(&serving, &[], "h2              set_weights");
    serving.let_go(&["version=v2", "hosts=h1,h2"]);
    serving.assert_works_again(&["version=v2", "hosts=h1,h2"]);
}

#[test]
fn a_host_that_is_cut_off_for_a_while_is_waited_for_and_the_deploy_goes_on() {
    let serving = Serving::without_load(2);
    let rig = &serving.rig;
    let targets = vec![format!("{}:80", rig.host(1).address)];
    for (version, words) in [("v3", "h2              start"), ("v4", "h2              set_weights"), ("v2", "h2              stop")] {
        let load = Load::start(rig, LoadOptions { kept: 16, fresh: 8, targets: targets.clone(), ..LoadOptions::on(rig) });
        let running = serving.deploy_until(&[&format!("version={version}"), "hosts=h1,h2", "--reconnect", "2m"], words);
        rig.partition(2);
        // Its master has given the host up: then it is really lost.
        let folder = serving.sockets.path().to_str().expect("it is plain");
        until("the connection is lost", || processes_with(folder).iter().filter(|line| line.ends_with("h2 ")).count() == 0);
        rig.heal(2);
        let ended = running.ends_within(Duration::from_secs(90));
        println!("--- {version} exit {}\n{}", ended.code, ended.stderr);
        assert_eq!(ended.code, 0, "{}", ended.stderr);
        assert!(ended.stderr.contains("all new"), "{}", ended.stderr);
        load.finish().assert_nothing_lost();
        for number in [1, 2] {
            let served = rig.exec(number, &["curl", "-sS", "http://127.0.0.1/version"]);
            assert_eq!(served.stdout, format!("{version}\n"));
        }
    }
    serving.assert_nothing_stays();
}

#[test]
fn ctrl_c_and_sigterm_with_on_interrupt_undo_leave_everything_as_it_was() {
    let serving = Serving::on(1);
    let before = serving.rig.exec(1, &["docker", "ps", "-a", "--format", "{{.Names}} {{.State}}"]).stdout;
    for signal in ["INT", "TERM"] {
        let running = serving.deploy_until(&["version=v2", "health=503", "--on-interrupt", "undo"], "h1              healthcheck");
        running.signal(signal);
        let ended = running.ends_within(Duration::from_secs(30));
        println!("--- exit {}\n{}", ended.code, ended.stderr);
        assert_eq!(ended.code, 4, "{}", ended.stderr);
        assert_eq!(serving.rig.exec(1, &["docker", "ps", "-a", "--format", "{{.Names}} {{.State}}"]).stdout, before);
    }
    serving.assert_works_again(&["version=v2"]);
}

#[test]
fn a_run_that_a_later_one_overtook_is_not_taken_back() {
    let serving = Serving::without_load(1);
    let mut killed = serving.project.start(&["run", "deploy.rhai", "version=v2", "pause=10m"]);
    let runs = || {
        let runs: Vec<serde_json::Value> = serde_json::from_str(serving.project.podlift(&["runs", "--json"]).text()).expect("JSON");
        runs
    };
    let served = || serving.rig.exec(1, &["curl", "-sS", "http://127.0.0.1/version"]).stdout;
    until("v2 serves", || served() == "v2\n");
    killed.kill().expect("it runs");
    killed.wait().expect("it is our child");
    let all = runs();
    let killed = all.iter().find(|run| run["state"] == "interrupted").expect("it was killed")["run"].as_str().expect("an id").to_owned();
    assert_eq!(serving.project.podlift(&["lock", "release", "deploy.rhai"]).code, 0);
    assert_eq!(serving.project.podlift(&["run", "deploy.rhai", "version=v3"]).code, 0);
    for verb in ["undo", "resume"] {
        let refused = serving.project.podlift(&[verb, &killed]);
        assert_eq!(refused.code, 3, "{}", refused.stderr);
        assert!(refused.stderr.contains("has changed web on h1 since"), "{}", refused.stderr);
    }
    assert_eq!(served(), "v3\n");
}

#[test]
fn a_one_off_command_that_outlived_its_operator_is_ended_before_it_is_done_again() {
    let serving = Serving::without_load(1);
    let (rig, project) = (&serving.rig, &serving.project);
    project.write(
        "migrate.rhai",
        &format!(
            r#"project("shop{}");
            let web = service("web", #{{ port: 8000, health: http("/health") }});
            hook([web, running(web, host("h1")).image, host("h1")], ["/app"], #{{ timeout: "10m", check: false, name: "migrate" }});"#,
            rig.id()
        ),
    );
    let one_off = || {
        let format = "{{.ID}} {{.State}}";
        let listed = rig.exec(1, &["docker", "ps", "-a", "--filter", "label=podlift.one_off.service", "--format", format]);
        listed.text().trim().strip_suffix(" running").map(str::to_owned)
    };
    let mut killed = project.start(&["run", "migrate.rhai"]);
    until("the command runs", || one_off().is_some());
    killed.kill().expect("it runs");
    killed.wait().expect("it is our child");
    let first = one_off().expect("nobody ended it");
    let again = project.start(&["resume", "--in-doubt", "redo"]);
    until("it runs anew", || one_off().is_some_and(|id| id != first));
    rig.exec(1, &["docker", "kill", &one_off().expect("it runs")]).text();
    let ended = again.wait_with_output().expect("it ends");
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    assert_eq!(rig.exec(1, &["docker", "ps", "-a", "--filter", "label=podlift.one_off.service", "--quiet"]).text(), "");

    // Whose time is over is asked to end as well.
    let script = std::fs::read_to_string(project.path().join("migrate.rhai")).expect("it is there");
    project.write("migrate.rhai", &script.replace("10m", "3s"));
    let late = project.podlift(&["run", "migrate.rhai"]);
    assert!(late.code != 0 && late.stderr.contains("did not end within 3s"), "{}", late.stderr);
    let format = "{{index .Actor.Attributes \"signal\"}}";
    let filters = ["--filter", "label=podlift.one_off.service", "--filter", "event=kill"];
    let events = [&["docker", "events", "--since", "10m", "--until", "0s", "--format", format][..], &filters].concat();
    let signals = rig.exec(1, &events).stdout;
    assert!(signals.lines().last() == Some("15") || signals.ends_with("15\n9\n"), "{signals}");
}
