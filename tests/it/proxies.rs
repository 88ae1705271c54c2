//! What clients see of nginx on real hosts: fronts, shares, counts; and what podlift tells of the hosts.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::process::Command;

use serde_json::Value;

use crate::podlift::Project;
use crate::rig::{Rig, RigOptions, output};

/// What the scripts of this file begin with.
const PRELUDE: &str = r#"
import "std/rolling" as rolling;
project("shop");
let h1 = host("h1");
let check = http("/health");

fn serves(service, version, hosts) {
    let img = build(service, #{ tag: version, args: #{ VERSION: version } });
    ship(img, hosts);
    rolling::deploy(service, img, hosts);
}
"#;

/// Runs a script, which must succeed, and returns what it said.
#[track_caller]
fn run(project: &Project, script: &str) -> Vec<String> {
    project.write("script.rhai", &format!("{PRELUDE}{script}"));
    let run = project.events(&["run", "script.rhai"]);
    assert_eq!(run.output.code, 0, "{script}\n{}\n{:#}", run.output.stderr, run.result());
    run.events.iter().filter(|event| event["event"] == "said").map(|event| event["text"].as_str().expect("words").to_owned()).collect()
}

/// What curl prints, from this machine.
#[track_caller]
fn curl(arguments: &[&str]) -> String {
    let usual = ["-sS", "--globoff", "--max-time", "20"];
    output(Command::new("curl").args(usual).args(arguments), "").text().to_owned()
}

/// How many of `count` requests, over one connection after another, each version answered.
fn versions(url: &str, count: usize) -> BTreeMap<String, usize> {
    let urls = format!("{url}/version?[1-{count}]");
    let answers = output(Command::new("curl").args(["-sS", "--max-time", "60", &urls]), "");
    let mut versions = BTreeMap::new();
    for version in answers.text().lines() {
        *versions.entry(version.to_owned()).or_default() += 1;
    }
    versions
}

#[test]
fn services_share_a_port_by_domain_over_ipv6_and_tls_too() {
    let rig = Rig::up(RigOptions::default());
    let project = Project::on(&rig);
    let made = project.path().join("made");
    let (certificate, key) = (made.with_extension("crt"), made.with_extension("key"));
    let mut openssl = Command::new("openssl");
    openssl.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]);
    output(openssl.args(["-subj", "/CN=pay.test", "-keyout"]).arg(&key).arg("-out").arg(&certificate), "").text();
    for (file, path) in [(&certificate, "/etc/nginx/pay.crt"), (&key, "/etc/nginx/pay.key")] {
        rig.write(1, path, &std::fs::read_to_string(file).expect("openssl wrote it"));
    }
    run(
        &project,
        r#"
        serves(service("shop", #{ port: 8000, health: check, domain: "shop.test", image: "app" }), "shop", h1);
        serves(service("blog", #{ port: 8000, health: check, domain: "blog.test", image: "app" }), "blog", h1);
        let tls = #{ certificate: "/etc/nginx/pay.crt", key: "/etc/nginx/pay.key" };
        serves(service("pay", #{ port: 8000, health: check, domain: "pay.test", listen: 443, tls: tls, image: "app" }), "pay", h1);
        "#,
    );
    let address = &rig.host(1).address;
    for name in ["shop", "blog"] {
        let url = format!("http://{address}/version");
        assert_eq!(curl(&["-H", &format!("Host: {name}.test"), &url]), name);
        let six = rig.exec(1, &["curl", "-sS", "-g", "-H", &format!("Host: {name}.test"), "http://[::1]/version"]);
        assert_eq!(six.text(), name);
    }
    let resolve = format!("pay.test:443:{address}");
    assert_eq!(curl(&["-k", "--resolve", &resolve, "https://pay.test/version"]), "pay");
    let authority = certificate.to_str().expect("a temporary path");
    assert_eq!(curl(&["--cacert", authority, "--resolve", &resolve, "https://pay.test/version"]), "pay", "it is the given certificate");
    assert!(!rig.exec(1, &["ls", "/etc/nginx/conf.d"]).text().contains(".new"), "nothing is left beside");
}

#[test]
fn a_server_block_of_ones_own_gets_the_weights_by_a_snippet() {
    let rig = Rig::up(RigOptions::default());
    let project = Project::on(&rig);
    let deploy = |version: &str| {
        run(&project, &format!("serves(service(\"web\", #{{ port: 8000, server: false, health: check }}), \"{version}\", h1);"))
    };
    deploy("v1");
    let files = rig.exec(1, &["sh", "-c", "ls /etc/nginx/conf.d/podlift-shop.web*"]);
    let snippet = files.text().lines().find(|file| file.contains("locations")).expect("there is a snippet").to_owned();
    let site = format!("server {{ listen 8080; add_header X-Mine yes; include {snippet}; }}\n");
    rig.write(1, "/etc/nginx/sites-enabled/mine", &site);
    rig.exec(1, &["nginx", "-s", "reload"]).text();
    let url = format!("http://{}:8080/version", rig.host(1).address);
    crate::until::until("the own server block answers", || output(Command::new("curl").args(["-s", &url]), "").stdout.trim() == "v1");
    deploy("v2");
    let answer = curl(&["-i", &url]);
    assert!(answer.contains("X-Mine: yes") && answer.ends_with("v2"), "{answer}");
    assert_eq!(rig.exec(1, &["cat", "/etc/nginx/sites-enabled/mine"]).text(), site.trim(), "it is left alone");
}

#[test]
fn shares_are_exact_and_a_cookie_keeps_a_client_where_it_is() {
    let rig = Rig::up(RigOptions::default());
    let project = Project::on(&rig);
    let web = "let web = service(\"web\", #{ port: 8000, replicas: 2, health: check });";
    run(&project, &format!("{web} serves(web, \"v1\", h1);"));
    run(
        &project,
        &format!(
            r#"{web}
            let old = running(web, h1);
            let img = build(web, #{{ tag: "v2", args: #{{ VERSION: "v2" }} }});
            ship(img, h1);
            let next = start(web, img, h1, #{{ replicas: 1 }});
            healthcheck(next);
            set_weights([[old, 90], [next, 10]]);
            "#
        ),
    );
    let url = format!("http://{}", rig.host(1).address);
    let seen = versions(&url, 2000);
    let share = seen["v2"] * 1000 / 2000;
    assert!(seen.values().sum::<usize>() == 2000 && (80..=120).contains(&share), "{seen:?}");

    run(
        &project,
        &format!(
            "{web} let all = running(web, h1); let table = weights(web, h1); set_weights([[table[0][0], 50], [table[1][0], 50]], #{{ sticky: \"seat\" }});"
        ),
    );
    let mut met = BTreeMap::<String, usize>::new();
    for _ in 0..12 {
        let answer = curl(&["-i", &format!("{url}/version")]);
        let version = answer.lines().last().expect("a body").to_owned();
        let cookie = answer.lines().find_map(|line| line.strip_prefix("Set-Cookie: ")).expect("a new client gets a cookie");
        let cookie = cookie.split(';').next().expect("a name and a value").to_owned();
        let again = curl(&["-b", &cookie, &format!("{url}/version"), &format!("{url}/version"), &format!("{url}/version")]);
        assert!(again.lines().all(|line| line == version), "{version} became {again:?}");
        *met.entry(version).or_default() += 1;
    }
    assert!(met.len() == 2, "both releases have clients: {met:?}");
}

#[test]
fn traffic_counts_what_the_clients_sent() {
    let rig = Rig::up(RigOptions::default());
    let project = Project::on(&rig);
    let web = "let web = service(\"web\", #{ port: 8000, replicas: 2, health: check });";
    run(&project, &format!("{web} serves(web, \"v1\", h1);"));
    project.write(
        "count.rhai",
        &format!(
            "{PRELUDE}{web} let seen = traffic(running(web, h1), \"6s\"); info(`${{seen.requests}} requests, ${{seen.errors}} errors`);"
        ),
    );
    let mut counting = project.start(&["run", "count.rhai", "--json"]);
    let mut lines = BufReader::new(counting.stdout.take().expect("it is piped")).lines().map(|line| line.expect("text"));
    let is = |line: &String, event: &str, verb: &str| {
        let told: Value = serde_json::from_str(line).expect("JSON");
        told["event"] == event && told["verb"] == verb
    };
    lines.find(|line| is(line, "began", "traffic")).expect("it counts");
    // The window opens once the log has been found.
    std::thread::sleep(std::time::Duration::from_secs(2));
    let url = format!("http://{}", rig.host(1).address);
    assert_eq!(versions(&url, 300).values().sum::<usize>(), 300);
    let rest: Vec<String> = lines.collect();
    assert!(counting.wait().expect("it ends").success());
    assert!(rest.iter().any(|line| line.contains("300 requests, 0 errors")), "{rest:#?}");
}

#[test]
fn a_balancer_takes_hosts_in_and_lets_them_go() {
    let rig = Rig::up(RigOptions { hosts: 2, ..RigOptions::default() });
    let project = Project::on(&rig);
    let hosts: Vec<String> = (1..=2).map(|n| format!("host(\"h{n}\", #{{ bind: \"{}\" }})", rig.host(n).address)).collect();
    let declared =
        format!("let a = {}; let b = {}; let web = service(\"web\", #{{ port: 8000, balancer: a, health: check }});", hosts[0], hosts[1]);
    let url = format!("http://{}", rig.host(1).address);
    run(&project, &format!("{declared} serves(web, \"one\", [a]);"));
    run(&project, &format!("{declared} serves(web, \"two\", [b]);"));
    assert_eq!(versions(&url, 100), BTreeMap::from([("one".into(), 50), ("two".into(), 50)]));
    run(&project, &format!("{declared} rolling::retire(web, [a], #{{}});"));
    assert_eq!(versions(&url, 100), BTreeMap::from([("two".into(), 100)]));
    let left = rig.exec(1, &["docker", "ps", "-q"]);
    assert_eq!(left.text(), "", "what was retired has stopped");
}

#[test]
fn a_template_of_ones_own_is_used() {
    let rig = Rig::up(RigOptions::default());
    let project = Project::on(&rig);
    let usual = include_str!("../../src/nginx_file/templates/nginx.conf.jinja");
    let template = usual.replace("{% include \"locations\" %}", "    add_header X-Shop own;\n{% include \"locations\" %}");
    assert_ne!(usual, template);
    project.write("own.jinja", &template);
    let script = r#"
        let own = host("h1", #{ proxy: #{ template: read_file("own.jinja") } });
        serves(service("web", #{ port: 8000, health: check }), "v1", own);
        "#;
    run(&project, script);
    let answer = curl(&["-i", &format!("http://{}/version", rig.host(1).address)]);
    assert!(answer.contains("X-Shop: own") && answer.ends_with("v1"), "{answer}");
    // What a plan shows of the file is made with it; and one that cannot be used is refused before anything starts.
    project.write("own.jinja", &template.replace("    zone ", "    # of the shop\n    zone "));
    project.write("next.rhai", &format!("{PRELUDE}{}", script.replace("v1", "v2")));
    let plan = project.podlift(&["run", "next.rhai", "--dry-run", "--diff"]);
    assert!(plan.code == 0 && plan.stdout.contains("     # of the shop\n"), "{plan:?}");
    project.write("own.jinja", &template.replace("X-Shop own", "{{ colour }}"));
    for arguments in [&["run", "next.rhai", "--dry-run"][..], &["run", "next.rhai"]] {
        let refused = project.podlift(arguments);
        assert!(refused.code == 3 && refused.stderr.contains("the proxy's template cannot be used"), "{refused:?}");
    }
    assert_eq!(rig.exec(1, &["docker", "ps", "-aq"]).text().lines().count(), 1, "nothing was started");
}

#[test]
fn ps_logs_and_exec_are_about_what_runs() {
    let rig = Rig::up(RigOptions { hosts: 2, ..RigOptions::default() });
    let project = Project::on(&rig);
    std::fs::copy("/bin/busybox", project.path().join("busybox")).expect("it is installed");
    let image = "FROM scratch\nARG VERSION=dev\nENV VERSION=$VERSION\nCOPY app /app\nCOPY busybox /busybox\nENTRYPOINT [\"/app\"]\n";
    project.write("Dockerfile", image).write(".dockerignore", "*\n!app\n!busybox\n");
    let script = "let web = service(\"web\", #{ port: 8000, health: check }); serves(web, \"v1\", hosts([\"h1\", \"h2\"]));";
    run(&project, script);
    run(&project, &script.replace("v1", "v2"));
    let ps = project.podlift(&["ps", "script.rhai"]);
    let table = ps.text().to_owned();
    for words in ["web", "h1", "h2", "v2", "running", "100"] {
        assert!(table.contains(words), "{words:?} is not in\n{table}");
    }
    let rows = project.podlift(&["ps", "script.rhai", "--json"]);
    let rows: Value = serde_json::from_str(rows.text()).expect("JSON");
    assert!(rows["containers"].to_string().matches("\"running\"").count() == 2 && rows["changes"] == serde_json::json!([]), "{rows:#}");
    let logs = project.podlift(&["logs", "web", "script.rhai"]);
    assert!(logs.code == 0 && logs.stdout.contains("demo v2 listens on port 8000"), "{logs:?}");
    let words = "echo \"in $(/busybox hostname)\"; test -t 0 || exit 3";
    let within = project.podlift(&["exec", "web", "script.rhai", "--", "/busybox", "sh", "-c", words]);
    assert!(within.code == 1 && within.stdout.starts_with("in ") && within.stderr.contains("in shop-web-v2-"), "{within:?}");
    let terminal = format!("{} exec web script.rhai -- /busybox test -t 0", env!("CARGO_BIN_EXE_podlift"));
    let mut at_a_terminal = Command::new("script");
    at_a_terminal.args(["-qec", &terminal, "/dev/null"]).current_dir(project.path()).env("PODLIFT_SSH_CONFIG", rig.ssh_config());
    let terminal = output(&mut at_a_terminal, "");
    assert_eq!(terminal.code, 0, "{terminal:?}");
    let none = project.podlift(&["exec", "web", "script.rhai", "--version", "v9", "--", "true"]);
    assert!(none.code == 3 && none.stderr.contains("no container of web v9 in the project shop runs there"), "{none:?}");
    let mut following = project.start(&["logs", "web", "script.rhai", "--follow"]);
    let mut told = Vec::new();
    let mut said = BufReader::new(following.stdout.take().expect("it is piped")).lines();
    let mut hears = |version: &str| {
        let words = format!("| demo {version} listens on port 8000");
        for _ in 0..2 {
            let line = said.find_map(|line| line.ok().filter(|line| line.ends_with(&words)));
            told.push(line.unwrap_or_else(|| panic!("{version} is not heard of behind {told:?}")));
        }
    };
    hears("v2");
    run(&project, &script.replace("v1", "v3"));
    hears("v3");
    assert!(Command::new("kill").args(["-INT", &following.id().to_string()]).status().expect("kill is there").success());
    assert_eq!(following.wait().expect("it ends").code(), Some(0));
    // Whoever reads it has heard enough: the next line that is written ends it.
    let mut unheard = project.start(&["logs", "web", "script.rhai", "--follow", "--tail", "1"]);
    let first = BufReader::new(unheard.stdout.take().expect("it is piped")).lines().next();
    assert!(first.is_some_and(|line| line.is_ok_and(|line| line.ends_with("listens on port 8000"))));
    run(&project, &script.replace("v1", "v4"));
    assert_eq!(unheard.wait().expect("it ends").code(), Some(0));
    // A command that is told to end.
    let mut working = project.start(&["exec", "web", "script.rhai", "--", "/busybox", "sh", "-c", "echo works; /busybox sleep 600"]);
    let first = BufReader::new(working.stdout.take().expect("it is piped")).lines().next();
    assert!(first.is_some_and(|line| line.is_ok_and(|line| line == "works")));
    assert!(Command::new("kill").args(["-TERM", &working.id().to_string()]).status().expect("kill is there").success());
    assert_eq!(working.wait().expect("it ends").code(), Some(1));
}

#[test]
fn a_check_of_the_hosts_names_what_a_deploy_would_stumble_over() {
    let rig = Rig::up(RigOptions { nginx_default: true, sudo: false, ..RigOptions::default() });
    let project = Project::on(&rig);
    let script = |host: &str| {
        format!("{PRELUDE}let web = service(\"web\", #{{ port: 8000, health: check }}); serves(web, \"v1\", host(\"{host}\"));")
    };
    project.write("root.rhai", &script("h1")).write("deploy.rhai", &script("d1"));
    let root = project.podlift(&["check", "root.rhai", "--hosts"]);
    assert_eq!(root.code, 2, "{root:?}");
    for words in ["engine", "Docker ", "linux/", "forwarded socket", "free", "rights  root", "/etc/nginx/conf.d", "sites-enabled/default"] {
        assert!(root.stdout.contains(words), "{words:?} is not in\n{}", root.stdout);
    }
    let deploy = project.podlift(&["check", "deploy.rhai", "--hosts"]);
    assert_eq!(deploy.code, 2, "{deploy:?}");
    for words in ["d1", "engine", "Docker ", "linux/", "free", "deploy", "sudo"] {
        assert!(deploy.stdout.contains(words), "{words:?} is not in\n{}\n{}", deploy.stdout, deploy.stderr);
    }
    let refused = project.podlift(&["run", "deploy.rhai"]);
    assert_eq!(refused.code, 3, "{refused:?}");
    assert_eq!(rig.exec(1, &["docker", "ps", "-aq"]).text(), "", "nothing was started");
}
