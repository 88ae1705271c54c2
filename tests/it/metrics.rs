//! What a real Prometheus says, and what becomes of a release that is judged by it.

use std::process::Command;

use crate::podlift::Project;
use crate::prometheus::{BASIC, Prometheus, start_on};
use crate::rig::{Rig, RigOptions, output};

#[test]
fn an_expression_has_one_number_or_says_why_not_and_a_dry_run_really_asks() {
    let prometheus = Prometheus::start();
    let project = Project::new().env("LOGIN", BASIC);
    let script = format!(
        r#"
        let headers = #{{ Authorization: `Basic ${{secret("LOGIN")}}` }};
        let metrics = prometheus("http://127.0.0.1:{port}/", #{{ headers: headers }});
        let through = prometheus("http://127.0.0.1:{port}", #{{ headers: headers, via: host("local") }});
        fn kind(metrics, promql) {{
            try {{ metrics.query(promql) }} catch (problem) {{ info(`${{promql}}: ${{problem.kind}}: ${{problem.message}}`); return; }}
            fail(`${{promql}} has a value`);
        }}
        ensure(metrics.query("up") == 1.0 && through.query("up{{job='itself'}}") == 1.0, "it scrapes itself");
        ensure(metrics.query("1 + 1") == 2.0 && metrics.query("count(up) / 4") == 0.25, "numbers");
        ensure(metrics.query("nothing_here", #{{ empty: 7 }}) == 7.0 && metrics.query("0 / 0", #{{ empty: 0.5 }}) == 0.5, "empty");
        for promql in ["nothing_here", "vector(0) / 0", "{{__name__=~'go_.*'}}", "sum(", "up[5m]"] {{ kind(metrics, promql); }}
        "#,
        port = prometheus.port
    );
    project.write("ask.rhai", &script);
    for arguments in [&["run", "ask.rhai"][..], &["run", "ask.rhai", "--dry-run"]] {
        let run = project.podlift(arguments);
        assert_eq!(run.code, 0, "{arguments:?}: {}", run.stderr);
        let told = format!("{}{}", run.stdout, run.stderr);
        for words in [
            "nothing_here: no_data: nothing_here has no data",
            "vector(0) / 0: no_data: vector(0) / 0 is NaN",
            "go_.*'}: no_data: {__name__=~'go_.*'} has ",
            "sum(: failed: ",
            "up[5m]: refused: the expression has a matrix",
        ] {
            assert!(told.contains(words), "{words:?} is not in\n{told}");
        }
        assert!(!told.contains(BASIC), "{told}");
    }
    project.write("who.rhai", &format!("prometheus(\"http://127.0.0.1:{}\").query(\"up\");", prometheus.port));
    let run = project.podlift(&["run", "who.rhai"]);
    assert!(run.code == 1 && run.stderr.contains("answered 401") && run.stderr.contains("Authorization"), "{}", run.stderr);
    drop(prometheus);
    let run = project.podlift(&["run", "who.rhai"]);
    assert!(run.code != 0 && run.stderr.contains("did not answer"), "{}", run.stderr);
}

#[test]
fn a_canary_is_judged_by_a_prometheus_that_only_its_host_reaches_and_what_it_does_not_know_does_not_pass() {
    let rig = Rig::up(RigOptions::default());
    start_on(&rig, 1, 9090);
    let project = Project::on(&rig);
    let script = format!(
        r#"
        import "std/canary" as canary;
        import "std/gates" as gates;
        project("shop{}");
        let p = params(#{{ version: "v1", known: true }});
        let fleet = [host("h1")];
        let web = service("web", #{{ port: 8000, health: http("/health") }});
        let img = build(web, #{{ tag: p.version, args: #{{ VERSION: p.version }} }});
        ship(img, fleet);
        let metrics = prometheus("http://127.0.0.1:9090", #{{ via: fleet[0] }});
        // Only v2 has metrics.
        let of = |release| `sum(scrape_samples_scraped{{release="${{release.version}}"}})`;
        let limits = if p.known {{
            [
                gates::metric_over("targets that are up", metrics, "sum(up)", 1),
                gates::metric_up_by("builds", metrics, |release| "count(prometheus_build_info)", 0.5),
            ]
        }} else {{
            [gates::metric_up_by("samples", metrics, of, 0.5)]
        }};
        canary::deploy(web, img, fleet, #{{ steps: [50, 100], pause: "1s", gates: limits, on_inconclusive: "undo" }});
        "#,
        rig.id()
    );
    project.write("deploy.rhai", &script);
    let serves = || {
        let url = format!("http://{}/version", rig.host(1).address);
        output(Command::new("curl").args(["-sS", "--max-time", "20", &url]), "").text().to_owned()
    };
    for version in ["v1", "v2"] {
        let run = project.podlift(&["run", "deploy.rhai", &format!("version={version}")]);
        assert_eq!(run.code, 0, "{}", run.stderr);
        assert_eq!(serves(), version);
    }
    let run = project.podlift(&["run", "deploy.rhai", "version=v3", "known=false"]);
    assert_eq!(run.code, 4, "{}", run.stderr);
    assert!(run.stderr.contains("inconclusive: samples: sum(scrape_samples_scraped{release=\"v3\"}) has no data"), "{}", run.stderr);
    assert_eq!(serves(), "v2");
}
