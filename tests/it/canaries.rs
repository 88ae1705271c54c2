//! The strategies of the standard library on real hosts, under load from 40 ms away: what visitors see of a canary, of one that
//! is bad, of a blue-green switch, and of the ways back.

use std::collections::BTreeSet;

use crate::load::{Load, LoadOptions};
use crate::podlift::Project;
use crate::rig::{Output, Rig, RigOptions, output};

const SHOP: &str = r#"
import "std/blue_green" as blue_green;
import "std/canary" as canary;
import "std/gates" as gates;
import "std/rollback" as rollback;
import "std/rolling" as rolling;
project("shop");
let p = params(#{ version: "v1", errors: 0, slower: 0, weight: 0 });
let fleet = hosts(["h1", "h2"]);
let web = service("web", #{ port: 8000, replicas: 2, health: http("/health"), env: #{ ERROR_PERCENT: p.errors, WORK_DELAY_MS: p.slower } });
let limits = [gates::error_rate_under(0.02), gates::error_rate_up_by(0.5), gates::p95_up_by(1000)];

fn image(web, version, fleet) {
    let img = build(web, #{ tag: version, args: #{ VERSION: version } });
    ship(img, fleet);
    img
}
"#;

/// Two hosts on which v1 serves, and a script for each thing to do.
fn shop() -> (Rig, Project) {
    let rig = Rig::up(RigOptions { hosts: 2, client: true, ..RigOptions::default() });
    let project = Project::on(&rig);
    for (name, script) in [
        ("first", "rolling::deploy(web, image(web, p.version, fleet), fleet, #{ batch: 2 });"),
        (
            "canary",
            "canary::deploy(web, image(web, p.version, fleet), fleet, \
             #{ steps: [25, 50, 100], pause: \"4s\", gates: limits, holds: 1, min_requests: 200 });",
        ),
        (
            "judged",
            "canary::deploy(web, image(web, p.version, fleet), fleet, \
             #{ steps: [25, 100], pause: \"4s\", gates: gates::rollback_limits(), holds: 1, min_requests: 200 });",
        ),
        (
            "blue_green",
            "fn seen(host, header) { probe(host, [\"curl\", \"-sSf\", \"-H\", header, \"http://127.0.0.1/version\"]).stdout } \
             blue_green::deploy(web, image(web, p.version, fleet), fleet, #{ standby: true, soak: \"2s\", gates: limits, \
             preview: #{ header: \"X-Preview: green\" }, test: |green| { \
                for page in http_get([green, \"/version\"]) { ensure(page.body.contains(p.version), page.body) } \
                for host in fleet { \
                    ensure(seen(host, \"X-Preview: green\").contains(p.version), `the preview on ${host}`); \
                    ensure(!seen(host, \"X-Preview: none\").contains(p.version), `everyone else on ${host}`); \
                } \
             } });",
        ),
        ("switch_back", "blue_green::switch_back(web, fleet); blue_green::cleanup(web, fleet);"),
        ("previous", "rollback::previous(web, fleet);"),
        (
            "weigh",
            "let all = releases(web, fleet); \
             set_weights([[all[1], 100 - p.weight], [all[0], p.weight]], #{ sticky: \"seat\" });",
        ),
        ("split", "let all = releases(web, fleet); set_weights([[all[1], 100 - p.weight], [all[0], p.weight]]);"),
        ("beside", "let next = start(web, image(web, p.version, fleet), fleet); healthcheck(next);"),
    ] {
        project.write(&format!("{name}.rhai"), &format!("{SHOP}{script}\n"));
    }
    succeeds(&project, &["run", "first.rhai"]);
    (rig, project)
}

#[track_caller]
fn succeeds(project: &Project, arguments: &[&str]) -> Output {
    let output = project.podlift(arguments);
    assert_eq!(output.code, 0, "{arguments:?}\n{}{}", output.stdout, output.stderr);
    output
}

/// The part of the traffic that the new release got in each window that a gate measured, in percent.
fn measured(output: &Output) -> Vec<f64> {
    let windows = output.stdout.lines().chain(output.stderr.lines()).filter_map(|line| {
        let (new, old) = line.split_once("pass: ")?.1.split_once("; beside it ")?;
        let requests = |text: &str| text.split(" errors of ").nth(1)?.split(' ').next()?.parse::<f64>().ok();
        Some((requests(new)?, requests(old)?))
    });
    windows.map(|(new, old)| 100.0 * new / (new + old)).collect()
}

#[test]
fn a_canary_grows_as_asked_a_bad_one_is_taken_back_and_so_is_one_that_nobody_sees() {
    let (rig, project) = shop();
    let mut load = Load::start(&rig, LoadOptions::on(&rig));
    load.mark("grow");
    let grown = succeeds(&project, &["run", "canary.rhai", "version=v2"]);
    let shares = measured(&grown);
    assert!(shares.len() >= 2 && (shares[0] - 25.0).abs() <= 2.0 && (shares[1] - 50.0).abs() <= 2.0, "{shares:?}\n{}", grown.stderr);

    load.mark("bad");
    let bad = project.podlift(&["run", "canary.rhai", "version=v3", "errors=5"]);
    load.mark("undone");
    load.more(1000);
    assert_eq!(bad.code, 4, "{}", bad.stderr);
    assert!(bad.stderr.contains("error rate under 2 %: it is "), "{}", bad.stderr);

    load.mark("back");
    succeeds(&project, &["run", "previous.rhai"]);
    load.more(1000);
    let summary = load.finish();
    for phase in ["start", "grow", "undone", "back"] {
        assert_eq!(summary.phase(phase).failed, 0, "{phase}: {:#?}", summary.phases);
    }
    let failures: Vec<&str> = summary.failures.keys().map(String::as_str).collect();
    assert_eq!(failures, ["5xx"], "only what the bad release answered: {:#?}", summary.samples);
    assert!(summary.phase("grow").requests > 2000, "{:#?}", summary.phases);
    let serves = succeeds(&project, &["ps", "first.rhai"]).stdout;
    assert!(
        serves.contains("v1") && rig.snapshot(1).iter().any(|line| line.starts_with("container shop-web-v1-") && line.contains("running"))
    );

    let unseen = project.podlift(&["run", "canary.rhai", "version=v4"]);
    assert_eq!(unseen.code, 4, "{}", unseen.stderr);
    assert!(unseen.stderr.contains("inconclusive: 0 requests of at least 200; measured 2 times"), "{}", unseen.stderr);
    for number in 1..=2 {
        let left = rig.snapshot(number);
        let is_left = |line: &&String| line.starts_with("container shop-web-v3-") || line.starts_with("container shop-web-v4-");
        assert_eq!(left.iter().filter(is_left).collect::<Vec<_>>(), Vec::<&String>::new());
    }
}

#[test]
fn a_canary_that_is_150_ms_slower_is_taken_back_by_the_guides_limits() {
    let (rig, project) = shop();
    let load = Load::start(&rig, LoadOptions { kept: 32, fresh: 16, ..LoadOptions::on(&rig) });
    let slow = project.podlift(&["run", "judged.rhai", "version=v2", "slower=150"]);
    load.finish().assert_nothing_lost();
    assert_eq!(slow.code, 4, "{}", slow.stderr);
    assert!(slow.stderr.contains("p95 up by at most 100 ms: it is "), "{}", slow.stderr);
    for number in 1..=2 {
        let left: Vec<String> = rig.snapshot(number).into_iter().filter(|line| line.starts_with("container shop-web-")).collect();
        assert!(left.len() == 2 && left.iter().all(|line| line.contains("-v1-") && line.contains("running")), "{left:?}");
    }
}

#[test]
fn ten_thousand_requests_are_split_as_asked_within_two_points() {
    let (rig, project) = shop();
    succeeds(&project, &["run", "beside.rhai", "version=v2"]);
    for weight in [5.0, 25.0, 60.0] {
        succeeds(&project, &["run", "split.rhai", &format!("weight={weight}")]);
        let mut load = Load::start(&rig, LoadOptions::on(&rig));
        load.more(9_500);
        let summary = load.finish();
        summary.assert_nothing_lost();
        let (new, all) = (summary.versions.get("v2").copied().unwrap_or(0), summary.versions.values().sum::<usize>());
        #[expect(clippy::cast_precision_loss, reason = "there are fewer requests than a float can count")]
        let share = 100.0 * new as f64 / all as f64;
        println!("{weight} % asked: {share:.2} % of {all} requests");
        assert!(all >= 10_000 && (share - weight).abs() <= 2.0, "{weight} % asked: {share} % of {all} requests");
    }
}

/// Which visitors the new release serves.
fn seats(rig: &Rig, of: usize) -> BTreeSet<usize> {
    let url = format!("http://{}/version", rig.host(1).address);
    let serves = |visitor: &usize| {
        let cookie = format!("seat=visitor-{visitor}");
        let answer = output(std::process::Command::new("curl").args(["-sS", "--max-time", "20", "--cookie", &cookie, &url]), "");
        match answer.text() {
            "v2" => true,
            "v1" => false,
            other => panic!("{other}"),
        }
    };
    (0..of).filter(serves).collect()
}

#[test]
fn a_visitor_who_met_the_new_release_stays_with_it_while_it_grows() {
    let (rig, project) = shop();
    succeeds(&project, &["run", "beside.rhai", "version=v2"]);
    let mut before = BTreeSet::new();
    for weight in ["20", "60", "90"] {
        succeeds(&project, &["run", "weigh.rhai", &format!("weight={weight}")]);
        let seats = seats(&rig, 100);
        assert!(before.is_subset(&seats), "{:?} went back at {weight} %", before.difference(&seats));
        assert!(seats.len() > before.len(), "{weight} %: {} of 100", seats.len());
        before = seats;
    }
}

#[test]
fn a_blue_green_switch_and_the_switch_back_lose_no_request() {
    let (rig, project) = shop();
    let mut load = Load::start(&rig, LoadOptions::on(&rig));
    load.mark("switch");
    succeeds(&project, &["run", "blue_green.rhai", "version=v2"]);
    load.more(1000);
    load.mark("back");
    succeeds(&project, &["run", "switch_back.rhai"]);
    load.more(1000);
    let summary = load.finish();
    summary.assert_nothing_lost();
    assert_eq!(summary.versions.keys().collect::<Vec<_>>(), ["v1", "v2"]);
    for number in 1..=2 {
        let running: Vec<String> =
            rig.snapshot(number).into_iter().filter(|line| line.starts_with("container shop-web-") && line.contains("running")).collect();
        assert!(running.len() == 2 && running.iter().all(|line| line.contains("-v1-")), "{running:?}");
    }
}
