//! A dry run tells what the run will do, record by record, and changes nothing on the way.

mod fronts;

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::podlift::{Events, Project};
use crate::rig::{Rig, RigOptions, output};

/// What every script of this file begins with.
const PRELUDE: &str = r#"
import "std/rolling" as rolling;
import "std/recreate" as recreate;
project("shop");
let p = params(#{ version: "v1", replicas: 2, health: 200 });
let h1 = host("h1");
let h2 = host("h2");
let fleet = [h1, h2];
let web = service("web", #{
    port: 8000,
    replicas: p.replicas,
    health: http("/health", #{ timeout: "2s" }),
    env: #{ HEALTH_STATUS: `${p.health}` },
});

fn built(service, version, hosts) {
    let img = build(service, #{ tag: version, args: #{ VERSION: version } });
    ship(img, hosts);
    img
}
"#;

/// A rig, and a project whose every run is planned first.
struct Rehearsal {
    rig: Rig,
    project: Project,
}

impl Rehearsal {
    fn on(options: RigOptions) -> Self {
        let rig = Rig::up(options);
        let project = Project::on(&rig);
        Self { rig, project }
    }

    fn two_hosts() -> Self {
        Self::on(RigOptions { hosts: 2, ..RigOptions::default() })
    }

    /// Plans a script and runs it: the plan must have changed nothing, and must have told the run.
    #[track_caller]
    fn runs(&self, script: &str, arguments: &[&str]) -> Events {
        self.project.write("script.rhai", &format!("{PRELUDE}{script}"));
        let command = [&["run", "script.rhai"], arguments].concat();
        let before = self.snapshots();
        let watch = Watch::begin(&self.rig);
        let plan = self.project.events(&[&command[..], &["--dry-run"]].concat());
        let seen = watch.end();
        assert!(seen.is_empty(), "a dry run of {script} changed the hosts: {seen:#?}");
        assert_same(&before, &self.snapshots(), script);
        let run = self.project.events(&command);
        let said = format!("{script}\nplan: {}\nrun: {}", plan.output.stderr, run.output.stderr);
        assert_same(&plan.records(), &run.records(), &said);
        assert_eq!(plan.result()["state"], run.result()["state"], "{said}");
        assert_eq!(plan.result()["counts"], run.result()["counts"], "{said}");
        run
    }

    /// The same, of a script that succeeds.
    #[track_caller]
    fn succeeds(&self, script: &str, arguments: &[&str]) -> Events {
        let run = self.runs(script, arguments);
        assert_eq!(run.output.code, 0, "{script} {arguments:?}\n{}\n{:#?}", run.output.stderr, run.result());
        run
    }

    /// The same, of a script that fails with this exit code and these words in its report.
    #[track_caller]
    fn fails(&self, script: &str, arguments: &[&str], code: i32, words: &str) -> Events {
        let run = self.runs(script, arguments);
        assert_eq!(run.output.code, code, "{script}\n{:#?}", run.result());
        let told = run.result()["diagnostics"].to_string();
        assert!(told.contains(words), "{words:?} is not in {told}");
        run
    }

    /// What is on the hosts. Connections that the last command had are given a moment to end.
    fn snapshots(&self) -> Vec<String> {
        (1..=self.rig.hosts().len())
            .flat_map(|number| self.rig.snapshot(number).into_iter().map(move |line| format!("h{number} {line}")))
            .collect()
    }
}

/// Tells the lines that only one of two lists has.
#[track_caller]
fn assert_same(left: &[String], right: &[String], about: &str) {
    let only = |these: &[String], those: &[String]| these.iter().filter(|line| !those.contains(line)).cloned().collect::<Vec<_>>();
    assert!(left == right, "{about}\nonly before: {:#?}\nonly after: {:#?}", only(left, right), only(right, left));
}

/// Looks at the hosts' files and at nginx's processes all the time, and at what their engines tell.
struct Watch<'a> {
    rig: &'a Rig,
    begun: String,
    stop: std::sync::Arc<AtomicBool>,
    watchers: Vec<thread::JoinHandle<Vec<String>>>,
}

/// Every file that podlift could write, with its size and time, and nginx's processes.
const LISTING: &str = r"
find /etc /run /tmp /root /home /var/tmp /var/lib/podlift /var/log/nginx ! -type d -printf '%p %s %T@\n' 2>/dev/null |
  grep -vE '^/run/(docker|containerd|sudo|sshd|xtables)|^/run/(utmp|[a-z]*\.pid)|^/etc/mtab'
pgrep -f '^nginx: '
true
";

impl<'a> Watch<'a> {
    fn begin(rig: &'a Rig) -> Self {
        let stop = std::sync::Arc::<AtomicBool>::default();
        let watchers = (1..=rig.hosts().len())
            .map(|number| {
                let (stop, id) = (stop.clone(), rig.id().to_owned());
                thread::spawn(move || {
                    let look = || {
                        let mut command = crate::rig::script(&id);
                        output(command.args(["exec", &number.to_string(), "sh", "-c", LISTING]), "").text().to_owned()
                    };
                    let before = look();
                    let mut changes = Vec::new();
                    loop {
                        let last = stop.load(Ordering::SeqCst);
                        let now = look();
                        changes.extend(now.lines().filter(|line| !before.contains(line)).map(|line| format!("h{number} + {line}")));
                        changes.extend(before.lines().filter(|line| !now.contains(line)).map(|line| format!("h{number} - {line}")));
                        if last {
                            return changes;
                        }
                        thread::sleep(Duration::from_millis(20));
                    }
                })
            })
            .collect();
        Self { rig, begun: now(), stop, watchers }
    }

    /// What was seen to change.
    fn end(self) -> Vec<String> {
        let until = now();
        self.stop.store(true, Ordering::SeqCst);
        let mut seen: Vec<String> = self.watchers.into_iter().flat_map(|watcher| watcher.join().expect("it only looks")).collect();
        for number in 1..=self.rig.hosts().len() {
            let told = self.rig.exec(number, &["docker", "events", "--since", &self.begun, "--until", &until]);
            seen.extend(told.text().lines().map(|line| format!("h{number} {line}")));
        }
        seen
    }
}

fn now() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is past 1970");
    format!("{}.{:09}", now.as_secs(), now.subsec_nanos())
}

const ROLLING: &str = "rolling::deploy(web, built(web, p.version, fleet), fleet);";

#[test]
fn the_life_of_a_service_is_planned_as_it_goes() {
    let shop = Rehearsal::two_hosts();
    let first = "rolling::deploy(web, built(web, p.version, h1), [h1]);";
    shop.succeeds(first, &[]);
    // The same version again, more and fewer replicas, one more host.
    shop.succeeds(first, &[]);
    shop.succeeds(first, &["replicas=3"]);
    shop.succeeds(first, &["replicas=1"]);
    shop.succeeds(ROLLING, &["version=v2"]);
    shop.succeeds("rolling::deploy(web, built(web, p.version, fleet), fleet, #{ batch: 2 });", &["version=v3"]);
    shop.succeeds("rolling::deploy(web, built(web, p.version, fleet), fleet, #{ batch: \"50%\", pause: \"100ms\" });", &[]);
    shop.succeeds("recreate::deploy(web, built(web, p.version, fleet), fleet);", &["version=v2"]);
    shop.succeeds("rolling::retire(web, [h2], #{ allow_downtime: true });", &[]);
    shop.succeeds("rolling::deploy(web, built(web, p.version, fleet), fleet, #{ order: \"stop-first\", allow_downtime: true });", &[]);
}

#[test]
fn a_canary_and_what_follows_it_is_planned_as_it_goes() {
    let shop = Rehearsal::two_hosts();
    shop.succeeds(ROLLING, &[]);
    shop.succeeds(
        r#"
        let old = running(web, fleet);
        let next = start(web, built(web, "v2", fleet), fleet, #{ replicas: 1 });
        healthcheck(next);
        set_weights([[old, 90], [next, 10]]);
        info(`${weights(web, fleet)}`);
        "#,
        &[],
    );
    // The parts of a release, and what the last run left.
    shop.succeeds(
        r#"
        let all = running(web, fleet);
        ensure(all.versions == ["v1", "v2"], `${all.versions}`);
        let list = releases(web, fleet);
        let next = list[0];
        let old = list[1];
        ensure(all - old == next, "what is left is the new one");
        ensure([all.weight, old.weight, next.on(h2).weight] == [200, 180, 10], `${all.weight} ${old.weight}`);
        set_weights([[next.on(h1), 100], [old.on(h1), 0]]);
        drain(old.on(h1));
        let parts = old.on(h1).each();
        stop(parts[0]);
        commit();
        remove(parts[1], #{ allow_downtime: false });
        set_weights([[next.on(h2), 1], [old.on(h2) + next.on(h2) - next.on(h2), 0]]);
        drain(old.on(h2));
        stop(old.on(h2));
        "#,
        &[],
    );
    // Back to what was stopped, and a copy of it on the other host.
    shop.succeeds(
        r#"
        let list = releases(web, h1);
        let back = start(list[1]);
        healthcheck(back);
        set_weights([[back, 100]]);
        drain(list[0]);
        let copy = start(back, h2);
        healthcheck(copy);
        let there = running(web, h2);
        set_weights([[there, 0], [copy, 7]]);
        drain(there);
        stop(there);
        commit();
        remove(there);
        record(copy);
        ensure(history(web, h2).len > 0, "it was recorded");
        "#,
        &[],
    );
}

#[test]
fn behind_a_balancer_the_plan_is_the_run() {
    let shop = Rehearsal::two_hosts();
    let (one, other) = (&shop.rig.host(1).address, &shop.rig.host(2).address);
    let balanced = |deploy: &str| {
        format!(
            r#"
            let h1 = host("h1", #{{ bind: "{one}" }});
            let h2 = host("h2", #{{ bind: "{other}" }});
            let fleet = [h1, h2];
            let api = service("api", #{{ port: 8000, balancer: h1, health: http("/health") }});
            {deploy}
            "#
        )
    };
    let stop_first = balanced("rolling::deploy(api, built(api, p.version, fleet), fleet, #{ order: \"stop-first\" });");
    shop.succeeds(&stop_first.replace("#{ order: \"stop-first\" }", "#{ batch: 2 }"), &[]);
    shop.succeeds(&stop_first, &["version=v2"]);
    shop.succeeds(&balanced("rolling::retire(api, [h2], #{});"), &[]);
    shop.succeeds(&stop_first.replace("order: \"stop-first\"", "batch: 1"), &["version=v1"]);
    shop.fails(&balanced("drain(running(api, fleet));"), &[], 3, "no container of api left");
}

#[test]
fn commands_and_branches_are_planned_as_they_go() {
    let shop = Rehearsal::two_hosts();
    shop.succeeds(
        r#"
        let img = built(web, "v1", fleet);
        hook(h1, "echo migrated > /var/tmp/schema", #{ name: "migrate", undo: "rm -f /var/tmp/schema" });
        hook("local", ["true"]);
        let started = parallel(fleet, |h| {
            let next = start(web, img, h);
            healthcheck(next);
            set_weights([[next, 100]]);
            next
        });
        hook([web, img, h1], ["/app"], #{ env: #{ PORT: "none" }, check: false, assume: #{ code: 101 }, timeout: "5s" });
        let caught = "";
        try { hook(h1, "exit 3", #{ assume: #{ code: 3 } }); } catch (failure) { caught = `${failure.kind}: ${failure.message}`; }
        ensure(caught == "command: `exit 3` exited with 3", caught);
        let page = http_get([started[0], "/version"]);
        info(`${page.len} pages`);
        "#,
        &[],
    );
    shop.succeeds(
        r#"
        let code = probe(h1, "cat /var/tmp/schema").stdout;
        ensure(code.contains("migrated"), "a probe really reads");
        let img = built(web, "v2", fleet);
        let caught = "";
        try { stop(running(web, h1)); } catch (failure) { caught = failure.kind; }
        ensure(caught == "refused", caught);
        try { start(web, image("shop-web:never"), h2); } catch (failure) { caught = failure.kind; }
        ensure(caught == "failed", caught);
        try { ensure(false, "no"); } catch (failure) { caught = failure.kind; }
        parallel(fleet, |h| { rolling::deploy(web, img, [h]); }, #{ max: 1 });
        let log = logs(running(web, h1), 5);
        ensure(log.len >= 0, "logs are read");
        "#,
        &[],
    );
    // The command's own undo is part of the plan of a run that fails.
    shop.fails(
        r#"
        hook(h1, ["touch", "/var/tmp/undone"], #{ undo: ["rm", "/var/tmp/undone"] });
        let next = start(web, built(web, "v1", h1), h1);
        healthcheck(next);
        set_weights([[next, 100]]);
        stop(running(web, h2));
        "#,
        &[],
        4,
        "still gets traffic",
    );
    assert!(shop.rig.exec(1, &["test", "-e", "/var/tmp/undone"]).code != 0, "the hook was undone");
}

#[test]
fn what_fails_is_planned_to_fail() {
    let shop = Rehearsal::two_hosts();
    shop.fails("start(web, image(\"shop-web:never\"), h1);", &[], 1, "has no image shop-web:never");
    shop.fails("ship(image(\"shop-web:never\"), fleet);", &[], 1, "never");
    shop.succeeds(ROLLING, &[]);
    shop.fails("stop(running(web, h1));", &[], 3, "still gets traffic");
    shop.fails("remove(running(web, fleet));", &[], 3, "still gets traffic");
    shop.fails("drain(running(web, h1));", &[], 3, "no container of web left");
    shop.fails("set_weights([[running(web, h1), 0]]);", &[], 3, "no container of web left");
    shop.fails(
        r#"
        let old = running(web, h1);
        let next = start(web, built(web, "v2", h1), h1);
        healthcheck(next);
        set_weights([[old, 0], [next, 100]]);
        stop(old);
        "#,
        &[],
        4,
        "was not drained",
    );
    shop.fails(
        r#"
        let next = start(web, built(web, "v2", h1), h1);
        set_weights([[next, 100]]);
        "#,
        &[],
        4,
        "was not health-checked since it was started",
    );
    shop.fails(
        r#"
        let next = start(web, built(web, "v2", h1), h1);
        healthcheck(next);
        stop(next);
        set_weights([[next, 100]]);
        "#,
        &[],
        4,
        "must not get traffic",
    );
    shop.fails(
        "let twin = service(\"twin\", #{ port: 8000, health: http(\"/health\") }); start(twin, built(twin, \"v1\", h2), h2);",
        &[],
        3,
        "default server of port 80",
    );
    let fixed = "let fixed = service(\"fixed\", #{ port: 8000, publish: 21112, health: http(\"/health\"), balancer: \"none\" });";
    let twice = "let img = built(fixed, \"v1\", h1); start(fixed, img, h1); start(fixed, img, h1);";
    shop.fails(&format!("{fixed} {twice}"), &[], 4, "port 21112, which fixed publishes, is taken on h1");
    shop.fails("rolling::deploy(web, image(\"shop-web:v1\"), [h1, h2]); fail(\"the end\");", &[], 4, "the end");
}

#[test]
fn a_fleet_that_was_laid_by_hand_is_planned_as_it_is() {
    let shop = Rehearsal::on(RigOptions { hosts: 2, nginx_default: false, ..RigOptions::default() });
    let rig = &shop.rig;
    let legacy = rig.build_app(1, "legacy");
    // Containers on ports that podlift would pick, one that ended, one with a name like podlift's, and an image of the same name.
    let run = |name: &str, port: &str| rig.exec(1, &["docker", "run", "-d", "--name", name, "-p", port, &legacy]).text().to_owned();
    run("legacy", "127.0.0.1:20000:8000");
    run("shop-web-v1-0123456789-1", "20001:8000");
    rig.exec(1, &["docker", "run", "--name", "ended", "--env", "PORT=none", &legacy]);
    rig.exec(1, &["docker", "tag", &legacy, "shop-web:v1"]).text();
    let site =
        |listen: &str, name: &str| format!("server {{ listen {listen}; {name} location / {{ proxy_pass http://127.0.0.1:20000; }} }}\n");
    rig.write(1, "/etc/nginx/conf.d/legacy.conf", &site("80", "server_name legacy.test;"));
    rig.write(1, "/etc/nginx/sites-enabled/intranet", &site("8081 default_server", ""));
    rig.exec(1, &["nginx", "-s", "reload"]).text();
    let asks = |host: &str| {
        let header = format!("Host: {host}");
        let url = format!("http://{}/version", rig.host(1).address);
        output(std::process::Command::new("curl").args(["-sS", "--max-time", "5", "-H", &header, &url]), "").text().to_owned()
    };

    shop.succeeds(ROLLING, &[]);
    assert_eq!((asks("legacy.test").as_str(), asks("other.test").as_str()), ("legacy", "v1"));
    shop.fails(
        "let intranet = service(\"intranet\", #{ port: 8000, listen: 8081, health: http(\"/health\") });
         start(intranet, built(intranet, \"v1\", h1), h1);",
        &[],
        3,
        "/etc/nginx/sites-enabled/intranet",
    );
    shop.fails(
        "let taken = service(\"taken\", #{ port: 8000, domain: \"legacy.test\", health: http(\"/health\") });
         start(taken, built(taken, \"v1\", h1), h1);",
        &[],
        3,
        "/etc/nginx/conf.d/legacy.conf",
    );
    let publishes = |port: u16, before: &str| {
        let service = format!("service(\"fixed\", #{{ port: 8000, publish: {port}, health: http(\"/health\"), balancer: \"none\" }})");
        format!("let fixed = {service}; let img = built(fixed, \"v1\", h1); {before} healthcheck(start(fixed, img, h1));")
    };
    for port in [20000, 20001, 8081, 22] {
        let taken = format!("port {port}, which fixed publishes, is taken on h1");
        shop.fails(&publishes(port, ""), &[], 1, &taken);
    }
    shop.succeeds(&publishes(20001, "hook(h1, \"docker stop -t 1 shop-web-v1-0123456789-1\");"), &[]);
    // Somebody ends one of podlift's containers by hand, and deletes another.
    let ours = rig.exec(1, &["docker", "ps", "-q", "--filter", "label=podlift.service=web"]);
    let ours: Vec<&str> = ours.text().lines().collect();
    assert_eq!(ours.len(), 2);
    rig.exec(1, &["docker", "kill", ours[0]]).text();
    shop.succeeds(ROLLING, &["version=v2"]);
    let ours = rig.exec(2, &["docker", "ps", "-q", "--filter", "label=podlift.service=web"]);
    rig.exec(2, &["docker", "rm", "-f", ours.text().lines().next().expect("two serve")]).text();
    shop.succeeds(ROLLING, &["version=v3"]);
    assert_eq!((asks("legacy.test").as_str(), asks("other.test").as_str()), ("legacy", "v3"));
}

#[test]
fn a_proxy_that_may_not_be_looked_at_is_planned_to_be_refused() {
    let shop = Rehearsal::on(RigOptions { sudo: false, ..RigOptions::default() });
    shop.fails("rolling::deploy(web, built(web, \"v1\", host(\"d1\")), [host(\"d1\")]);", &[], 3, "deploy may not run");
    let off = Rehearsal::on(RigOptions { nginx: false, ..RigOptions::default() });
    // An nginx that never ran makes its logs when it is first asked for its configuration.
    off.rig.exec(1, &["nginx", "-T"]).text();
    off.fails("rolling::deploy(web, built(web, \"v1\", h1), [h1]);", &[], 3, "nginx is not running");
    off.succeeds("hook(h1, \"nginx\"); rolling::deploy(web, built(web, \"v1\", h1), [h1]);", &[]);
    off.succeeds("let job = service(\"job\", #{ port: 8000, balancer: \"none\", health: http(\"/health\") }); rolling::deploy(job, built(job, \"v1\", h1), [h1]);", &[]);
}

/// What scripts that were put together at random met on hosts, and the model did not know. Each stays here.
#[test]
fn what_hosts_were_found_to_do_otherwise_is_planned_as_it_goes() {
    let plan = Rehearsal::two_hosts();
    // Another project has the first port that would be picked.
    let blog = PRELUDE.replace("\"shop\"", "\"blog\"").replace("port: 8000,", "port: 8000, listen: 8081,");
    plan.project.write("blog.rhai", &format!("{blog}rolling::deploy(web, built(web, \"v1\", h1), h1);"));
    let blog = plan.project.podlift(&["run", "blog.rhai"]);
    assert_eq!(blog.code, 0, "{}", blog.stderr);
    plan.succeeds("let next = start(web, built(web, \"v1\", h1), h1);\nstop(next);\nstart(next);\nstop(next);\nremove(next);", &[]);
    // Two containers of one fixed port do not run side by side, and what the undo deletes it need not start.
    let fixed = "let fixed = service(\"fixed\", #{ port: 8000, publish: 21117, balancer: \"none\", image: \"shop-web\", health: http(\"/health\") });\n";
    plan.fails(
        &format!(
            "{fixed}let img = built(web, \"v1\", h1);\nfor n in 0..2 {{ stop(start(fixed, img, h1)); }}\nstart(releases(fixed, h1)[0]);"
        ),
        &[],
        4,
        "could not be started",
    );
    // An image that is not there, for a command in a container of its own; and a command in one that has stopped.
    plan.fails("let img = build(web, #{ tag: \"v9\" });\nhook([web, img, h1], [\"/app\"]);", &[], 1, "h1 has no image shop-web:v9");
    let stopped = "let next = start(web, built(web, \"v1\", h1), h1);\nstop(next);\n";
    for then in ["hook(next, [\"/app\"]);", "probe(next, [\"/app\"]);"] {
        plan.fails(&format!("{stopped}{then}"), &[], 4, "the command could not be run in shop-web-v1-");
    }
    plan.fails(&format!("{stopped}remove(next);\nlogs(next, 3);"), &["replicas=1"], 4, "h1 has no container shop-web-v1-");
    plan.fails(&format!("{stopped}remove(next);\nhealthcheck(next);"), &["replicas=1"], 4, "h1 has no container shop-web-v1-");
    plan.fails(&format!("{stopped}healthcheck(next);"), &["replicas=1"], 4, "ended on h1 instead of becoming healthy");
    plan.fails(&format!("{stopped}http_get([next, \"/\"], #{{ timeout: \"2s\" }});"), &["replicas=1"], 4, "did not answer");
    plan.fails("let next = start(web, built(web, \"v1\", h1), h1);\ntraffic(next, \"1s\");", &[], 4, "nginx on h1 does not serve web");
    // What is gone is known before its traffic is taken.
    let gone = "let next = start(web, built(web, \"v1\", h1), h1);\nset_weights([[next, 100]], #{ allow_downtime: true });\n\
                remove(next, #{ allow_downtime: true });\ndrain(next, #{ allow_downtime: true });";
    plan.fails(gone, &["replicas=1"], 4, "h1 has no container shop-web-v1-");
    // An image that is built where it is started.
    plan.succeeds("let near = start(web, build(web, #{ tag: \"near\", on: h2 }), h2);\nstop(near);\ncommit();\nremove(near);", &[]);
    // An image that is there, and has no check that Docker could judge it by.
    let judged = "let judged = service(\"judged\", #{ port: 8000, balancer: \"none\", image: \"shop-web\", health: docker_health() });\n";
    plan.fails(&format!("{judged}start(judged, image(\"shop-web:v1\"), h1);"), &[], 3, "shop-web:v1 has no HEALTHCHECK");
    // What runs and is not healthy.
    plan.succeeds("start(web, built(web, \"v1\", h2), h2);", &["health=503"]);
    plan.fails("healthcheck(releases(web, h2)[0], #{ timeout: \"2s\" });", &[], 1, "did not become healthy");
    plan.fails("set_weights([[releases(web, h2)[0], 100]]);", &[], 3, "must not get traffic: they are not healthy");
    plan.succeeds("let sick = releases(web, h2)[0];\nstop(sick);\ncommit();\nremove(sick);", &[]);
    // A tag that stands for another image by now.
    plan.succeeds("rolling::deploy(web, built(web, \"v1\", fleet), fleet);", &["replicas=1"]);
    plan.project.write("other.rhai", &format!("{PRELUDE}ship(build(web, #{{ tag: \"v1\", args: #{{ VERSION: \"other\" }} }}), h2);"));
    let other = plan.project.podlift(&["run", "other.rhai"]);
    assert_eq!(other.code, 0, "{}", other.stderr);
    plan.fails("import \"std/restart\" as restart;\nrestart::one_by_one(web, h2);", &[], 1, "is another image than the one that was built");
    // A proxy whose configuration somebody else has broken.
    plan.rig.exec(1, &["sh", "-c", "echo 'broken on;' >/etc/nginx/conf.d/broken.conf"]).text();
    plan.fails("rolling::retire(web, h1, #{ allow_downtime: true });", &[], 3, "the proxy on h1 cannot be used: ");
    plan.fails("set_weights([[releases(web, h1)[0], 0]], #{ allow_downtime: true });", &[], 3, "the proxy on h1 cannot be used: ");
}
