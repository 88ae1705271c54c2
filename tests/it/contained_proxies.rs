//! A host whose nginx runs in a Docker container: deployed to under load, in the host's network and in one of its own, and told of
//! where it is not as it must be.

use crate::load::{Load, LoadOptions};
use crate::podlift::{Project, assert_alike};
use crate::rig::{Rig, RigOptions};

/// Makes an image of the host's own nginx and what it needs to run; no shell is in it.
const IMAGE: &str = r#"
set -e
root=$(mktemp -d)
cd "$root"
for file in /usr/sbin/nginx $(ldd /usr/sbin/nginx | grep -o '/[^ ]*') /etc/passwd /etc/group /etc/nsswitch.conf /etc/nginx/mime.types; do
  mkdir -p ".${file%/*}"
  cp -L "$file" ".$file"
done
# Debian's own would load modules that are files elsewhere.
grep -v modules-enabled /etc/nginx/nginx.conf >etc/nginx/nginx.conf
mkdir -p run tmp dev proc sys var/log/nginx var/lib/nginx etc/nginx/conf.d /srv/nginx
tar -c . | docker import --change 'CMD ["/usr/sbin/nginx", "-g", "daemon off;"]' - nginx:own
rm -r "$root"
"#;

fn rig() -> Rig {
    let rig = Rig::up(RigOptions { nginx: false, client: true, ..RigOptions::default() });
    rig.exec(1, &["bash", "-c", IMAGE]).text();
    rig
}

/// Starts the container with these words of `docker run`.
#[track_caller]
fn start(rig: &Rig, words: &[&str]) {
    let run = ["docker", "run", "--detach", "--name", "edge", "--restart", "unless-stopped"];
    rig.exec(1, &[&run, words, &["nginx:own"]].concat()).text();
    crate::until::until("nginx in the container runs", || rig.exec(1, &["docker", "exec", "edge", "nginx", "-t"]).code == 0);
}

/// A project that deploys as a user who needs sudo.
fn project(rig: &Rig, options: &str) -> Project {
    let project = Project::on(rig);
    let script = format!(
        r#"
import "std/rolling" as rolling;
project("shop");
let p = params(#{{ version: "v1", fails: false }});
let fleet = [host("d1", #{{ {options} proxy: #{{ container: "edge" }} }})];
let web = service("web", #{{ port: 8000, replicas: 2, health: http("/health") }});
let img = build(web, #{{ tag: p.version, args: #{{ VERSION: p.version }} }});
ship(img, fleet);
rolling::deploy(web, img, fleet);
if p.fails {{ fail("as it was asked to"); }}
let seen = traffic(running(web, fleet[0]), "2s");
info(`${{seen.requests}} requests, ${{seen.errors}} errors`);
"#
    );
    project.write("deploy.rhai", &script);
    project
}

fn served(rig: &Rig) -> String {
    rig.exec(1, &["curl", "-sS", &format!("http://{}/version", rig.host(1).address)]).stdout.trim().to_owned()
}

fn load(rig: &Rig) -> Load {
    Load::start(rig, LoadOptions { kept: 24, fresh: 12, ..LoadOptions::on(rig) })
}

/// Deploys two versions under load, and a third that fails and is taken back.
#[track_caller]
fn deploys_lose_nothing(rig: &Rig, project: &Project) {
    let first = project.podlift(&["run", "deploy.rhai"]);
    assert_eq!(first.code, 0, "{}", first.stderr);
    let load = load(rig);
    let second = project.podlift(&["run", "deploy.rhai", "version=v2"]);
    assert_eq!(second.code, 0, "{}", second.stderr);
    assert!(!second.stderr.contains(" 0 requests, ") && second.stderr.contains(" requests, 0 errors"), "{}", second.stderr);
    let failed = project.podlift(&["run", "deploy.rhai", "version=v3", "fails=true"]);
    assert_eq!(failed.code, 4, "{}", failed.stderr);
    let summary = load.finish();
    summary.assert_nothing_lost();
    println!("0 of {} requests failed", summary.total);
    assert!(["v1", "v2", "v3"].iter().all(|version| summary.versions.contains_key(*version)), "{:?}", summary.versions);
    assert_eq!(served(rig), "v2");
    let files = rig.exec(1, &["ls", "/srv/nginx"]).text().to_owned();
    assert_eq!(files, "podlift-shop.web.conf\npodlift-shop.web.conf.previous", "nothing else is left");
}

#[test]
fn an_nginx_in_a_container_is_deployed_behind_and_loses_no_request() {
    let rig = rig();
    let project = project(&rig, "");
    let told = |words: &str| {
        let check = project.podlift(&["check", "deploy.rhai", "--hosts"]);
        assert!(check.code == 2 && check.stdout.contains(words), "{words:?} is not in\n{}{}", check.stdout, check.stderr);
    };
    told("there is no container edge on it");
    let refused = project.podlift(&["run", "deploy.rhai"]);
    assert!(refused.code == 3 && refused.stderr.contains("docker run --detach --name edge"), "{refused:?}");

    start(&rig, &["--network", "host"]);
    told("/etc/nginx/conf.d is a folder of the container edge alone, and is lost with it");
    rig.exec(1, &["docker", "rm", "--force", "edge"]).text();

    start(&rig, &["--network", "host", "--volume", "/srv/nginx:/etc/nginx/conf.d:ro"]);
    let check = project.podlift(&["check", "deploy.rhai", "--hosts"]);
    assert!(check.code == 0 && check.stdout.contains("its files go to /etc/nginx/conf.d"), "{check:?}");
    deploys_lose_nothing(&rig, &project);

    rig.exec(1, &["docker", "rm", "--force", "edge"]).text();
    start(&rig, &["--network", "host", "--volume", "/srv/nginx:/etc/nginx/conf.d"]);
    crate::until::until("a new container has the routes of the old one", || served(&rig) == "v2");
    let rolled = project.podlift(&["run", "deploy.rhai", "version=v4"]);
    assert!(rolled.code == 0 && served(&rig) == "v4", "{rolled:?}");

    rig.exec(1, &["docker", "stop", "edge"]).text();
    told("its container edge is not running");
}

/// The host's address in the default network, which the container is in.
fn gateway(rig: &Rig) -> String {
    rig.exec(1, &["docker", "inspect", "--format", "{{.NetworkSettings.Gateway}}", "edge"]).text().to_owned()
}

/// A plan fails as the run does, with these words, and as early: nothing was started, and nothing is left.
#[track_caller]
fn is_refused_as_planned(rig: &Rig, project: &Project, script: &str, words: &[&str]) {
    let containers = || rig.exec(1, &["docker", "ps", "--all", "--quiet", "--no-trunc"]).text().to_owned();
    let before = containers();
    let plan = project.events(&["run", script, "--dry-run"]);
    let run = project.events(&["run", script]);
    assert_alike(&plan, &run);
    for told in [&plan, &run] {
        let told = told.result()["diagnostics"].to_string().replace("\\\"", "\"");
        assert!(words.iter().all(|words| told.contains(words)), "{words:?} are not in {told}");
    }
    let kept = project.podlift(&["plan", script, "-o", "deploy.plan"]);
    assert!(kept.code == 3 && !project.path().join("deploy.plan").exists(), "{kept:?}");
    assert_eq!(containers(), before, "nothing is started");
}

#[test]
fn an_nginx_with_a_network_of_its_own_reaches_what_listens_on_its_gateway() {
    let rig = rig();
    start(&rig, &["--publish", "80:80", "--volume", "/srv/nginx:/etc/nginx/conf.d"]);
    let gateway = gateway(&rig);
    let hint = format!("bind: \"{gateway}\"");
    let loopback = project(&rig, "");
    is_refused_as_planned(&rig, &loopback, "deploy.rhai", &["could not reach web on d1", &hint]);
    let check = loopback.podlift(&["check", "deploy.rhai", "--hosts"]);
    let told = |words: &str| check.stdout.lines().any(|line| line.contains("✗ reach") && line.contains(words));
    assert!(check.code == 2 && told("could not reach web") && told(&hint), "{check:?}");

    let gated = project(&rig, &format!("bind: \"{gateway}\","));
    let check = gated.podlift(&["check", "deploy.rhai", "--hosts"]);
    assert_eq!(check.code, 0, "{check:?}");
    deploys_lose_nothing(&rig, &gated);
}

#[test]
fn an_nginx_that_went_into_a_network_of_its_own_first_gets_no_traffic_for_what_it_does_not_reach() {
    let rig = rig();
    start(&rig, &["--network", "host", "--volume", "/srv/nginx:/etc/nginx/conf.d"]);
    let loopback = project(&rig, "");
    let first = loopback.podlift(&["run", "deploy.rhai"]);
    assert_eq!(first.code, 0, "{first:?}");
    rig.exec(1, &["docker", "rm", "--force", "edge"]).text();
    start(&rig, &["--publish", "80:80", "--volume", "/srv/nginx:/etc/nginx/conf.d"]);
    let shift = r#"
project("shop");
let h = host("d1", #{ proxy: #{ container: "edge" } });
let web = service("web", #{ port: 8000, replicas: 2, health: http("/health") });
let live = running(web, h);
set_weights([[live, 1]]);
"#;
    loopback.write("shift.rhai", shift);
    let gateway = gateway(&rig);
    let hint = format!("bind: \"{gateway}\"");
    is_refused_as_planned(&rig, &loopback, "shift.rhai", &["nginx in the container edge cannot reach", "listens on 127.0.0.1", &hint]);
    is_refused_as_planned(&rig, &loopback, "deploy.rhai", &["could not reach web on d1", &hint]);
    // What listens where it is reached takes the place of what does not.
    let second = project(&rig, &format!("bind: \"{gateway}\",")).podlift(&["run", "deploy.rhai", "version=v2"]);
    assert!(second.code == 0 && served(&rig) == "v2", "{second:?}");
}

#[test]
fn an_nginx_moves_to_a_network_of_its_own_and_back_and_no_deploy_loses_a_request() {
    let rig = rig();
    let files = ["--volume", "/srv/nginx:/etc/nginx/conf.d"];
    let (of_the_host, of_its_own) = (["--network", "host"], ["--network", "edges", "--publish", "80:80"]);
    start(&rig, &[&of_the_host[..], &files].concat());
    let loopback = project(&rig, "");
    let deploy = |project: &Project, version: &str| {
        let run = project.podlift(&["run", "deploy.rhai", &format!("version={version}")]);
        assert!(run.code == 0 && served(&rig) == version, "{run:?}");
    };
    deploy(&loopback, "v1");
    let mut load = load(&rig);
    let mut replace = |network: &[&str], version: &str| {
        load.mark("replaced");
        // What began before has ended by then: no request takes longer than a second.
        load.more(3000);
        rig.exec(1, &["docker", "rm", "--force", "edge"]).text();
        start(&rig, &[network, &files].concat());
        crate::until::until("the new container has the routes of the old one", || served(&rig) == version);
        load.more(1000);
        load.mark("deployed");
    };

    rig.exec(1, &["docker", "network", "create", "edges"]).text();
    let gateway = rig.exec(1, &["docker", "network", "inspect", "--format", "{{(index .IPAM.Config 0).Gateway}}", "edges"]);
    let gated = project(&rig, &format!("bind: \"{}\",", gateway.text()));
    deploy(&gated, "v2");
    replace(&of_its_own, "v2");
    deploy(&gated, "v3");
    replace(&of_the_host, "v3");
    deploy(&loopback, "v4");
    rig.exec(1, &["docker", "network", "rm", "edges"]).text();
    assert_eq!(served(&rig), "v4");

    let summary = load.finish();
    let of = |replaced: bool| summary.phases.iter().filter(move |phase| (phase.name == "replaced") == replaced);
    for phase in of(false) {
        assert!(phase.requests > 500 && phase.failed == 0, "{phase:#?}\n{:#?}", summary.samples);
    }
    assert_eq!((of(false).count(), of(true).count()), (3, 2), "{:#?}", summary.phases);
    let (lost, deploying): (usize, usize) = (of(true).map(|phase| phase.failed).sum(), of(false).map(|phase| phase.requests).sum());
    println!("0 of {deploying} requests failed around the deploys, {lost} while nginx was replaced twice");
    assert!(["v1", "v2", "v3", "v4"].iter().all(|version| summary.versions.contains_key(*version)), "{:?}", summary.versions);
}
